"""Indices as users give them: integers, slices, lists and masks of any kind, as NumPy's."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import array_of, integer

__all__ = ["is_plain", "out_of_range", "position_of", "position_or_positions", "positions_of"]

_INT64 = np.dtype(np.int64)


def positions_of(indices: Any, n: int) -> NDArray[np.int64]:
    """Return positions in ``range(n)`` for any list of indices, or a mask of n entries.

    Raises
    ------
    IndexError
        If an index is out of range or a mask has another length.
    TypeError
        If it is anything else.

    Examples
    --------
    >>> positions_of([-1, 0], 4), positions_of([True, False, False, True], 4)
    (array([3, 0]), array([0, 3]))
    """
    array = array_of("a list of indices", indices)
    if array.ndim == 1 and array.size == 0 and array.dtype.kind != "b":
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iub":
        _refuse(f"{array.ndim}-dimensional {array.dtype} {type(indices).__name__}")
    if array.dtype.kind == "b":
        if len(array) != n:
            raise IndexError(f"the mask has {len(array)} entries, the dataset {n} structures")
        return np.flatnonzero(array)
    low, high = int(array.min()), int(array.max())
    if low < -n or high >= n:
        raise out_of_range(high if high >= n else low, n)
    array = np.array(array, dtype=np.int64)
    return np.where(array < 0, array + n, array) if low < 0 else array


def position_or_positions(index: Any, n: int) -> int | NDArray[np.int64]:
    """Return an integer that is in range, or the positions that anything else stands for.

    Parameters
    ----------
    index
        An integer, a slice, or any list of indices, or a mask of n entries.
    n
        Structures that there are.

    Raises
    ------
    IndexError
        If an index is out of range or a mask has another length.
    TypeError
        If it is anything else.
    """
    if isinstance(index, slice):
        return np.arange(n, dtype=np.int64)[index]
    if isinstance(index, list | range) or getattr(index, "ndim", 0) > 0:
        return positions_of(index, n)
    return position_of(index, n)


def position_of(index: Any, n: int) -> int:
    """Return an integer in ``range(-n, n)`` as Python's.

    Raises
    ------
    IndexError
        If it is out of range.
    TypeError
        If it is no integer; a boolean is none.
    """
    found = integer(index)
    if found is None:
        _refuse(f"{index!r}")
    if not -n <= found < n:
        raise out_of_range(found, n)
    return found


def is_plain(array: NDArray[Any]) -> bool:
    """Return whether an index is what the gather takes as it is."""
    # carray: aligned, writable and contiguous.
    return array.dtype is _INT64 and array.ndim == 1 and array.flags.carray


def _refuse(what: str) -> NoReturn:
    raise TypeError(
        "a dataset is indexed by an integer, a slice, or a one-dimensional list or array of integers "
        f"or booleans, not by {what}"
    )


def out_of_range(index: int, n: int) -> IndexError:
    """Return the error for an index that `n` structures don't have."""
    return IndexError(f"structure {index} is out of range: the dataset has {n} structures")
