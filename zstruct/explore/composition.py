"""Elements, counts and formulas of many structures at once; reads atomic numbers in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.elements import NUMBERS, SYMBOLS, formula
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
        here, n = np.flatnonzero(np.bincount(rows, minlength=1)), which.stop - which.start
        column = np.zeros(256, dtype=np.int64)
        column[here] = np.arange(len(here))
        cell = np.repeat(np.arange(n) * len(here), np.diff(edges)) + column[rows]
        flat = np.bincount(cell, minlength=n * len(here)).astype(np.int32)
        blocks.append((which, here, flat.reshape(n, len(here))))
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
    first, codes = _distinct_rows(counts)
    texts = np.empty(len(first), dtype=object)
    texts[:] = [formula(np.repeat(numbers, row)) for row in counts[first]]
    return texts, codes.astype(np.int32)


def _distinct_rows(table: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return one index of each distinct row, and for every row which of them it equals.

    Columns are joined into one number each row until it would overflow, then renumbered; that
    sorts integers a few times, where sorting rows would compare them element by element.
    """
    code, size = np.zeros(len(table), dtype=np.int64), 1
    for column in table.T:
        width = int(column.max(initial=0)) + 1
        if size * width >= 2**63:
            unique, code = np.unique(code, return_inverse=True)
            size = len(unique)
        code, size = code * width + column, size * width
    _, first, code = np.unique(code, return_index=True, return_inverse=True)
    return first, code
