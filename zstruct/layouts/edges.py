"""The edges of samples, as layouts take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.packed import PackedBatch

__all__ = ["EdgeList", "edges_of", "find_edges"]


@dataclass(frozen=True, eq=False, slots=True)
class EdgeList:
    """Pairs of neighbours, as other libraries want them.

    Parameters
    ----------
    offsets
        Edges of the structures' pairs, shape (n + 1,).
    index
        Rows of centre and neighbour in the batch, shape (2, E), int64.
    unit_shifts
        Cell vectors to add to the neighbour's position, shape (E, 3).
    shifts
        Their sum, as a vector, shape (E, 3), in the dtype of the positions.
    """

    offsets: NDArray[np.int64]
    index: NDArray[np.int64]
    unit_shifts: NDArray[Any]
    shifts: NDArray[Any]


def find_edges(packed: PackedBatch, layout: str) -> EdgeList | None:
    """Return the pairs of neighbours of some structures, or None if none were asked for.

    Raises
    ------
    ValueError
        If edges don't say in which images the neighbours are.
    """
    pairs = next((pairs for pairs in packed.pairs if pairs.name == "edge_index"), None)
    if pairs is None:
        return None
    for name, there in (
        ("the field 'cell'", "cell" in packed.columns),
        ("the field 'positions'", "positions" in packed.columns),
        ("edges that carry edge_shift", "edge_shift" in pairs.columns),
    ):
        if not there:
            raise ValueError(f"the edges of a {layout} batch need {name}: ask the dataset for it, too")
    dtype, cell = packed.columns["positions"].dtype, packed.columns["cell"]
    unit_shifts = pairs.columns["edge_shift"]
    # Column by column: NumPy takes ten times as long to reduce rows of three.
    a, b, c = (unit_shifts != 0).T
    crossing = np.flatnonzero(a | b | c)
    owner = np.searchsorted(pairs.offsets, crossing, side="right") - 1
    shifts = np.zeros(unit_shifts.shape, dtype)
    shifts[crossing] = np.einsum("ek,ekx->ex", unit_shifts[crossing], cell[owner])
    return EdgeList(pairs.offsets, pairs.index, unit_shifts.astype(dtype, copy=False), shifts)


def edges_of(packed: PackedBatch, layout: str) -> EdgeList:
    """Return the pairs of neighbours of some structures, for a layout that can't do without.

    Raises
    ------
    ValueError
        If there are none, or if edges don't say in which images the neighbours are.
    """
    edges = find_edges(packed, layout)
    if edges is None:
        raise ValueError(
            f"a {layout} batch has edges, but none were asked for: give the dataset neighbors=, "
            "the cutoff of the model in angstrom"
        )
    return edges
