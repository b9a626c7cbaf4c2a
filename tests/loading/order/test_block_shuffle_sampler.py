"""The shuffle of blocks: how well it mixes, how few blocks it uses at a time, and what are no blocks.

What it has in common with the other samplers is tested in `test_samplers`.
"""

import itertools

import numpy as np
import pytest

from tests.loading.order.epochs import epoch_of, mixing
from zstruct.loading.order.block_shuffle_sampler import BlockShuffleSampler, block_edges


@pytest.mark.parametrize(("window", "least"), [(8, 0.8), (16, 0.9), (64, 0.97)])
def test_blocks_are_mixed_well(window, least):
    n, n_blocks = 200_000, 200
    found = np.array(
        [
            mixing(epoch_of(BlockShuffleSampler(np.arange(0, n + 1, n // n_blocks), window, seed=s), 0), n)
            for s in range(8)
        ]
    )
    # The correlation of 200 random blocks has a standard deviation of 1 / sqrt(200).
    assert abs(found[:, 0].mean()) < 4 / np.sqrt(n_blocks * len(found))
    assert least < found[:, 1].mean() < 1.05


def test_few_blocks_are_in_use_at_a_time():
    n, width, window = 20_000, 100, 8
    order = epoch_of(BlockShuffleSampler(np.arange(0, n + 1, width), window, seed=1), 0) // width
    first = {block: k for k, block in reversed(list(enumerate(order.tolist())))}
    last = {block: k for k, block in enumerate(order.tolist())}
    # Each block is needed for one stretch of the epoch, about as long as the window.
    stretches = np.array([last[block] - first[block] for block in first])
    assert stretches.max() <= (window + 2) * 2 * width
    assert np.median(stretches) > (window - 2) * width
    changes = np.zeros(n + 1)
    for block in first:
        changes[first[block]] += 1
        changes[last[block] + 1] -= 1
    assert changes.cumsum().max() <= 2 * window
    # With no more blocks than the window it is the full shuffle.
    whole = epoch_of(BlockShuffleSampler([0, 5000, 10_000], 4), 0)
    assert abs(np.corrcoef(np.arange(10_000), whole)[0, 1]) < 0.05


def test_blocks_of_a_dataset_in_another_order():
    rows = np.random.default_rng(0).permutation(1000)
    order = np.argsort(rows)
    sampler = BlockShuffleSampler(np.arange(0, 1001, 50), 2, order=order, seed=1)
    found = epoch_of(sampler, 0)
    assert np.array_equal(np.sort(found), np.arange(1000))
    plain = epoch_of(BlockShuffleSampler(np.arange(0, 1001, 50), 2, seed=1), 0)
    assert np.array_equal(rows[found], plain)  # in the store, the same places


def test_block_edges():
    counts = np.random.default_rng(3).integers(0, 9, 300)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    edges = block_edges(offsets, 32)
    assert edges[0] == 0
    assert edges[-1] == 300
    for a, b in itertools.pairwise(edges):
        begin = offsets[a:b][counts[a:b] > 0] // 32
        assert len(np.unique(begin)) <= 1
    assert block_edges(np.array([0]), 4).tolist() == [0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: BlockShuffleSampler([1, 2]), "they begin with 0 and never decrease"),
        (lambda: BlockShuffleSampler([0, 2], 0), "at least 1, not 0"),
        (
            lambda: BlockShuffleSampler([0, 2], order=np.arange(3)),
            "order has 3 structures, the blocks have 2",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
