"""The kernels of shortest distances: pairs of small structures, bins for large ones, a sweep for the rest.

Positions become fractions of a cell that is first reduced, so that its vectors are short, and, where
it is not periodic, completed by axes normal to the others. Within half the spacing of the planes of
the cell the nearest image is the one of rounded fractions, which SIMD finds for all pairs of a small
structure; in a large one, only atoms in bins side by side are compared. Cells that are thin for the
distance found need more images: atoms are sorted along the longest axis, each is compared with those
that follow it until they are farther away along this axis than the shortest distance so far, and all
images across the axis that can be nearer are tried.
"""

from __future__ import annotations

import numpy as np

from zstruct.geometry.kernels.cells import dot, finite, set_cell, squared_length, to_fractions
from zstruct.jit.kernel import helper, kernel

__all__ = ["SEARCHED", "shortest", "shortest_searched"]

SEARCHED = -1.0  # what stands for a distance that `shortest_searched` has to find
_FEW = 1000  # atoms up to which all pairs are as fast as bins, by measurement
_AHEAD = 8  # atoms that follow in order and are compared for a first guess
_ROUND = 6755399441055744.0  # 1.5 * 2**52: added and taken away again, it rounds, and in SIMD too


@kernel(takes=3)
def shortest(offsets, positions, cells, pbc, found):  # type: ignore[no-untyped-def]
    """Write the shortest distance of each structure into `found`; `SEARCHED` where pairs don't tell.

    The rest is a kernel of its own, for many never need it, and it takes as long to compile as this.
    """
    cell, inverse, heights = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    room = 64
    fractions, squares = np.empty((3, room)), np.empty(room)
    for s in range(len(offsets) - 1):
        first, n = offsets[s], offsets[s + 1] - offsets[s]
        if n > room:
            room = n + n // 4
            fractions, squares = np.empty((3, room)), np.empty(room)
        found[s] = np.nan
        if not (set_cell(s, cells, pbc, cell, inverse, heights) and finite(first, n, positions)):
            continue
        periodic = heights[0] < np.inf
        to_fractions(first, n, positions, inverse, heights, fractions)
        best = _shortest_vector(cell, heights)
        found[s] = SEARCHED
        if n <= _FEW:
            best = min(best, _all_pairs(n, fractions, cell, heights, squares))
            if not (periodic and best > _nearest_square(heights)):
                found[s] = np.sqrt(best)


@kernel(takes=3)
def shortest_searched(structures, offsets, positions, cells, pbc, found):  # type: ignore[no-untyped-def]
    """Write the shortest distance of some structures, for which `shortest` wrote `SEARCHED`."""
    cell, inverse, heights = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    for s in structures:
        first, n = offsets[s], offsets[s + 1] - offsets[s]
        set_cell(s, cells, pbc, cell, inverse, heights)
        fractions, squares = np.empty((3, n)), np.empty(n)
        to_fractions(first, n, positions, inverse, heights, fractions)
        best = _shortest_vector(cell, heights)
        if n <= _FEW:
            best = min(best, _all_pairs(n, fractions, cell, heights, squares))
        else:
            best = min(best, _binned(n, fractions, cell, heights))
        if heights[0] < np.inf and best > _nearest_square(heights):
            best = _sweep(n, fractions, cell, heights, best)
        found[s] = np.sqrt(best)


@helper
def _nearest_square(heights):  # type: ignore[no-untyped-def]
    """Return half the spacing of planes, squared: what is nearer is the nearest image."""
    half = 0.5 * min(heights[0], heights[1], heights[2])
    return half * half


@helper
def _shortest_vector(cell, heights):  # type: ignore[no-untyped-def]
    """Return the squared length of the shortest period, infinite if there is none."""
    best = np.inf
    for k in range(3):
        if heights[k] < np.inf:
            best = min(best, dot(cell, k, k))
    reach = np.sqrt(best)
    na, nb, nc = _periods(reach, heights[0]), _periods(reach, heights[1]), _periods(reach, heights[2])
    for a in range(-na, na + 1):
        for b in range(-nb, nb + 1):
            for c in range(-nc, nc + 1):
                if a != 0 or b != 0 or c != 0:
                    best = min(best, squared_length(float(a), float(b), float(c), cell))
    return best


@helper
def _periods(reach, height):  # type: ignore[no-untyped-def]
    """Return how many periods of planes are within reach of a point at most half of one away."""
    return np.int64(reach / height + 0.5) if height < np.inf else 0


@helper
def _all_pairs(n, fractions, cell, heights, squares):  # type: ignore[no-untyped-def]
    """Return the smallest squared distance between images at rounded fractions."""
    xa, ya, za = cell[0, 0], cell[0, 1], cell[0, 2]
    xb, yb, zb = cell[1, 0], cell[1, 1], cell[1, 2]
    xc, yc, zc = cell[2, 0], cell[2, 1], cell[2, 2]
    wraps, wrap_b, wrap_c = heights[0] < np.inf, 1.0 * (heights[1] < np.inf), 1.0 * (heights[2] < np.inf)
    # Squares are not negative: as integers their bits have the same order, and SIMD finds the least.
    bits = squares.view(np.int64)
    squares[0] = np.inf
    least = bits[0]
    for i in range(1, n):
        a, b, c = fractions[0, i], fractions[1, i], fractions[2, i]
        for j in range(i):
            da, db, dc = fractions[0, j] - a, fractions[1, j] - b, fractions[2, j] - c
            if wraps:  # periodic vectors come first
                da -= (da + _ROUND) - _ROUND
                db -= wrap_b * ((db + _ROUND) - _ROUND)
                dc -= wrap_c * ((dc + _ROUND) - _ROUND)
            x = da * xa + db * xb + dc * xc
            y = da * ya + db * yb + dc * yc
            z = da * za + db * zb + dc * zc
            squares[j] = x * x + y * y + z * z
        for j in range(i):
            least = min(least, bits[j])
    bits[0] = least
    return squares[0]


@helper
def _image_square(da, db, dc, cell, heights):  # type: ignore[no-untyped-def]
    """Return the squared length of a difference of fractions, rounded ones taken away."""
    if heights[0] < np.inf:
        da -= np.rint(da)
        db -= np.rint(db) if heights[1] < np.inf else 0.0
        dc -= np.rint(dc) if heights[2] < np.inf else 0.0
    return squared_length(da, db, dc, cell)


@helper
def _binned(n, fractions, cell, heights):  # type: ignore[no-untyped-def]
    """Return the smallest squared distance between images at rounded fractions, of many atoms."""
    order = _sorted(n, fractions, 0)
    best = np.inf
    for i in range(n):
        for j in range(i + 1, min(i + 1 + _AHEAD, n)):
            a, b = order[i], order[j]
            da, db, dc = (
                fractions[0, a] - fractions[0, b],
                fractions[1, a] - fractions[1, b],
                fractions[2, a] - fractions[2, b],
            )
            best = min(best, _image_square(da, db, dc, cell, heights))
    # Bins as wide as the guess: what is nearer is in the same or the next one. No more of them than atoms.
    width, bins, lows, per = np.sqrt(best), np.empty(3, np.int64), np.zeros(3), np.ones(3)
    most = np.int64(n ** (1 / 3)) + 1
    for k in range(3):
        long = heights[k]
        if long == np.inf:
            lows[k], high = _range(n, fractions, k)
            long = high - lows[k]
        bins[k] = min(most, np.int64(min(long / width, 1e9))) if width > 0.0 else most
        bins[k] = max(bins[k], 1)
        per[k] = bins[k] if heights[k] < np.inf else bins[k] / max(long, 1e-300)
    edges = np.zeros(bins[0] * bins[1] * bins[2] + 1, np.int64)
    where = np.empty((3, n), np.int64)
    for i in range(n):
        for k in range(3):
            at = np.int64((fractions[k, i] - lows[k]) * per[k])
            where[k, i] = max(0, min(at, bins[k] - 1))
        edges[(where[0, i] * bins[1] + where[1, i]) * bins[2] + where[2, i] + 1] += 1
    for here in range(1, len(edges)):
        edges[here] += edges[here - 1]
    ends, members = edges.copy(), np.empty(n, np.int64)
    for i in range(n):
        here = (where[0, i] * bins[1] + where[1, i]) * bins[2] + where[2, i]
        members[ends[here]] = i
        ends[here] += 1
    for i in range(n):
        for a in range(where[0, i] - 1, where[0, i] + 2):
            x = _next_bin(a, bins[0], heights[0])
            for b in range(where[1, i] - 1, where[1, i] + 2):
                y = _next_bin(b, bins[1], heights[1])
                for c in range(where[2, i] - 1, where[2, i] + 2):
                    z = _next_bin(c, bins[2], heights[2])
                    if x < 0 or y < 0 or z < 0:
                        continue
                    here = (x * bins[1] + y) * bins[2] + z
                    for m in range(edges[here], edges[here + 1]):
                        j = members[m]
                        if j < i:
                            da, db, dc = (
                                fractions[0, i] - fractions[0, j],
                                fractions[1, i] - fractions[1, j],
                                fractions[2, i] - fractions[2, j],
                            )
                            best = min(best, _image_square(da, db, dc, cell, heights))
    return best


@helper
def _range(n, fractions, k):  # type: ignore[no-untyped-def]
    """Return the least and the largest fraction along an axis."""
    low, high = np.inf, -np.inf
    for i in range(n):
        low, high = min(low, fractions[k, i]), max(high, fractions[k, i])
    return low, high


@helper
def _sorted(n, fractions, k):  # type: ignore[no-untyped-def]
    """Return the atoms in the order of their fractions along an axis: sorted runs, merged by pairs."""
    order, other = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        order[i] = i
    width = 1
    while width < n:
        for first in range(0, n, 2 * width):
            middle, stop = min(first + width, n), min(first + 2 * width, n)
            a, b = first, middle
            for to in range(first, stop):
                if b == stop or (a < middle and fractions[k, order[a]] <= fractions[k, order[b]]):
                    other[to] = order[a]
                    a += 1
                else:
                    other[to] = order[b]
                    b += 1
        order, other = other, order
        width *= 2
    return order


@helper
def _next_bin(at, n, height):  # type: ignore[no-untyped-def]
    """Return a bin beside another, or -1 where there is none."""
    if height < np.inf:
        return at % n
    return at if 0 <= at < n else -1


@helper
def _sweep(n, fractions, cell, heights, best):  # type: ignore[no-untyped-def]
    """Return the smallest squared distance between any images, or `best` if that is less."""
    axis, longest = 0, -1.0
    for k in range(3):
        long = heights[k]
        if long == np.inf:
            low, high = _range(n, fractions, k)
            long = high - low
        if long > longest:
            axis, longest = k, long
    p, q = (axis + 1) % 3, (axis + 2) % 3
    order = _sorted(n, fractions, axis)
    along, us, vs = np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        along[i], us[i], vs[i] = fractions[axis, order[i]], fractions[p, order[i]], fractions[q, order[i]]
    wraps, wrap_u, wrap_v = heights[axis] < np.inf, heights[p] < np.inf, heights[q] < np.inf
    spacing = heights[axis] if wraps else 1.0
    reach = np.sqrt(best)
    nu, nv = _periods(reach, heights[p]), _periods(reach, heights[q])
    weights = np.empty(3)
    for i in range(n):
        j, turns = i, 0.0
        while best > 0.0:
            j += 1
            if j == n:
                if not wraps:
                    break
                j, turns = 0, turns + 1.0
            away = along[j] + turns - along[i]
            if away * spacing > reach:
                break
            u, v = us[j] - us[i], vs[j] - vs[i]
            if wrap_u:
                u -= np.rint(u)
            if wrap_v:
                v -= np.rint(v)
            weights[axis] = away
            for a in range(-nu, nu + 1):
                for b in range(-nv, nv + 1):
                    weights[p], weights[q] = u + a, v + b
                    square = squared_length(weights[0], weights[1], weights[2], cell)
                    if square < best:
                        best, reach = square, np.sqrt(square)
            nu, nv = _periods(reach, heights[p]), _periods(reach, heights[q])
    return best
