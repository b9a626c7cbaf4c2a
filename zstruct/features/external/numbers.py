"""Which numbers features may be, and what they are stored as. Nothing is rounded unless that is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import InputError

__all__ = ["array_from", "as_numbers", "stored_dtype"]

_KINDS = {"f": "floats", "i": "integers", "u": "integers", "b": "booleans"}


def array_from(value: Any, what: str) -> NDArray[Any]:
    """Return what holds numbers as an array, without a copy where that is possible.

    Raises
    ------
    InputError
        If it is none.
    """
    if hasattr(value, "detach"):  # a tensor of torch, which is not imported for it
        try:
            value = value.detach().cpu().numpy()
        except TypeError as error:  # bfloat16, say
            raise InputError(
                f"{what} is a tensor that NumPy can't hold ({error}): pass values.float()"
            ) from error
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        if value.dtype.kind != "f":
            raise InputError(f"{what} has masked values of {value.dtype}, which has none that means missing")
        value = value.filled(np.nan)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} is no array of numbers: {error}") from None
    if array.dtype.kind not in _KINDS:
        raise InputError(f"{what} holds {array.dtype}, not numbers: {shown(value)}")
    return array


def stored_dtype(given: np.dtype, asked: str | None, what: str = "values") -> np.dtype:
    """Return the dtype in which numbers are stored.

    Parameters
    ----------
    given
        That in which they came.
    asked
        ``"float32"``, ``"float64"``, or None: as they came.
    what
        What they are, for sentences.

    Raises
    ------
    InputError
        If no store holds such numbers.
    """
    if given.kind not in _KINDS:
        raise InputError(f"{what} holds {given}, not numbers")
    if asked is not None:
        return np.dtype(asked)
    if given.itemsize > 8 or given == np.uint64:
        instead = "dtype='float64'" if given.kind == "f" else "values.astype('int64')"
        raise InputError(f"{what} has numbers of {given.name}, which no tensor holds: give {instead}")
    return np.dtype(np.float32) if given == np.float16 else given.newbyteorder("=")


def as_numbers(values: NDArray[Any], dtype: np.dtype) -> NDArray[Any]:
    """Return numbers in the dtype in which they are stored.

    Raises
    ------
    InputError
        If a float is too large for it, or a whole number is not in it.
    """
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore"):
        made = values.astype(dtype)
    if values.dtype.kind == "f":
        lost = np.isinf(made) & np.isfinite(values)
        why = "is infinite"
    else:
        lost = made != values if values.dtype.kind != "b" else np.zeros(values.shape, bool)
        why = "is no whole number any more"
    if lost.any():
        raise InputError(f"the value {values[lost][0]} {why} in {dtype}: give another dtype")
    return made
