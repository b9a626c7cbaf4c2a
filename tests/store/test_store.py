"""The format on disk: written by us, read by zarr."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from zstruct.errors import CorruptStoreError, StoreFormatError
from zstruct.schema import FIELDS
from zstruct.store.files import shard_path
from zstruct.store.spec import ArraySpec, ChunkGrid, categories_specs, choose_grid, spec_of
from zstruct.store.store import Store
from zstruct.store.write import create, finish, write_array


@given(st.integers(0, 10**10), st.integers(1, 10**7), st.sampled_from(["atom", "structure"]))
def test_chunk_grid_is_bounded_and_nests(n_rows, row_bytes, level):
    grid = choose_grid(n_rows, row_bytes, level)
    assert 1 <= grid.chunk_rows <= grid.shard_rows
    assert grid.shard_rows % grid.chunk_rows == 0
    assert grid.shard_rows // grid.chunk_rows <= 16
    assert grid.chunk_rows * row_bytes <= 2 << 20 or grid.chunk_rows == 1
    assert grid.shard_rows <= max(1, n_rows) + grid.chunk_rows


def _write(path, n_atoms, grid, seed=0, texts=None):
    rng = np.random.default_rng(seed)
    values = {
        "positions": np.round(rng.normal(size=(n_atoms, 3)), 8),
        "numbers": rng.integers(1, 90, n_atoms).astype(np.uint8),
    }
    specs = {
        name: replace(spec_of(FIELDS[name], name, n_atoms, {"coverage": 1}), grid=grid) for name in values
    }
    edges = {"offsets": np.array([0, n_atoms]), "n_atoms": np.array([n_atoms], np.int32)}
    edge_specs = {
        name: ArraySpec(name, (dim,), rows.shape, str(rows.dtype), {}, 0, ChunkGrid(len(rows), len(rows)))
        for (name, rows), dim in zip(edges.items(), ("structure_edge", "structure"), strict=True)
    }
    tables = [made for name in texts or {} for made in categories_specs(name, texts[name])]
    made = [*specs.values(), *edge_specs.values(), *(spec for spec, _ in tables)]
    create(path, made, {"n_structures": 1, "n_atoms": n_atoms})
    for name, rows in (values | edges).items():
        write_array(path, (specs | edge_specs)[name], rows)
    for spec, rows in tables:
        write_array(path, spec, rows)
    finish(path, {"digest": ""}, {})
    return values


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 9), st.integers(1, 4))
def test_zarr_reads_the_shards_we_write(tmp_path_factory, n_atoms, chunk, per_shard):
    path = tmp_path_factory.mktemp("store") / "s.zarr"
    values = _write(path, n_atoms, ChunkGrid(chunk, chunk * per_shard))
    group = zarr.open_group(path, mode="r")
    for name, rows in values.items():
        np.testing.assert_array_equal(group[name][:], rows)
        np.testing.assert_array_equal(Store(path).read(name, n_atoms // 3, n_atoms), rows[n_atoms // 3 :])


def test_shards_are_deterministic_whoever_writes_them(tmp_path):
    for k in range(2):
        _write(tmp_path / str(k), 300_000, choose_grid(300_000, 24, "atom"))
    files = sorted(p.relative_to(tmp_path / "0") for p in (tmp_path / "0").rglob("*") if p.is_file())
    assert files
    for file in files:
        assert (tmp_path / "0" / file).read_bytes() == (tmp_path / "1" / file).read_bytes()


def test_any_flipped_bit_in_a_shard_is_found(tmp_path):
    path = tmp_path / "s.zarr"
    values = _write(path, 400, ChunkGrid(64, 256))
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
    _write(tmp_path / "s.zarr", 10, ChunkGrid(10, 10))
    array = zarr.open_group(tmp_path / "s.zarr", mode="r")["positions"]
    assert array.metadata.dimension_names == ("atom", "xyz")
    assert array.attrs["units"] == "angstrom"
    assert np.isnan(array.fill_value)
    assert json.loads((tmp_path / "s.zarr" / "zarr.json").read_text())["consolidated_metadata"]


def test_category_table_round_trips_any_text(tmp_path):
    texts = ["", "bulk", "Ångström", "a\nb", "\udcff"]
    _write(tmp_path / "s", 10, ChunkGrid(10, 10), texts={"config_type": texts})
    assert Store(tmp_path / "s").categories("config_type") == texts


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"encoding-type": "anndata"}, "not a zstruct store"),
        ({"encoding-version": "2.0"}, "install a newer zstruct"),
        ({"status": "building"}, "unfinished"),
    ],
)
def test_what_is_no_finished_store_is_refused(tmp_path, attrs, message):
    _write(tmp_path / "s", 10, ChunkGrid(10, 10))
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
    values = _write(tmp_path / "s", 10, ChunkGrid(10, 10))
    opened = Store(tmp_path / "s")
    opened.read("positions")
    again = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(again.read("positions"), values["positions"])
    with pytest.raises(KeyError, match="no array 'forces'; it has numbers, positions"):
        again.read("forces")
