"""Shards as they are written: zarr reads them, they are the same whoever wrote them, damage is found."""

import json

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.one_structure import write_one
from zstruct.errors import CorruptStoreError
from zstruct.store.chunks import ChunkGrid, choose_grid
from zstruct.store.files import shard_path
from zstruct.store.store import Store


@settings(max_examples=25)
@given(st.integers(1, 70), st.integers(1, 9), st.integers(1, 4))
def test_zarr_reads_the_shards_wewrite_one(tmp_path_factory, n_atoms, chunk, per_shard):
    path = tmp_path_factory.mktemp("store") / "s.zarr"
    values = write_one(path, n_atoms, ChunkGrid(chunk, chunk * per_shard))
    group = zarr.open_group(path, mode="r")
    for name, rows in values.items():
        np.testing.assert_array_equal(group[name][:], rows)
        np.testing.assert_array_equal(Store(path).read(name, n_atoms // 3, n_atoms), rows[n_atoms // 3 :])


def test_shards_are_deterministic_whoever_writes_them(tmp_path):
    for k in range(2):
        write_one(tmp_path / str(k), 300_000, choose_grid(300_000, 24, "atom"))
    files = sorted(p.relative_to(tmp_path / "0") for p in (tmp_path / "0").rglob("*") if p.is_file())
    assert files
    for file in files:
        assert (tmp_path / "0" / file).read_bytes() == (tmp_path / "1" / file).read_bytes()


def test_any_flipped_bit_in_a_shard_is_found(tmp_path):
    path = tmp_path / "s.zarr"
    values = write_one(path, 400, ChunkGrid(64, 256))
    shard = shard_path(path, "positions", 0, 2)
    good = shard.read_bytes()
    rng = np.random.default_rng(1)
    for position in rng.integers(0, len(good), 40):
        bad = bytearray(good)
        bad[position] ^= 1 << int(rng.integers(8))
        shard.write_bytes(bad)
        with pytest.raises(CorruptStoreError, match="positions"):
            Store(path).read("positions")
    shard.write_bytes(good)
    np.testing.assert_array_equal(Store(path).read("positions"), values["positions"])


def test_metadata_is_what_xarray_and_people_need(tmp_path):
    write_one(tmp_path / "s.zarr", 10, ChunkGrid(10, 10))
    array = zarr.open_group(tmp_path / "s.zarr", mode="r")["positions"]
    assert array.metadata.dimension_names == ("atom", "xyz")
    assert array.attrs["units"] == "angstrom"
    assert np.isnan(array.fill_value)
    assert json.loads((tmp_path / "s.zarr" / "zarr.json").read_text())["consolidated_metadata"]


def test_category_table_round_trips_any_text(tmp_path):
    texts = ["", "bulk", "Ångström", "a\nb", "\udcff"]
    write_one(tmp_path / "s", 10, ChunkGrid(10, 10), texts={"config_type": texts})
    assert Store(tmp_path / "s").categories("config_type") == texts
