"""How near the atoms of structures come to one another, periodic images included.

Arrays in, arrays out: the public side of the kernel in `zstruct.geometry.kernels.distances`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.geometry.kernels.distances import SEARCHED, shortest, shortest_searched
from zstruct.jit.arrays import read_only

__all__ = ["shortest_distances"]


def shortest_distances(
    offsets: ArrayLike, positions: ArrayLike, cells: ArrayLike | None = None, pbc: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return the shortest distance between two atoms of each structure.

    An atom and its own periodic image are two atoms.

    Parameters
    ----------
    offsets
        Row edges of the structures, shape (n + 1,).
    positions
        In angstrom, shape (n_atoms, 3), of any floating-point dtype; wrapped into the cell or not.
    cells
        Cell vectors in rows, in angstrom, shape (n, 3, 3). By default none.
    pbc
        Which cell vectors are periodic, shape (n, 3). By default none.

    Returns
    -------
    NDArray
        In angstrom, shape (n,), float64. Infinite for a single atom without images. NaN where there
        is no saying: positions that are not finite, or periods along cell vectors that are missing or
        not independent.

    Examples
    --------
    >>> shortest_distances([0, 2, 3], [[0, 0, 0], [0, 0, 1.5], [0, 0, 0]]).tolist()
    [1.5, inf]
    >>> float(shortest_distances([0, 1], [[7.0, 0, 0]], [np.diag([2.5, 4, 4])], [[True] * 3])[0])
    2.5
    """
    edges = np.ascontiguousarray(offsets, dtype=np.int64)
    n = len(edges) - 1
    arrays = [
        edges,
        np.ascontiguousarray(positions, dtype=np.float64).reshape(-1, 3),
        np.zeros((n, 3, 3)) if cells is None else np.ascontiguousarray(cells, dtype=np.float64),
        np.zeros((n, 3), bool) if pbc is None else np.ascontiguousarray(pbc, dtype=np.bool_),
    ]
    views = [read_only(array) for array in arrays]
    found = np.empty(n)
    sizes = np.diff(edges)
    # Seconds that Python takes for a structure and for a pair, by measurement.
    kernel: Any = shortest.for_work(3e-4 * n + 3e-6 * float((sizes * sizes).sum()))
    kernel(*views, found)
    left = np.flatnonzero(found == SEARCHED)
    if len(left):
        # With many images or bins; Python takes what it takes for the pairs, and more for a sweep.
        kernel = shortest_searched.for_work(1e-3 * len(left) + 1e-5 * float((sizes[left] ** 2).sum()))
        kernel(left, *views, found)
    return found
