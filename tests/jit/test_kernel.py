"""Kernels give the same bits as Python runs them and compiled; which of the two is a matter of work."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jit.both import both
from zstruct.features.kernels.statistics import summarize
from zstruct.geometry.kernels.distances import SEARCHED, shortest, shortest_searched
from zstruct.geometry.kernels.neighbors import search as neighbors_kernel
from zstruct.geometry.neighbors import _Search
from zstruct.geometry.structures import Structures
from zstruct.jit import kernel as module
from zstruct.jit.kernel import Kernel, helper, kernel, primitive
from zstruct.stats.kernels import summarize_forces


def _emit_sum(context, builder, signature, arguments):
    return builder.add(*arguments)


@primitive("int64(int64, int64)", _emit_sum)
def _sum(a, b):
    return a + b


@helper
def _twice(a):
    return _sum(a, a)


@kernel
def _four_times(a):
    return _twice(_twice(a))


def test_helpers_and_primitives_are_compiled_with_their_kernel():
    assert _four_times.interpreted(3) == _four_times(3) == _four_times.compiled()(3) == 12
    assert _four_times.compiled().signatures


def test_a_kernel_is_pickled_by_name():
    assert pickle.loads(pickle.dumps(shortest)) is shortest


def test_kernel_files_load_no_numba():
    code = """
import sys
import zstruct.geometry.distances, zstruct.features, zstruct.loading.gather.gather, zstruct.transforms.kernels
import zstruct.features.kernels.acsf, zstruct.features.kernels.chebyshev, zstruct.geometry.kernels.neighbors
import zstruct.stats
assert "numba" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def fresh(monkeypatch):
    """A kernel that was never called, and nothing spent."""
    monkeypatch.setattr(module, "_spent", {})
    return Kernel(_twice, {})


@pytest.mark.parametrize(
    ("kept", "loaded", "allowed"),
    [(True, False, 0.4), (True, True, 0.02), (False, False, 1.5), (False, True, 1.5)],
)
def test_python_runs_small_work_until_it_adds_up(fresh, monkeypatch, kept, loaded, allowed):
    monkeypatch.setattr(module, "is_kept", lambda family: kept)
    monkeypatch.setattr(module.sys, "modules", {"numba": None} if loaded else {})
    n = 0
    while fresh.for_work(0.01) == fresh.interpreted and n < 1000:
        n += 1
    assert n == pytest.approx(100 * allowed, abs=1)
    assert fresh.for_work(0.0) is fresh  # from now on


def test_what_python_does_better_in_another_way_is_done_so(fresh):
    assert fresh.for_work(0.01, otherwise=_four_times) is _four_times
    assert fresh.for_work(100.0, otherwise=_four_times) is fresh


def test_large_work_is_compiled_at_once(fresh):
    assert fresh.for_work(100.0) is fresh


def test_what_is_compiled_is_used():
    _four_times.compiled()
    assert _four_times.for_work(0.0) is _four_times


# Cells of all kinds: none, thin, skewed, left-handed, flat, far too large numbers.
cells = st.one_of(
    st.just(np.zeros((3, 3))),
    st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 2.0, 8.0, 1e200])).map(
        lambda seed: np.random.default_rng(seed[0]).normal(0, seed[1], (3, 3)).round(2)
    ),
    st.sampled_from([np.diag([2.0, 2.0, 30.0]), -np.eye(3), np.ones((3, 3)), np.diag([5.0, 5.0, 0.0])]),
)


structures = st.lists(
    st.tuples(st.integers(1, 7), cells, st.tuples(*[st.booleans()] * 3)), min_size=1, max_size=4
)


@settings(max_examples=60)
@given(structures, st.integers(0, 2**32 - 1))
def test_shortest_distances(some, seed):
    counts, boxes, pbc = zip(*some, strict=True)
    offsets = np.cumsum([0, *counts])
    positions = np.random.default_rng(seed).normal(0, 3, (offsets[-1], 3)).round(1)

    def run(first, second):
        found = np.empty(len(counts))
        arrays = [offsets, positions, np.array(boxes), np.array(pbc)]
        for array in arrays:
            array.flags.writeable = False
        first(*arrays, found)
        left = np.flatnonzero(found == SEARCHED)
        second(left, *arrays, found)
        return found

    ours, compiled = both(run, shortest, shortest_searched)
    np.testing.assert_array_equal(ours.view(np.int64), compiled.view(np.int64))


def test_shortest_distances_of_many_atoms(rng):
    offsets, pbc = np.array([0, 1002, 1012]), np.ones((2, 3), bool)
    positions, boxes = rng.uniform(-20, 30, (1012, 3)), np.array([np.diag([22.0, 21, 20])] * 2)

    def run(second):
        found = np.full(2, np.nan)
        second(np.array([0]), offsets, positions, boxes, pbc, found)
        return found.tolist()[:1]

    ours, compiled = both(run, shortest_searched)
    assert ours == compiled
    assert 0 < ours[0] < 2


@pytest.mark.parametrize("cutoff", [1.5, 4.0])
@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 1, 1), (0, 1, 1)])
def test_neighbors(rng, pbc, cutoff):
    boxes = [6 * np.eye(3), np.diag([3.0, 4, -5]), 4 * np.eye(3) + rng.normal(0, 1, (3, 3))]
    packed = Structures.of(
        [
            {
                "numbers": np.ones(5, int),
                "positions": rng.normal(0, 4, (5, 3)).round(1),
                "cell": box,
                "pbc": pbc,
            }
            for box in boxes
        ]
    )

    def run(one):
        search = _Search(packed, cutoff)
        search._search = one
        found = search.find(0, 15, 10, whole=True)
        arrays = found.offsets, found.indices, found.shifts, found.vectors, found.distances
        return [array.tobytes() for array in arrays]

    ours, compiled = both(run, neighbors_kernel)
    assert ours == compiled


def test_neighbors_in_bins(rng):
    cloud = {"numbers": np.ones(40, int), "positions": rng.uniform(0, 8, (40, 3))}
    packed = Structures.of([cloud | {"cell": 8 * np.eye(3), "pbc": [True] * 3}])

    def run(one):
        search = _Search(packed, 8.0)
        search._search = one
        found = search.find(0, 2, 3000, whole=True)
        return found.indices.tobytes() + found.vectors.tobytes() + found.distances.tobytes()

    ours, compiled = both(run, neighbors_kernel)
    assert ours == compiled


def test_force_statistics(rng):
    forces, numbers, offsets = rng.normal(size=(60, 3)), rng.integers(1, 9, 60, np.uint8), np.arange(0, 61, 6)
    forces[8, 1] = np.nan

    def run(one):
        outs = np.empty(60), np.empty(4), np.zeros(256, np.int64), np.zeros(256)
        assert one(offsets, numbers, forces, *outs) == 9
        return np.concatenate([out.view(np.int64) for out in outs])

    np.testing.assert_array_equal(*both(run, summarize_forces))


def test_feature_statistics(rng):
    values, slots = rng.normal(size=(40, 5)), rng.integers(0, 3, 40)

    def run(one):
        counts, outs = np.zeros(3, np.int64), np.empty((4, 3, 5))
        one(values, slots, counts, *outs)
        return np.concatenate([counts, outs.ravel().view(np.int64)])

    np.testing.assert_array_equal(*both(run, summarize))
