"""Positions of structures, as users give them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import array_of, shown
from zstruct.errors import ArgumentTypeError
from zstruct.text import counted

__all__ = ["check_positions", "positions_of"]


def positions_of(which: Any, n: int) -> NDArray[np.int64]:
    """Return positions in ``range(n)`` for a slice, an integer, a list of those, or a mask of n entries.

    Raises
    ------
    IndexError
        If a position is out of range or a mask has another length.
    ArgumentTypeError
        If it is anything else.

    Examples
    --------
    >>> positions_of([-1, 0], 4), positions_of([True, False, False, True], 4), positions_of(slice(2), 4)
    (array([3, 0]), array([0, 3]), array([0, 1]))
    """
    if isinstance(which, slice):
        return np.arange(*which.indices(n), dtype=np.int64)
    given = check_positions(which)
    if given.dtype == bool:
        if len(given) != n:
            raise IndexError(f"the mask is one of {counted(len(given), 'structure')}, and there are {n:,}")
        return np.flatnonzero(given)
    outside = given[(given < -n) | (given >= n)]
    if len(outside):
        raise IndexError(f"there is no structure {outside[0]}: there are {counted(n, 'structure')}")
    return np.where(given < 0, given + n, given)


def check_positions(which: Any) -> NDArray[Any]:
    """Return positions or a mask as an array of 64-bit integers or booleans, of its own."""
    given = array_of("positions", which)
    if given.size == 0 and given.dtype.kind != "b":
        given = given.astype(np.int64)
    if given.ndim > 1 or given.dtype.kind not in "iub":
        raise ArgumentTypeError(
            "structures are selected by an expression, a slice, a list of positions or a boolean mask, "
            f"not by {shown(which)}"
        )
    whole = np.atleast_1d(given)
    if whole.dtype == np.uint64:
        whole = np.minimum(whole, np.uint64(2**63 - 1))  # there are fewer structures, and none wraps
    return whole.copy() if whole.dtype == bool else whole.astype(np.int64)
