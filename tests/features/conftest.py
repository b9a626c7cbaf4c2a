"""Stores with so small shards that structures straddle them."""

import pytest

import zstruct
from tests.conftest import random_atoms
from zstruct.store import chunks


@pytest.fixture
def structures(rng):
    """Structures of 1 to 8 atoms, and one that is larger than two shards; half have forces."""
    made = [random_atoms(rng, labels=bool(k % 2)) for k in range(16)]
    large = random_atoms(rng, 80, periodic=True, labels=False)
    large.set_cell(2 * large.cell.array)
    return [*made[:11], large, *made[11:]]


@pytest.fixture
def built(tmp_path, structures, small_chunks, monkeypatch):
    monkeypatch.setattr(chunks, "_CHUNK_BYTES", 4096)
    out = tmp_path / "s.zarr"
    zstruct.build(structures, out, progress=False)
    return out


@pytest.fixture
def small(tmp_path, structures, small_chunks):
    """A store that is soon featurized."""
    out = tmp_path / "small.zarr"
    zstruct.build([*structures[:6], structures[11]], out, progress=False)
    return out
