"""One way to bring a structure upon another: turned, with one atom upon another, or as both are given."""

from __future__ import annotations

import numpy as np

from zstruct.geometry.kernels.cells import dot
from zstruct.jit.kernel import helper
from zstruct.similarity.kernels.agreement import agree
from zstruct.similarity.kernels.fitting import fit
from zstruct.similarity.kernels.partners import each_once, find_partner

__all__ = ["REACH", "as_given", "in_place", "trial"]

REACH = 6.0  # tolerances by which atoms may miss each other before they are fitted
_STEPS = 60  # of the weights
_TURNS = 3  # times that atoms are found anew where two fell upon one
_SAMPLE = 32  # atoms that are fitted first, as what some of them can't do, all can't
_LARGE = 4 * _SAMPLE  # atoms from which on that pays


@helper
def as_given(n, m, tolerance, anchor, numbers, other, fractions, mine, theirs):  # type: ignore[no-untyped-def]
    """Bring each atom upon the one at its place in the order; return the displacement, or infinity."""
    cell = theirs[0]
    points, moved, off, weights, partner, _taken, turned = mine[1:8]
    reach, axis, step = REACH * tolerance + 1e-9, np.zeros(3), np.empty(3)
    for i in range(n):
        if numbers[other + i] != mine[0][i]:
            return np.inf
        for k in range(3):
            step[k] = fractions[1, k, i] - fractions[0, k, i]
            if k < m:
                step[k] -= fractions[1, k, anchor] - fractions[0, k, anchor]
                step[k] -= np.rint(step[k])
        square = 0.0
        for d in range(3):
            off[d, i] = step[0] * cell[0, d] + step[1] * cell[1, d] + step[2] * cell[2, d]
            square += off[d, i] * off[d, i]
            moved[d, i] = points[d, i]
        if square > reach * reach:
            return np.inf
        partner[i] = i
    for d in range(3):
        for e in range(3):
            turned[d, e] = 1.0 if d == e else 0.0
        if m == 1:
            axis[d] = cell[0, d] / np.sqrt(dot(cell, 0, 0))
    mine[9][0] += n
    best = fit(n, m, tolerance, _STEPS, moved, off, weights, axis, turned)
    return agree(n, m, tolerance, best, mine, axis) if best < np.inf else np.inf


@helper
def in_place(n, m, tolerance, one, anchor, fractions, mine, theirs, rotation):  # type: ignore[no-untyped-def]
    """Leave atoms where they are, in whatever order; return the displacement, infinite if it is too large."""
    edges, order = theirs[4], theirs[5]
    nearest, least = np.int64(-1), np.inf
    for at in range(edges[one], edges[one + 1]):
        square = 0.0
        for k in range(m):
            f = fractions[1, k, order[at]] - fractions[0, k, anchor]
            f -= np.rint(f)
            square += f * f
        if square < least:
            nearest, least = order[at], square
    for i in range(3):
        for j in range(3):
            rotation[i, j] = 1.0 if i == j else 0.0
    return trial(n, m, tolerance, nearest, mine, theirs, rotation)


@helper
def _some_fit(tolerance, mine):  # type: ignore[no-untyped-def]
    """Return whether the first atoms can be brought upon their partners by a translation."""
    moved, off = np.empty((3, _SAMPLE)), np.empty((3, _SAMPLE))
    for i in range(_SAMPLE):
        for d in range(3):
            moved[d, i], off[d, i] = mine[2][d, i], mine[3][d, i]
    mine[9][0] += _SAMPLE * _STEPS // 4
    return fit(_SAMPLE, 3, tolerance, _STEPS, moved, off, mine[4], np.zeros(3), np.eye(3)) < np.inf


@helper
def trial(n, m, tolerance, origin, mine, theirs, rotation):  # type: ignore[no-untyped-def]
    """Return the largest displacement with a rotation, the anchor upon an atom; infinite if too large."""
    cell, fractions = theirs[0], theirs[3]
    points, moved, off, weights, partner, taken, turned = mine[1:8]
    spent = mine[9]
    if spent[0] > spent[1]:
        return np.inf
    shift, axis, reach, most = np.zeros(3), np.zeros(3), REACH * tolerance + 1e-9, np.int64(1)
    for k in range(m):
        for d in range(3):
            shift[d] += fractions[k, origin] * cell[k, d]
    for i in range(n):
        x, y, z = points[0, i], points[1, i], points[2, i]
        for d in range(3):
            moved[d, i] = rotation[d, 0] * x + rotation[d, 1] * y + rotation[d, 2] * z + shift[d]
        if not find_partner(i, m, reach, most, mine, theirs):
            return np.inf
        if i + 1 == _SAMPLE and m > 1 and n >= _LARGE and not _some_fit(tolerance, mine):
            return np.inf
        if spent[0] > spent[1]:
            return np.inf
    for d in range(3):
        for e in range(3):
            turned[d, e] = rotation[d, e]
        if m == 1:
            axis[d] = cell[0, d] / np.sqrt(dot(cell, 0, 0))
    apart = False
    for turn in range(_TURNS):
        apart = each_once(n, partner, taken)
        spent[0] += n * (_STEPS // 4 if apart else 1)
        best = fit(n, m, tolerance, _STEPS if apart else 1, moved, off, weights, axis, turned)
        if apart and best < np.inf:
            return agree(n, m, tolerance, best, mine, axis)
        same = turn + 1 < _TURNS
        if not same:
            break
        for i in range(n):
            before = partner[i]
            if not find_partner(i, m, reach, most, mine, theirs):
                return np.inf
            same = same and before == partner[i]
        if same:
            break
    if apart:
        return np.inf
    most = np.int64(0)  # where several are at one place, each takes one that is left
    for i in range(n):
        taken[i] = 0
    for i in range(n):
        if not find_partner(i, m, reach, most, mine, theirs):
            return np.inf
        taken[partner[i]] = 1
    best = fit(n, m, tolerance, _STEPS, moved, off, weights, axis, turned)
    return agree(n, m, tolerance, best, mine, axis) if best < np.inf else np.inf
