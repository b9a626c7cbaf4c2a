"""Cut and join packed structures and their neighbours: what the loader computes for some of a batch.

Plain array work; this module knows nothing of stores or of what neighbours are found for.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.features.base import Neighbors
from zstruct.features.structures import Structures
from zstruct.ragged import chosen_rows, counts_to_offsets

__all__ = ["apart", "of_centres", "some", "together"]

_NONE = np.empty(0, np.int64)


def some(structures: Structures, chosen: NDArray[np.int64]) -> Structures:
    """Return some of packed structures."""
    rows, counts = chosen_rows(structures.offsets, chosen)
    return Structures(
        counts_to_offsets(counts),
        structures.numbers[rows],
        structures.positions[rows],
        structures.cells[chosen],
        structures.pbc[chosen],
    )


def apart(found: Neighbors, offsets: NDArray[np.int64]) -> list[tuple[Any, ...]]:
    """Return for each structure the neighbours of its atoms: how many, and the arrays of the pairs."""
    counts, edges = np.diff(found.offsets), found.offsets[offsets]
    made: list[tuple[Any, ...]] = []
    for i, (start, stop) in enumerate(itertools.pairwise(offsets.tolist())):
        pairs = slice(edges[i], edges[i + 1])
        parts = (found.shifts[pairs], found.vectors[pairs], found.distances[pairs])
        copies = (part.copy() for part in parts)
        made.append((counts[start:stop].copy(), found.indices[pairs] - start, *copies))
    return made


def together(parts: list[tuple[Any, ...]], offsets: NDArray[np.int64]) -> Neighbors:
    """Return the neighbours of structures end to end."""
    none = (_NONE, _NONE, np.empty((0, 3), np.int32), np.empty((0, 3)), np.empty(0))
    columns: list[Any] = [np.concatenate(arrays) for arrays in zip(none, *parts, strict=True)]
    counts, indices, shifts, vectors, distances = columns
    indices += np.repeat(offsets[:-1], [len(part[1]) for part in parts])
    return Neighbors(0, counts_to_offsets(counts), indices, shifts, vectors, distances)


def of_centres(found: Neighbors, chosen: NDArray[np.bool_]) -> Neighbors:
    """Return the neighbours of some atoms only; the others have none."""
    counts = np.diff(found.offsets)
    pairs = np.repeat(chosen, counts)
    return Neighbors(
        found.start,
        counts_to_offsets(np.where(chosen, counts, 0)),
        found.indices[pairs],
        found.shifts[pairs],
        found.vectors[pairs],
        found.distances[pairs],
    )
