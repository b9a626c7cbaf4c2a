"""Mean, spread and range of features over atoms, all and by species, merged from tasks.

Each task summarises the rows it wrote; summaries are merged in the order of tasks by the formula of
Chan, Golub and LeVeque (1979), which loses no digits where means are large and spreads small. It
knows nothing of descriptors and stores.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.features.kernels.statistics import summarize

__all__ = ["Moments", "by_species", "described"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean, sum of squares about the mean, and range of rows of F features.

    Parameters
    ----------
    count
        Number of rows.
    mean, squares, low, high
        By feature, shape (F,), float64.
    """

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def merged(self, other: Moments) -> Moments:
        """Return those of both sets of rows together."""
        count = self.count + other.count
        away = other.mean - self.mean
        return Moments(
            count,
            self.mean + away * (other.count / count),
            self.squares + other.squares + away**2 * (self.count * other.count / count),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold, every bit of it."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "squares", "low", "high")}
        return {"count": self.count, **arrays}

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Moments:
        """Return what `to_json` made JSON of."""
        return cls(entry["count"], *(np.array(entry[name]) for name in ("mean", "squares", "low", "high")))


def by_species(values: NDArray, numbers: NDArray) -> dict[int, Moments]:
    """Return the moments of the rows of each atomic number.

    Parameters
    ----------
    values
        Features of atoms, shape (m, F).
    numbers
        Their atomic numbers, shape (m,).
    """
    table = np.zeros(256, np.int64)
    there = np.flatnonzero(np.bincount(numbers, minlength=1))
    table[there] = np.arange(len(there))
    counts = np.zeros(len(there), np.int64)
    means, squares, lows, highs = np.empty((4, len(there), values.shape[1]))
    kernel = summarize.for_work(2e-6 * values.size)  # seconds of Python, by measurement
    kernel(np.ascontiguousarray(values), table[numbers], counts, means, squares, lows, highs)
    return {
        int(z): Moments(int(counts[k]), means[k], squares[k], lows[k], highs[k]) for k, z in enumerate(there)
    }


def described(tasks: Iterable[dict[int, Moments]]) -> dict[str, dict[str, Any]]:
    """Return the statistics of all tasks, as a store's attributes have them.

    Parameters
    ----------
    tasks
        What `by_species` returned, in the order of rows.

    Returns
    -------
    dict
        By chemical symbol, and of all atoms under ``"all"``: ``count``, and by feature ``mean``,
        ``std`` (of the population), ``min`` and ``max``.
    """
    species: dict[int, Moments] = {}
    for task in tasks:
        for z, moments in task.items():
            species[z] = species[z].merged(moments) if z in species else moments
    everything: Moments | None = None
    for z in sorted(species):
        everything = species[z] if everything is None else everything.merged(species[z])
    assert everything is not None, "a store has atoms"
    named = {"all": everything, **{SYMBOLS[z]: species[z] for z in sorted(species)}}
    return {
        name: {
            "count": moments.count,
            "mean": moments.mean.tolist(),
            "std": np.sqrt(moments.squares / moments.count).tolist(),
            "min": moments.low.tolist(),
            "max": moments.high.tolist(),
        }
        for name, moments in named.items()
    }
