"""Choose the order and the batches that a loader's options ask for, from the sizes of a dataset.

How orders and batches are made is the affair of `samplers`, `weighted` and `batching`, and what a
loader does with them that of `loader`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from zstruct.loading.order.batch_samplers import BatchSampler, BucketBatchSampler, BudgetBatchSampler
from zstruct.loading.order.samplers import (
    BlockShuffleSampler,
    Even,
    SequentialSampler,
    ShuffleSampler,
    StructureSampler,
    block_edges,
)
from zstruct.loading.order.weighted_sampler import WeightedSampler
from zstruct.schema import ATOM, STRUCTURE

if TYPE_CHECKING:
    from zstruct.loading.dataset import ZarrStructureDataset

__all__ = ["Shuffle", "batches_of", "order_of"]

Shuffle = bool | Literal["full", "block"]

_FEW_BLOCKS, _MANY_BLOCKS = 8, 128  # in the window of a block shuffle
# Units in the window where blocks that follow each other come together in units, and blocks of a unit.
_FEW_UNITS, _MANY_TOGETHER = 12, 4
# Decoded bytes of a store up to which several ranks shuffle it in full, if nothing else is said.
_LARGE = 8 << 30


def order_of(
    dataset: ZarrStructureDataset,
    shuffle: Shuffle,
    weights: ArrayLike | None,
    *,
    seed: int | None,
    generator: torch.Generator | None,
    rank: int | None,
    world_size: int | None,
    even: Even,
) -> StructureSampler:
    """Return the order of a dataset's structures; `ZarrStructureDataset.loader` says what options mean."""
    rank, world_size = _ranks(rank, world_size)
    seed = _seed(seed, generator, bool(shuffle) or weights is not None, world_size)
    if weights is None:
        common = {"seed": seed, "rank": rank, "world_size": world_size, "even": even}
        return _sampler(dataset, shuffle, world_size > 1, **common)
    sampler = WeightedSampler(weights, seed=seed, rank=rank, world_size=world_size, even=even)
    if sampler.n != len(dataset):
        raise ValueError(
            f"there are {sampler.n:,} weights for the {len(dataset):,} structures of the dataset"
        )
    return sampler


def batches_of(
    dataset: ZarrStructureDataset,
    sampler: Any,
    batch_size: int,
    *,
    max_atoms: int | None,
    max_edges: int | None,
    bucket_size: int | None,
    drop_last: bool,
) -> BatchSampler | BudgetBatchSampler | torch.utils.data.BatchSampler:
    """Return batches of a sampler's structures; `ZarrStructureDataset.loader` says what options mean."""
    sized = {"max_atoms": max_atoms, "max_edges": max_edges, "bucket_size": bucket_size}
    given = [name for name, value in sized.items() if value is not None]
    if not isinstance(sampler, StructureSampler):
        if given:
            raise ValueError(f"{given[0]} needs a sampler of zstruct, not {type(sampler).__name__}")
        return torch.utils.data.BatchSampler(sampler, batch_size, drop_last)
    if sampler.n != len(dataset):
        raise ValueError(
            f"the sampler is one of {sampler.n:,} structures, and the dataset has {len(dataset):,}"
        )
    if not given:
        return BatchSampler(sampler, batch_size, drop_last)
    n_edges = None if max_edges is None else dataset._edge_counts()
    budgets: dict[str, Any] = {"max_atoms": max_atoms, "max_edges": max_edges, "n_edges": n_edges}
    bounded = max_atoms is not None or max_edges is not None
    most = None if bounded and batch_size == 1 else batch_size
    if bucket_size is None:
        return BudgetBatchSampler(sampler, dataset._counts(), most, drop_last=drop_last, **budgets)
    return BucketBatchSampler(sampler, dataset._counts(), most, bucket_size, drop_last=drop_last, **budgets)


def _ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    if (rank is None) != (world_size is None):
        raise ValueError("rank and world_size go together: give both, or neither")
    if rank is not None and world_size is not None:
        return rank, world_size
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _seed(seed: int | None, generator: torch.Generator | None, random: bool, world_size: int) -> int:
    if seed is not None:
        return seed
    if not random or (generator is None and world_size > 1):
        return 0  # all ranks must agree
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator).item())


def _sampler(
    dataset: ZarrStructureDataset, shuffle: Shuffle, several: bool, **common: Any
) -> StructureSampler:
    """Return an order; for one of several ranks, the same on all of them."""
    if not shuffle:
        return SequentialSampler(len(dataset), **common)
    # The memory that is available differs between ranks; what was asked for does not.
    alike = several and not all(cache.place.settled for cache in dataset._caches)
    if alike:
        fits = sum(cache.nbytes for cache in dataset._caches) <= _LARGE
    else:
        fits = all(cache.place.flat for cache in dataset._caches)
    if shuffle == "full" or (shuffle is True and fits):
        return ShuffleSampler(len(dataset), **common)
    edges, window = _blocks(dataset, alike)
    rows, order = dataset._rows, None
    if rows is not None:
        if np.any(rows[1:] < rows[:-1]):
            order = np.argsort(rows, kind="stable")
            rows = rows[order]
        edges = np.unique(np.searchsorted(rows, edges))
    return BlockShuffleSampler(edges, window, order=order, **common)


def _blocks(dataset: ZarrStructureDataset, alike: bool) -> tuple[NDArray[np.int64], int]:
    """Return the edges of the blocks to shuffle, in structures of the store, and how many at once.

    A block is one of the cache's, of that dimension which has the fewer. Where too few of these fit
    into a third of the budget, it is one of the others. A structure that lies across the edge of two
    blocks has both decoded: where the window has many, some that follow each other come together.

    If `alike`, the budget does not count, which other ranks may not have.
    """
    # Where pairs have a cache of their own, the budget is divided: the larger one says the same of both.
    cache, n = max(dataset._caches, key=lambda one: one.nbytes), dataset.store.n_structures
    found = []
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
