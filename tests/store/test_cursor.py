"""Rows that are read in pieces from front to back: the same rows, and no chunk is decoded twice."""

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms, shrink_chunks
from zstruct.store.chunk_reader import ChunkReader
from zstruct.store.cursor import RowCursor
from zstruct.store.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("cursor") / "s.zarr", np.random.default_rng(1)
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        zstruct.build([random_atoms(rng) for _ in range(30)], path, progress=False)
    return Store(path)


@pytest.mark.parametrize("step", [1, 7, 16, 50, 1000])
@pytest.mark.parametrize("name", ["positions", "numbers", "energy"])
def test_pieces_are_the_rows(store, name, step):
    cursor, whole = RowCursor(store, name), store.read(name)
    pieces = [cursor.read(a, min(a + step, len(whole))) for a in range(0, len(whole), step)]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()
    assert cursor.read(5, 5).shape == (0, *whole.shape[1:])
    assert cursor.read(3, 9).tobytes() == whole[3:9].tobytes()  # back again


def test_each_chunk_is_decoded_once(store, monkeypatch):
    decoded = []
    copy = ChunkReader.copy

    def counted(self, chunk, *arguments, **options):
        decoded.append((self.spec.path, chunk))
        copy(self, chunk, *arguments, **options)

    monkeypatch.setattr(ChunkReader, "copy", counted)
    n = store.shape("positions")[0]
    cursor = RowCursor(store, "positions")
    for start in range(0, n, 5):
        cursor.read(start, min(start + 5, n))
    assert [chunk for path, chunk in decoded if path == "positions"] == list(range(-(-n // 16)))
