"""Mean, spread and range of features over atoms, all and by species, merged from tasks.

Each task summarises the rows it wrote; summaries are merged in the order of tasks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.features.kernels.statistics import summarize
from zstruct.moments import ColumnMoments

__all__ = ["by_species", "described"]


def by_species(values: NDArray[Any], numbers: NDArray[Any]) -> dict[int, ColumnMoments]:
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
        int(z): ColumnMoments(int(counts[k]), means[k], squares[k], lows[k], highs[k])
        for k, z in enumerate(there)
    }


def described(tasks: Iterable[dict[int, ColumnMoments]]) -> dict[str, dict[str, Any]]:
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
    species: dict[int, ColumnMoments] = {}
    for task in tasks:
        for z, moments in task.items():
            species[z] = species[z].merge(moments) if z in species else moments
    everything: ColumnMoments | None = None
    for z in sorted(species):
        everything = species[z] if everything is None else everything.merge(species[z])
    assert everything is not None, "a store has atoms"
    named = {"all": everything, **{SYMBOLS[z]: species[z] for z in sorted(species)}}
    return {
        name: {
            "count": moments.count,
            "mean": moments.mean.tolist(),
            "std": moments.std.tolist(),
            "min": moments.min.tolist(),
            "max": moments.max.tolist(),
        }
        for name, moments in named.items()
    }
