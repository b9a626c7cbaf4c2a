"""The search for structures that can be brought upon each other: pairs with like fingerprints, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zstruct.progress import Runner
from zstruct.similarity.chosen import Chosen
from zstruct.similarity.fingerprints import Fingerprints
from zstruct.similarity.kernels.fingerprints import find_near, root
from zstruct.similarity.pairs import Numbered, Pairs, compare

__all__ = ["Found", "find_duplicates"]

_BUFFER = 1 << 16  # pairs that are found before they are compared
_EACH = 8  # of a structure at a time: what is then known to be of one group is not compared any more
_TASK_PAIRS = 1 << 11  # that one task compares
_MANY = 64  # structures of one composition from which on the order of a search pays
_ROUNDING = 1e-5  # angstrom; of fingerprints, which are float32, and of what they are computed from


@dataclass(frozen=True, eq=False)
class Found:
    """Groups of structures that can be brought upon each other, one by one.

    Parameters
    ----------
    groups
        For each structure the least number of one in its group, shape (n,), int64.
    pairs
        Fingerprints whose structures were brought upon each other, shape (n_pairs, 2), int64: as few as hold
        the groups together.
    undecided
        How many pairs of structures that may be alike are not in one group, as the work for them was done
        before it was known.
    """

    groups: NDArray[np.int64]
    pairs: NDArray[np.int64]
    undecided: int = 0


def find_duplicates(parts: Sequence[Chosen], prints: Fingerprints, tolerance: float, runner: Runner) -> Found:
    """Find groups of structures that can be brought upon each other, one by one.

    Parameters
    ----------
    parts
        The structures, store after store.
    prints
        Their fingerprints, and those of their smaller cells, if these are compared as well.
    tolerance
        The largest displacement of an atom, in angstrom.
    runner
        Where pairs are compared.
    """
    n = sum(len(part) for part in parts)
    structures = Numbered.of(parts, prints)
    reach = 2.0 * tolerance + _ROUNDING
    order = _Order.of(prints, reach)
    rows, ends = order.rows, (order.edges, order.beside, order.keys)
    values, starts = prints.values[rows], np.zeros(len(rows), np.int64)
    roots, joined = _roots(rows, prints, n), [np.zeros((0, 2), np.int64)]
    open_pairs = [np.zeros((0, 2), np.int64)]
    first, second = np.empty(_BUFFER, np.int64), np.empty(_BUFFER, np.int64)
    runner.begin("comparison", 0, 0)
    again = True
    while again:
        again, begin = False, 0
        while begin < len(rows):
            call = find_near.for_work(3e-6 * len(rows))
            many, begin = call(begin, ends, values, roots, reach, _EACH, first, second, starts)
            if not many:
                continue
            again = True
            pairs = np.stack([first[:many], second[:many]], axis=1)
            pairs = pairs[np.argsort(rows[pairs[:, 0]], kind="stable")]
            some = np.array_split(pairs, max(1, -(-int(many) // _TASK_PAIRS)))
            tasks = [Pairs.of(structures, rows[piece], tolerance) for piece in some]
            results = {k: found for k, (found, _) in runner.run(compare, tasks, [0] * len(tasks))}
            for k in range(len(tasks)):  # in their order, so that pairs are the same whoever was first
                open_pairs.append(some[k][np.isnan(results[k])])
                near = some[k][np.isfinite(results[k])]
                joined.append(near[np.array([_join(roots, a, b) for a, b in near.tolist()], bool)])
    while not np.array_equal(roots, roots[roots]):
        roots = roots[roots]
    least, groups = np.full(len(rows), n), np.arange(n)
    np.minimum.at(least, roots, rows)
    whole = rows < n
    groups[rows[whole]] = least[roots[whole]]
    left = np.sort(prints.structures[rows[np.concatenate(open_pairs)]], axis=1)
    left = np.unique(left[groups[left[:, 0]] != groups[left[:, 1]]], axis=0)
    return Found(groups, rows[np.concatenate(joined)], len(left))


def _roots(rows: NDArray[np.int64], prints: Fingerprints, n: int) -> NDArray[np.int64]:
    """Return what stands for the group of each at first: itself, and for a smaller cell its structure."""
    roots = np.arange(len(rows))
    if len(prints.kinds) > n:
        places = np.empty(len(prints.kinds), np.int64)
        places[rows] = roots
        for a in rows[rows >= n].tolist():
            _join(roots, int(places[a]), int(places[prints.structures[a]]))
    return roots


@dataclass(frozen=True, eq=False)
class _Order:
    """The order in which fingerprints are compared: near ones are in one run, or in one and the next.

    Parameters
    ----------
    rows
        The structures, in this order, shape (n,); those that can't be compared are left out.
    edges
        Where runs end, shape (n_runs,).
    beside
        For each run up to four runs behind it that have structures which may be near its own, -1 for none,
        shape (n_runs, 4).
    keys
        A number of each fingerprint, by which runs are sorted, shape (n,).
    """

    rows: NDArray[np.int64]
    edges: NDArray[np.int64]
    beside: NDArray[np.int64]
    keys: NDArray[np.float32]

    @classmethod
    def of(cls, prints: Fingerprints, reach: float) -> _Order:
        """Return the order for fingerprints that differ by no more than `reach` anywhere.

        Runs are of one composition. Of many structures of one, runs have two numbers of the fingerprint
        about alike, and a third one is the key: those that tell most of them apart.
        """
        rows = np.flatnonzero(prints.usable)
        rows = rows[np.argsort(prints.kinds[rows], kind="stable")]
        kinds = prints.kinds[rows]
        bins, keys = np.zeros((len(rows), 2), np.int64), prints.values[rows, 0]
        ends = np.append(np.flatnonzero(kinds[1:] != kinds[:-1]) + 1, len(rows))
        starts = np.concatenate([[0], ends[:-1]])
        for k in np.flatnonzero(ends - starts >= _MANY):
            mine = slice(starts[k], ends[k])
            values = prints.values[rows[mine]]
            one, other, key = _telling(values)
            bins[mine], keys[mine] = np.floor(values[:, [one, other]] / reach), values[:, key]
        order = np.lexsort((keys, bins[:, 1], bins[:, 0], kinds))  # compositions stay where they are
        bins = bins[order]
        changes = (kinds[1:] != kinds[:-1]) | (bins[1:] != bins[:-1]).any(axis=1)
        edges = np.append(np.flatnonzero(changes) + 1, len(rows))
        firsts = np.concatenate([[0], edges[:-1]])[: len(edges) if len(rows) else 0]
        compositions = np.concatenate([[0], np.cumsum(kinds[1:] != kinds[:-1])])[firsts]
        return cls(rows[order], edges, _beside(compositions, bins[firsts]), keys[order])


def _beside(compositions: NDArray[np.int64], bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each run those behind it in bins beside its own, -1 for none, shape (n_runs, 4).

    Runs ascend by composition, first bin and second bin.
    """
    if not len(bins):
        return np.zeros((0, 4), np.int64)
    at = bins - bins.min(axis=0) + 1
    spans = at.max(axis=0) + 2  # a bin is free on each side, which none is beside
    numbers = (compositions * spans[0] + at[:, 0]) * spans[1] + at[:, 1]
    found = np.empty((len(bins), 4), np.int64)
    for k, step in enumerate((1, spans[1] - 1, spans[1], spans[1] + 1)):
        places = np.minimum(np.searchsorted(numbers, numbers + step), len(numbers) - 1)
        found[:, k] = np.where(numbers[places] == numbers + step, places, -1)
    return found


def _telling(values: NDArray[np.float32]) -> list[int]:
    """Return which three numbers of fingerprints, shape (n, 16), tell most of them apart."""
    left, chosen = np.cov(values.T.astype(np.float64)), []
    for _ in range(3):
        k = int(np.argmax(left.diagonal()))
        left = left - np.outer(left[k], left[k]) / max(left[k, k], 1e-300)  # what it does not say already
        chosen.append(k)
    return chosen


def _join(roots: NDArray[np.int64], a: int, b: int) -> bool:
    """Make two groups one; the least number stands for it. Return whether they were two."""
    a, b = sorted((root(roots, a), root(roots, b)))
    roots[b] = a
    return a != b
