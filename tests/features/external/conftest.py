"""A store of structures of different sizes, in so small chunks that structures straddle them."""

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms


@pytest.fixture
def store(tmp_path, rng, small_chunks):
    """Eleven structures of 1 to 8 atoms."""
    out = tmp_path / "s.zarr"
    zstruct.build([random_atoms(rng, n) for n in (3, 1, 8, 5, 5, 2, 7, 1, 4, 6, 8)], out, progress=False)
    return out


@pytest.fixture
def sizes(store):
    return zstruct.Store(store).read("n_atoms").astype(np.int64)


@pytest.fixture
def per_atom(rng, sizes):
    """Three features of each atom, of which some are missing."""
    values = rng.normal(size=(sizes.sum(), 3))
    values[rng.random(values.shape) < 0.1] = np.nan
    return values
