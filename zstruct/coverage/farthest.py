"""Choose vectors one by one, each the farthest from those before (Gonzalez, 1985), without looking at all.

How far a vector is from the nearest pick only falls as there are more picks. So what was known of it once is
a bound, and as long as one of a few candidates is farther than the bounds of all others, none of these has
to be looked at. The candidates are those with the largest bounds; they have candidates in turn. When none of
them is far enough any more, the next larger set catches up with all picks since, together, by products of
matrices, and candidates are chosen anew. What is picked is the same as if all were looked at each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.coverage.kernels.distances import lower, lower_where, pick, squares
from zstruct.coverage.spectrum import mean_of
from zstruct.coverage.vectors import Vectors

__all__ = ["farthest_of"]

_DEEPEST = 2048  # vectors from which one is picked after the other
_SHRINK = 16  # how many vectors there are for one that is a candidate
_MEMORY = 1 << 28  # bytes of candidates, at most
_BATCH = 256  # picks that vectors are compared with at once
_FEW = 4  # picks up to which distances are computed without products
_BLOCK_BYTES = 1 << 21  # of vectors that are compared together
_PYTHON = 2e-6  # seconds that Python takes for one number of a vector, by measurement


class _Rows(Protocol):
    """What has vectors, in memory or elsewhere."""

    def __len__(self) -> int: ...

    def block(self, start: int, stop: int) -> NDArray[np.float64]: ...

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float64]: ...


@dataclass(frozen=True, eq=False)
class _InMemory:
    """Candidates, which are few."""

    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)

    def block(self, start: int, stop: int) -> NDArray[np.float64]:
        return self.values[start:stop]

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.values[rows]


@dataclass(eq=False)
class _Level:
    """Vectors, and what is known of how far they are from the picks.

    Parameters
    ----------
    rows
        The vectors.
    width
        How many numbers one has.
    index
        Which of all these are, ascending, shape (n,).
    nearest
        The square of the distance from the nearest of the first picks, shape (n,); -1 for picks.
    limit
        Of those that are not here, the largest bound and the least that has it.
    seen
        How many picks were looked at.
    """

    rows: _Rows
    width: int
    index: NDArray[np.int64]
    nearest: NDArray[np.float64]
    limit: tuple[float, int]
    seen: int = 0

    def catch_up(self, picks: NDArray[np.float64], picked: NDArray[np.int64]) -> None:
        """Look at the picks that were not looked at; `picked` are their numbers among all."""
        new = picks[self.seen :]
        if len(new) == 0:
            return
        step = max(64, _BLOCK_BYTES // (8 * self.width))
        cuts = [(a, min(a + step, len(self.rows))) for a in range(0, len(self.rows), step)]

        def look(cut: tuple[int, int]) -> None:
            _lower(self.rows.block(*cut), new, self.nearest[cut[0] : cut[1]])

        if len(cuts) == 1:
            look(cuts[0])
        else:
            for _ in parallel.run(look, cuts, runs_in="here"):
                pass
        places = np.searchsorted(self.index, picked[self.seen :])
        here = places < len(self.index)
        here[here] = self.index[places[here]] == picked[self.seen :][here]
        self.nearest[places[here]] = -1.0
        self.seen = len(picks)

    def has_next(self) -> bool:
        """Return whether the farthest of these is the farthest of all."""
        best = int(np.argmax(self.nearest))
        far = float(self.nearest[best])
        return far > self.limit[0] or (far == self.limit[0] and int(self.index[best]) < self.limit[1])

    def candidates(self, n: int) -> _Level:
        """Return those that are farthest by what is known, of equal ones the first."""
        bound = np.partition(self.nearest, len(self.nearest) - n)[len(self.nearest) - n]
        chosen = self.nearest > bound
        equal = np.flatnonzero(self.nearest == bound)
        chosen[equal[: n - np.count_nonzero(chosen)]] = True
        others = np.flatnonzero(~chosen)
        first = others[np.argmax(self.nearest[others])]
        outside = (float(self.nearest[first]), int(self.index[first]))
        # The larger bound counts, and of equal ones the one that comes first.
        limit = min(self.limit, outside, key=lambda one: (-one[0], one[1]))
        places = np.flatnonzero(chosen)
        rows = _InMemory(self.rows.take(places))
        return _Level(rows, self.width, self.index[places], self.nearest[places], limit, self.seen)


def _lower(rows: NDArray[np.float64], picks: NDArray[np.float64], nearest: NDArray[np.float64]) -> None:
    """Lower squares of distances from the nearest pick, in place."""
    width = rows.shape[1]
    if len(picks) <= _FEW:
        lower.for_work(_PYTHON * rows.size * len(picks))(rows, picks, nearest)
        return
    # A sum of `width` products and the rounding of the squares themselves (Higham, 2002, 3.5), twice of it.
    slack = 4.0 * (width + 4) * np.finfo(np.float64).eps
    for start in range(0, len(picks), _BATCH):
        some = picks[start : start + _BATCH]
        products = rows @ some.T
        call = lower_where.for_work(_PYTHON * (rows.size + products.size))
        call(rows, some, products, slack, nearest)


def farthest_of(
    vectors: Vectors, n: int, first: int | None = None, beside: Vectors | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Choose vectors one by one, each the farthest from those before.

    Parameters
    ----------
    vectors
        The vectors.
    n
        How many to choose, no more than there are.
    first
        The one to begin with. None: the one that is nearest to the mean of all; or, with `beside`, the
        farthest from those.
    beside
        Vectors that count as chosen already.

    Returns
    -------
    picked
        Which vectors, in the order in which they were chosen, shape (n,). Of those equally far, the first.
    distances
        How far each was from those chosen before, shape (n,); infinite for the first.
    """
    total, width = vectors.shape
    picked, found = np.empty(n, np.int64), np.empty(n)
    if n == 0:
        return picked, found
    picks = np.empty((n, width))
    whole = _Level(vectors, width, np.arange(total), np.full(total, np.inf), (-2.0, total))
    done = 0
    if beside is not None:
        for start, stop in beside.blocks():
            whole.seen = 0
            whole.catch_up(beside.block(start, stop), np.zeros(0, np.int64))
        whole.seen = 0
    if first is None and beside is None:
        first = _central(vectors)
    if first is not None:
        picked[0], found[0], picks[0] = first, whole.nearest[first], vectors.block(first, first + 1)[0]
        done = 1
        whole.catch_up(picks[:done], picked[:done])
    levels = [whole]
    while done < n:
        deepest = _deepened(levels)
        values = deepest.rows.block(0, len(deepest.rows))
        places = np.empty(min(n - done, _BATCH), np.int64)
        far = np.empty(len(places))
        call = pick.for_work(_PYTHON * values.size * len(places))
        many = call(values, deepest.index, deepest.nearest, *deepest.limit, places, far)
        new = slice(done, done + many)
        picked[new], found[new] = deepest.index[places[:many]], far[:many]
        picks[new] = values[places[:many]]
        done += many
        deepest.seen = done
        if many < len(places):
            _climb(levels, picks[:done], picked[:done])
    return picked, np.sqrt(found)


def _deepened(levels: list[_Level]) -> _Level:
    """Add candidates of candidates, until there are few; return the last."""
    most = max(_DEEPEST, _MEMORY // (8 * levels[0].width))
    while len(levels[-1].rows) > 2 * _DEEPEST:
        levels.append(levels[-1].candidates(min(most, max(_DEEPEST, len(levels[-1].rows) // _SHRINK))))
    return levels[-1]


def _climb(levels: list[_Level], picks: NDArray[np.float64], picked: NDArray[np.int64]) -> None:
    """Leave out candidates none of which is far enough, and bring those before them up to date."""
    while len(levels) > 1:
        levels.pop()
        levels[-1].catch_up(picks, picked)
        if levels[-1].has_next():
            return


def _central(vectors: Vectors) -> int:
    """Return the vector that is nearest to the mean of all, of equally near ones the first."""
    mean = mean_of(vectors)[None]
    best, least = 0, np.inf
    for start, stop in vectors.blocks():
        block = vectors.block(start, stop)
        away = np.empty(len(block))
        squares.for_work(_PYTHON * block.size)(block, mean, away)
        k = int(np.argmin(away))
        if away[k] < least:
            best, least = start + k, float(away[k])
    return best
