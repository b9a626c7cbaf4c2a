"""How far numbers are from those that they are judged by: errors that merge, part by part."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zstruct.moments import Moments
from zstruct.records import Record
from zstruct.stats.histogram import Magnitudes

__all__ = ["Errors", "Worst"]


@dataclass(frozen=True, eq=False)
class Errors(Record):
    """Errors of numbers: what they are less what they are judged by.

    Parameters
    ----------
    signed
        Their moments.
    absolute
        Those of their absolute values.
    magnitudes
        How these are distributed.
    fractions
        Of which quantiles are told.

    Examples
    --------
    >>> errors = Errors.of(np.array([0.1, -0.3]), (0.5,)).merge(Errors.of(np.array([0.2, np.nan]), (0.5,)))
    >>> errors.count, round(errors.mae, 3), round(errors.rmse, 3), round(errors.max, 3)
    (3, 0.2, 0.216, 0.3)
    """

    also: ClassVar[tuple[str, ...]] = ("count", "mae", "rmse", "bias", "max", "quantiles")
    signed: Moments = field(default_factory=Moments)
    absolute: Moments = field(default_factory=Moments)
    magnitudes: Magnitudes = field(default_factory=Magnitudes, repr=False)
    fractions: tuple[float, ...] = ()

    @classmethod
    def of(cls, differences: NDArray[np.float64], fractions: Sequence[float]) -> Errors:
        """Return those of some differences; what is NaN does not count."""
        given = differences[~np.isnan(differences)].ravel()
        sizes = np.abs(given)
        return cls(Moments.of(given), Moments.of(sizes), Magnitudes.of(sizes), tuple(fractions))

    def merge(self, other: Errors) -> Errors:
        """Return those of both sets of numbers together."""
        return Errors(
            self.signed.merge(other.signed),
            self.absolute.merge(other.absolute),
            self.magnitudes.merge(other.magnitudes),
            self.fractions or other.fractions,
        )

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return self.signed.count

    @property
    def mae(self) -> float:
        """Mean of the absolute errors."""
        return self.absolute.mean

    @property
    def rmse(self) -> float:
        """Root of the mean of the squared errors."""
        return self.signed.rms

    @property
    def bias(self) -> float:
        """Mean of the errors, with their signs."""
        return self.signed.mean

    @property
    def max(self) -> float:
        """The largest absolute error."""
        return self.absolute.max

    @property
    def quantiles(self) -> dict[float, float]:
        """Quantiles of the absolute errors by fraction, good to 1/1024 of each."""
        return {q: self.magnitudes.quantile(q) for q in self.fractions}

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; None stands for NaN."""
        numbers = {name: _number(getattr(self, name)) for name in ("mae", "rmse", "bias", "max")}
        quantiles = {str(q): _number(value) for q, value in self.quantiles.items()}
        return {"count": self.count, **numbers, "quantiles": quantiles}


@dataclass(frozen=True)
class Worst:
    """The structures with the largest errors of a quantity, the largest first.

    Parameters
    ----------
    structures
        Which of the store.
    errors
        How large their errors are.
    """

    structures: tuple[int, ...] = ()
    errors: tuple[float, ...] = ()

    @classmethod
    def of(cls, structures: Iterable[int], errors: NDArray[np.float64], n: int) -> Worst:
        """Return the `n` structures with the largest of some errors, of which none is negative; not NaN."""
        which = np.asarray(list(structures) if not isinstance(structures, np.ndarray) else structures)
        known = np.flatnonzero(~np.isnan(errors))
        order = known[np.lexsort((which[known], -errors[known]))][:n]
        return cls(tuple(which[order].tolist()), tuple(errors[order].tolist()))

    def merge(self, other: Worst, n: int) -> Worst:
        """Return the `n` worst of both."""
        both = np.array([*self.structures, *other.structures], dtype=np.int64)
        return Worst.of(both, np.array([*self.errors, *other.errors]), n)


def _number(x: float) -> float | None:
    return x if math.isfinite(x) else None
