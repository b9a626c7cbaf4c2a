"""A store of structures of different sizes, in so small chunks that structures straddle them."""

import shutil

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms, shrink_chunks

SIZES = (3, 1, 8, 5, 5, 2, 7, 1, 4, 6, 8)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Eleven structures of 1 to 8 atoms, periodic and not, with labels of their own; it stays as it is."""
    out, rng = tmp_path_factory.mktemp("built") / "s.zarr", np.random.default_rng(20261120)
    frames = [random_atoms(rng, n, periodic=bool(k % 2)) for k, n in enumerate(SIZES)]
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        zstruct.build(frames, out, progress=False)
    return out


@pytest.fixture
def store(built, tmp_path, small_chunks):
    """A copy of it for the test."""
    return shutil.copytree(built, tmp_path / "s.zarr")


@pytest.fixture
def sizes(store):
    return zstruct.Store(store).read("n_atoms").astype(np.int64)


@pytest.fixture
def edges(sizes):
    return np.r_[0, np.cumsum(sizes)]


@pytest.fixture
def teacher(rng, sizes):
    """Energies, forces and stresses of all structures."""
    n = len(sizes)
    return {
        "energy": rng.normal(-50, 9, n),
        "forces": rng.normal(size=(sizes.sum(), 3)),
        "stress": rng.normal(size=(n, 6)),
    }
