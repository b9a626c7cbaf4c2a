"""Stores with so small shards that structures straddle them."""

import shutil

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms, shrink_chunks
from zstruct.store import chunks


@pytest.fixture(scope="session")
def structures():
    """Structures of 1 to 8 atoms, and one that is larger than two shards; half have forces."""
    rng = np.random.default_rng(20261120)
    made = [random_atoms(rng, labels=bool(k % 2)) for k in range(16)]
    large = random_atoms(rng, 80, periodic=True, labels=False)
    large.set_cell(2 * large.cell.array)
    return [*made[:11], large, *made[11:]]


@pytest.fixture(scope="session")
def stores(tmp_path_factory, structures):
    """A store of all of them and one that is soon featurized; they stay as they are."""
    folder = tmp_path_factory.mktemp("featureless")
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        zstruct.build([*structures[:6], structures[11]], folder / "small.zarr", progress=False)
        patch.setattr(chunks, "_CHUNK_BYTES", 4096)
        zstruct.build(structures, folder / "s.zarr", progress=False)
    return folder


@pytest.fixture
def built(stores, tmp_path, small_chunks, monkeypatch):
    """A copy of the whole store for the test."""
    monkeypatch.setattr(chunks, "_CHUNK_BYTES", 4096)
    return shutil.copytree(stores / "s.zarr", tmp_path / "s.zarr")


@pytest.fixture
def small(stores, tmp_path, small_chunks):
    """A copy of the store that is soon featurized."""
    return shutil.copytree(stores / "small.zarr", tmp_path / "small.zarr")
