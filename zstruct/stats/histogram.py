"""The distribution of magnitudes: counts in narrow bins, and quantiles, exact after a second look.

First all numbers are counted by their leading bits. That tells in which bins the numbers lie that
quantiles are made of; only those are then collected. Numbers in, numbers out: nothing here knows
where they come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.records import Record

__all__ = ["Magnitudes", "check_fractions", "collected"]

# The leading bits of a float64 that make a bin: sign, exponent and ten bits of the mantissa.
_SHIFT = 42
_N_BINS = 0x7FF0000000000000 >> _SHIFT  # up to infinity, which is in none


def _empty() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Magnitudes(Record):
    """How many of some numbers, none below zero, lie in narrow bins; some quantiles of them.

    A bin holds the numbers whose float64 has the same first 22 bits, so that its width is at most
    1/1024 of what is in it, however small or large that is.

    Parameters
    ----------
    bins
        The bins that are not empty, ascending, shape (m,), int64.
    counts
        How many numbers are in each, shape (m,), int64.
    quantiles
        By fraction.
    exact
        Whether these quantiles are those of the numbers themselves; else they come from the bins.
    """

    bins: NDArray[np.int64] = field(default_factory=_empty)
    counts: NDArray[np.int64] = field(default_factory=_empty)
    quantiles: Mapping[float, float] = field(default_factory=dict)
    exact: bool = True

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Magnitudes:
        """Return the counts of the finite ones of some numbers."""
        counts = np.bincount(_bins_of(values), minlength=1)[:_N_BINS]
        bins = np.flatnonzero(counts)
        return cls(bins.astype(np.int64), counts[bins].astype(np.int64))

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return int(self.counts.sum())

    @property
    def edges(self) -> NDArray[np.float64]:
        """Where each bin begins and where it ends, shape (m, 2)."""
        edges: NDArray[np.float64] = (np.stack([self.bins, self.bins + 1], axis=1) << _SHIFT).view(np.float64)
        return edges

    def merge(self, other: Magnitudes) -> Magnitudes:
        """Return those of both sets of numbers together.

        Quantiles that both have then come from the bins, unless one set is empty.
        """
        if not len(self.bins) or not len(other.bins):
            return self if len(self.bins) else other
        bins, where = np.unique(np.concatenate([self.bins, other.bins]), return_inverse=True)
        counts = np.zeros(len(bins), np.int64)
        np.add.at(counts, where, np.concatenate([self.counts, other.counts]))
        both = Magnitudes(bins, counts, exact=False)
        return replace(both, quantiles={q: both.quantile(q) for q in self.quantiles if q in other.quantiles})

    def quantile(self, fraction: float) -> float:
        """Return a quantile as the bins have it, good to 1/1024 of it; NaN if there are no numbers.

        Parameters
        ----------
        fraction
            From 0 to 1.

        Raises
        ------
        InputError
            If it is not.
        """
        check_fraction(fraction)
        if not self.count:
            return math.nan
        pair = []
        for rank in self._ranks(fraction):
            k, inside = self._place(rank)
            low, high = self.edges[k]
            # Numbers are taken to be spread evenly within their bin.
            pair.append(low + (high - low) * (inside + 0.5) / self.counts[k])
        return self._between(fraction, pair)

    def wanted(self, fractions: Sequence[float]) -> NDArray[np.bool_]:
        """Return which of all bins hold the numbers that quantiles lie between; for `collected`."""
        table = np.zeros(_N_BINS, dtype=bool)
        if self.count:
            table[[self.bins[self._place(rank)[0]] for q in fractions for rank in self._ranks(q)]] = True
        return table

    def with_quantiles(
        self, fractions: Sequence[float], values: NDArray[np.float64], times: NDArray[np.int64]
    ) -> Magnitudes:
        """Return these with exact quantiles, those of `numpy.quantile`.

        Parameters
        ----------
        fractions
            Of the quantiles.
        values, times
            What `collected` returned of the numbers in the bins that are `wanted`, shape (m,).
        """
        if not self.count:
            return replace(self, quantiles=dict.fromkeys(fractions, math.nan), exact=True)
        bins, found = _bins_of(values), {}
        for fraction in fractions:
            pair = []
            for rank in self._ranks(fraction):
                k, inside = self._place(rank)
                here = slice(*np.searchsorted(bins, [self.bins[k], self.bins[k] + 1]))
                pair.append(values[here][np.searchsorted(np.cumsum(times[here]), inside, side="right")])
            found[fraction] = self._between(fraction, pair)
        return replace(self, quantiles=found, exact=True)

    def _ranks(self, fraction: float) -> tuple[int, int]:
        """Return the ranks of the two numbers that a quantile lies between."""
        low = int(fraction * (self.count - 1))
        return low, min(low + 1, self.count - 1)

    def _place(self, rank: int) -> tuple[int, int]:
        """Return where in `bins` the number of a rank is, and how many of that bin are before it."""
        ends = np.cumsum(self.counts)
        k = int(np.searchsorted(ends, rank, side="right"))
        return k, rank - int(ends[k] - self.counts[k])

    def _between(self, fraction: float, pair: Sequence[float]) -> float:
        virtual = fraction * (self.count - 1)
        return float(np.quantile(np.array(pair), virtual - int(virtual)))  # NumPy's own interpolation


def collected(
    values: NDArray[np.float64], table: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the different ones of the numbers in some bins, ascending, and how often each occurs."""
    bins = _bins_of(values)
    inside = bins < len(table)
    inside[inside] = table[bins[inside]]
    found, times = np.unique(values[inside], return_counts=True)
    return found, times.astype(np.int64)


def check_fractions(fractions: object) -> None:
    """Refuse what is no row of fractions.

    Raises
    ------
    InputError
        If it is not a number of numbers from 0 to 1.
    """
    if not isinstance(fractions, list | tuple | np.ndarray) or getattr(fractions, "ndim", 1) != 1:
        raise ArgumentTypeError(f"quantiles is a list of fractions from 0 to 1, not {shown(fractions)}")
    for fraction in fractions:
        check_fraction(fraction)


def check_fraction(fraction: object) -> None:
    """Refuse what is no fraction.

    Raises
    ------
    InputError
        If it is not a number from 0 to 1.
    """
    if isinstance(fraction, bool) or not (isinstance(fraction, Real) and 0 <= float(fraction) <= 1):
        raise InputError(f"a quantile is asked for by a fraction from 0 to 1, not by {shown(fraction)}")


def _bins_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each number; NaN are beyond all others."""
    return np.abs(values).view(np.int64) >> _SHIFT
