"""The order of structures in a store that is built: that of the inputs, a chosen one, or a drawn one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from zstruct.building.blocks import Block
from zstruct.building.part_blocks import PartBlock
from zstruct.ragged import counts_to_offsets

__all__ = ["order_of"]


def order_of(
    blocks: Sequence[Block], wanted: Mapping[int, NDArray[np.int64]], shuffle_seed: int | None
) -> NDArray[np.int64] | None:
    """Return which structure of the parts each becomes that is stored; None: all, in their order.

    Parameters
    ----------
    blocks
        What the parts hold.
    wanted
        Of stores whose structures were chosen in another order than theirs, by place among the inputs: their
        positions in that order.
    shuffle_seed
        If given, the order is drawn with it.
    """
    order: NDArray[np.int64] | None = None
    if wanted:
        pieces: list[NDArray[np.int64]] = []
        edges = counts_to_offsets([block.n_structures for block in blocks])
        for k, block in enumerate(blocks):
            place = block.input if isinstance(block, PartBlock) else None
            if place is None or place not in wanted:
                pieces.append(np.arange(edges[k], edges[k + 1]))
            elif k == 0 or getattr(blocks[k - 1], "input", None) != place:
                same = [i for i, one in enumerate(blocks) if getattr(one, "input", None) == place]
                pieces.append(_placed(wanted[place], blocks, same, edges))
        order = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64)
    if shuffle_seed is None:
        return order
    n = sum(block.n_structures for block in blocks) if order is None else len(order)
    shuffled = np.random.default_rng(shuffle_seed).permutation(n)
    return shuffled if order is None else order[shuffled]


def _placed(
    wanted: NDArray[np.int64], blocks: Sequence[Block], same: Sequence[int], edges: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the structures of the parts that positions in a store became, without those left out."""
    found = [block.places() for i in same if isinstance(block := blocks[i], PartBlock)]
    places = np.concatenate(found)  # each once, ascending
    rows = np.concatenate([np.arange(edges[i], edges[i + 1]) for i in same])
    at = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
    return rows[at[places[at] == wanted]]
