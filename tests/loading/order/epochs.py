"""Samplers for tests, and what is said of the order of their epochs."""

import itertools

import numpy as np

from zstruct.loading.order.block_shuffle_sampler import BlockShuffleSampler
from zstruct.loading.order.samplers import SequentialSampler, ShuffleSampler

KINDS = ["sequential", "full", "block"]


def make(kind, n, window=3, blocks=7, **options):
    if kind == "block":
        edges = np.unique(np.linspace(0, n, blocks + 1).astype(int))
        return BlockShuffleSampler(edges, window, **options)
    return {"sequential": SequentialSampler, "full": ShuffleSampler}[kind](n, **options)


def joined(lists):
    return list(itertools.chain.from_iterable(lists))


def epoch_of(sampler, epoch, start=0):
    return np.concatenate([np.empty(0, np.int64), *sampler.chunks(epoch, start)])


def mixing(order, n):
    """Return what `docs/loading.md` quotes about an order.

    Two numbers: the correlation between the place in the epoch and the place in the store (0 for a
    full shuffle), and the mean distance in the store of structures that follow each other, over
    that of a full shuffle, a third of the store.
    """
    correlation = np.corrcoef(np.arange(len(order)), order)[0, 1]
    return correlation, np.abs(np.diff(order)).mean() / (n / 3)
