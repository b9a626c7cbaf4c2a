"""Mean, spread and range of features of which some are missing, merged from blocks of rows.

As `zstruct.features.statistics` has them, with a count for each feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS

__all__ = ["Statistics"]

_ALL = -1  # no element has this number


@dataclass(frozen=True, eq=False)
class _Columns:
    """Rows, and of each column the values that are not missing: counts, mean, squares about it, range."""

    rows: int
    counts: NDArray[np.int64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> _Columns:
        there = ~np.isnan(values)
        counts = there.sum(axis=0)
        some = np.maximum(counts, 1)
        filled = np.where(there, values, 0.0)
        mean = filled.sum(axis=0) / some
        away = np.where(there, filled - mean, 0.0)
        left = away.sum(axis=0) / some
        squares = np.einsum("ij,ij->j", away, away) - counts * left * left
        low = np.where(there, values, np.inf).min(axis=0, initial=np.inf)
        high = np.where(there, values, -np.inf).max(axis=0, initial=-np.inf)
        return cls(len(values), counts, mean + left, np.maximum(squares, 0.0), low, high)

    def merge(self, other: _Columns) -> _Columns:
        counts = self.counts + other.counts
        some = np.maximum(counts, 1)
        away = other.mean - self.mean
        mean = np.where(self.counts == 0, other.mean, self.mean + away * (other.counts / some))
        squares = self.squares + other.squares + away * away * (self.counts * other.counts / some)
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return _Columns(self.rows + other.rows, counts, mean, squares, low, high)

    def to_dict(self) -> dict[str, Any]:
        there = self.counts > 0
        std = np.sqrt(self.squares / np.maximum(self.counts, 1))
        found = {"mean": self.mean, "std": std, "min": self.low, "max": self.high}
        said: dict[str, Any] = {"count": self.rows}
        for name, values in found.items():
            given = there & np.isfinite(values)
            said[name] = [
                float(v) if ok else None for v, ok in zip(values.tolist(), given.tolist(), strict=True)
            ]
        if (self.counts < self.rows).any():
            said["missing"] = (self.rows - self.counts).tolist()
        return said


class Statistics:
    """Statistics of rows that come block by block.

    Examples
    --------
    >>> found = Statistics()
    >>> found.add(np.array([[1.0, np.nan], [3.0, 4.0]]), np.array([1, 8]))
    >>> found.described()["all"]["mean"], found.described()["H"]["missing"]
    ([2.0, 4.0], [0, 1])
    """

    def __init__(self) -> None:
        self._found: dict[int, _Columns] = {}

    def add(self, values: NDArray[Any], numbers: NDArray[Any] | None) -> None:
        """Add rows, shape (m, F), and the atomic numbers of their atoms, if they are of atoms."""
        wide = np.asarray(values, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers whose squares are infinite
            if numbers is None:
                self._add(_ALL, wide)
            for z in () if numbers is None else np.unique(numbers).tolist():
                self._add(z, wide[numbers == z])

    def _add(self, key: int, values: NDArray[np.float64]) -> None:
        found = _Columns.of(values)
        self._found[key] = self._found[key].merge(found) if key in self._found else found

    def described(self) -> dict[str, dict[str, Any]]:
        """Return them as a store's attributes have them; None where nothing is known, or no number can be."""
        with np.errstate(over="ignore", invalid="ignore"):
            everything = reduce(_Columns.merge, self._found.values())
        of_species = {SYMBOLS[z]: self._found[z].to_dict() for z in sorted(self._found) if z != _ALL}
        return {"all": everything.to_dict(), **of_species}
