"""Structures of several parts in proportion: exact over windows, each part in its own order. Policy only.

As the other samplers, this one knows numbers, not stores. Whose turn it is follows from the proportions, and
any turn can be found without those before it.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.arguments import array_of, count, shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.loading.loader_options import Even
from zstruct.loading.order.block_shuffle_sampler import BlockShuffleSampler
from zstruct.loading.order.kernels import take_turns
from zstruct.loading.order.samplers import StructureSampler
from zstruct.random import hashes

__all__ = ["MixtureSampler", "turns_taken"]

_TURNS = 6  # the samplers use other numbers in the place of this in their keys
_CHUNK, _SMALL_CHUNK = 1 << 15, 1 << 12  # structures; few where those that come early drive out others
_TURN = 3e-6  # seconds that Python takes for a turn and a part, about
_NONE = np.empty(0, np.int64)
_EXACT = 1 << 31  # proportions up to here are compared exactly


class MixtureSampler(StructureSampler):
    """Structures of several parts, in given proportions, each part in the order of a sampler of its own.

    Any number of turns in a row from the first one on are divided among the parts by Webster's method: in as
    close to the proportions as whole numbers can be. A window in which the proportions are whole numbers has
    just these: 3 : 1 are 768 and 256 of each 1,024 structures. In others, a part has the whole number below
    or above, and never drifts. Inside of each window, the turns are shuffled.

    A part goes on where it was in the epoch before: all of its structures come once before any comes again,
    however many epochs that takes, or however often in one. Then its sampler goes through its next epoch.

    Parameters
    ----------
    parts
        The order of each part, of one rank. The structures of the dataset are those of the first one, then
        those of the next.
    shares
        The proportions of the parts, shape (n_parts,), on any scale. Those of zero are never drawn.
    window
        Structures among which turns are shuffled.
    length
        Structures in an epoch, of all ranks together; by default as many as there are.
    mix
        Whether turns are shuffled; without, every epoch is the same.
    places
        Where in the dataset the structures of the parts are, shape (n,), if not in that order.
    seed, rank, world_size, even
        As for `StructureSampler`. Each rank takes a range of all turns; its windows begin with it.

    Raises
    ------
    InputError
        If proportions make no sense, if one is of a part without structures, or if a number is out of its
        range.
    ArgumentTypeError
        If a part is no sampler.

    References
    ----------
    Balinski and Young, Fair Representation (2001), on Webster's method.

    Examples
    --------
    >>> from zstruct.loading.order.samplers import SequentialSampler
    >>> parts = [SequentialSampler(6), SequentialSampler(2)]
    >>> list(MixtureSampler(parts, [1.0, 1.0], mix=False))
    [0, 6, 1, 7, 2, 6, 3, 7]
    """

    def __init__(
        self,
        parts: Sequence[StructureSampler],
        shares: ArrayLike,
        *,
        window: int = 1024,
        length: int | None = None,
        mix: bool = True,
        places: NDArray[np.int64] | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        even: Even = None,
    ):
        listed = isinstance(parts, Iterable) and getattr(parts, "ndim", 1) > 0
        self.parts = list(parts) if listed else []
        if not listed or not all(isinstance(part, StructureSampler) for part in self.parts):
            raise ArgumentTypeError(f"parts are samplers of zstruct in a list, not {shown(parts)}")
        sizes = np.array([part.n for part in self.parts], np.int64)
        super().__init__(int(sizes.sum()), seed=seed, rank=rank, world_size=world_size, even=even)
        self.shares = _checked(shares, sizes)
        self.window = count("window", window, 1)
        self._length = self.n if length is None else count("length", length)
        if self._length and not self.shares.any():
            raise InputError("all proportions are zero: there is nothing to draw")
        if not isinstance(mix, bool | np.bool_):
            raise ArgumentTypeError(f"mix is True or False, not {shown(mix)}")
        if places is not None and array_of("places", places).shape != (self.n,):
            raise InputError(f"places are those of {self.n:,} structures, not {shown(places)}")
        self.mix, self.places = bool(mix), places
        self._firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else sizes

    @property
    def length(self) -> int:
        """Structures in an epoch, of all ranks together."""
        return self._length

    def recipe(self) -> str:
        """Return what the order depends on, beside seed and epoch, for people."""
        said = " : ".join(f"{share:.4g}" for share in self.shares)
        digest = hashlib.blake2b(self.shares.tobytes(), digest_size=8).hexdigest()
        orders = "; ".join(part.recipe() for part in self.parts)
        how = f"mixed in windows of {self.window:,}" if self.mix else "in turns"
        return (
            f"{super().recipe()}, {self._length:,} drawn in proportions {said} of digest {digest}, {how}, "
            f"from {orders or 'nothing'}"
        )

    def chunks(self, epoch: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
        """Yield this rank's structures of an epoch, from the `start`-th on."""
        length = self._length
        begin, n = self.share(length)
        # A padded share may pass the end and go on at the beginning.
        for first, last in ((begin, min(begin + n, length)), (0, max(0, begin + n - length))):
            if start < last - first:
                yield from self._run(epoch, first, last - first, start)
            start = max(0, start - (last - first))

    def _run(self, epoch: int, first: int, n: int, start: int) -> Iterator[NDArray[np.int64]]:
        """Yield the structures of `n` turns from the `first` one on, but for `start` of them."""
        skipped = start % self.window
        at, number = start - skipped, start // self.window
        drawing = np.flatnonzero(self.shares)
        shares = self.shares[drawing]
        taken = turns_taken(shares, first + at)
        drawn_before = turns_taken(shares, self._length) * (epoch if self.mix else 0) + taken
        seeds = hashes(len(self.parts), self.seed)
        draws = [
            _Draws(self.parts[p], int(seeds[p] >> np.uint64(1)), int(drawn))
            for p, drawn in zip(drawing.tolist(), drawn_before, strict=True)
        ]
        blocks = any(isinstance(part, BlockShuffleSampler) for part in self.parts)
        rows = max(1, (_SMALL_CHUNK if blocks else _CHUNK) // self.window) * self.window
        key = np.random.SeedSequence((self.seed, epoch, _TURNS, first)).generate_state(2, np.uint64)
        while at < n:
            turns, before = np.empty(min(rows, n - at), np.int64), taken.copy()
            run = take_turns.for_work(_TURN * len(turns) * (1 + len(shares)))
            run(shares, taken, self.window, number, key | np.uint64(1), self.mix, turns)
            drawn = [
                draw.take(int(m)) + self._firsts[p]
                for draw, m, p in zip(draws, taken - before, drawing, strict=True)
            ]
            found = np.concatenate([_NONE, *drawn])[turns]
            found = found[skipped:]
            yield found if self.places is None else self.places[found]
            at, number, skipped = at + len(turns), number + rows // self.window, 0


class _Draws:
    """The structures of a part, one after the other, for as many epochs of its own as it takes.

    Parameters
    ----------
    order
        Its order.
    seed
        Chooses it.
    drawn
        How many were drawn before.
    """

    def __init__(self, order: StructureSampler, seed: int, drawn: int):
        self._order = copy.copy(order)
        self._order.seed = seed
        self._epoch, position = divmod(drawn, order.n)
        self._chunks = self._order.chunks(self._epoch, position)
        self._left = _NONE

    def take(self, n: int) -> NDArray[np.int64]:
        """Return the next `n` structures, counting those of the part."""
        found = []
        while n > 0:
            if len(self._left) == 0:
                chunk = next(self._chunks, None)
                if chunk is None:
                    self._epoch += 1
                    self._chunks = self._order.chunks(self._epoch)
                    continue
                self._left = chunk
            found.append(self._left[:n])
            self._left = self._left[n:]
            n -= len(found[-1])
        return found[0] if len(found) == 1 else np.concatenate([_NONE, *found])


def turns_taken(shares: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return how many of the first `n` turns each part has, by Webster's method.

    Parameters
    ----------
    shares
        The proportions of the parts, each above zero.
    n
        The turns.

    Examples
    --------
    >>> turns_taken(np.array([2.0, 1.0]), 3), turns_taken(np.array([2.0, 1.0]), 3_000_000_001)
    (array([2, 1]), array([2000000001, 1000000000]))
    """
    if len(shares) == 0:
        return np.empty(0, np.int64)
    taken = np.floor(n * shares / shares.sum() + 0.5).astype(np.int64)

    # In the order of turns, of which equal ones go to the first part. The kernel divides the same way.
    def latest() -> int:
        due = np.where(taken > 0, (taken - 0.5) / shares, -np.inf)
        return len(due) - 1 - int(np.argmax(due[::-1]))

    def soonest() -> int:
        return int(np.argmin((taken + 0.5) / shares))

    while taken.sum() > n:
        taken[latest()] -= 1
    while taken.sum() < n:
        taken[soonest()] += 1
    while True:  # what rounding has put wrong
        one, other = latest(), soonest()
        if n == 0 or ((taken[one] - 0.5) / shares[one], one) <= ((taken[other] + 0.5) / shares[other], other):
            return taken
        taken[one] -= 1
        taken[other] += 1


def _checked(shares: ArrayLike, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return proportions as whole numbers, if they are those of whole numbers or of decimals."""
    try:
        given = np.array(shares, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"proportions are one number for each part, not {shares!r}") from None
    if given.shape != sizes.shape:
        raise InputError(f"there are {len(sizes)} parts, and proportions of shape {given.shape}")
    bad = np.flatnonzero(~(np.isfinite(given) & (given >= 0)))
    if len(bad):
        raise InputError(
            f"the proportion of part {bad[0]} is {given[bad[0]]}; proportions are finite and not negative"
        )
    empty = np.flatnonzero((given > 0) & (sizes == 0))
    if len(empty):
        raise InputError(f"part {empty[0]} has no structures, but a proportion of {given[empty[0]]}")
    return _whole(given)


def _whole(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 0.7 and 0.3 as 7 and 3, so that equal turns are equal in floating point, too."""
    fractions = [Fraction(repr(share)) for share in shares.tolist()]
    scale = math.lcm(*(fraction.denominator for fraction in fractions))
    numbers = [int(fraction * scale) for fraction in fractions]
    if max(numbers, default=0) < _EXACT:
        return np.array(numbers, np.float64) / max(1, math.gcd(*numbers))
    return shares / shares.max(initial=0.0)  # sums of these don't overflow
