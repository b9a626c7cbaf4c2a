import os
import pickle
import threading

import numpy as np
import pytest

from zstruct.errors import CorruptStoreError
from zstruct.loading.cache.cache import BlockCache
from zstruct.store.chunks import choose_grid
from zstruct.store.shards import ArrayReader
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.write import write_array

F4, F8, U1 = np.dtype("f4"), np.dtype("f8"), np.dtype("u1")
DTYPES = {"numbers": U1, "positions": F4, "energy": F8}


def test_blocks_are_cut_at_the_largest_chunks(source):
    cache = BlockCache(Store(source.path), DTYPES)

    assert cache.store.grid("positions").chunk_rows == 8
    assert cache.tables["atom"].block_rows == cache.store.grid("numbers").chunk_rows == 16
    assert cache.tables["structure"].block_rows == 4
    assert cache.nbytes == source.counts.sum() * (1 + 12) + len(source) * 8


@pytest.mark.parametrize("cache", ["memory", "shared", "directory", None])
def test_blocks_hold_the_decoded_rows(source, tmp_path, cache):
    cache = BlockCache(Store(source.path), DTYPES, tmp_path if cache == "directory" else cache)
    last = cache.tables["atom"].n_blocks - 1

    resident = cache.hold("atom", np.array([1, last]))

    assert resident.has("atom", np.array([0, 1, last])).tolist() == [False, True, True]
    if cache.flat is not None:
        numbers, positions = cache.flat["numbers"], cache.flat["positions"]
        assert resident.addresses["atom"][:, 0].tolist() == [numbers.ctypes.data, positions.ctypes.data]
        numbers, positions, tail = numbers[16:32], positions[16:32], numbers[last * 16 :]
    else:
        numbers, positions = resident.arrays["atom", 1]
        tail = resident.arrays["atom", last][0]
        assert resident.addresses["atom"][0, 1] == numbers.ctypes.data
    assert np.array_equal(numbers, source.columns["numbers"][16:32])
    assert np.array_equal(positions, source.columns["positions"][16:32].astype(F4))
    assert np.array_equal(tail, source.columns["numbers"][last * 16 :])


def test_each_block_is_decoded_once(source, monkeypatch):
    reads = []
    read = ArrayReader.read_into
    monkeypatch.setattr(
        ArrayReader,
        "read_into",
        lambda self, *args, **given: reads.append(args[:2]) or read(self, *args, **given),
    )
    cache = BlockCache(Store(source.path), DTYPES)
    everything = np.arange(cache.tables["structure"].n_blocks)

    assert not cache.complete("structure")
    for _ in range(3):
        cache.hold("structure", everything)

    assert cache.complete("structure")
    assert len(reads) == len(set(reads)) == len(everything)


def wait_for_threads(cache):
    for thread in list(cache._ahead._threads):
        thread.join(10)


def test_blocks_are_decoded_ahead_by_threads(source):
    cache = BlockCache(Store(source.path), DTYPES)
    for level, table in cache.tables.items():
        cache.prefetch(level, np.arange(table.n_blocks))
        wait_for_threads(cache)
        assert cache.complete(level)

    assert np.array_equal(cache.flat["positions"], source.columns["positions"].astype(F4))
    assert np.array_equal(cache.flat["energy"], source.columns["energy"])


def test_what_is_decoded_ahead_takes_a_quarter_of_the_budget_at_most(source):
    size = 16 * (1 + 12)
    cache = BlockCache(Store(source.path), {"numbers": U1, "positions": F4}, "memory", 8 * size)
    cache.prefetch("atom", np.arange(3))
    wait_for_threads(cache)
    assert not cache.decoded_bytes

    cache.prefetch("atom", np.arange(3, 5))
    wait_for_threads(cache)
    assert np.flatnonzero(cache.resident.present["atom"]).tolist() == [3, 4]
    assert np.array_equal(cache.resident.arrays["atom", 3][0], source.columns["numbers"][48:64])

    # What was just decoded is not the first to go.
    for block in range(6, 12):
        cache.hold("atom", np.array([block]))
    assert np.flatnonzero(cache.resident.present["atom"]).tolist() == [3, 4, *range(6, 12)]


def test_blocks_are_asked_for_ahead_once_until_their_turn_comes(source, monkeypatch):
    size = 16 * (1 + 12)
    cache = BlockCache(Store(source.path), {"numbers": U1, "positions": F4}, "memory", 8 * size)
    jobs = []
    monkeypatch.setattr(cache._ahead, "want", jobs.extend)

    cache.prefetch("atom", np.arange(1))
    cache.prefetch("atom", np.arange(2))
    assert jobs == [("atom", 0), ("atom", 1)]
    assert cache.can_prefetch("atom")

    for job in jobs:
        cache._decode_ahead(job)
    assert np.flatnonzero(cache.resident.present["atom"]).tolist() == [0, 1]
    for block in range(2, 12):  # drive them out
        cache.hold("atom", np.array([block]))
    cache.prefetch("atom", np.arange(2))
    assert jobs == [("atom", 0), ("atom", 1)] * 2


def test_nothing_is_left_to_ask_for_when_all_is_decoded_or_asked_for(source, monkeypatch):
    cache = BlockCache(Store(source.path), DTYPES)
    monkeypatch.setattr(cache._ahead, "want", lambda jobs, first=False: None)
    n = cache.tables["structure"].n_blocks
    cache.hold("structure", np.arange(2))
    cache.prefetch("structure", np.arange(1, n - 1))
    assert cache.can_prefetch("structure")

    cache.prefetch("structure", np.arange(n))

    assert not cache.can_prefetch("structure")
    assert not cache.complete("structure")


def test_a_fault_met_ahead_is_raised_where_the_block_is_needed(source, monkeypatch):
    def broken(self, start, stop, out, **given):
        raise CorruptStoreError(f"rows {start}:{stop}")

    cache = BlockCache(Store(source.path), DTYPES)
    with monkeypatch.context() as patch:
        patch.setattr(ArrayReader, "read_into", broken)
        cache.prefetch("structure", np.arange(3))
        wait_for_threads(cache)
        with pytest.raises(CorruptStoreError, match="rows 4:8"):
            cache.hold("structure", np.array([1]))

    cache.hold("structure", np.array([1]))
    assert np.array_equal(cache.flat["energy"][4:8], source.columns["energy"][4:8])


def test_the_least_recently_used_block_goes_first(source):
    size = 16 * (1 + 12)
    cache = BlockCache(Store(source.path), {"numbers": U1, "positions": F4}, "memory", 3 * size)
    for block in (0, 1, 2, 0):
        cache.hold("atom", np.array([block]))

    before = cache.hold("atom", np.array([0]))
    after = cache.hold("atom", np.array([3]))

    assert after.has("atom", np.arange(4)).tolist() == [True, False, True, True]
    # Who still reads from what was there goes on undisturbed.
    assert before.has("atom", np.arange(4)).tolist() == [True, True, True, False]
    assert np.array_equal(before.arrays["atom", 1][0], source.columns["numbers"][16:32])


@pytest.mark.parametrize("cache_bytes", [0, 100, 1000])
def test_the_budget_is_kept(source, cache_bytes):
    cache = BlockCache(Store(source.path), DTYPES, "memory", cache_bytes)
    largest = 16 * 13

    for block in np.random.default_rng(0).integers(0, 10, 50):
        resident = cache.hold("atom", np.array([block]))
        assert resident.has("atom", np.array([block])).all()
        held = sum(array.nbytes for arrays in resident.arrays.values() for array in arrays)
        assert held <= max(cache_bytes, largest)


def test_threads_share_a_cache(source):
    cache = BlockCache(Store(source.path), DTYPES, "memory", 1000)
    faults = []

    def work(seed):
        for block in np.random.default_rng(seed).integers(0, cache.tables["atom"].n_blocks, 30):
            resident = cache.hold("atom", np.array([block]))
            rows = source.columns["numbers"][block * 16 : (block + 1) * 16]
            if not np.array_equal(resident.arrays["atom", block][0], rows):
                faults.append(block)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not faults


def test_a_pickled_cache_starts_empty(source):
    cache = BlockCache(Store(source.path), DTYPES)
    cache.hold("atom", np.array([0]))
    assert cache.offsets[-1] == source.counts.sum()

    data = pickle.dumps(cache)
    loaded = pickle.loads(data)

    assert len(data) < 30_000  # what the store's metadata says, but no blocks
    assert loaded.hold("structure", np.array([0])).present["structure"].sum() == 1
    assert loaded.flat["energy"][0] == source.columns["energy"][0]
    assert np.array_equal(loaded.offsets, source.offsets)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_a_thread_decodes_can_decode(source):
    cache = BlockCache(Store(source.path), DTYPES)
    with cache._lock:  # as a thread of the parent would hold it
        pid = os.fork()
        if pid == 0:
            resident = cache.hold("structure", np.array([0]))
            good = resident.has("structure", np.array([0])).all()
            os._exit(
                0 if good and np.array_equal(cache.flat["energy"][:4], source.columns["energy"][:4]) else 1
            )
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_offsets_that_are_no_edges_are_refused(make_store, tmp_path):
    made = make_store(tmp_path / "s.zarr", np.array([2, 3, 4]), {"numbers": np.ones(9, np.uint8)})
    spec = ArraySpec("offsets", ("structure_edge",), (4,), "int64", {}, 0, choose_grid(4, 8))
    write_array(made.path, spec, np.array([0, 7, 5, 9]))

    with pytest.raises(CorruptStoreError, match="offsets are not the edges of 3 structures with 9 atoms"):
        _ = BlockCache(Store(made.path), {"numbers": U1}).offsets


def test_arrays_of_the_wrong_length_are_refused(make_store, tmp_path):
    made = make_store(tmp_path / "s.zarr", np.array([2, 3]), {"numbers": np.ones(4, np.uint8)})

    with pytest.raises(CorruptStoreError, match="numbers has 4 rows, not 5"):
        BlockCache(Store(made.path), {"numbers": U1})
