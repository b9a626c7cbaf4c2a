"""Batches of an epoch without torch: a reader's structures, in an order and a layout.

`loader` does the same for torch, by threads or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import count
from zstruct.batch.packed import PackedBatch
from zstruct.errors import InputError
from zstruct.keywords import as_options
from zstruct.layouts.registry import Layout, function_of
from zstruct.layouts.vocabulary import Names
from zstruct.loading.loader_options import Batches, Ranks, Shuffle
from zstruct.loading.order.epoch_order import Loadable, batches_of, order_of

__all__ = ["numpy_batches"]


class _Reader(Loadable, Protocol):
    """What has to be known of a reader."""

    @property
    def elements(self) -> list[int]: ...

    @property
    def varies(self) -> bool: ...

    def set_epoch(self, epoch: int) -> None: ...

    def at_epoch(self, epoch: int) -> Self: ...

    def _packed(self, positions: NDArray[np.int64]) -> PackedBatch: ...


def numpy_batches(
    reader: _Reader,
    batch_size: int | Batches = 1,
    shuffle: bool | str | Shuffle = False,
    *,
    epoch: int = 0,
    layout: Layout | None = None,
    names: Names | None = None,
) -> Iterator[Any]:
    """Return all structures once, in batches.

    Parameters
    ----------
    reader
        The structures.
    batch_size
        Structures in a batch, or how batches are cut by size: `zstruct.loading.Batches`.
    shuffle
        Whether in random order, or in which: True, ``"full"``, ``"block"`` or
        `zstruct.loading.Shuffle`, whose seed is 0 if it has none.
    epoch
        Another order each, and that of `set_epoch`.
    layout
        Makes a batch of a `PackedBatch`: ``"graph"``, ``"padded"`` or ``"physnet"``, in NumPy, or a
        function such as ``functools.partial(layouts.physnet, as_numpy=True)``; by default it stays
        one.
    names
        For ``"graph"`` and ``"padded"``: names of the batch that are to be others, or the name of
        a project; see `layouts.graph`.

    Raises
    ------
    InputError
        If a number is out of its range, if a structure alone has more than the most atoms or edges of
        a batch, or if no layout has that name.
    ArgumentTypeError
        If an option is of another kind.
    """
    batches, order = as_options(Batches, batch_size), Shuffle.asked(shuffle)
    epoch = count("epoch", epoch)
    if layout is None and names is not None:
        raise InputError("names are for batches that a layout makes: give one, such as layout='graph'")
    join: Callable[[PackedBatch], Any] | None = None
    if layout is not None:
        join = function_of(layout, names, as_numpy=True, elements=lambda: reader.elements)
    seed = 0 if order is None or order.seed is None else order.seed
    chosen = batches_of(reader, order_of(reader, order, seed, Ranks(0, 1)), batches)
    return _made(reader, chosen.batches(epoch), epoch, join)


def _made(
    reader: _Reader,
    chosen: Iterator[NDArray[np.int64]],
    epoch: int,
    join: Callable[[PackedBatch], Any] | None,
) -> Iterator[Any]:
    reader.set_epoch(epoch)
    view = reader.at_epoch(epoch) if reader.varies else reader  # whatever others do meanwhile
    for positions in chosen:
        batch = view._packed(positions)
        yield batch if join is None else join(batch)
