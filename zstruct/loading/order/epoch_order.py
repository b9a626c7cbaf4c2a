"""Choose the order and the batches that options ask for, from the sizes of a dataset.

How orders and batches are made is known to the samplers beside it. Which rank this is and what
seed was drawn is said in numbers: nothing is known here of torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.loading.cache.cache import BlockCache
from zstruct.loading.loader_options import Batches, Ranks, Shuffle
from zstruct.loading.order.batch_samplers import BatchSampler, BucketBatchSampler, BudgetBatchSampler
from zstruct.loading.order.block_shuffle_sampler import BlockShuffleSampler, block_edges
from zstruct.loading.order.mixture_sampler import MixtureSampler
from zstruct.loading.order.samplers import SequentialSampler, ShuffleSampler, StructureSampler
from zstruct.loading.order.weighted_sampler import WeightedSampler
from zstruct.schema import ATOM, STRUCTURE

__all__ = ["Loadable", "Mixed", "batches_of", "check_alone", "order_of"]

_MANY_AHEAD = 8  # chunks to have decoded early where all stays
_FEW_BLOCKS, _MANY_BLOCKS = 8, 128  # in the window of a block shuffle
# Units in the window where blocks that follow each other come together in units, and blocks of a unit.
_FEW_UNITS, _MANY_TOGETHER = 12, 4
# Decoded bytes of a store up to which several ranks shuffle it in full, if nothing else is said.
_LARGE = 8 << 30


@dataclass(frozen=True, eq=False)
class Mixed:
    """What has to be known of structures that are those of several parts, one after the other.

    Parameters
    ----------
    parts
        The parts.
    shares
        The proportions in which they come, shape (n_parts,); None: every structure comes once.
    window, length, places
        As for `zstruct.loading.order.MixtureSampler`.
    """

    parts: Sequence[Loadable]
    shares: NDArray[np.float64] | None
    window: int
    length: int | None
    places: NDArray[np.int64] | None


class Loadable(Protocol):
    """What has to be known of structures to order them and to cut them into batches."""

    def __len__(self) -> int:
        """How many there are."""

    @property
    def rows(self) -> NDArray[np.int64] | None:
        """Which structures of a store they are, shape (n,); None: all of them."""

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """How many atoms each has, shape (n,)."""

    @property
    def n_edges(self) -> NDArray[np.int64]:
        """How many edges each has, shape (n,)."""

    @property
    def caches(self) -> Sequence[BlockCache]:
        """Where their decoded blocks are kept."""

    @property
    def mixed(self) -> Mixed | None:
        """The parts that they are of; None: they are those of one store."""


def order_of(data: Loadable, shuffle: Shuffle | None, seed: int, ranks: Ranks) -> StructureSampler:
    """Return the order of structures that options ask for.

    Parameters
    ----------
    data
        The structures.
    shuffle
        How they are shuffled; None: they are not.
    seed
        Chooses the orders; the same on all ranks.
    ranks
        Which share of them is this one's; numbers, not None.

    Raises
    ------
    InputError
        If weights make no sense.
    """
    rank, world_size = ranks.rank or 0, ranks.world_size or 1
    common: dict[str, Any] = {"seed": seed, "rank": rank, "world_size": world_size, "even": ranks.even}
    mixed = data.mixed
    if mixed is not None and mixed.shares is not None:
        if shuffle is not None and shuffle.weights is not None:
            raise InputError(
                "the mixture has proportions of its parts, and the shuffle weights of structures: give one "
                "of them"
            )
        return _in_turns(mixed, mixed.shares, shuffle, world_size > 1, **common)
    if shuffle is None:
        return SequentialSampler(len(data), **common)
    if shuffle.weights is None:
        if mixed is None:
            return _shuffled(data, shuffle.how, world_size > 1, **common)
        if shuffle.how == "full" or (shuffle.how == "auto" and _fits(data.caches, world_size > 1)):
            return ShuffleSampler(len(data), **common)
        # Each part goes through its own window of blocks, in proportion to its size: all end together.
        sizes = np.array([len(part) for part in mixed.parts], np.float64)
        return _in_turns(mixed, sizes, shuffle, world_size > 1, **common)
    sampler = WeightedSampler(shuffle.weights, **common)
    if sampler.n != len(data):
        raise InputError(f"there are {sampler.n:,} weights for the {len(data):,} structures of the dataset")
    return sampler


def batches_of(data: Loadable, sampler: StructureSampler, batches: Batches) -> BatchSampler:
    """Return batches of a sampler's structures.

    Raises
    ------
    InputError
        If the sampler is one of other structures, or if one structure alone is too large for a batch.
    """
    if sampler.n != len(data):
        raise InputError(f"the sampler is one of {sampler.n:,} structures, and the dataset has {len(data):,}")
    if batches.size is not None and not batches.bounded and batches.bucket is None:
        return BatchSampler(sampler, batches.size, batches.drop_last)
    sized: dict[str, Any] = {
        "max_atoms": batches.max_atoms,
        "max_edges": batches.max_edges,
        "n_edges": None if batches.max_edges is None else data.n_edges,
        "drop_last": batches.drop_last,
    }
    if batches.bucket is None:
        return BudgetBatchSampler(sampler, data.n_atoms, batches.size, **sized)
    return BucketBatchSampler(sampler, data.n_atoms, batches.size, batches.bucket, **sized)


def check_alone(batches: Batches, shuffle: Shuffle | None, ranks: Ranks, sampler: Any, batched: Any) -> None:
    """Raise if options say what a sampler, or one of batches, of the user's says already."""
    if sampler is None and batched is None:
        return
    given = {"shuffle": shuffle is not None, "ranks": ranks != Ranks()}
    if batched is not None:
        given |= {"batch_size": batches != Batches(1), "sampler": sampler is not None}
    if said := [name for name, is_given in given.items() if is_given]:
        which = "sampler" if batched is None else "batch_sampler"
        raise InputError(f"{', '.join(said)} can't be combined with {which}, which says it all")


def _in_turns(
    mixed: Mixed, shares: NDArray[np.float64], shuffle: Shuffle | None, several: bool, **common: Any
) -> MixtureSampler:
    """Return an order in which parts come in proportion, each in an order of its own."""
    orders: list[StructureSampler] = [
        SequentialSampler(len(part)) if shuffle is None else _shuffled(part, shuffle.how, several)
        for part in mixed.parts
    ]
    options: dict[str, Any] = {"window": mixed.window, "length": mixed.length, "places": mixed.places}
    return MixtureSampler(orders, shares, mix=shuffle is not None, **options, **common)


def _fits(caches: Sequence[BlockCache], several: bool) -> bool:
    """Return whether all is decoded once and stays; for one of several ranks, the same on all of them."""
    if _alike(caches, several):
        return sum(cache.nbytes for cache in caches) <= _LARGE
    return all(cache.place.flat for cache in caches)


def _alike(caches: Sequence[BlockCache], several: bool) -> bool:
    """Return whether choices must not depend on memory: ranks may have more or less of it."""
    return several and not all(cache.place.settled for cache in caches)


def _shuffled(data: Loadable, how: str, several: bool, **common: Any) -> StructureSampler:
    """Return a random order; for one of several ranks, the same on all of them."""
    if how == "full" or (how == "auto" and _fits(data.caches, several)):
        return ShuffleSampler(len(data), **common)
    edges, window = _blocks(data.caches, _alike(data.caches, several))
    rows, order = data.rows, None
    if rows is not None:
        if np.any(rows[1:] < rows[:-1]):
            order = np.argsort(rows, kind="stable")
            rows = rows[order]
        edges = np.unique(np.searchsorted(rows, edges))
    sampler = BlockShuffleSampler(edges, window, order=order, **common)
    if all(cache.place.flat for cache in data.caches):  # what comes early drives out nothing
        sampler.ahead = _MANY_AHEAD
    return sampler


def _blocks(caches: Sequence[BlockCache], alike: bool) -> tuple[NDArray[np.int64], int]:
    """Return the edges of the blocks to shuffle, in structures of the store, and how many at once.

    A block is one of the cache's, of that dimension which has the fewer. Where too few of these fit
    into a third of the budget, it is one of the others. A structure that lies across the edge of two
    blocks has both decoded: where the window has many, some that follow each other come together.

    If `alike`, the budget does not count, which other ranks may not have.
    """
    # Where pairs have a cache of their own, the budget is divided: the larger one says the same of both.
    cache = max(caches, key=lambda one: one.nbytes)
    n, found = cache.store.n_structures, []
    if STRUCTURE in cache.tables:
        found.append(np.append(np.arange(0, n, cache.tables[STRUCTURE].block_rows), n))
    if ATOM in cache.tables:
        found.append(block_edges(cache.offsets, cache.tables[ATOM].block_rows))
    found.sort(key=len)
    room = cache.nbytes // 8 if alike else min(cache.cache_bytes // 3, cache.nbytes // 8)
    for edges in found:
        window = min(max(1, room * (len(edges) - 1) // max(1, cache.nbytes)), _MANY_BLOCKS)
        if window >= _FEW_BLOCKS or edges is found[-1]:
            together = min(max(1, window // _FEW_UNITS), _MANY_TOGETHER)
            return np.append(edges[:-1:together], edges[-1]), window // together
    return np.array([0, n]), 1
