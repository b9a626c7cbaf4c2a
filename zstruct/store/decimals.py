"""Decimals: numbers that were written as text, k / 10**d, which are stored exactly as the whole numbers k.

Dividing two numbers that a double holds gives the double next to the quotient, which is what reading the text
gave: nothing is lost. What is no decimal is found by doing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct.store import kernels

__all__ = ["MOST_DIGITS", "Decimal", "DecimalRange"]

#: Digits behind the point that are looked for.
MOST_DIGITS = 12

_POWERS = 10.0 ** np.arange(MOST_DIGITS + 1)
_MISSING = {name: int(np.iinfo(name).min) for name in ("int32", "int64")}
_PIECE = 1 << 14  # numbers that NumPy looks at together: they stay in the processor
# Seconds that NumPy takes for a number, about: to look at it, and to divide.
_LOOK, _DIVIDE = 5e-9, 2e-9


@dataclass(frozen=True, slots=True)
class Decimal:
    """How decimals are stored: as whole numbers, so many for one.

    Parameters
    ----------
    digits
        Digits behind the point, from 0 to `MOST_DIGITS`.
    dtype
        ``"int32"`` or ``"int64"``, the whole numbers; the smallest stands for NaN.

    Examples
    --------
    >>> decimal = Decimal(2, "int32")
    >>> decimal.whole(np.array([0.25, -3.1, np.nan])).tolist()
    [25, -310, -2147483648]
    >>> out = np.empty(3)
    >>> decimal.restore(np.array([25, -310, -2147483648], np.int32), out)
    >>> out.tolist()
    [0.25, -3.1, nan]
    """

    digits: int
    dtype: Literal["int32", "int64"]

    @property
    def power(self) -> float:
        """What whole numbers are divided by."""
        return float(_POWERS[self.digits])

    @property
    def missing(self) -> int:
        """The whole number that stands for NaN."""
        return _MISSING[self.dtype]

    @property
    def most(self) -> float:
        """The largest whole number."""
        return min(float(np.iinfo(self.dtype).max), kernels.LARGEST)

    def whole(self, values: NDArray[np.float64]) -> NDArray[Any]:
        """Return the whole numbers that stand for decimals, in the same shape.

        Raises
        ------
        ValueError
            If one is none of so many digits; names it.
        """
        given = np.ascontiguousarray(values, np.float64).reshape(-1)
        out = np.empty(given.shape, self.dtype)
        run = kernels.multiply.for_work(_LOOK * len(given), _multiplied)
        wrong = run(given, self.power, self.most, self.missing, out)
        if wrong >= 0:
            raise ValueError(f"{float(given[wrong])!r} is no decimal of {self.digits} digits")
        return out.reshape(values.shape)

    def restore(self, whole: NDArray[Any], out: NDArray[Any]) -> None:
        """Write the decimals that whole numbers stand for.

        Parameters
        ----------
        whole
            The whole numbers, C-contiguous.
        out
            Where they go, C-contiguous, of the same shape, in double or single precision.

        Raises
        ------
        ValueError
            If that is not C-contiguous: they would go to a copy.
        """
        if not out.flags.c_contiguous:
            raise ValueError("decimals are written to what lies in one piece")
        run = kernels.divide.for_work(_DIVIDE * whole.size, _divided)
        run(whole.reshape(-1), self.power, self.missing, out.reshape(-1))


@dataclass(frozen=True, slots=True)
class DecimalRange:
    """What numbers need to be stored as decimals; of two sets of numbers, what both need.

    Parameters
    ----------
    digits
        Digits behind the point.
    largest
        The largest whole number, without its sign.
    signed_zeros
        Whether any is -0.0, whose sign decimals have not.
    """

    digits: int = 0
    largest: int = 0
    signed_zeros: bool = False

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> DecimalRange | None:
        """Return what numbers need; None if they are no decimals.

        Examples
        --------
        >>> DecimalRange.of(np.array([0.25, -3.1, np.nan]))
        DecimalRange(digits=2, largest=310, signed_zeros=False)
        >>> DecimalRange.of(np.array([1 / 3])) is None
        True
        """
        given = np.ascontiguousarray(values, np.float64).reshape(-1)
        found = np.zeros(4, np.int64)
        run = kernels.find_digits.for_work(_LOOK * len(given), _digits_found)
        if not run(given, given.view(np.int64), _POWERS, found) or found[3]:
            return None
        return cls(int(found[0]), int(found[1]), bool(found[2]))

    def joined(self, other: DecimalRange) -> DecimalRange | None:
        """Return what the numbers of both need; None if together they are no decimals.

        Examples
        --------
        >>> DecimalRange(2, 310).joined(DecimalRange(4, 25))
        DecimalRange(digits=4, largest=31000, signed_zeros=False)
        """
        digits = max(self.digits, other.digits)
        largest = max(one.largest * 10 ** (digits - one.digits) for one in (self, other))
        signed = self.signed_zeros or other.signed_zeros
        return DecimalRange(digits, largest, signed) if largest <= kernels.LARGEST else None

    @property
    def decimal(self) -> Decimal:
        """How they are stored."""
        return Decimal(self.digits, "int32" if self.largest < 2**31 else "int64")


# What the kernels do, as NumPy does it. Numba need not be loaded for a few of them.


def _digits_found(
    values: NDArray[np.float64],
    bits: NDArray[np.int64],
    powers: NDArray[np.float64],
    found: NDArray[np.int64],
) -> bool:
    digits, largest = int(found[0]), 0.0
    for start in range(0, len(values), _PIECE):
        left, inside = values[start : start + _PIECE], bits[start : start + _PIECE]
        zeros = left == 0.0
        if zeros.any():
            found[2] |= bool((inside[zeros] != 0).any())
        highest, lowest = float(left.max()), float(left.min())
        if highest != highest:  # something is missing
            absent = np.isnan(left)
            found[3] |= bool((inside[absent] != 0x7FF8000000000000).any())
            left = left[~absent]
            if not len(left):
                continue
            highest, lowest = float(left.max()), float(left.min())
        largest = max(largest, highest, -lowest)
        with np.errstate(over="ignore", invalid="ignore"):
            while (odd := _rounded(left, powers[digits]) != left).any():
                left = left[odd]
                digits += 1
                if digits == len(powers):
                    return False
    with np.errstate(over="ignore"):
        whole = np.rint(largest * powers[digits])
    if not whole <= kernels.LARGEST:
        return False
    found[0], found[1] = digits, int(whole)
    return True


def _rounded(values: NDArray[np.float64], power: np.float64) -> NDArray[np.float64]:
    out = values * power
    np.rint(out, out=out)
    out /= power
    return out


def _multiplied(
    values: NDArray[np.float64], power: float, most: float, missing: int, out: NDArray[Any]
) -> int:
    for start in range(0, len(values), _PIECE):
        piece = values[start : start + _PIECE]
        absent = np.isnan(piece)
        with np.errstate(over="ignore", invalid="ignore"):
            whole = np.rint(piece * power)
            wrong = ~absent & ((whole / power != piece) | (np.abs(whole) > most))
        if wrong.any():
            return start + int(wrong.argmax())
        whole[absent] = missing
        out[start : start + _PIECE] = whole
    return -1


def _divided(whole: NDArray[Any], power: float, missing: int, out: NDArray[Any]) -> None:
    np.divide(whole, power, out=out, dtype=np.float64, casting="unsafe")
    absent = whole == missing
    if absent.any():
        out[absent] = np.nan
