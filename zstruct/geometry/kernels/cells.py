"""Cells in kernels: reduced, completed where they are not periodic, and positions as fractions of them."""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper

__all__ = [
    "dot",
    "finite",
    "set_cell",
    "set_normal",
    "set_reduced_cell",
    "shorten",
    "squared_length",
    "to_fractions",
    "volume",
]

_FAR = 1e12  # angstrom; differences of such coordinates say nothing
_FLAT = 1e-10  # relative volume below which cell vectors are not independent


@helper
def finite(first, n, positions):  # type: ignore[no-untyped-def]
    """Return whether there are differences of all positions that say something."""
    for i in range(first, first + n):
        for d in range(3):
            if not abs(positions[i, d]) < _FAR:
                return False
    return True


@helper
def set_cell(s, cells, pbc, cell, inverse, heights):  # type: ignore[no-untyped-def]
    """Set the cell (periodic vectors first), its inverse and the spacing of its planes.

    The spacing is infinite along axes that are not periodic. Returns whether there is such a cell.
    """
    m = np.int64(0)  # plain numbers would be types of their own, and functions compiled for each
    for k in range(3):
        if pbc[s, k]:
            for d in range(3):
                cell[m, d] = cells[s, k, d]
            m += 1
    for k in range(m):
        square = dot(cell, k, k)
        if not 0.0 < square < np.inf:
            return False
    shorten(m, cell)
    if m == 0:
        for k in range(3):
            for d in range(3):
                cell[k, d] = 1.0 if k == d else 0.0
    if m == 1:
        thin = 0
        for d in range(1, 3):
            if abs(cell[0, d]) < abs(cell[0, thin]):
                thin = d
        for d in range(3):
            cell[1, d] = 1.0 if d == thin else 0.0
        set_normal(m + 1, m - 1, m, cell)
        set_normal(m, m + 1, m - 1, cell)
    if m == 2 and not set_normal(m, m - 2, m - 1, cell):
        return False
    for k in range(3):
        a, b = (k + 1) % 3, (k + 2) % 3
        for d in range(3):
            e, f = (d + 1) % 3, (d + 2) % 3
            inverse[d, k] = cell[a, e] * cell[b, f] - cell[a, f] * cell[b, e]
    determinant = cell[0, 0] * inverse[0, 0] + cell[0, 1] * inverse[1, 0] + cell[0, 2] * inverse[2, 0]
    box = 1.0
    for k in range(3):
        box *= dot(cell, k, k)
    if not abs(determinant) > _FLAT * np.sqrt(box):
        return False
    for k in range(3):
        square = 0.0
        for d in range(3):
            inverse[d, k] /= determinant
            square += inverse[d, k] * inverse[d, k]
        heights[k] = 1.0 / np.sqrt(square) if k < m else np.inf
    return True


@helper
def dot(cell, a, b):  # type: ignore[no-untyped-def]
    """Return the product of two vectors of a cell."""
    return cell[a, 0] * cell[b, 0] + cell[a, 1] * cell[b, 1] + cell[a, 2] * cell[b, 2]


@helper
def shorten(m, cell):  # type: ignore[no-untyped-def]
    """Shorten the first m vectors by one another (Lagrange's reduction, pair by pair)."""
    changed = True
    while changed:
        changed = False
        for a in range(m):
            for b in range(m):
                square = dot(cell, b, b)
                ratio = dot(cell, a, b) / square if a != b and square > 0.0 else 0.0
                # A little more than a half: what gains nothing would go back and forth.
                if abs(ratio) > 0.5 + 1e-9:
                    times = np.rint(ratio)
                    for d in range(3):
                        cell[a, d] -= times * cell[b, d]
                    changed = True


@helper
def set_normal(k, a, b, cell):  # type: ignore[no-untyped-def]
    """Make vector k the unit normal of vectors a and b; return whether they have one."""
    square = 0.0
    for d in range(3):
        e, f = (d + 1) % 3, (d + 2) % 3
        cell[k, d] = cell[a, e] * cell[b, f] - cell[a, f] * cell[b, e]
        square += cell[k, d] * cell[k, d]
    if not square > _FLAT * _FLAT * dot(cell, a, a) * dot(cell, b, b):
        return False
    for d in range(3):
        cell[k, d] /= np.sqrt(square)
    return True


@helper
def to_fractions(first, n, positions, inverse, heights, fractions):  # type: ignore[no-untyped-def]
    """Write positions as fractions of the cell, within it along periodic vectors."""
    for k in range(3):
        a, b, c = inverse[0, k], inverse[1, k], inverse[2, k]
        wraps = heights[k] < np.inf
        for i in range(n):
            x, y, z = positions[first + i, 0], positions[first + i, 1], positions[first + i, 2]
            fraction = x * a + y * b + z * c
            fractions[k, i] = fraction - np.floor(fraction) if wraps else fraction


@helper
def squared_length(a, b, c, cell):  # type: ignore[no-untyped-def]
    """Return the squared length of a vector that is given in vectors of the cell."""
    x = a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0]
    y = a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1]
    z = a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2]
    return x * x + y * y + z * z


@helper
def set_reduced_cell(s, cells, pbc, vectors, flags, cell, inverse, heights):  # type: ignore[no-untyped-def]
    """Set the cell as `set_cell` does, of periodic vectors that are the shortest there are (Minkowski's).

    They ascend in length, and the planes that two of them span are no nearer than the length of the third,
    divided by the root of 2. `vectors`, shape (1, 3, 3), and `flags`, shape (1, 3), are for its own use.
    """
    m = np.int64(0)
    for k in range(3):
        flags[0, k] = False
        if pbc[s, k]:
            for d in range(3):
                vectors[0, m, d] = cells[s, k, d]
            m += 1
    for k in range(m):
        flags[0, k] = True
        if not 0.0 < dot(vectors[0], k, k) < np.inf:
            return False
    shorten(m, vectors[0])
    while m == 3 and _shorten_by_two(vectors[0]):
        shorten(m, vectors[0])
    for k in range(m):  # in order of length
        for other in range(k):
            if dot(vectors[0], k, k) < dot(vectors[0], other, other):
                for d in range(3):
                    vectors[0, k, d], vectors[0, other, d] = vectors[0, other, d], vectors[0, k, d]
    return set_cell(0, vectors, flags, cell, inverse, heights)


@helper
def _shorten_by_two(cell):  # type: ignore[no-untyped-def]
    """Shorten a vector by the sum or difference of the two others; return whether one could be."""
    for k in range(3):
        a, b = (k + 1) % 3, (k + 2) % 3
        limit = dot(cell, k, k) * (1.0 - 1e-9)
        for i in range(-1, 2, 2):
            for j in range(-1, 2, 2):
                square = 0.0
                for d in range(3):
                    square += (cell[k, d] + i * cell[a, d] + j * cell[b, d]) ** 2
                if square < limit:
                    for d in range(3):
                        cell[k, d] += i * cell[a, d] + j * cell[b, d]
                    return True
    return False


@helper
def volume(cell):  # type: ignore[no-untyped-def]
    """Return the volume that three vectors span, negative if they are left-handed."""
    return (
        cell[0, 0] * (cell[1, 1] * cell[2, 2] - cell[1, 2] * cell[2, 1])
        + cell[0, 1] * (cell[1, 2] * cell[2, 0] - cell[1, 0] * cell[2, 2])
        + cell[0, 2] * (cell[1, 0] * cell[2, 1] - cell[1, 1] * cell[2, 0])
    )
