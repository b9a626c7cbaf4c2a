"""The kernels of distances: squares of them, added up in one order, whoever asks and however many at a time.

That order makes choices the same on every machine. Products of matrices, which add up in any order, only
say which pairs need not be looked at.
"""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper, kernel

__all__ = ["lower", "lower_where", "pick", "squares"]

_LEAST = 1e-300  # below which products are rounded to nothing
_STEP = 16  # numbers after which a sum that is too large already is left


@kernel
def squares(rows, origin, found):  # type: ignore[no-untyped-def]
    """Write the square of the distance of each row from a point."""
    for i in range(len(rows)):
        found[i] = _square(rows, i, origin, 0, np.inf)


@kernel
def lower(rows, picks, nearest):  # type: ignore[no-untyped-def]
    """Lower the square of the distance of each row from its nearest pick, where one of these is nearer."""
    for i in range(len(rows)):
        least = nearest[i]
        for j in range(len(picks)):
            least = min(least, _square(rows, i, picks, j, least))
        nearest[i] = least


@kernel
def lower_where(rows, picks, products, slack, nearest):  # type: ignore[no-untyped-def]
    """Do as `lower`, for pairs that products leave in question.

    `products` has the product of each row with each pick, shape (n, m). The squares of both less twice that
    are the square of their distance, but for rounding: at most `slack` times the sum of both squares.
    """
    sizes, largest = np.empty(len(picks)), 0.0
    for j in range(len(picks)):
        sizes[j] = _norm(picks, j)
        largest = max(largest, sizes[j])
    for i in range(len(rows)):
        own = _norm(rows, i)
        rounding = slack * (own + largest) + _LEAST
        least = nearest[i]
        limit = least - own + rounding
        for j in range(len(picks)):
            if sizes[j] - 2.0 * products[i, j] <= limit:
                square = _square(rows, i, picks, j, least)
                if square < least:
                    least = square
                    limit = least - own + rounding
        nearest[i] = least


@kernel
def pick(rows, index, nearest, limit, limit_index, picked, distances):  # type: ignore[no-untyped-def]
    """Pick the row that is farthest from all picks, again and again; return how many times.

    Stops where a row that is not here may be as far: one of the number `limit_index`, with a square of
    `limit`. Of rows equally far the one with the least number in `index`, which ascends, is picked. Writes
    places of rows, and the squares of their distances from the picks before them. Picked rows have a
    square of -1 from then on.
    """
    for k in range(len(picked)):
        best = 0
        for i in range(1, len(rows)):
            if nearest[i] > nearest[best]:
                best = i
        far = nearest[best]
        if far < limit or (far == limit and index[best] > limit_index):
            return k
        picked[k], distances[k] = best, far
        nearest[best] = -1.0
        for i in range(len(rows)):
            nearest[i] = min(nearest[i], _square(rows, i, rows, best, nearest[i]))
    return len(picked)


@helper
def _square(rows, i, others, j, limit):  # type: ignore[no-untyped-def]
    """Return the square of the distance of two rows, or what is at least `limit` if the square is."""
    width = rows.shape[1]
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    k = 0
    while k + 4 <= width:
        p = rows[i, k] - others[j, k]
        q = rows[i, k + 1] - others[j, k + 1]
        r = rows[i, k + 2] - others[j, k + 2]
        s = rows[i, k + 3] - others[j, k + 3]
        a, b, c, d = a + p * p, b + q * q, c + r * r, d + s * s
        k += 4
        # What is added is not negative, and rounding keeps order: a part is no more than the whole.
        if k % _STEP == 0 and (a + b) + (c + d) >= limit:
            return (a + b) + (c + d)
    while k < width:
        p = rows[i, k] - others[j, k]
        a += p * p
        k += 1
    return (a + b) + (c + d)


@helper
def _norm(rows, i):  # type: ignore[no-untyped-def]
    """Return the square of a row."""
    total = 0.0
    for k in range(rows.shape[1]):
        total += rows[i, k] * rows[i, k]
    return total
