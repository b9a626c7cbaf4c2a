"""A shard that took the place of another of the same shape is noticed by whoever reads it."""

import json
import shutil

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms
from zstruct.errors import CorruptStoreError
from zstruct.features import NeighborList
from zstruct.store.files import shard_path
from zstruct.store.shards import ArrayReader
from zstruct.store.store import Store


@pytest.fixture(scope="module")
def stores(tmp_path_factory, narrow_chunks):
    """Two stores of structures of the same sizes."""
    folder = tmp_path_factory.mktemp("swapped")
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        frames = [random_atoms(rng, 5, periodic=True) for _ in range(40)]
        zstruct.build(frames, folder / f"{seed}.zarr", progress=False)
    return folder


@pytest.fixture
def swapped(tmp_path, stores):
    """Copies of both; in the first, a shard is the other's."""
    paths = [shutil.copytree(stores / f"{k}.zarr", tmp_path / f"{k}.zarr") for k in (1, 2)]

    def swap(array, shard):
        n_dimensions = len(Store(paths[0]).shape(array))
        shutil.copy(
            shard_path(paths[1], array, shard, n_dimensions), shard_path(paths[0], array, shard, n_dimensions)
        )
        return paths[0]

    return swap


READERS = {
    "Store": lambda path, array: Store(path).read(array),
    "ArrayReader": lambda path, array: _read_directly(Store(path), array),
    "open": lambda path, array: zstruct.open(path)[array].values,
    "reader": lambda path, array: zstruct.StructureReader(path).take(range(40)),
}


def _read_directly(store, array):
    reader = ArrayReader(store, array)
    assert reader.direct
    reader.read_into(0, store.shape(array)[0], np.empty(store.shape(array), store.dtype(array)))


@pytest.mark.parametrize("array", ["positions", "energy"])
@pytest.mark.parametrize("read", READERS)
def test_a_shard_of_another_store_is_noticed(swapped, read, array):
    path = swapped(array, 1)
    with pytest.raises(
        CorruptStoreError, match=f"{array} can't be decoded .*is not the (shard|one) that was"
    ):
        READERS[read](path, array)


def test_other_rows_are_read_as_before(swapped):
    path = swapped("energy", 1)
    rows = Store(path).grid("energy").shard_rows
    assert len(Store(path).read("energy", 0, rows)) == rows
    with pytest.raises(CorruptStoreError):
        Store(path).read("energy", rows - 1, rows + 1)


def test_shards_of_groups_are_noticed(swapped, tmp_path):
    for seed in (1, 2):
        zstruct.featurize(tmp_path / f"{seed}.zarr", NeighborList(1.5), progress=False)
    path = swapped("neighbors/rc1.5/counts", 0)
    with pytest.raises(CorruptStoreError, match="counts can't be decoded"):
        zstruct.StructureReader(path, neighbors="rc1.5").take([0])


def test_stores_that_say_nothing_of_their_shards_are_read(swapped):
    path = swapped("energy", 1)
    shutil.rmtree(path / "shards")
    root = json.loads((path / "zarr.json").read_text())
    metadata = root["consolidated_metadata"]["metadata"]
    for name in [name for name in metadata if name.startswith("shards")]:
        del metadata[name]
    (path / "zarr.json").write_text(json.dumps(root))
    assert Store(path).checksums("energy") is None
    assert len(Store(path).read("energy")) == 40
