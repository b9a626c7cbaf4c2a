"""A shuffle for stores larger than memory: few blocks are in use at a time, each for one stretch.

As the other samplers, this one knows numbers, not stores: where blocks begin and end is all that it is told.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.loading.loader_options import Even
from zstruct.loading.order.samplers import StructureSampler
from zstruct.random import shuffled

__all__ = ["BlockShuffleSampler", "block_edges"]

_MANY_AHEAD = 8  # blocks to decode before they are needed: more would drive out what is in use


class BlockShuffleSampler(StructureSampler):
    """A shuffle that reads nearly in sequence, for stores larger than memory.

    The blocks (ranges of consecutive structures that are decoded together) come in random order
    and pass through a window of `window` blocks. At each step one block enters and one leaves, and
    every block in the window gives a random share of its structures, which are shuffled among each
    other. So only `window` blocks are in use at any time, the structures of a block are needed for
    one stretch of the epoch, and decoding goes on evenly.

    Mixing: structures of one block are spread over `window` blocks' worth of the epoch, together
    with those of up to 2 `window` - 2 other random blocks; the place in the epoch tells nothing of
    the place in the store. Structures that follow each other are on average 1 - 1 / `window` times
    as far from each other in the store as in a full shuffle (measured in
    ``tests/loading/order/test_block_shuffle_sampler.py``). With no more blocks than the window, it is
    the full shuffle.

    Parameters
    ----------
    edges
        Where blocks begin and end among the structures, shape (blocks + 1,), from 0 to their
        number, not decreasing. See `block_edges`.
    window
        Blocks in use at the same time.
    order
        Indices of the dataset in the order in which the structures lie in the store, shape
        (edges[-1],), where that is not the order of the dataset.
    seed, rank, world_size, even
        As for `StructureSampler`. A rank reads blocks of its own, but for those that it shares
        with its neighbours.

    Raises
    ------
    ValueError
        If `edges` are none, if `order` is not as long, or if a number is out of its range.

    Examples
    --------
    >>> sampler = BlockShuffleSampler([0, 4, 8, 10], window=2, seed=1)
    >>> sorted(sampler)
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    def __init__(
        self,
        edges: ArrayLike,
        window: int = 16,
        *,
        order: NDArray[np.int64] | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        even: Even = None,
    ):
        self.edges = np.asarray(edges, dtype=np.int64)
        if self.edges.ndim != 1 or len(self.edges) == 0 or self.edges[0] or np.any(np.diff(self.edges) < 0):
            raise ValueError("edges are the borders of blocks: they begin with 0 and never decrease")
        if window < 1:
            raise ValueError(f"window is a number of blocks, at least 1, not {window}")
        if order is not None and len(order) != self.edges[-1]:
            raise ValueError(f"order has {len(order)} structures, the blocks have {self.edges[-1]}")
        super().__init__(int(self.edges[-1]), seed=seed, rank=rank, world_size=world_size, even=even)
        self.window, self.order = window, order
        self.ahead = max(1, min(window // 4, _MANY_AHEAD))

    def recipe(self) -> str:
        """Return what the order depends on, beside seed and epoch, for people."""
        return f"{super().recipe()}, {len(self.edges) - 1:,} blocks, window {self.window}"

    def _pieces(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where this rank's parts of blocks begin, and how long they are, in random order."""
        n_blocks = len(self.edges) - 1
        blocks = shuffled(n_blocks, self.seed, epoch, 0)
        lengths = np.diff(self.edges)[blocks]
        stops = np.cumsum(lengths)
        begin, count = self.share(self.n)
        starts, taken = [], []
        # A padded share may pass the end and go on at the beginning.
        for low, high in ((begin, min(begin + count, self.n)), (0, max(0, begin + count - self.n))):
            first = np.maximum(stops - lengths, low)
            rows = np.minimum(stops, high) - first
            some = rows > 0
            starts.append((self.edges[:-1][blocks] + first - (stops - lengths))[some])
            taken.append(rows[some])
        return np.concatenate(starts), np.concatenate(taken)

    def chunks(self, epoch: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
        """Yield this rank's structures of an epoch, from the `start`-th on."""
        starts, lengths = self._pieces(epoch)
        window = min(self.window, len(starts))
        if window == 0:
            return
        steps = np.arange(len(starts) - window + 1)
        sizes = np.zeros(len(steps), dtype=np.int64)
        for k in range(window):
            low, high = _part(steps + k, steps, lengths, window)
            sizes += high - low
        stops = np.cumsum(sizes)
        entered: dict[int, NDArray[np.int64]] = {}
        for step in range(int(np.searchsorted(stops, start, side="right")), len(steps)):
            entered.pop(step - 1, None)
            places = np.arange(step, step + window)
            parts = []
            for j, low, high in zip(places.tolist(), *_part(places, step, lengths, window), strict=True):
                if j not in entered:
                    inside = shuffled(int(lengths[j]), self.seed, epoch, 1, int(starts[j]))
                    entered[j] = starts[j] + inside
                parts.append(entered[j][low:high])
            found = np.concatenate(parts)
            found = found[shuffled(len(found), self.seed, epoch, 2, self.rank, step)]
            found = found[max(0, start - int(stops[step] - sizes[step])) :]
            yield found if self.order is None else self.order[found]


def _part(
    piece: NDArray[np.int64], step: NDArray[np.int64] | int, lengths: NDArray[np.int64], window: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which share of a piece (from, to) a step of the window shows."""
    first = np.maximum(piece - window + 1, 0)
    shows = np.minimum(piece, len(lengths) - window) - first + 1
    share = step - first
    return lengths[piece] * share // shows, lengths[piece] * (share + 1) // shows


def block_edges(offsets: NDArray[np.int64], block_rows: int) -> NDArray[np.int64]:
    """Return the edges of blocks in structures: which structures begin in each block of atoms.

    Parameters
    ----------
    offsets
        Atom edges of the structures, shape (n + 1,).
    block_rows
        Atoms of a block.

    Examples
    --------
    >>> block_edges(np.array([0, 3, 5, 9, 12]), 4)
    array([0, 2, 3, 4])
    """
    n = len(offsets) - 1
    inner = np.searchsorted(offsets[:-1], np.arange(block_rows, int(offsets[-1]), block_rows))
    return np.unique(np.concatenate([[0], inner, [n]])).astype(np.int64)
