"""Packed rows in rectangles: the same number for each structure, filled up with zeros."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.batch.pack import which
from zstruct.batch.packed import PackedBatch
from zstruct.layouts.kernels import mark_pairs, mark_rows, pad

__all__ = ["real_pairs", "real_rows", "rectangle", "rows_of"]


_UINT8 = np.dtype(np.uint8)


_MOST = 1 << 31  # rows


def rows_of(packed: PackedBatch, num_atoms: int | None) -> int:
    """Return the rows that each structure of a padded batch has.

    Parameters
    ----------
    packed
        The structures.
    num_atoms
        The rows asked for; by default as many as the largest structure needs.

    Raises
    ------
    ValueError
        If a structure has more atoms than that, or it is no number of rows.
    """
    largest = int(packed.n_atoms.max(initial=0))
    if num_atoms is None:
        return largest
    if isinstance(num_atoms, bool) or not isinstance(num_atoms, Integral) or not 0 <= num_atoms < _MOST:
        raise ValueError(f"num_atoms is a whole number of rows, not {shown(num_atoms)}")
    if largest > num_atoms:
        large = which(packed, int(packed.n_atoms.argmax()))
        raise ValueError(f"{large} has {largest} atoms, more than num_atoms={num_atoms}; raise num_atoms")
    return int(num_atoms)


def rectangle(column: NDArray[Any], offsets: NDArray[np.int64], n_rows: int) -> NDArray[Any]:
    """Return packed rows as (structures, `n_rows`, ...), zero where a structure has fewer.

    Parameters
    ----------
    column
        Shape (offsets[-1], ...).
    offsets
        Row edges of the structures, none longer than `n_rows`.
    n_rows
        Rows for each structure.

    Returns
    -------
    ndarray
        Shares memory with `column` where nothing has to be filled up.

    Examples
    --------
    >>> rectangle(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 3]), 2)
    array([[1., 0.],
           [2., 3.]])
    """
    n, rest = len(offsets) - 1, column.shape[1:]
    if len(column) == n * n_rows:
        return column.reshape(n, n_rows, *rest)
    if not column.flags.carray:
        column = column.copy()  # what the kernel is compiled for
    out = np.empty((n, n_rows, *rest), column.dtype)
    pad(_bytes(column), offsets, n_rows, column.itemsize * math.prod(rest), _bytes(out))
    return out


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ndarray(array.nbytes, _UINT8, array)


def real_rows(counts: NDArray[np.int64], n_rows: int) -> NDArray[np.bool_]:
    """Return which rows belong to atoms, (structures, `n_rows`).

    Examples
    --------
    >>> real_rows(np.array([1, 2]), 2)
    array([[ True, False],
           [ True,  True]])
    """
    out = np.empty((len(counts), n_rows), np.bool_)
    mark_rows(counts, out)
    return out


def real_pairs(counts: NDArray[np.int64], n_rows: int) -> NDArray[np.int32]:
    """Return 1 for each pair of different rows that both belong to atoms, (structures, rows, rows - 1).

    Examples
    --------
    >>> real_pairs(np.array([1, 2]), 2)
    array([[[0],
            [0]],
    <BLANKLINE>
           [[1],
            [1]]], dtype=int32)
    """
    out = np.empty((len(counts), n_rows, max(n_rows - 1, 0)), np.int32)
    mark_pairs(counts, out)
    return out
