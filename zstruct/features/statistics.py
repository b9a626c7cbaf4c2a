"""Mean, spread and range of features over atoms, all and by species, merged from tasks.

Each task summarises the rows it wrote; summaries are merged in the order of tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.features.kernels.statistics import summarize
from zstruct.moments import ColumnMoments

__all__ = ["MOMENTS", "FirstMoments", "by_species", "statistics_of"]

#: The attribute with the moments of the shards that are full.
MOMENTS = "moments"


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


@dataclass(frozen=True, eq=False)
class FirstMoments:
    """Moments of the features of the first shards of an array, by atomic number.

    Those of all shards are merged in their order: whoever knows those of the first ones goes on from there.

    Parameters
    ----------
    shards
        How many shards.
    species
        Their moments, by atomic number.
    """

    shards: int = 0
    species: Mapping[int, ColumnMoments] = field(default_factory=dict)

    @classmethod
    def known(cls, attrs: Mapping[str, Any], n_shards: int) -> FirstMoments:
        """Return those that a group has in its attributes, if they are of so many first shards at most.

        None where there are none, or nothing can be made of them: who needs them reads the features.
        """
        try:
            found = cls.from_json(attrs[MOMENTS])
        except (LookupError, TypeError, ValueError, AttributeError):
            return cls()
        return found if 0 < found.shards <= n_shards else cls()

    def then(self, shards: Iterable[Mapping[int, ColumnMoments]]) -> FirstMoments:
        """Return those of these shards and the next ones, of which `by_species` returned them."""
        found, n = dict(self.species), self.shards
        for shard in shards:
            n += 1
            for z, moments in shard.items():
                found[z] = found[z].merge(moments) if z in found else moments
        return FirstMoments(n, found)

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON can express them, every bit."""
        return {"shards": self.shards, "species": {str(z): m.to_dict() for z, m in self.species.items()}}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> FirstMoments:
        """Return them again."""
        return cls(said["shards"], {int(z): ColumnMoments.from_dict(m) for z, m in said["species"].items()})

    def described(self) -> dict[str, dict[str, Any]]:
        """Return the statistics of these shards, as a store's attributes have them.

        Returns
        -------
        dict
            By chemical symbol, and of all atoms under ``"all"``: ``count``, and by feature ``mean``,
            ``std`` (of the population), ``min`` and ``max``.
        """
        species = self.species
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


def statistics_of(
    known: FirstMoments, shards: Sequence[Mapping[int, ColumnMoments]], n_full: int
) -> dict[str, Any]:
    """Return the attributes of a group with what there is to say of its features.

    Parameters
    ----------
    known
        The moments of the first shards.
    shards
        Those of each of the others, as `by_species` returns them.
    n_full
        How many shards will stay as they are when there are more atoms: their moments are kept.
    """
    full = known.then(shards[: n_full - known.shards])
    said = {"statistics": full.then(shards[n_full - known.shards :]).described()}
    return said | ({MOMENTS: full.to_json()} if n_full else {})
