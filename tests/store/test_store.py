"""Stores as they are opened, and what is none."""

import json
import pickle

import numpy as np
import pytest
import zarr

from tests.store.one_structure import write_one
from zstruct.errors import StoreFormatError
from zstruct.store.chunks import ChunkGrid
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
