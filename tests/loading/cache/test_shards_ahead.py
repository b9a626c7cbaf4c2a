import numpy as np
import pytest

from zstruct.loading.cache import shards_ahead
from zstruct.loading.cache.cache import BlockCache
from zstruct.loading.cache.shards_ahead import ShardsAhead
from zstruct.store.store import Store

DTYPES = {"numbers": np.dtype("u1"), "positions": np.dtype("f4"), "energy": np.dtype("f8")}


@pytest.fixture
def asked(monkeypatch):
    """Files that are read ahead, as paths in the store."""
    found = []
    monkeypatch.setattr(shards_ahead.ReadAhead, "want", lambda self, jobs, first=False: found.extend(jobs))
    return found


def in_store(source, paths):
    return [path.relative_to(source.path).as_posix() for path in paths]


def test_shards_of_blocks_are_read_once_in_the_order_of_the_rows(source, asked):
    store = Store(source.path)
    cache = BlockCache(store, DTYPES)
    ahead = ShardsAhead(store, cache.tables)
    table = cache.tables["atom"]

    ahead.want("atom", np.array([table.n_blocks - 1, 0]))
    ahead.want("atom", np.array([0]))
    ahead.want("atom", np.arange(0))

    last = {name: (table.n_rows - 1) // store.grid(name).shard_rows for name in table.names}
    assert min(last.values()) > 1
    names = [f"numbers/c/{k}" for k in (0, last["numbers"])]
    names += [f"positions/c/{k}/0" for k in (0, last["positions"])]
    assert sorted(in_store(source, asked)) == sorted(names)
    rows = [
        int(shard) * store.grid(name).shard_rows
        for name, _, shard, *_ in (path.split("/") for path in in_store(source, asked))
    ]
    assert rows == sorted(rows)


def test_all_shards_of_an_array_are_asked_for_with_all_blocks(source, asked):
    store = Store(source.path)
    cache = BlockCache(store, DTYPES)

    for level, table in cache.tables.items():
        ShardsAhead(store, cache.tables).want(level, np.arange(table.n_blocks))

    files = {path for name in DTYPES for path in (source.path / name / "c").rglob("*") if path.is_file()}
    assert set(asked) == files


def test_threads_read_them(source, monkeypatch):
    read = []
    monkeypatch.setattr(shards_ahead, "load", read.append)
    store = Store(source.path)
    ahead = ShardsAhead(store, BlockCache(store, DTYPES).tables)

    ahead.want("structure", np.array([0]))
    ahead._ahead.want([])
    for thread in list(ahead._ahead._threads):
        thread.join(10)

    assert in_store(source, read) == ["energy/c/0"]


@pytest.mark.parametrize("cache_bytes", [1000, 1 << 30])
def test_only_where_everything_stays(source, monkeypatch, cache_bytes):
    read = []
    monkeypatch.setattr(shards_ahead.ShardsAhead, "want", lambda self, *given: read.append(given))
    cache = BlockCache(Store(source.path), DTYPES, "memory", cache_bytes)

    cache.prefetch("structure", np.arange(2))

    assert bool(read) == cache.place.flat == (cache_bytes > 1000)
