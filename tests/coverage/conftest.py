"""Judges of what is picked."""

import pytest


@pytest.fixture
def scikit_matter(monkeypatch):
    """What picks in scikit-matter. Beside it are convex hulls, which want a name that newer SciPy has not."""
    interpnd = pytest.importorskip("scipy.interpolate.interpnd")
    monkeypatch.setattr(interpnd, "_ndim_coords_from_arrays", None, raising=False)
    return pytest.importorskip("skmatter.sample_selection")
