"""The kernel of force statistics: one pass over the atoms of many structures."""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper, kernel

__all__ = ["summarize_forces"]


@kernel
def summarize_forces(offsets, numbers, forces, norms, moments, counts, squares):  # type: ignore[no-untyped-def]
    """Fill in what there is to know about forces; return how many structures have them.

    A structure with a component that is NaN has none, and the norms of its atoms become NaN.

    ``norms[r]`` becomes the norm of the force on atom r. `moments` become mean, sum of squares about
    it, least and largest of all components. `counts` and `squares`, shape (256,), become the number of
    atoms with forces of each atomic number, and the sum of their squared norms.
    """
    n_structures, n = 0, 0
    mean, about, low, high = 0.0, 0.0, np.inf, -np.inf
    lost = np.zeros(256)  # by rounding of `squares` (Kahan, 1965)
    for s in range(len(offsets) - 1):
        first, last = offsets[s], offsets[s + 1]
        total = 0.0
        for r in range(first, last):
            total += (forces[r, 0] + forces[r, 1]) + forces[r, 2]
        if np.isnan(total) and _has_nan(first, last, forces):
            norms[first:last] = np.nan
            continue
        m = 3 * (last - first)
        here, left, spread = total / m, 0.0, 0.0
        for r in range(first, last):
            x, y, z = forces[r, 0], forces[r, 1], forces[r, 2]
            square = (x * x + y * y) + z * z
            norms[r] = np.sqrt(square)
            low, high = min(low, min(x, min(y, z))), max(high, max(x, max(y, z)))
            k = numbers[r]
            counts[k] += 1
            term = square - lost[k]
            grown = squares[k] + term
            lost[k] = (grown - squares[k]) - term
            squares[k] = grown
            dx, dy, dz = x - here, y - here, z - here
            left += (dx + dy) + dz
            spread += (dx * dx + dy * dy) + dz * dz
        here += left / m
        spread -= left * left / m
        # Chan, Golub and LeVeque (1979).
        away = here - mean
        mean += away * (m / (n + m))
        about += spread + away * away * (n * (m / (n + m)))
        n += m
        n_structures += 1
    moments[0], moments[1], moments[2], moments[3] = mean, about, low, high
    return n_structures


@helper
def _has_nan(first, last, forces):  # type: ignore[no-untyped-def]
    for r in range(first, last):
        for d in range(3):
            if np.isnan(forces[r, d]):
                return True
    return False
