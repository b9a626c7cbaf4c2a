"""Periodic structures as smaller cells that they are repetitions of, and which of their atoms are copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zstruct.geometry.structures import Structures
from zstruct.ragged import atom_rows, counts_to_offsets
from zstruct.similarity.arrays import arrays_of
from zstruct.similarity.kernels.reduction import reduce_cells

__all__ = ["Reduced", "reduced"]


@dataclass(frozen=True, eq=False)
class Reduced:
    """Structures in smaller cells.

    Parameters
    ----------
    structures
        One atom for all that translations bring near each other, at their mean.
    offsets
        Where the copies begin, shape (n + 1,), int64: each structure has as many as it had atoms.
    rows
        Which atom each copy was, shape (N,), int64: those of the first atom of a structure, as many of the
        second, and so on.
    spread
        How far it is from that atom once the translation is taken away, in angstrom, shape (N, 3).
    """

    structures: Structures
    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    spread: NDArray[np.float64]


def reduced(geometry: Structures, limits: NDArray[np.float64]) -> Reduced:
    """Return structures in the smallest cells that they are repetitions of.

    Parameters
    ----------
    geometry
        The structures.
    limits
        How far translations may displace atoms of each, in angstrom, shape (n,); zero leaves it as it is.
    """
    n, sizes = len(geometry), np.diff(geometry.offsets)
    left, cells = np.empty(n, np.int64), np.empty((n, 3, 3))
    means, spread = np.empty((geometry.n_atoms, 3)), np.empty((geometry.n_atoms, 3))
    order = np.empty(geometry.n_atoms, np.int64)
    # Seconds that Python takes for a structure and for a pair of its atoms, by measurement.
    work = sizes[limits > 0.0].astype(np.float64)
    call = reduce_cells.for_work(2e-4 * len(work) + 3e-5 * float((work * work).sum()))
    call(*arrays_of(geometry), limits, left, cells, means, order, spread)
    kept = atom_rows(geometry.offsets[:-1], left)
    begins = np.repeat(geometry.offsets[:-1], sizes)
    rows = begins + order
    firsts = atom_rows(np.zeros(n, np.int64), left) * np.repeat(sizes // np.maximum(left, 1), left)
    firsts += np.repeat(geometry.offsets[:-1], left)
    smaller = Structures(
        counts_to_offsets(left), geometry.numbers[rows[firsts]], means[kept], cells, geometry.pbc
    )
    return Reduced(smaller, geometry.offsets, rows, spread)
