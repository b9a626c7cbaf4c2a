"""Stores as they are opened, and what is none."""

import json
import pickle
import shutil

import numpy as np
import pytest
import zarr

import zstruct
from tests.store.one_structure import write_one
from zstruct.errors import CorruptStoreError, StoreFormatError
from zstruct.store.chunks import ChunkGrid
from zstruct.store.files import shard_path
from zstruct.store.store import Store


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"encoding-type": "anndata"}, "not a zstruct store"),
        ({"encoding-version": "2.0"}, "install a newer zstruct"),
        ({"status": "building"}, "unfinished"),
    ],
)
def test_what_is_no_finished_store_is_refused(tmp_path, attrs, message):
    write_one(tmp_path / "s", 10, ChunkGrid(10, 10))
    zarr.open_group(tmp_path / "s", mode="r+", use_consolidated=False).update_attributes(attrs)
    for file in (tmp_path / "s" / "zarr.json",):
        metadata = json.loads(file.read_text())
        metadata["attributes"] |= attrs
        file.write_text(json.dumps(metadata))
    with pytest.raises(StoreFormatError, match=message):
        Store(tmp_path / "s")


def test_missing_store_is_refused_with_its_path(tmp_path):
    with pytest.raises(StoreFormatError, match=r"nothing\.zarr: no such file"):
        Store(tmp_path / "nothing.zarr")


def test_store_pickles_without_handles(tmp_path):
    values = write_one(tmp_path / "s", 10, ChunkGrid(10, 10))
    opened = Store(tmp_path / "s")
    opened.read("positions")
    again = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(again.read("positions"), values["positions"])
    with pytest.raises(KeyError, match="no array 'forces'; it has numbers, positions"):
        again.read("forces")


def test_chunks_of_a_shard_come_as_they_are_stored(source):
    store = Store(source.path)
    spec = store.profile("positions")
    rows = [
        spec.codec.decompress(encoded, spec.dtype, (spec.grid.chunk_rows, 3))
        for encoded in store.encoded("positions", 1)
    ]
    start = spec.grid.shard_rows
    assert np.array_equal(np.concatenate(rows), source.columns["positions"][start : start + len(rows) * 8])


def test_a_shard_that_is_damaged_is_not_handed_out(source, tmp_path):
    shutil.copytree(source.path, tmp_path / "s")
    file = shard_path(tmp_path / "s", "positions", 1, 2)
    content = bytearray(file.read_bytes())
    content[20] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorruptStoreError, match="of positions can't be decoded"):
        Store(tmp_path / "s").encoded("positions", 1)


def test_bytes_of_arrays_are_those_of_their_files_wherever_a_store_is(source):
    there = sum(file.stat().st_size for file in (source.path / "positions").rglob("*") if file.is_file())
    assert Store(source.path).nbytes_of_files("positions") == there > 0
    shutil.make_archive(str(source.path), "zip", source.path)
    assert Store(f"{source.path}.zip").nbytes_of_files("positions") == there


def test_kinds_of_groups_are_listed_wherever_a_store_is(tmp_path, xyz_file):
    zstruct.build(xyz_file, tmp_path / "s", progress=False)
    assert Store(tmp_path / "s").kinds() == ["index"]
    zstruct.split(tmp_path / "s", (0.5, 0.5), name="halves")
    zarr.open_group(tmp_path / "s" / "strange", mode="w")
    assert Store(tmp_path / "s").kinds() == ["index", "splits", "strange"]
    shutil.make_archive(str(tmp_path / "s"), "zip", tmp_path / "s")
    assert Store(tmp_path / "s.zip").kinds() == ["index", "splits"]  # as the consolidated metadata has it
