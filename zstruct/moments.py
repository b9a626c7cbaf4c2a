"""Count, mean, spread and range of numbers, merged from parts: of one quantity, or of many columns.

Parts merge by the formula of Chan, Golub and LeVeque (1979), which loses no digits where means are large and
spreads small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zstruct.records import Record

__all__ = ["ColumnMoments", "Moments"]

Value = TypeVar("Value", float, NDArray[np.float64])


def _merged(counts: tuple[int, int], away: Value, squares: tuple[Value, Value]) -> tuple[int, Value, Value]:
    """Return the count of two parts together, how far their mean is from the first's, and their squares.

    `away` is how far the mean of the second is from that of the first.
    """
    count = counts[0] + counts[1]
    step = away * (counts[1] / count)
    return count, step, squares[0] + squares[1] + away * away * (counts[0] * counts[1] / count)


def _two_sum(a: float, b: float) -> tuple[float, float]:
    """Return a sum and what rounding left of it (Knuth, The Art of Computer Programming, 4.2.2)."""
    total = a + b
    b_there = total - a
    return total, (a - (total - b_there)) + (b - b_there)


@dataclass(frozen=True)
class Moments(Record):
    """Count, mean, sum of squares about the mean, and range of some numbers.

    Parameters
    ----------
    count
        How many there are.
    mean
        Their mean; NaN if there are none, as are the others.
    squares
        Sum of the squared differences from the mean.
    min, max
        The smallest and the largest.
    rest
        What rounding left of the mean: the parts of a large mean with a small spread merge by both.

    Examples
    --------
    >>> both = Moments.of(np.array([1.0, 2.0])).merge(Moments.of(np.array([6.0, np.nan])))
    >>> both.count, both.mean, round(both.std, 4), round(both.rms, 4)
    (3, 3.0, 2.1602, 3.6968)
    """

    also = ("std", "rms")
    count: int = 0
    mean: float = math.nan
    squares: float = math.nan
    min: float = math.nan
    max: float = math.nan
    rest: float = 0.0

    @classmethod
    def of(cls, values: NDArray[Any]) -> Moments:
        """Return those of the values that are not NaN."""
        given = np.asarray(values, dtype=np.float64).ravel()
        missing = np.isnan(given)
        if missing.any():
            given = given[~missing]
        if not len(given):
            return cls()
        with np.errstate(invalid="ignore", over="ignore"):  # of infinities
            first = float(given.mean())
            away = given - first
            left = float(away.mean())
            squares = float(np.einsum("i,i->", away, away)) - len(given) * left * left
        mean, rest = _two_sum(first, left)
        return cls(len(given), mean, max(squares, 0.0), float(given.min()), float(given.max()), rest)

    @property
    def std(self) -> float:
        """Standard deviation of the population: the squares are divided by the count."""
        return math.sqrt(self.squares / self.count) if self.count else math.nan

    @property
    def rms(self) -> float:
        """Root of the mean square."""
        return math.sqrt(self.squares / self.count + self.mean**2) if self.count else math.nan

    def merge(self, other: Moments) -> Moments:
        """Return those of both sets of numbers together."""
        if not self.count or not other.count:
            return self if self.count else other
        away = (other.mean - self.mean) + (other.rest - self.rest)
        count, step, squares = _merged((self.count, other.count), away, (self.squares, other.squares))
        mean, rest = _two_sum(self.mean, step)
        low, high = min(self.min, other.min), max(self.max, other.max)
        return Moments(count, mean, squares, low, high, self.rest + rest)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: None stands for NaN. `std` and `rms` are there to be read."""
        numbers = {
            name: getattr(self, name) for name in ("mean", "std", "rms", "min", "max", "squares", "rest")
        }
        return {"count": self.count, **{k: v if math.isfinite(v) else None for k, v in numbers.items()}}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Moments:
        """Return what `to_dict` made a mapping of."""
        numbers = [
            math.nan if entry[k] is None else entry[k] for k in ("mean", "squares", "min", "max", "rest")
        ]
        return cls(entry["count"], *numbers)


@dataclass(frozen=True, eq=False)
class ColumnMoments:
    """Count, mean, sum of squares about the mean, and range of each of F columns of some rows.

    Parameters
    ----------
    count
        How many rows there are, at least one.
    mean, squares, min, max
        Of each column, shape (F,), float64.

    Examples
    --------
    >>> one, two = (np.array([x, 10 * x]) for x in (1.0, 3.0))
    >>> both = ColumnMoments(1, one, 0 * one, one, one).merge(ColumnMoments(1, two, 0 * two, two, two))
    >>> both.mean, both.std
    (array([ 2., 20.]), array([ 1., 10.]))
    """

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviations of the population, shape (F,)."""
        return np.sqrt(self.squares / self.count)

    def merge(self, other: ColumnMoments) -> ColumnMoments:
        """Return those of both sets of rows together."""
        counts, squares = (self.count, other.count), (self.squares, other.squares)
        count, step, squares_of_both = _merged(counts, other.mean - self.mean, squares)
        low, high = np.minimum(self.min, other.min), np.maximum(self.max, other.max)
        return ColumnMoments(count, self.mean + step, squares_of_both, low, high)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, every bit of it."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "squares", "min", "max")}
        return {"count": self.count, **arrays}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> ColumnMoments:
        """Return what `to_dict` made a mapping of."""
        return cls(entry["count"], *(np.array(entry[name]) for name in ("mean", "squares", "min", "max")))
