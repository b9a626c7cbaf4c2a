"""What is still to be compared of structures once their atoms have partners: copies of atoms, and forces."""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper
from zstruct.similarity.kernels.fitting import fit

__all__ = ["agree"]

_STEPS = 120  # of the weights
_MOST_PAIRS = 1 << 22  # of copies that are fitted; of more, bounds have to do
_SAME = 1e-3  # eV/angstrom; forces that differ by less are the same, and no other way is looked for
_WAYS = 200  # to bring a structure upon another whose forces are compared


@helper
def agree(n, m, tolerance, best, mine, axis):  # type: ignore[no-untyped-def]
    """Return the largest displacement of an atom, infinite if that is too large or another way is wanted.

    Parameters
    ----------
    n, m
        Atoms, and periods of the lattice.
    tolerance
        The largest displacement.
    best
        That of the atoms themselves.
    mine
        At 2, 3 and 5 to 8: where atoms came, and how far from their partners; the partners; how often one is
        taken, which is not looked at; the rotation; and what copies there are of atoms: their places from
        them in both structures, none if there is one of each; forces on all in both, none if these are not
        compared; and the least displacement, the least difference of forces, and the number of ways tried so
        far, shape (3,). At 9 the work that was spent, to which this is added.
    axis
        The direction of the one period, shape (3,).
    """
    moved, off, partner, rotation = mine[2], mine[3], mine[5], mine[7]
    apart, other, forces, theirs, state = mine[8]
    a, b = max(len(apart) // n, 1), max(len(other) // n, 1)
    if a * b > 1:
        mine[9][0] += n * a * b * (_STEPS // 4)
        best = _fit_copies(n, m, tolerance, a, b, moved, off, partner, apart, other, axis, rotation)
        if not best < np.inf:
            return np.inf
    if len(forces) == 0:
        return best
    difference = _difference(n, a, b, partner, forces, theirs, rotation)
    if state[2] == 0.0 or difference < state[1]:
        state[0], state[1] = best, difference
    state[2] += 1.0
    return best if not difference > _SAME or state[2] >= _WAYS else np.inf


@helper
def _fit_copies(n, m, tolerance, a, b, moved, off, partner, apart, other, axis, rotation):  # type: ignore[no-untyped-def]
    """Bring all copies of atoms near all copies of their partners; return the largest displacement."""
    total = n * a * b
    few = total <= _MOST_PAIRS
    room = total if few else np.int64(0)
    wide, wide_off, weights = np.empty((3, room)), np.empty((3, room)), np.empty(room)
    at, bound = np.int64(0), 0.0
    turned = np.empty(3)
    for i in range(n):
        square, spread, there = 0.0, 0.0, 0.0
        for d in range(3):
            square += off[d, i] * off[d, i]
        for g in range(a):
            length = 0.0
            for d in range(3):
                turned[d] = 0.0
                for e in range(3):
                    turned[d] += rotation[d, e] * apart[i * a + g, e]
                length += turned[d] * turned[d]
            spread = max(spread, length)
            for h in range(b):
                j, length = partner[i] * b + h, 0.0
                for d in range(3):
                    length += other[j, d] * other[j, d]
                    if few:
                        wide[d, at] = moved[d, i] + turned[d]
                        wide_off[d, at] = off[d, i] + other[j, d] - turned[d]
                there = max(there, length)
                at += 1
        bound = max(bound, np.sqrt(square) + np.sqrt(spread) + np.sqrt(there))
    if not few:
        return bound if bound <= tolerance else np.inf
    return fit(total, m, tolerance, _STEPS, wide, wide_off, weights, axis, rotation)


@helper
def _difference(n, a, b, partner, forces, theirs, rotation):  # type: ignore[no-untyped-def]
    """Return the largest difference of the forces on an atom and on its partner; NaN if none is known."""
    largest, turned = -1.0, np.empty(3)
    for i in range(n):
        for g in range(a):
            for d in range(3):
                turned[d] = 0.0
                for e in range(3):
                    turned[d] += rotation[d, e] * forces[i * a + g, e]
            for h in range(b):
                square = 0.0
                for d in range(3):
                    square += (turned[d] - theirs[partner[i] * b + h, d]) ** 2
                if square > largest:
                    largest = square
    return np.sqrt(largest) if largest >= 0.0 else np.nan
