"""Elements, counts and formulas of many structures at once; reads atomic numbers in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.compositions import compositions, distinct_compositions
from zstruct.elements import NUMBERS, SYMBOLS
from zstruct.explore.selection import row_blocks

__all__ = ["composition", "distinct_formulas", "elements", "formulas"]


def elements(numbers: xr.Variable) -> list[str]:
    """Return the chemical symbols that occur, by atomic number.

    Examples
    --------
    >>> elements(xr.Variable("atom", [8, 1, 1]))
    ['H', 'O']
    """
    found = np.zeros(256, dtype=bool)
    for _, rows, _ in row_blocks(numbers, np.array([0, len(numbers)])):
        found[np.unique(rows)] = True
    return [SYMBOLS[z] for z in np.flatnonzero(found)]


def composition(numbers: xr.Variable, offsets: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int32]]:
    """Return the elements that occur and how many atoms of each are in every structure.

    Parameters
    ----------
    numbers
        Atomic numbers, shape (n_atoms,), the structures end to end.
    offsets
        Row edges of the structures, shape (n_structures + 1,).

    Returns
    -------
    symbols, counts
        Sorted by atomic number; counts have the shape (n_structures, n_elements).

    Examples
    --------
    >>> composition(xr.Variable("atom", [8, 1, 1, 1]), np.array([0, 3, 4]))
    (['H', 'O'], array([[2, 1],
           [1, 0]], dtype=int32))
    """
    blocks: list[tuple[slice, NDArray[Any], NDArray[np.int32]]] = []
    for which, rows, edges in row_blocks(numbers, offsets):
        here, found = compositions(rows, edges)
        blocks.append((which, here, found.astype(np.int32)))
    known = np.unique(np.concatenate([here for _, here, _ in blocks] or [np.zeros(0, np.int64)]))
    total = np.zeros((len(offsets) - 1, len(known)), dtype=np.int32)
    for which, here, counts in blocks:
        total[which, np.searchsorted(known, here)] = counts
    return [SYMBOLS[z] for z in known], total


def formulas(symbols: list[str], counts: NDArray[np.int32]) -> NDArray[np.object_]:
    """Return the Hill formula of every row of a composition.

    Examples
    --------
    >>> formulas(["H", "C"], np.array([[4, 1], [6, 2], [4, 1]]))
    array(['CH4', 'C2H6', 'CH4'], dtype=object)
    """
    table, codes = distinct_formulas(symbols, counts)
    return table[codes]


def distinct_formulas(
    symbols: list[str], counts: NDArray[np.int32]
) -> tuple[NDArray[np.object_], NDArray[np.int32]]:
    """Return the Hill formulas of the rows of a composition, each once, and which of them each row has.

    Examples
    --------
    >>> distinct_formulas(["H", "C"], np.array([[4, 1], [6, 2], [4, 1]]))
    (array(['CH4', 'C2H6'], dtype=object), array([0, 1, 0], dtype=int32))
    """
    numbers = np.array([NUMBERS[symbol] for symbol in symbols], dtype=np.int64)
    found, codes = distinct_compositions(numbers, counts)
    texts = np.empty(len(found), dtype=object)
    texts[:] = found
    return texts, codes
