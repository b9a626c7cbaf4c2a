"""Options as users give them: numbers of any kind, or a sentence.

This module knows nothing of what they are for.
"""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any, overload

import numpy as np

__all__ = ["integer", "real", "whole"]


def integer(value: Any) -> int | None:
    """Return an integer of any kind as Python's, and None for what is none, such as a boolean."""
    if isinstance(value, bool | np.bool_) or str(getattr(value, "dtype", "")) == "torch.bool":
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


@overload
def whole(name: str, value: None) -> None: ...
@overload
def whole(name: str, value: Any) -> int: ...
def whole(name: str, value: Any) -> int | None:
    """Return an integer of any kind as Python's, and None as it is.

    Raises
    ------
    TypeError
        If it is anything else, a boolean too.

    Examples
    --------
    >>> whole("batch_size", np.int64(32)), whole("max_atoms", None)
    (32, None)
    """
    found = integer(value)
    if found is None and value is not None:
        raise TypeError(f"{name} is a whole number, not {value!r}")
    return found


@overload
def real(name: str, value: None) -> None: ...
@overload
def real(name: str, value: Any) -> float: ...
def real(name: str, value: Any) -> float | None:
    """Return a number of any kind as Python's float, and None as it is.

    Raises
    ------
    TypeError
        If it is no number, or a boolean.
    ValueError
        If it is NaN.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is a number, not {value!r}")
    if math.isnan(value):
        raise ValueError(f"{name} is a number, not {value!r}")
    return float(value)
