"""Which structures an epoch loads, and in which order: policy only, no I/O.

A sampler knows how many structures there are, a seed, an epoch and a rank, nothing of stores. Its
order is a pure function of these: it is computed piece by piece where it is needed, never kept, so
that an epoch over 100 million structures starts at once, takes no memory, and can be resumed
anywhere. Give one to any ``DataLoader`` as ``sampler``, or as
``batch_sampler`` what `zstruct.loading.order.batch_samplers` makes of it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import count
from zstruct.loading.loader_options import Even, check_ranks
from zstruct.random import permuted

__all__ = ["EpochPass", "SequentialSampler", "ShuffleSampler", "StructureSampler"]

_CHUNK = 1 << 15  # small enough for the second-level cache, large enough that NumPy's overhead is nothing


@dataclass
class EpochPass:
    """One pass over an epoch: how many of this rank's structures were handed out, in which order."""

    epoch: int
    position: int
    recipe: str | None = None  # of the order; None before the pass begins


class StructureSampler:
    """What the samplers share: ranks, seeds, epochs and resuming. A subclass adds the order.

    Parameters
    ----------
    n
        Structures in the dataset.
    seed
        Chooses the orders; the same on all ranks.
    rank, world_size
        This process and how many there are. Every structure goes to exactly one rank; their
        numbers differ by one at most.
    even
        What to do about that one: ``"pad"`` repeats structures, ``"drop"`` leaves some out, so
        that all ranks have as many. None leaves it.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    ahead = 1  # chunks that may be fetched while others are used

    def __init__(self, n: int, *, seed: int = 0, rank: int = 0, world_size: int = 1, even: Even = None):
        n, seed = count("n", n), count("seed", seed)
        world_size, rank = count("world_size", world_size, 1), count("rank", rank)
        check_ranks(rank, world_size, even)
        self.n, self.seed, self.rank, self.world_size, self.even = n, seed, rank, world_size, even
        self._next = self._latest = EpochPass(0, 0)

    @property
    def length(self) -> int:
        """Structures in an epoch, of all ranks together."""
        return self.n

    def share(self, n: int) -> tuple[int, int]:
        """Return which of `n` things in a row go to this rank: the first, and how many.

        A padded share may pass the end; it goes on at the beginning.
        """
        ranks = self.world_size
        if self.even is None:
            begin = n * self.rank // ranks
            return begin, n * (self.rank + 1) // ranks - begin
        each = n // ranks if self.even == "drop" else -(-n // ranks)
        return self.rank * each % max(1, n), each

    def of_all_ranks(self) -> Self:
        """Return the same order for one rank that takes everything; later changes leave it as it is."""
        whole = copy.copy(self)
        whole.rank, whole.world_size = 0, 1
        return whole

    def __len__(self) -> int:
        return self.share(self.length)[1]

    def __repr__(self) -> str:
        rank = f", rank {self.rank}" if self.world_size > 1 else ""
        return f"<{self.recipe()}, seed {self.seed}{rank}>"

    def recipe(self) -> str:
        """Return what the order depends on, beside seed and epoch, for people."""
        ranks = f", {self.world_size} ranks, even={self.even!r}" if self.world_size > 1 else ""
        return f"{type(self).__name__}: {self.n:,} structures{ranks}"

    def _places(self, start: int) -> Iterator[NDArray[np.int64]]:
        """Yield the places in the order of all ranks that this rank takes, from the `start`-th on."""
        length = self.length
        begin, count = self.share(length)
        for k in range(start, count, _CHUNK):
            stop = begin + min(k + _CHUNK, count)
            places = np.arange(begin + k, stop, dtype=np.int64)
            yield places if stop <= length else places % length

    def chunks(self, epoch: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
        """Yield this rank's structures of an epoch in order, as arrays of any length.

        Parameters
        ----------
        epoch
            The epoch.
        start
            How many structures to leave out at the beginning.
        """
        raise NotImplementedError

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration goes through."""
        return self._next.epoch

    def pending(self) -> EpochPass:
        """Return where the next iteration begins."""
        return replace(self._next)

    def latest(self) -> EpochPass:
        """Return where the latest iteration is, or the next one if none began since it was chosen."""
        return replace(self._latest)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration, as with torch's ``DistributedSampler``.

        Right after `load_state_dict`, naming the epoch that was loaded keeps the place in it.
        """
        if epoch != self._next.epoch:
            self.seek(epoch)

    def seek(self, epoch: int, position: int = 0) -> None:
        """Let the next iteration begin in an epoch after `position` of this rank's structures."""
        if epoch < 0 or not 0 <= position <= self.length:
            raise ValueError(
                f"there is no place {position} in epoch {epoch}: an epoch has {self.length} structures"
            )
        self._next = self._latest = EpochPass(epoch, position)

    def begin(self, recipe: str | None = None) -> EpochPass:
        """Return the pass that an iteration starting now belongs to; it counts what it hands out.

        Parameters
        ----------
        recipe
            Of the order, where batches make another one of it.
        """
        self._latest, self._next = self._next, EpochPass(self._next.epoch, 0)
        self._latest.recipe = recipe or self.recipe()
        return self._latest

    def __iter__(self) -> Iterator[int]:
        current = self.begin()
        for chunk in self.chunks(current.epoch, current.position):
            for index in chunk.tolist():
                current.position += 1
                yield index

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on: recipe, seed, epoch and position.

        The position counts the structures that the latest iteration has handed out. A plain
        ``DataLoader`` with worker processes fetches ahead of what it hands on; ``ds.loader``
        returns loaders whose own ``state_dict`` counts what was received.
        """
        return self.state_of(self.latest(), self.recipe())

    def state_of(self, at: EpochPass, recipe: str) -> dict[str, Any]:
        """Return the state of a pass; one that is yet to begin follows `recipe`."""
        return {
            "sampler": at.recipe or recipe,
            "seed": self.seed,
            "epoch": at.epoch,
            "position": at.position,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another sampler of the same kind over the same structures was.

        Raises
        ------
        ValueError
            If the state is that of another kind of sampler, dataset or number of ranks.
        """
        self.resume(state, self.recipe())

    def resume(self, state: Mapping[str, Any], recipe: str) -> None:
        """Go on where a state says, if it is of the order that `recipe` describes."""
        if not isinstance(state, Mapping) or not {"sampler", "seed", "epoch", "position"} <= state.keys():
            raise ValueError(f"this is no state of a sampler or loader, as state_dict() gives it: {state!r}")
        if state["sampler"] != recipe:
            raise ValueError(
                f"the state is of another order and can't be resumed: it was saved by {state['sampler']}; "
                f"this is {recipe}; if the memory of the machine makes the difference, give both the same "
                "shuffle= and Cache(bytes=...)"
            )
        self.seed = int(state["seed"])
        self.seek(int(state["epoch"]), int(state["position"]))


class SequentialSampler(StructureSampler):
    """The structures in the order of the dataset; every rank has a range of its own.

    Parameters
    ----------
    n, seed, rank, world_size, even
        As for `StructureSampler`.

    Examples
    --------
    >>> list(SequentialSampler(7, rank=1, world_size=2))
    [3, 4, 5, 6]
    """

    def chunks(self, epoch: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
        """Yield this rank's structures in order, from the `start`-th on."""
        return self._places(start)


class ShuffleSampler(StructureSampler):
    """All structures in a new random order in every epoch.

    Parameters
    ----------
    n, seed, rank, world_size, even
        As for `StructureSampler`.

    Examples
    --------
    >>> sampler = ShuffleSampler(5, seed=1)
    >>> first = list(sampler)
    >>> sampler.set_epoch(1)
    >>> sorted(first) == sorted(sampler), first == list(sampler)
    (True, False)
    """

    def chunks(self, epoch: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
        """Yield this rank's structures of an epoch, from the `start`-th on."""
        for places in self._places(start):
            yield permuted(places, self.n, self.seed, epoch)
