"""Rows that lie here and there are those that fancy indexing finds."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.ragged import chosen_rows
from zstruct.store import scattered
from zstruct.store.scattered import gathered, read_scattered, read_segments
from zstruct.store.store import Store


@pytest.fixture
def store(tmp_path, frames, small_chunks):
    zstruct.build(frames, tmp_path / "s.zarr", progress=False)
    return Store(tmp_path / "s.zarr")


@given(st.lists(st.integers(0, 29), max_size=50).map(sorted))
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
def test_rows_and_segments(store, monkeypatch, chosen):
    monkeypatch.setattr(scattered, "_PIECE_ROWS", 20)  # so that pieces are many
    rows, offsets = np.array(chosen, dtype=np.int64), store.read("offsets")
    assert np.array_equal(read_scattered(store, "energy", rows), store.read("energy")[rows], equal_nan=True)
    atoms, _ = chosen_rows(offsets, rows)
    found = read_segments(store, "positions", offsets[rows], offsets[rows + 1])
    assert np.array_equal(found, store.read("positions")[atoms])


def test_what_is_near_is_read_in_one_go():
    calls = []

    def read(a, b):
        calls.append((a, b))
        return np.arange(a, b)

    starts = np.array([0, 10, 12, 5000])
    assert gathered(read, starts, starts + 2, 100).tolist() == [0, 1, 10, 11, 12, 13, 5000, 5001]
    assert calls == [(0, 14), (5000, 5002)]


def test_the_same_range_may_be_there_in_parts():
    starts, stops = np.array([4, 2, 2]), np.array([9, 9, 5])
    found = gathered(np.arange, starts, stops, 100)
    assert found.tolist() == [4, 5, 6, 7, 8, 2, 3, 4, 5, 6, 7, 8, 2, 3, 4]
