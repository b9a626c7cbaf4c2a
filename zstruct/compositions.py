"""Compositions: how many atoms of each element structures have, and the formulas that say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import hills
from zstruct.ragged import Packed, by_appearance
from zstruct.schema import FIELDS

__all__ = ["add_formulas", "compositions", "distinct_compositions", "element_counts"]


_PIECE = 1 << 16  # atoms that are counted together


def compositions(
    numbers: NDArray[Any], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the elements that occur, and how many atoms of each every structure has.

    Parameters
    ----------
    numbers
        Atomic numbers of the structures' atoms, end to end, shape (n_atoms,).
    offsets
        Row edges of the structures, shape (n + 1,); only differences count.

    Returns
    -------
    elements
        Atomic numbers, ascending, shape (k,).
    counts
        Shape (n, k).

    Examples
    --------
    >>> compositions(np.array([8, 1, 1, 1]), np.array([0, 3, 4]))
    (array([1, 8]), array([[2, 1],
           [1, 0]]))
    """
    elements = np.flatnonzero(np.bincount(numbers, minlength=1)).astype(np.int64, copy=False)
    column = np.zeros(256, dtype=np.int64)
    column[elements] = np.arange(len(elements))
    return elements, _counted(numbers, offsets, column, len(elements))


def element_counts(
    numbers: NDArray[Any], offsets: NDArray[np.int64], elements: Sequence[int]
) -> NDArray[np.int64]:
    """Return how many atoms of some elements each structure has, shape (n, k).

    Parameters
    ----------
    numbers, offsets
        As for `compositions`.
    elements
        Atomic numbers, each once, in any order.

    Examples
    --------
    >>> element_counts(np.array([8, 1, 1, 2]), np.array([0, 3, 4]), (1, 22))
    array([[2, 0],
           [0, 0]])
    """
    column = np.zeros(256, dtype=np.int64)  # what is not asked for
    column[list(elements)] = np.arange(1, len(elements) + 1)
    return _counted(numbers, offsets, column, len(elements) + 1)[:, 1:]


def _counted(
    numbers: NDArray[Any], offsets: NDArray[np.int64], column: NDArray[np.int64], width: int
) -> NDArray[np.int64]:
    """Return how many atoms of each structure belong to each of some columns, given by atomic number."""
    n = len(offsets) - 1
    counts = np.empty((n, width), dtype=np.int64)
    begins = np.arange(n) * width
    start = 0
    while start < n:  # some at a time, which stay in the processor's cache
        stop = max(start + 1, int(np.searchsorted(offsets, offsets[start] + _PIECE)) - 1)
        rows = slice(offsets[start] - offsets[0], offsets[stop] - offsets[0])
        places = np.repeat(begins[: stop - start], np.diff(offsets[start : stop + 1])) + column[numbers[rows]]
        found = np.bincount(places, minlength=(stop - start) * width)
        counts[start:stop] = found.reshape(stop - start, width)
        start = stop
    return counts


def distinct_compositions(
    elements: NDArray[np.int64], counts: NDArray[Any]
) -> tuple[list[str], NDArray[np.int32]]:
    """Return the Hill formulas of some compositions, each once as it first occurs, and which each row has.

    Parameters
    ----------
    elements, counts
        As `compositions` returns them.

    Examples
    --------
    >>> distinct_compositions(np.array([1, 6]), np.array([[4, 1], [6, 2], [4, 1]]))
    (['CH4', 'C2H6'], array([0, 1, 0], dtype=int32))
    """
    _, first, codes = np.unique(_keys(counts), return_index=True, return_inverse=True)
    if not np.array_equal(counts, counts[first][codes]):  # two compositions with one key
        _, first, codes = np.unique(counts, axis=0, return_index=True, return_inverse=True)
    order, ranks = by_appearance(first, codes.ravel())  # whatever the keys
    return hills(elements.tolist(), counts[first[order]]), ranks


def _keys(counts: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a number for each row: the same for equal rows, nearly always another for other ones."""
    factors = np.random.default_rng(0).integers(0, 2**64, counts.shape[1], dtype=np.uint64)
    keys: NDArray[np.uint64] = counts.astype(np.uint64) @ factors
    return keys


def add_formulas(packed: Packed) -> None:
    """Add to a block the formula of each structure, a category.

    Examples
    --------
    >>> water = Packed(np.array([3, 1]), {"numbers": np.array([8, 1, 1, 2], dtype=np.uint8)})
    >>> add_formulas(water)
    >>> water.categories["formula"], water.columns["formula"]
    (['H2O', 'He'], array([0, 1], dtype=int32))
    """
    found = compositions(packed.columns["numbers"], packed.offsets)
    packed.categories["formula"], codes = distinct_compositions(*found)
    packed.add(FIELDS["formula"], codes)
