"""Numbers of many structures at once: what is calculated of them, and how they compare.

Each structure is judged by itself. Its whole numbers are exact where 64-bit integers hold them, and floats
where they do not; what another structure has makes no difference. A missing number makes everything that is
computed from it missing. So does a division by zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Values", "Whole", "absolute", "calculated", "compared", "is_missing", "is_one_of", "numbers"]

_WORK = {"+": np.add, "-": np.subtract, "*": np.multiply}
_COMPARED = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal,
    "!=": np.not_equal,
}  # fmt: skip
_LIMIT = 2.0**63  # the first whole number that is none of 64 bits
_LARGEST = float(np.nextafter(_LIMIT, 0))  # float below it


class Whole(NamedTuple):
    """Whole numbers of some structures, among floats.

    Parameters
    ----------
    values
        64-bit integers.
    here
        Where they count.
    """

    values: Any
    here: Any


class Values(NamedTuple):
    """Numbers of some structures.

    Parameters
    ----------
    values
        One each, or one for all: 64-bit integers or floats; NaN is missing.
    missing
        Where whole numbers are missing; None: nowhere.
    whole
        Which of the floats are whole numbers, and exactly which; None: none of them.
    """

    values: Any
    missing: NDArray[np.bool_] | None = None
    whole: Whole | None = None


def numbers(rows: Any, missing: NDArray[np.bool_] | None = None) -> Values:
    """Return stored numbers or booleans of any width as numbers to calculate with.

    Parameters
    ----------
    rows
        The numbers.
    missing
        Where they are missing, if they are no floats.

    Examples
    --------
    >>> numbers(np.array([1, 2**64 - 1], np.uint64)).values
    array([1.00000000e+00, 1.84467441e+19])
    """
    if rows.dtype.kind == "f":
        return Values(rows.astype(np.float64, copy=False), missing)
    if rows.dtype == np.uint64:
        here = rows < 2**63
        if not np.all(here):
            return Values(rows.astype(np.float64), missing, Whole(rows.astype(np.int64), here))
    return Values(rows.astype(np.int64, copy=False), missing)


def is_missing(found: Values) -> NDArray[np.bool_]:
    """Return which numbers are missing."""
    values, missing, _ = found
    if values.dtype.kind == "f":
        nan: NDArray[np.bool_] = np.isnan(values)
        return nan if missing is None else nan | missing
    return np.zeros(np.shape(values), dtype=bool) if missing is None else missing


def calculated(sign: str, left: Values, right: Values) -> Values:
    """Return what a sign makes of numbers.

    Examples
    --------
    >>> big = Values(np.array([2**62, 2**62 + 1]))
    >>> calculated("*", big, Values(np.array([4, 1]))).whole
    Whole(values=array([                  0, 4611686018427387905]), here=array([False,  True]))
    """
    masks = [found.missing for found in (left, right) if found.missing is not None]
    missing = None if not masks else masks[0] if len(masks) == 1 else masks[0] | masks[1]
    with np.errstate(all="ignore"):
        a, b = np.asarray(left.values, np.float64), np.asarray(right.values, np.float64)
        if sign == "/":
            return Values(a / np.where(b == 0, np.nan, b), missing)
        work = _WORK[sign]
        one, other = _whole(left), _whole(right)
        if one is None or other is None:
            return Values(work(a, b), missing)
        rounded, exact = work(a, b), work(one.values, other.values)
        return _mixed(rounded, Whole(exact, one.here & other.here & ~_overflows(rounded, exact)), missing)


def absolute(found: Values) -> Values:
    """Return numbers without their signs."""
    whole = _whole(found)
    rounded = np.abs(np.asarray(found.values, np.float64))
    if whole is None:
        return Values(rounded, found.missing)
    here = whole.here & (whole.values != np.iinfo(np.int64).min)
    return _mixed(rounded, Whole(np.abs(whole.values), here), found.missing)


def compared(sign: str, left: Values, right: Values) -> NDArray[np.bool_]:
    """Return where numbers are as a sign says; a whole number is rounded where it meets a float."""
    work, one, other = _COMPARED[sign], _whole(left), _whole(right)
    if one is None or other is None:
        return np.asarray(work(_floats(left), _floats(right)))
    exact = work(one.values, other.values)
    both = one.here & other.here
    if np.all(both):
        return np.asarray(exact)
    return np.where(both, exact, work(_floats(left), _floats(right)))


def is_one_of(found: Values, few: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where numbers are among a few, all of them integers or all floats."""
    whole = _whole(found) if few.dtype.kind == "i" else None
    if whole is not None and np.all(whole.here):
        return np.isin(whole.values, few)
    inside = np.isin(_floats(found), _floats(Values(few)))
    return inside if whole is None else np.where(whole.here, np.isin(whole.values, few), inside)


def _floats(found: Values) -> NDArray[np.float64]:
    """Return numbers as floats to compare with others; whole numbers of 64 bits stay below 2**63."""
    values, whole = np.asarray(found.values, np.float64), _whole(found)
    return values if whole is None else np.where(whole.here, np.minimum(values, _LARGEST), values)


def _whole(found: Values) -> Whole | None:
    """Return the whole numbers among some, or None where all are floats."""
    return Whole(found.values, np.True_) if found.values.dtype.kind == "i" else found.whole


def _mixed(rounded: Any, whole: Whole, missing: NDArray[np.bool_] | None) -> Values:
    """Return whole numbers where they count, and floats elsewhere."""
    if np.all(whole.here):
        return Values(whole.values, missing)
    if not np.any(whole.here):
        return Values(rounded, missing)
    return Values(np.where(whole.here, whole.values.astype(np.float64), rounded), missing, whole)


def _overflows(rounded: Any, exact: Any) -> Any:
    """Return where a result in 64 bits is another than the true one, which was rounded.

    Such a result differs by a multiple of 2**64. Near the limit it has the other sign.
    """
    size = np.abs(rounded)
    return (size >= 1.5 * _LIMIT) | ((size > 0.5 * _LIMIT) & ((exact < 0) != (rounded < 0)))
