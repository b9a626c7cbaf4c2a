"""Stores behind plain HTTP servers, which list nothing; and some give whole files only."""

import shutil

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms
from tests.servers import Folder
from zstruct.errors import CorruptStoreError, StoreAccessError
from zstruct.store.remote_files import RemoteFiles

# Clients leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def store(tmp_path, rng, small_chunks):
    zstruct.build([random_atoms(rng) for _ in range(40)], tmp_path / "a.zarr", progress=False)
    return tmp_path / "a.zarr"


def test_rows_are_those_of_the_files(store, served_folder):
    here, there = zstruct.Store(store), zstruct.Store(f"{served_folder}/a.zarr")
    for name, field in here.fields.items():
        assert np.array_equal(here.read(name), there.read(name), equal_nan=field.kind == "float"), name
    assert np.array_equal(here.read("positions", 40, 77), there.read("positions", 40, 77))


def test_a_shard_that_is_missing_is_missed(store, served_folder):
    here = zstruct.Store(store).read("positions", 0, 20)
    (store / "positions" / "c" / "2" / "0").unlink()
    there = zstruct.Store(f"{served_folder}/a.zarr")
    assert np.array_equal(there.read("positions", 0, 20), here)
    with pytest.raises(CorruptStoreError, match="shards of positions are missing; copy the store again"):
        there.read("positions")
    shutil.rmtree(store / "energy" / "c")
    with pytest.raises(CorruptStoreError, match="shards of energy are missing"):
        there.read("energy")


def test_a_server_that_knows_no_ranges(store, served_folder, monkeypatch):
    whole = Folder.answer

    def answer(self, *, body):
        del self.headers["Range"]
        return whole(self, body=body)

    monkeypatch.setattr(Folder, "answer", answer)
    there = zstruct.Store(f"{served_folder}/a.zarr")
    with pytest.raises(StoreAccessError, match="its server gives whole files only"):
        there.read("offsets")


def test_files_that_are_not_there(store, served_folder):
    files = RemoteFiles(f"{served_folder}/a.zarr", None)
    assert files.absent(["zarr.json", "positions/zarr.json", "nothing"]) == ["nothing"]
    assert not files.come_whole("zarr.json")


def test_a_server_that_refuses_is_no_missing_file(store, served_folder, monkeypatch):
    files = RemoteFiles(f"{served_folder}/a.zarr", None)
    monkeypatch.setattr(Folder, "answer", lambda self, body: self.say(503, b"later", {}, body))
    with pytest.raises(StoreAccessError, match="503"):
        files.absent(["zarr.json"])
