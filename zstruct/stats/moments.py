"""Count, mean, spread and range of numbers, merged from parts.

Numbers in, few numbers out: this module knows nothing of structures or stores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments", "merged"]


@dataclass(frozen=True)
class Moments:
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

    Examples
    --------
    >>> both = Moments.of(np.array([1.0, 2.0])).merge(Moments.of(np.array([6.0, np.nan])))
    >>> both.count, both.mean, both.std, both.rms
    (3, 3.0, 2.160246899469287, 3.696845502136472)
    """

    count: int = 0
    mean: float = math.nan
    squares: float = math.nan
    min: float = math.nan
    max: float = math.nan

    @classmethod
    def of(cls, values: NDArray) -> Moments:
        """Return those of the values that are not NaN."""
        given = np.asarray(values, dtype=np.float64).ravel()
        missing = np.isnan(given)
        if missing.any():
            given = given[~missing]
        if not len(given):
            return cls()
        with np.errstate(invalid="ignore", over="ignore"):  # of infinities
            mean = given.mean()
            away = given - mean
            # What rounding left of the mean is taken off the mean and out of the squares.
            left = away.mean()
            squares = float(np.einsum("i,i->", away, away)) - len(given) * float(left) ** 2
            mean += left
        return cls(len(given), float(mean), max(squares, 0.0), float(given.min()), float(given.max()))

    @property
    def std(self) -> float:
        """Standard deviation of the population: the squares are divided by the count."""
        return math.sqrt(self.squares / self.count) if self.count else math.nan

    @property
    def rms(self) -> float:
        """Root of the mean square."""
        return math.sqrt(self.squares / self.count + self.mean**2) if self.count else math.nan

    def merge(self, other: Moments) -> Moments:
        """Return those of both sets of numbers together (Chan, Golub and LeVeque, 1979)."""
        if not self.count or not other.count:
            return self if self.count else other
        count, away = self.count + other.count, other.mean - self.mean
        return Moments(
            count,
            self.mean + away * (other.count / count),
            self.squares + other.squares + away * away * (self.count * other.count / count),
            min(self.min, other.min),
            max(self.max, other.max),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: None stands for NaN. `std` and `rms` are there to be read."""
        numbers = {name: getattr(self, name) for name in ("mean", "std", "rms", "min", "max", "squares")}
        return {"count": self.count, **{k: v if math.isfinite(v) else None for k, v in numbers.items()}}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Moments:
        """Return what `to_dict` made a mapping of."""
        numbers = [math.nan if entry[k] is None else entry[k] for k in ("mean", "squares", "min", "max")]
        return cls(entry["count"], *numbers)


def merged(parts: Sequence[Moments]) -> Moments:
    """Return the moments of all parts together, merged in their order."""
    total = Moments()
    for part in parts:
        total = total.merge(part)
    return total
