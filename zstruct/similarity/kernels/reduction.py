"""The kernel that reduces periodic structures to smaller cells which they are repetitions of.

Translations that bring a structure upon itself bring an atom of the rarest element upon another one, and
along a fraction of the lattice: so many times as that has copies, they are a vector of it. What they bring
together becomes one atom, at the mean, and the translation a vector of the lattice; then others are looked
for in what is left, until there are none.
"""

from __future__ import annotations

import numpy as np

from zstruct.geometry.kernels.cells import finite, set_reduced_cell, squared_length, to_fractions
from zstruct.jit.kernel import helper, kernel
from zstruct.similarity.kernels.partners import each_once, find_partner, sort_atoms

__all__ = ["reduce_cells"]


@kernel(takes=4)
def reduce_cells(  # type: ignore[no-untyped-def]
    offsets, numbers, positions, cells, pbc, limits, left, smaller, means, order, spread
):
    """Reduce each structure, by translations that displace none of its atoms by more than its limit.

    Into `left` goes how many atoms are left; their places are written into the first of its rows of `means`,
    and its cell, periodic along the same vectors, into `smaller`. `order` gets which of its atoms are copies
    of the first one that is left, of the second and so on, as many of each, and `spread` how far these are
    from it once the lattice is taken away, both in its rows. Structures that aren't repetitions of a smaller
    cell, or have no limit above zero, stay as they are.
    """
    cell, inverse, heights = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    vectors, flags = np.empty((1, 3, 3)), np.empty((1, 3), np.bool_)
    edges, counts = np.zeros(257, np.int64), np.zeros(256, np.int64)
    step = np.empty(3, np.int64)
    for s in range(len(offsets) - 1):
        first, n = offsets[s], offsets[s + 1] - offsets[s]
        left[s] = n
        for k in range(3):
            for d in range(3):
                smaller[s, k, d] = cells[s, k, d]
        for i in range(n):
            order[first + i] = i
            for d in range(3):
                means[first + i, d], spread[first + i, d] = positions[first + i, d], 0.0
        m = pbc[s, 0] + np.int64(pbc[s, 1]) + pbc[s, 2]
        if m == 0 or not limits[s] > 0.0:
            continue
        common = _common(n, first, numbers, counts)
        if common < 2 or not (
            finite(first, n, positions)
            and set_reduced_cell(s, cells, pbc, vectors, flags, cell, inverse, heights)
        ):
            continue
        kinds, fractions = numbers[first : first + n].copy(), np.empty((3, n))
        moved, off, weights = np.empty((3, n)), np.empty((3, n)), np.empty(0)
        partner, taken = np.empty(n, np.int64), np.zeros(n, np.int64)
        rows, keys = np.empty(n, np.int64), np.empty(n)
        # Two places are not looked at; the work, which is counted at the last, is not bounded here.
        mine = kinds, moved, moved, off, weights, partner, taken, moved, moved, np.zeros(1)
        places, members, apart = means[first : first + n], order[first : first + n], spread[first : first + n]
        each = np.int64(1)
        while True:
            to_fractions(0, n, places, inverse, heights, fractions)
            sort_atoms(n, kinds, 0, 0, fractions, edges, counts, rows, keys)
            theirs = cell, inverse, heights, fractions, edges, rows, keys
            copies = _find_translation(n, m, common, limits[s], places, counts, step, mine, theirs)
            if copies == 0:
                break
            _merge(n, copies, each, mine, places, members, apart)
            n, common, each = n // copies, common // copies, each * copies
            left[s] = n
            _set_smaller(s, m, copies, step, cell, pbc, smaller)
            set_reduced_cell(s, smaller, pbc, vectors, flags, cell, inverse, heights)


@helper
def _common(n, first, numbers, counts):  # type: ignore[no-untyped-def]
    """Return the greatest common divisor of how many atoms of each element there are."""
    counts[:] = 0
    for i in range(first, first + n):
        counts[numbers[i]] += 1
    common = np.int64(0)
    for z in range(256):
        a, b = common, counts[z]
        while b > 0:
            a, b = b, a % b
        common = a
    return common


@helper
def _find_translation(n, m, common, limit, places, counts, step, mine, theirs):  # type: ignore[no-untyped-def]
    """Find a translation that displaces no atom beyond the limit; return how many make a lattice vector.

    It is written into `step`, in fractions of the cell of which so many are a whole, and where atoms go into
    the partners of `mine`. Without any, zero is returned.
    """
    kinds = mine[0]
    cell, fractions, edges, rows = theirs[0], theirs[3], theirs[4], theirs[5]
    rarest = kinds[0]
    for i in range(n):
        if counts[kinds[i]] < counts[rarest]:
            rarest = kinds[i]
    one, way = rows[edges[rarest]], np.empty(3)
    divisors = np.arange(2, common + 1)
    divisors = divisors[common % divisors == 0]
    for at in range(edges[rarest] + 1, edges[rarest + 1]):
        for d in range(3):
            way[d] = fractions[d, rows[at]] - fractions[d, one]
        for copies in divisors:
            divisor = copies
            for d in range(3):
                step[d] = np.int64(np.rint(way[d] * copies)) if d < m else 0
                a, b = divisor, abs(step[d])
                while b > 0:
                    a, b = b, a % b
                divisor = a
            # Where they have a divisor, fewer copies were tried already.
            x, y, z = way[0] - step[0] / copies, way[1] - step[1] / copies, way[2] - step[2] / copies
            if divisor > 1 or squared_length(x, y, z, cell) > limit * limit:
                continue
            if _maps(n, m, copies, limit, places, step, mine, theirs):
                return np.int64(copies)
    return np.int64(0)


@helper
def _maps(n, m, copies, limit, places, step, mine, theirs):  # type: ignore[no-untyped-def]
    """Return whether a translation brings each atom near another one, and the first back after all copies."""
    moved, partner, taken = mine[2], mine[5], mine[6]
    cell, most = theirs[0], np.int64(1)
    for i in range(n):
        for d in range(3):
            moved[d, i] = places[i, d]
            for k in range(m):
                moved[d, i] += step[k] / copies * cell[k, d]
        if not find_partner(i, m, limit, most, mine, theirs):
            return False
    if not each_once(n, partner, taken):
        return False
    for i in range(n):
        taken[i] = 0
    for i in range(n):
        if taken[i]:
            continue
        j, length = i, 0
        while not taken[j]:
            taken[j] = 1
            j = partner[j]
            length += 1
        if length != copies:
            return False
    return True


@helper
def _merge(n, copies, each, mine, places, members, apart):  # type: ignore[no-untyped-def]
    """Make one atom of those that a translation brings upon each other, and put their copies side by side.

    Parameters
    ----------
    n, copies, each
        Atoms, how many of them become one, and how many copies each of them has already.
    mine
        The elements of atoms, which are changed; at 3 and 5 how far they are off from their partners after
        the translation, and these.
    places, members, apart
        Where atoms are, which of the structure are their copies, and how far those are from them.
    """
    kinds, off, partner, taken = mine[0], mine[3], mine[5], mine[6]
    elements, before = kinds[:n].copy(), places[:n].copy()
    rows, lengths = members[: n * each].copy(), apart[: n * each].copy()
    shift, mean = np.empty((copies, 3)), np.empty(3)
    for i in range(n):
        taken[i] = 0
    new, at = np.int64(0), np.int64(0)
    for i in range(n):
        if taken[i]:
            continue
        mean[:], shift[:] = 0.0, 0.0
        j = i
        for g in range(1, copies):
            for d in range(3):
                shift[g, d] = shift[g - 1, d] + off[d, j]
                mean[d] += shift[g, d] / copies
            j = partner[j]
        for g in range(copies):
            taken[j] = 1
            j = partner[j]  # after all copies it is the first again
            for c in range(each):
                members[at] = rows[j * each + c]
                for d in range(3):
                    apart[at, d] = lengths[j * each + c, d] + shift[g, d] - mean[d]
                at += 1
        kinds[new] = elements[i]
        for d in range(3):
            places[new, d] = before[i, d] + mean[d]
        new += 1


@helper
def _set_smaller(s, m, copies, step, cell, pbc, smaller):  # type: ignore[no-untyped-def]
    """Set the periodic vectors of the lattice that the translation is one of, too."""
    basis, vectors = np.zeros((4, 3), np.int64), np.zeros((3, 3))
    for k in range(m):
        basis[k, k], basis[m, k] = copies, step[k]
    for k in range(m):  # Euclid's algorithm on rows, until the last one is zero
        while basis[m, k]:
            times = basis[k, k] // basis[m, k]
            for d in range(m):
                basis[k, d], basis[m, d] = basis[m, d], basis[k, d] - times * basis[m, d]
    for k in range(m):
        for e in range(m):
            for d in range(3):
                vectors[k, d] += basis[k, e] / copies * cell[e, d]
    at = np.int64(0)
    for axis in range(3):
        if pbc[s, axis]:
            for d in range(3):
                smaller[s, axis, d] = vectors[at, d]
            at += 1
