"""Quantiles of magnitudes are NumPy's, to the width of a bin."""

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

import zstruct
from tests.stats.conftest import FRACTIONS, built
from zstruct.stats import Magnitudes
from zstruct.stats.histogram import collected


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=50), st.integers(0, 3))
def test_quantiles_are_numpys(values, repeat):
    numbers = np.array(values * (repeat + 1))
    counted = Magnitudes.of(numbers)
    exact = counted.with_quantiles(FRACTIONS, *collected(numbers, counted.wanted(FRACTIONS)))
    for fraction in FRACTIONS:
        expected = np.quantile(numbers, fraction)
        assert exact.quantiles[fraction] == expected
        assert counted.quantile(fraction) == pytest.approx(expected, rel=1 / 1024, abs=1e-307)


def test_empty_histograms_are_kept(tmp_path):
    path = built([Atoms("H")], tmp_path / "a.zarr")
    zstruct.statistics(path, name="all")
    assert len(zstruct.open_statistics(path).force_norms.bins) == 0
