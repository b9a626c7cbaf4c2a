"""Which atom of another structure is meant by an atom: the nearest of the same element, one for each."""

from __future__ import annotations

import numpy as np

from zstruct.geometry.kernels.cells import squared_length
from zstruct.jit.kernel import helper

__all__ = ["each_once", "find_partner", "sort_atoms"]

_SEARCH = 20  # atoms that could be looked at in the time that it takes to find where they begin


@helper
def sort_atoms(n, numbers, at, other, fractions, edges, counts, order, keys):  # type: ignore[no-untyped-def]
    """Sort the other's atoms by element, then along the first axis; return whether elements are the same."""
    counts[:] = 0
    edges[:] = 0
    for i in range(n):
        counts[numbers[at + i]] += 1
        edges[numbers[other + i] + 1] += 1
    for z in range(256):
        if counts[z] != edges[z + 1]:
            return False
    for z in range(256):
        edges[z + 1] += edges[z]
    along = np.argsort(fractions[0, :n])
    ends = edges.copy()
    for i in along:
        z = numbers[other + i]
        order[ends[z]], keys[ends[z]] = i, fractions[0, i]
        ends[z] += 1
    return True


@helper
def each_once(n, partner, taken):  # type: ignore[no-untyped-def]
    """Return whether no two atoms have one partner."""
    for i in range(n):
        taken[i] = 0
    for i in range(n):
        if taken[partner[i]]:
            return False
        taken[partner[i]] = 1
    return True


@helper
def find_partner(i, m, reach, most, mine, theirs):  # type: ignore[no-untyped-def]
    """Find the atom of the same element that is nearest to where an atom came; return if one is in reach.

    Parameters
    ----------
    i, m
        The atom, and the periods of the lattice.
    reach
        How far from it, in angstrom.
    most
        Atoms that are taken already more often than so are left out: 0, or 1 for all.
    mine
        Numbers, positions that are not looked at, those where atoms came, how far they are off, which is
        written, weights that are not looked at, partners, which are written, and how often one is taken.
        At 9 the work that was spent, shape (1,), to which atoms that are looked at are added.
    theirs
        The other cell, its inverse, the spacing of its planes, fractions of its atoms, and their order by
        element, as `sort_atoms` writes it.
    """
    numbers, moved, off, partner, taken, spent = mine[0], mine[2], mine[3], mine[5], mine[6], mine[9]
    cell, inverse, heights, fractions, edges, order, keys = theirs
    x, y, z = moved[0, i], moved[1, i], moved[2, i]
    p = x * inverse[0, 0] + y * inverse[1, 0] + z * inverse[2, 0]
    q = x * inverse[0, 1] + y * inverse[1, 1] + z * inverse[2, 1]
    r = x * inverse[0, 2] + y * inverse[1, 2] + z * inverse[2, 2]
    best, width, wraps = reach * reach, reach, m > 0
    if wraps:
        p -= np.floor(p)
        width = reach / heights[0]
    low, high = edges[numbers[i]], edges[numbers[i] + 1]
    any_way = wraps and width >= 0.5
    found, looked = np.int64(-1), _SEARCH
    for piece in range(-1, 2):
        if piece != 0 and (not wraps or any_way):
            continue
        start, stop = p - width + piece, p + width + piece
        if any_way:
            start, stop = -np.inf, np.inf
        elif (stop < 0.0 and wraps) or (start > 1.0 and wraps):
            continue
        at = low + np.searchsorted(keys[low:high], start)
        looked -= at
        while at < high and keys[at] <= stop:
            j = order[at]
            at += 1
            da, db, dc = fractions[0, j] - p, fractions[1, j] - q, fractions[2, j] - r
            if m > 0:
                da -= np.rint(da)
            if m > 1:
                db -= np.rint(db)
            if m > 2:
                dc -= np.rint(dc)
            square = squared_length(da, db, dc, cell)
            if square <= best and taken[j] <= most:
                best, found = square, j
                for d in range(3):
                    off[d, i] = da * cell[0, d] + db * cell[1, d] + dc * cell[2, d]
        looked += at
    spent[0] += looked
    partner[i] = found
    return found >= 0
