"""By how much forces differ on the atoms of structures that are alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zstruct.progress import Runner
from zstruct.similarity.chosen import Chosen
from zstruct.similarity.fingerprints import Fingerprints
from zstruct.similarity.pairs import Numbered, Pairs, compare
from zstruct.similarity.search import Found

__all__ = ["force_differences"]

_TASK_PAIRS = 1 << 11  # that one task compares


def force_differences(
    parts: Sequence[Chosen], prints: Fingerprints, found: Found, tolerance: float, runner: Runner
) -> NDArray[np.float64]:
    """Return by how much forces of structures differ from those of others in their group.

    The other one is the first of the group that has forces. Where a structure can't be brought upon that
    within the tolerance, as in a chain, it is those that it was brought upon when the group was found.

    Parameters
    ----------
    parts
        The structures, store after store.
    prints
        Their fingerprints.
    found
        Their groups.
    tolerance
        The largest displacement of an atom, in angstrom.
    runner
        Where pairs are compared.

    Returns
    -------
    NDArray
        For each structure the largest difference of the forces on an atom, in eV/angstrom, shape (n,); NaN
        where there is none.
    """
    n = len(found.groups)
    largest = np.full(n, np.nan)
    structures = Numbered.of(parts, prints)
    known = _with_forces(structures, np.flatnonzero(np.bincount(found.groups, minlength=n)[found.groups] > 1))
    if not len(known):
        return largest
    known = known[np.argsort(found.groups[known], kind="stable")]
    groups, firsts = np.unique(found.groups[known], return_index=True)
    first = np.empty(n, np.int64)
    first[groups] = known[firsts]
    others = np.setdiff1d(known, known[firsts])
    pairs = _as_compared(np.stack([first[found.groups[others]], others], axis=1), prints)
    left = _put_differences(largest, structures, pairs, tolerance, runner)
    if len(left):
        told = np.isin(prints.structures[found.pairs], known).all(axis=1)
        beside = np.isin(prints.structures[found.pairs], prints.structures[pairs[left, 1]]).any(axis=1)
        _put_differences(largest, structures, found.pairs[told & beside], tolerance, runner)
    return largest


def _with_forces(structures: Numbered, members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of some structures that have forces."""
    there = np.zeros(len(members), bool)
    for k, part in enumerate(structures.parts):
        mine = np.flatnonzero(structures.which[members] == k)
        there[mine] = part.has_forces(structures.at[members[mine]])
    return members[there]


def _as_compared(pairs: NDArray[np.int64], prints: Fingerprints) -> NDArray[np.int64]:
    """Return which fingerprints of pairs are of cells that can be compared: as they are, or the smallest."""
    smallest = np.arange(len(prints.kinds))
    smallest[prints.structures] = np.arange(len(prints.kinds))  # limits ascend, the last one counts
    same = prints.kinds[pairs[:, 0]] == prints.kinds[pairs[:, 1]]
    return np.where(same[:, None], pairs, smallest[pairs])


def _put_differences(
    largest: NDArray[np.float64],
    structures: Numbered,
    pairs: NDArray[np.int64],
    tolerance: float,
    runner: Runner,
) -> NDArray[np.int64]:
    """Put the differences of pairs where they are larger; return which can't be brought upon each other."""
    if not len(pairs):
        return np.zeros(0, np.int64)
    some = np.array_split(np.arange(len(pairs)), -(-len(pairs) // _TASK_PAIRS))
    tasks = [Pairs.of(structures, pairs[piece], tolerance, forces=True) for piece in some]
    far = []
    runner.begin("forces", 0, 0)
    for k, (displacements, differences) in runner.run(compare, tasks, [0] * len(tasks)):
        near = np.isfinite(displacements)
        far.append(some[k][~near])
        for side in range(2):
            np.fmax.at(largest, structures.numbers[pairs[some[k][near], side]], differences[near])
    return np.concatenate(far)
