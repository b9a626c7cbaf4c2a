"""In which precision floating-point fields come, and the one cast from double to single.

A total energy of -17,660 eV in single precision is a ladder with rungs of 2 meV, so energies come in
double; what is per atom is small and many, and comes in single.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.schema import FIELDS, STRUCTURE, Field

__all__ = ["copied", "default_dtype", "narrowed", "too_large"]

_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def default_dtype(field: Field) -> np.dtype:
    """Return the dtype in which a field of floats comes where nobody asked for one.

    Total energies come in double precision, and so do other numbers of structures that the field
    table does not know: they may be energies under another name.

    Examples
    --------
    >>> default_dtype(FIELDS["energy"]), default_dtype(FIELDS["stress"]), default_dtype(FIELDS["forces"])
    (dtype('float64'), dtype('float32'), dtype('float32'))
    """
    unknown = field.name not in FIELDS and field.level == STRUCTURE and field.shape == ()
    return _DOUBLE if field.extensive or unknown else _SINGLE


def copied(values: NDArray[Any], out: NDArray[Any]) -> None:
    """Copy values into an array of another dtype.

    Raises
    ------
    FloatingPointError
        If a number is too large for single precision; `too_large` tells which.
    """
    # The processor notes it by the way: no second look at the numbers is needed.
    with np.errstate(over="raise"):
        np.copyto(out, values, casting="unsafe")


def narrowed(name: str, values: NDArray[Any], dtype: np.dtype) -> NDArray[Any]:
    """Return values of a batch in another dtype, of which none may become infinite.

    Raises
    ------
    InputError
        If a number is too large for single precision.
    """
    if values.dtype == dtype:
        return values
    out = np.empty(values.shape, dtype)
    try:
        copied(values, out)
    except FloatingPointError:
        raise InputError(too_large(name, values)[1]) from None
    return out


def too_large(name: str, values: NDArray[Any]) -> tuple[int, str]:
    """Return the first row with a number that single precision makes infinite, and a sentence on it."""
    with np.errstate(over="ignore"):
        lost = np.isinf(values.astype(_SINGLE)) & np.isfinite(values)
    first = np.unravel_index(int(lost.argmax()), lost.shape)
    sentence = (
        f"{name} has the value {values[first]:g}, which is infinite in single precision: ask for "
        f"dtype={{{name!r}: 'float64'}}, or leave {name} out (fields=...)"
    )
    return int(first[0]) if first else 0, sentence
