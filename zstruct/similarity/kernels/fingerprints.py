"""The kernels of fingerprints: numbers that move by no more than atoms do, and a search for near ones.

A fingerprint does not depend on the order of atoms, on where they are and how they are turned, nor on which
periodic image of an atom is meant. Without a lattice it has the distances of atoms from their mean; with one
the lengths of its shortest vectors, and the distances of atoms from their nearest and second nearest one. If
no atom moves by more than t, none of these distances changes by more than 2 t, and neither does the k-th of
them in order. That is why structures with fingerprints that differ by more than 2 t anywhere can't be
brought upon each other, and need not be tried.
"""

from __future__ import annotations

import numpy as np

from zstruct.geometry.kernels.cells import dot, finite, set_reduced_cell, to_fractions
from zstruct.jit.kernel import helper, kernel

__all__ = ["LENGTH", "find_near", "fingerprint", "root"]

LENGTH = 16  # numbers of a fingerprint
_MOST = 4096  # atoms up to which all pairs are looked at
_LATTICE, _NEAREST, _SECOND = 3, 7, 6  # of them: lengths of periods, distances to the nearest and the next
_PERIOD = 2 / 3  # of a change: a vector that is the sum of three moves by up to three times as much
_ROUND = 6755399441055744.0  # 1.5 * 2**52: added and taken away again, it rounds, and in SIMD too
_SAFE = 0.35  # of the shortest period: nearer than that is the image at rounded fractions


@kernel(takes=3)
def fingerprint(offsets, numbers, positions, cells, pbc, found, kinds):  # type: ignore[no-untyped-def]
    """Write the fingerprint of each structure into `found`, and a number of its composition into `kinds`.

    The first of its numbers is NaN where there is no saying: positions that are not finite, say. Structures
    of the same elements, as many of each, and with as many periodic vectors, have the same number.
    """
    cell, inverse, heights = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    counts = np.zeros(256, np.int64)
    room = 64
    fractions, near, second = np.empty((3, room)), np.empty(room), np.empty(room)
    vectors, flags = np.empty((1, 3, 3)), np.empty((1, 3), np.bool_)
    for s in range(len(offsets) - 1):
        first, n = offsets[s], offsets[s + 1] - offsets[s]
        if n > room:
            room = n + n // 4
            fractions, near, second = np.empty((3, room)), np.empty(room), np.empty(room)
        m = pbc[s, 0] + np.int64(pbc[s, 1]) + pbc[s, 2]
        counts[:] = 0
        kind = _mixed(np.uint64(1000 + m))
        for i in range(first, first + n):
            counts[numbers[i]] += 1
            kind += _mixed(np.uint64(numbers[i]))
        kinds[s] = kind
        found[s, :] = 0.0
        if not (
            set_reduced_cell(s, cells, pbc, vectors, flags, cell, inverse, heights)
            and finite(first, n, positions)
        ):
            found[s, 0] = np.nan
            continue
        to_fractions(first, n, positions, inverse, heights, fractions)
        if m == 0:
            _set_radii(n, fractions, near)
            _write_ranks(n, first, numbers, counts, near, 0, LENGTH, found[s])
            continue
        for k in range(m):
            found[s, k] = _PERIOD * np.sqrt(dot(cell, k, k))
        reach = _SAFE * np.sqrt(dot(cell, 0, 0))
        if n <= _MOST:
            _set_nearest(n, fractions, cell, heights, reach, near, second)
            _write_ranks(n, first, numbers, counts, near, _LATTICE, _NEAREST, found[s])
            _write_ranks(n, first, numbers, counts, second, _LATTICE + _NEAREST, _SECOND, found[s])


@helper
def _mixed(z):  # type: ignore[no-untyped-def]
    """Return bits that look random (the finalizer of splitmix64; Steele, Lea, Flood, 2014)."""
    z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@helper
def _set_radii(n, points, found):  # type: ignore[no-untyped-def]
    """Write the distance of each atom from the mean of all."""
    x, y, z = 0.0, 0.0, 0.0
    for i in range(n):
        x, y, z = x + points[0, i], y + points[1, i], z + points[2, i]
    x, y, z = x / n, y / n, z / n
    for i in range(n):
        found[i] = np.sqrt((points[0, i] - x) ** 2 + (points[1, i] - y) ** 2 + (points[2, i] - z) ** 2)


@helper
def _set_nearest(n, fractions, cell, heights, reach, near, second):  # type: ignore[no-untyped-def]
    """Write how far the nearest and the second nearest other atom is, each as its nearest image.

    What is farther than `reach` counts as that: nearer than so is the image at rounded fractions.
    """
    wrap_b, wrap_c = 1.0 * (heights[1] < np.inf), 1.0 * (heights[2] < np.inf)
    xa, ya, za = cell[0, 0], cell[0, 1], cell[0, 2]
    xb, yb, zb = cell[1, 0], cell[1, 1], cell[1, 2]
    xc, yc, zc = cell[2, 0], cell[2, 1], cell[2, 2]
    limit, squares = reach * reach, np.empty(n)
    for i in range(n):
        near[i], second[i] = limit, limit
    for i in range(1, n):
        a, b, c = fractions[0, i], fractions[1, i], fractions[2, i]
        for j in range(i):  # in SIMD
            da, db, dc = fractions[0, j] - a, fractions[1, j] - b, fractions[2, j] - c
            da -= (da + _ROUND) - _ROUND
            db -= wrap_b * ((db + _ROUND) - _ROUND)
            dc -= wrap_c * ((dc + _ROUND) - _ROUND)
            x = da * xa + db * xb + dc * xc
            y = da * ya + db * yb + dc * yc
            z = da * za + db * zb + dc * zc
            squares[j] = x * x + y * y + z * z
        nearest, next_one = limit, limit
        for j in range(i):
            square = squares[j]
            if square < next_one:
                next_one = max(square, nearest)
                nearest = min(square, nearest)
            if square < second[j]:
                second[j] = max(square, near[j])
                near[j] = min(square, near[j])
        near[i], second[i] = nearest, next_one
    for i in range(n):
        near[i], second[i] = np.sqrt(near[i]), np.sqrt(second[i])


@helper
def _write_ranks(n, first, numbers, counts, values, at, most, found):  # type: ignore[no-untyped-def]
    """Write values in order, element by element; of more than there is room for, some at even distances."""
    ordered = np.empty(n)
    start = np.int64(0)
    for z in range(256):
        if counts[z] == 0:
            continue
        stop = start
        for i in range(n):
            if numbers[first + i] == z:
                ordered[stop] = values[i]
                stop += 1
        ordered[start:stop].sort()
        start = stop
    room = min(n, most)
    for k in range(room):
        found[at + k] = ordered[k if n <= most else (k * (n - 1)) // (most - 1)]


@kernel(takes=2)
def find_near(begin, order, values, roots, reach, each, first, second, starts):  # type: ignore[no-untyped-def]
    """Find pairs with fingerprints that differ by no more than `reach` anywhere; return how many, and where.

    `order` has where runs of structures end; for each run the other runs, behind it, whose structures may be
    near its own, -1 for none; and keys, which ascend within each run. Pairs that are known to be of one group
    are left out, and of each structure no more than `each` are found at a time; `starts` has where to go on.
    Begins at a structure, and returns when `first` and `second` are full, with the structure that was not
    looked at any more, or with their number.
    """
    edges, beside, keys = order
    n = np.int64(0)
    run = np.searchsorted(edges, begin, "right")
    for p in range(begin, len(keys)):
        while edges[run] <= p:
            run += 1
        if n + each > len(first):
            return n, p
        mine, q = np.int64(0), max(starts[p], p + 1)
        for k in range(beside.shape[1] + 1):
            r = run if k == 0 else beside[run, k - 1]
            if r < 0 or edges[r] <= q:
                continue
            if k > 0:
                low = edges[r - 1]
                q = max(q, low + np.searchsorted(keys[low : edges[r]], keys[p] - reach))
            while q < edges[r] and keys[q] <= keys[p] + reach and mine < each:
                if _near(p, q, values, reach) and root(roots, p) != root(roots, q):
                    first[n + mine], second[n + mine] = p, q
                    mine += 1
                q += 1
            if mine == each:
                break
        starts[p] = q if mine == each else len(keys)
        n += mine
    return n, len(keys)


@helper
def _near(p, q, values, reach):  # type: ignore[no-untyped-def]
    """Return whether two fingerprints differ by no more than `reach` anywhere."""
    k = 0
    while k < values.shape[1] and abs(values[p, k] - values[q, k]) <= reach:
        k += 1
    return k == values.shape[1]


@helper
def root(roots, a):  # type: ignore[no-untyped-def]
    """Return the structure that stands for the group of another one."""
    while roots[a] != a:
        roots[a] = roots[roots[a]]
        a = roots[a]
    return a
