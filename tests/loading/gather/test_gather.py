import contextlib
import threading

import numpy as np
import pytest
from hypothesis import given as sampled
from hypothesis import settings
from hypothesis import strategies as st

from zstruct.jit.kernel import compiled_always
from zstruct.loading.cache.cache import BlockCache
from zstruct.loading.gather.block_groups import blocks_between, mark_blocks
from zstruct.loading.gather.field_steps import kept_dtype
from zstruct.loading.gather.gather import Gather
from zstruct.schema import infer
from zstruct.store.store import Store

F4, F8, I8 = np.dtype("f4"), np.dtype("f8"), np.dtype("i8")
WANTED = {
    "energy": F8,
    "numbers": I8,
    "positions": F4,
    "config_type": I8,
    "site": I8,
    "pbc": np.dtype(bool),
    "cell": F4,
    "tags": I8,
    "stress": F8,
}


def make_gather(source, wanted=None, cache_bytes=1 << 30, cache="memory"):
    wanted = wanted or WANTED
    store = Store(source.path)
    kept = {name: kept_dtype(np.dtype(store.fields[name].dtype), wanted[name]) for name in wanted}
    return Gather(BlockCache(store, kept, cache, cache_bytes), wanted)


def check(source, gather, structures):
    structures = np.array(structures, dtype=np.int64)
    packed = gather(structures)
    offsets, columns = packed.offsets, packed.columns
    assert np.array_equal(packed.structures, structures)
    assert np.array_equal(packed.n_atoms, source.counts[structures])
    assert np.array_equal(packed.batch, np.repeat(np.arange(len(structures)), packed.n_atoms))
    assert packed.per_atom == {name for name in columns if source.fields[name].level == "atom"}
    assert list(columns) == list(gather.dtypes)
    assert np.array_equal(np.diff(offsets), source.counts[structures])
    for name, dtype in gather.dtypes.items():
        parts = [source.value(name, i) for i in structures]
        joined = np.concatenate(parts) if source.fields[name].level == "atom" else np.stack(parts)
        assert columns[name].dtype == dtype
        assert columns[name].flags.c_contiguous
        assert columns[name].flags.writeable
        np.testing.assert_array_equal(columns[name], joined.astype(dtype), strict=True)


@sampled(
    structures=st.lists(st.integers(0, 60), min_size=1, max_size=30),
    cache_bytes=st.sampled_from([0, 300, 3000, 1 << 30]),
)
@settings(max_examples=25)
def test_any_list_under_any_budget(source, structures, cache_bytes):
    gather = make_gather(source, cache_bytes=cache_bytes)
    check(source, gather, structures)
    check(source, gather, structures[::-1])


@sampled(runs=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 6)), max_size=20))
def test_blocks_between(runs):
    first, more = np.array(runs, dtype=np.int64).reshape(-1, 2).T
    found = blocks_between(first, first + more)
    assert found.tolist() == sorted({block for a, n in runs for block in range(a, a + n + 1)})


@pytest.mark.parametrize("way", [contextlib.nullcontext, compiled_always])
@sampled(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    atom_rows=st.integers(1, 8),
    rows=st.integers(1, 8),
    data=st.data(),
)
def test_blocks_of_structures_are_marked(way, counts, atom_rows, rows, data):
    edges = np.concatenate([[0], np.cumsum(counts)])
    chosen = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=10))
    atom_marks, marks = np.zeros(edges[-1] // atom_rows + 1, np.uint8), np.zeros(30 // rows + 1, np.uint8)
    none = np.empty(0, np.uint8)
    with way():
        mark_blocks(np.array(chosen, np.int64), edges, atom_rows, rows, atom_marks, none)
        mark_blocks(np.array(chosen, np.int64), edges, atom_rows, rows, none, marks)
    atoms = {atom // atom_rows for k in chosen for atom in range(edges[k], edges[k + 1])}
    assert np.flatnonzero(atom_marks).tolist() == sorted(atoms)
    assert np.flatnonzero(marks).tolist() == sorted({k // rows for k in chosen})


def test_everything_in_order(source):
    gather = make_gather(source)
    for _ in range(2):  # the second time nothing is left to decode
        check(source, gather, list(range(len(source))))
        assert all(gather.cache.complete(level) for level in ("atom", "structure"))


def test_blocks_that_are_read_stay(source):
    one = 4 * 8  # a block of energies
    gather = make_gather(source, {"energy": F8}, cache_bytes=3 * one)
    for structure in (0, 4, 8, 0, 12):  # a block each; the first is read again before there is no room
        gather(np.array([structure]))
    assert gather.cache.resident.has("structure", np.arange(4)).tolist() == [True, False, True, True]


def test_what_is_per_atom_begins_on_cache_lines(source):
    gather, names = make_gather(source), ["positions", "numbers"]
    assert gather(np.arange(1)).batch.tolist() == [0] * source.counts[0]  # from now on, it is made beforehand
    for n in (1, 2, 7, 61):
        batch = gather(np.arange(n))
        assert {column.ctypes.data % 64 for column in (batch.batch, *map(batch.columns.get, names))} == {0}


def test_a_structure_longer_than_several_blocks(source):
    assert source.counts[5] == 40 > 2 * 16
    check(source, make_gather(source, cache_bytes=0), [5])


def test_nothing(source):
    found = make_gather(source)(np.empty(0, dtype=np.int64))
    assert found.offsets.tolist() == [0]
    assert found.columns["positions"].shape == (0, 3)


@pytest.mark.parametrize("names", [["energy"], ["positions"]])
def test_one_dimension_alone(source, names):
    check(source, make_gather(source, dict.fromkeys(names, F4)), [3, 60, 0, 3])


def test_small_integers_stay_small_in_memory(source):
    gather = make_gather(source)
    kept = dict(zip(gather.cache.tables["atom"].names, gather.cache.tables["atom"].dtypes, strict=True))
    assert kept["numbers"] == np.uint8
    assert kept["site"] == np.int32
    assert kept["positions"] == F4


@pytest.mark.parametrize("cache_bytes", [4000, 1 << 30])
def test_threads_gather_side_by_side(source, cache_bytes):
    gather, faults = make_gather(source, cache_bytes=cache_bytes), []

    def work(seed):
        rng = np.random.default_rng(seed)
        try:
            for _ in range(4):
                check(source, gather, rng.integers(0, len(source), 20).tolist())
        except Exception as error:  # noqa: BLE001
            faults.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_masks(make_store, tmp_path):
    nan = np.nan
    forces = np.array([[nan, nan], [nan, nan], [nan, 1], [nan, nan], [2, 3]])
    columns = {
        "pull": forces,
        "label": np.array([-1, 0, 2], dtype=np.int32),
        "energy": np.array([nan, 1, nan]),
    }
    fields = {
        "pull": infer("pull", "atom", "float", (2,)),
        "label": infer("label", "structure", "category", ()),
    }
    made = make_store(tmp_path / "s.zarr", np.array([2, 2, 1]), columns, fields, {"label": ["a", "b", "c"]})
    for dtype in (F4, F8):
        wanted = {"label": I8, "pull": dtype, "energy": dtype}
        cache = BlockCache(Store(made.path), {"label": np.dtype("i4"), "pull": dtype, "energy": dtype})
        gather = Gather(cache, wanted, {name: f"has_{name}" for name in wanted})
        for _ in range(2):  # the first time blocks are missing
            found = gather(np.array([2, 0, 1, 0])).columns
            assert list(found) == [*wanted, "has_label", "has_pull", "has_energy"]
            assert found["has_pull"].tolist() == [True, False, True, False]
            assert found["has_label"].tolist() == [True, False, True, False]
            assert found["has_energy"].tolist() == [False, False, True, False]


@pytest.mark.parametrize("cache_bytes", [0, 300, 1 << 30])
@pytest.mark.parametrize("fields", [["numbers", "positions"], ["numbers"], ["energy"], []])
def test_atoms_are_numbered_beforehand_as_long_as_somebody_asks(source, cache_bytes, fields):
    gather = make_gather(source, {name: WANTED[name] for name in fields}, cache_bytes)
    asked = gather(np.array([5, 2]))
    assert asked._batch is None
    expected = np.repeat([0, 1], source.counts[[5, 2]])
    assert np.array_equal(asked.batch, expected)
    made = [gather(np.array([5, 2])) for _ in range(40)]
    assert np.array_equal(made[0]._batch, expected)
    assert made[-1]._batch is None
    made[-1].batch[0] = 7
    assert made[-1].batch[0] == 7


@pytest.mark.parametrize("cache_bytes", [300, 1 << 30])
@pytest.mark.parametrize("numbers", ["u1", "i2", "i4"])
def test_whole_numbers_of_fewer_bytes(source, cache_bytes, numbers):
    wanted = WANTED | {"numbers": np.dtype(numbers), "config_type": np.dtype("i4")}
    gather = make_gather(source, wanted, cache_bytes)
    for _ in range(2):
        check(source, gather, [5, 60, 5, 0, *range(20, 30)])
