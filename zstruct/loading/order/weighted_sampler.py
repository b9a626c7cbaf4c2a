"""Structures drawn by weight: those that matter more come more often. Policy only, no I/O.

As the other samplers, this one knows numbers, not stores. Its draws are a pure function of seed,
epoch and weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.loading.loader_options import Even
from zstruct.loading.order.samplers import StructureSampler
from zstruct.random import shuffled, uniform

__all__ = ["WeightedSampler"]

# The samplers use other numbers in the place of these in their keys.
_DRAW, _MIX = 4, 5


class WeightedSampler(StructureSampler):
    """Structures drawn at random, with probabilities in proportion to their weights.

    With replacement, every draw is independent of the others: a structure may come several times
    in an epoch, or not at all. Without, an epoch has the first `n_samples` different structures
    that such draws bring, in random order. Structures of weight zero are never drawn.

    Parameters
    ----------
    weights
        Of the structures, shape (n,), on any scale.
    n_samples
        Structures in an epoch, of all ranks together; by default n.
    replacement
        Whether a structure may be drawn again.
    seed, rank, world_size, even
        As for `StructureSampler`. The ranks share the draws of an epoch.

    Raises
    ------
    ValueError
        If a weight is negative or no number, if none is above zero, if fewer than `n_samples` are
        and there is no replacement, or if a number is out of its range.

    Notes
    -----
    With replacement, a draw is the place of a random number among the sums of the weights. Without,
    the structures of the smallest ``-log(u) / weight`` are taken, u uniform in (0, 1]: these are
    the keys of Efraimidis and Spirakis, Information Processing Letters 97, 181 (2006).

    Examples
    --------
    >>> sampler = WeightedSampler([0.0, 1.0, 0.0, 1.0], n_samples=6, seed=1)
    >>> set(sampler) == {1, 3}
    True
    >>> sampler.update([0.0, 0.0, 5.0, 0.0])
    >>> list(sampler)
    [2, 2, 2, 2, 2, 2]
    """

    def __init__(
        self,
        weights: ArrayLike,
        n_samples: int | None = None,
        replacement: bool = True,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        even: Even = None,
    ):
        try:
            given = np.asarray(weights, dtype=np.float64).copy()
        except (TypeError, ValueError):
            raise ValueError(f"weights is one number for each structure, not {weights!r}") from None
        if given.ndim != 1:
            raise ValueError(f"weights is one number for each structure, not of shape {given.shape}")
        super().__init__(len(given), seed=seed, rank=rank, world_size=world_size, even=even)
        self.n_samples, self.replacement = len(given) if n_samples is None else n_samples, replacement
        if self.n_samples < 0:
            raise ValueError(f"n_samples must not be negative, but is {n_samples}")
        self.update(given)

    @property
    def length(self) -> int:
        """Structures in an epoch, of all ranks together."""
        return self.n_samples

    def recipe(self) -> str:
        """Return what the draws depend on, beside seed and epoch, for people."""
        how = "" if self.replacement else " without replacement"
        return f"{super().recipe()}, {self.n_samples:,} drawn{how} by weights of digest {self._digest}"

    def update(self, weights: ArrayLike) -> None:
        """Draw by other weights from the next epoch on; an iteration that has begun goes on as it was.

        All ranks need the same weights. A state says by which weights its epoch was drawn: to resume
        it, make the sampler with these.

        Parameters
        ----------
        weights
            Of the structures, as many as before.

        Raises
        ------
        ValueError
            If they make no sense (see `WeightedSampler`), or if the next iteration is to go on in the
            middle of an epoch.
        """
        given = np.asarray(weights, dtype=np.float64).copy()
        if given.shape != (self.n,):
            raise ValueError(
                f"weights is one number for each of {self.n} structures, not of shape {given.shape}"
            )
        if self.pending().position > 0:
            raise ValueError(
                "the next iteration goes on in the middle of an epoch: update the weights after it"
            )
        bad = np.flatnonzero(~(np.isfinite(given) & (given >= 0)))
        if len(bad):
            raise ValueError(
                f"the weight of structure {bad[0]} is {given[bad[0]]}; weights are finite and not negative"
            )
        largest = given.max(initial=0.0)
        scaled = given / largest if largest > 0 else given  # neither sums nor keys of these overflow
        drawable = np.count_nonzero(scaled)
        needed = min(1, self.n_samples) if self.replacement else self.n_samples
        if drawable < needed:
            raise ValueError(
                f"{drawable} of {self.n} weights are above zero: too few to draw {self.n_samples} structures"
                + ("" if self.replacement else " without replacement")
            )
        self._weights = scaled
        self._digest = hashlib.blake2b(given.tobytes(), digest_size=8).hexdigest()

    def chunks(self, epoch: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
        """Yield this rank's structures of an epoch, from the `start`-th on."""
        # Not a generator: what it yields is drawn by the weights of now, whatever comes later.
        draw = self._again(epoch) if self.replacement else self._once(epoch).__getitem__
        return map(draw, self._places(start))

    def _again(self, epoch: int) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
        """Return a function from places to structures, drawn with replacement."""
        sums = np.cumsum(self._weights)
        seed = self.seed

        def draw(places: NDArray[np.int64]) -> NDArray[np.int64]:
            # Below the last sum, also when rounded, for that is at least 1.
            numbers = uniform(places, seed, epoch, _DRAW) * sums[-1]
            order = np.argsort(numbers)  # twice as fast in all as searching for them in random order
            found = np.empty(len(places), np.int64)
            found[order] = np.searchsorted(sums, numbers[order], side="right")
            return found

        return draw

    def _once(self, epoch: int) -> NDArray[np.int64]:
        """Return the structures of an epoch, drawn without replacement."""
        drawable = np.flatnonzero(self._weights)
        keys = -np.log1p(-uniform(drawable, self.seed, epoch, _DRAW)) / self._weights[drawable]
        first = drawable[np.argsort(keys, kind="stable")[: self.n_samples]]
        # In the order of the draws, the heavy ones would come first, and to the first rank.
        return first[shuffled(len(first), self.seed, epoch, _MIX)]
