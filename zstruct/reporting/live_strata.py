"""Draw some structures of a store, stratum by stratum, evenly spread over each.

Codes in, rows out; a stratum has the structures of one code. Memory is bounded by what is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zstruct.random import hashes
from zstruct.splits.allocation import rounded

__all__ = ["Strata", "places"]

#: Yields the codes of all structures, piece by piece; codes are -1 or more.
Codes = Callable[[], Iterable[NDArray[np.int64]]]


@dataclass(frozen=True, eq=False)
class Strata:
    """Groups of structures, and how many of each are drawn.

    A tenth of the places goes to all groups alike, as far as they have so many, the others in proportion.

    Parameters
    ----------
    sizes
        Structures of each, shape (n_strata,), int64.
    drawn
        How many are drawn, shape (n_strata,), int64.

    Examples
    --------
    >>> Strata.of(np.array([1000, 3, 0]), 100).drawn
    array([97,  3,  0])
    """

    sizes: NDArray[np.int64]
    drawn: NDArray[np.int64]

    @classmethod
    def of(cls, sizes: NDArray[np.int64], n: int) -> Strata:
        """Return strata of some sizes, of which `n` structures are drawn, or all."""
        if sizes.sum() <= n:
            return cls(sizes, sizes.copy())
        least = np.minimum(sizes, n // (10 * max(1, int(np.count_nonzero(sizes)))))
        return cls(sizes, least + rounded((sizes - least).astype(np.float64), int(n - least.sum())))

    def rows(self, codes: Codes, seed: int = 0) -> NDArray[np.int64]:
        """Return the rows that are drawn, ascending, shape (n,).

        Parameters
        ----------
        codes
            Yields the codes: that of the first structures of all is the number of their stratum, less 1.
        seed
            Of the draw.
        """
        chosen = [
            places(int(size), int(n), seed + k)
            for k, (size, n) in enumerate(zip(self.sizes, self.drawn, strict=True))
        ]
        if len(self.sizes) == 1:
            return chosen[0]
        return np.sort(np.concatenate([np.zeros(0, np.int64), *self._found(codes, chosen)]))

    def _found(self, codes: Codes, chosen: list[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of structures whose places in their strata are known."""
        start, before = 0, np.zeros(len(self.sizes), np.int64)
        for piece in codes():
            strata = piece + 1
            order = np.argsort(strata, kind="stable")
            counts = np.bincount(strata, minlength=len(self.sizes))
            edges = np.cumsum(counts) - counts
            for k in np.flatnonzero(counts):
                a, b = np.searchsorted(chosen[k], (before[k], before[k] + counts[k]))
                yield start + order[edges[k] + chosen[k][a:b] - before[k]]
            before += counts
            start += len(piece)


def places(size: int, n: int, seed: int) -> NDArray[np.int64]:
    """Return `n` of `size` places: one at random of each of `n` runs of about equal length.

    Examples
    --------
    >>> places(4, 4, 0), places(0, 0, 0)
    (array([0, 1, 2, 3]), array([], dtype=int64))
    """
    if n == 0:
        return np.zeros(0, np.int64)
    edges = np.arange(n + 1, dtype=np.int64) * size // n
    luck = hashes(n, seed) % np.diff(edges).astype(np.uint64)
    return edges[:-1] + luck.astype(np.int64)
