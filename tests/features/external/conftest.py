"""A store of structures of different sizes, in so small chunks that structures straddle them."""

import shutil

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms, shrink_chunks

SIZES = (3, 1, 8, 5, 5, 2, 7, 1, 4, 6, 8)


@pytest.fixture(scope="session")
def eleven(tmp_path_factory):
    """Eleven structures of 1 to 8 atoms; it stays as it is."""
    out, rng = tmp_path_factory.mktemp("eleven") / "s.zarr", np.random.default_rng(20261120)
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        zstruct.build([random_atoms(rng, n) for n in SIZES], out, progress=False)
    return out


@pytest.fixture
def store(eleven, tmp_path, small_chunks):
    """A copy of it for the test."""
    return shutil.copytree(eleven, tmp_path / "s.zarr")


@pytest.fixture
def sizes():
    return np.array(SIZES)


@pytest.fixture
def per_atom(rng, sizes):
    """Three features of each atom, of which some are missing."""
    values = rng.normal(size=(sizes.sum(), 3))
    values[rng.random(values.shape) < 0.1] = np.nan
    return values
