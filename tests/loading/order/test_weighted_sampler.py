import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loading.order.epochs import epoch_of
from zstruct.loading.order.batch_samplers import BatchSampler
from zstruct.loading.order.weighted_sampler import WeightedSampler
from zstruct.random import uniform


def test_numbers_are_uniform_and_independent():
    numbers = uniform(np.arange(100_000), 3, 1)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    # The 99.9 % quantile of chi-square with 99 degrees of freedom.
    counts = np.bincount((numbers * 100).astype(int), minlength=100)
    assert ((counts - 1000) ** 2 / 1000).sum() < 148.2
    for lag in (1, 2, 7):
        assert abs(np.corrcoef(numbers[lag:], numbers[:-lag])[0, 1]) < 4 / np.sqrt(len(numbers))
    assert abs(np.corrcoef(numbers, uniform(np.arange(100_000), 3, 2))[0, 1]) < 4 / np.sqrt(len(numbers))


def test_draws_are_in_proportion_to_the_weights():
    weights = np.array([0.0, 1, 2, 3, 0, 14])
    counts = np.bincount(epoch_of(WeightedSampler(weights, 100_000, seed=1), 0), minlength=6)
    assert counts[weights == 0].tolist() == [0, 0]
    expected = 100_000 * weights[weights > 0] / 20
    # The 99.9 % quantile of chi-square with 3 degrees of freedom.
    assert ((counts[weights > 0] - expected) ** 2 / expected).sum() < 16.3


def test_without_replacement_sets_have_their_exact_probabilities():
    weights, draws = np.array([1.0, 2, 3, 4]), 3_000
    sampler = WeightedSampler(weights, 2, replacement=False)
    found = np.array([epoch_of(sampler, epoch) for epoch in range(draws)])
    assert np.all(found[:, 0] != found[:, 1])
    p = weights / 10
    statistic = 0.0
    for i, j in itertools.combinations(range(4), 2):
        # One first, the other one from what is left.
        expected = draws * (p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j]))
        count = np.count_nonzero(np.all(np.sort(found, axis=1) == (i, j), axis=1))
        statistic += (count - expected) ** 2 / expected
    # The 99.9 % quantile of chi-square with 5 degrees of freedom.
    assert statistic < 20.5
    # The order of those drawn tells nothing of their weights.
    assert abs(np.mean(found[:, 0] < found[:, 1]) - 0.5) < 4 * 0.5 / np.sqrt(draws)


@given(st.integers(1, 200), st.integers(0, 300), st.integers(1, 4), st.booleans(), st.integers(0, 2))
@settings(max_examples=100)
def test_ranks_share_the_draws_and_any_place_can_be_had(n, n_samples, ranks, replacement, epoch):
    n_samples = n_samples if replacement else min(n, n_samples)
    weights = np.arange(1, n + 1)
    whole = epoch_of(WeightedSampler(weights, n_samples, replacement, seed=2), epoch)
    assert len(whole) == n_samples
    if not replacement:
        assert len(set(whole.tolist())) == n_samples
    parts = [
        WeightedSampler(weights, n_samples, replacement, seed=2, rank=rank, world_size=ranks)
        for rank in range(ranks)
    ]
    assert np.array_equal(np.concatenate([epoch_of(part, epoch) for part in parts]), whole)
    assert sum(map(len, parts)) == n_samples
    start = n_samples // 3
    rest = epoch_of(WeightedSampler(weights, n_samples, replacement, seed=2), epoch, start)
    assert np.array_equal(rest, whole[start:])


def test_draws_depend_on_seed_epoch_and_weights_alone():
    weights = np.arange(1, 101)
    drawn = {
        (seed, epoch): epoch_of(WeightedSampler(weights, seed=seed), epoch).tolist()
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(set(map(tuple, drawn.values()))) == 4
    scaled = WeightedSampler(weights * 1e300, seed=1)  # whose sum is infinite
    scaled.set_epoch(1)
    assert list(scaled) == drawn[1, 1]
    assert list(scaled) == drawn[1, 1]


def test_the_draws_never_change():
    # Who resumes an epoch with a later version must find the same draws.
    assert epoch_of(WeightedSampler([1, 2, 3, 4], 10, seed=5), 1).tolist() == [0, 3, 0, 3, 1, 2, 2, 2, 3, 1]
    assert epoch_of(WeightedSampler([1, 2, 3, 4], 3, False, seed=5), 1).tolist() == [2, 0, 3]


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("batched", [False, True])
def test_new_weights_count_from_the_next_epoch_on(replacement, batched):
    first, second = np.repeat([1.0, 0.0], 50), np.repeat([0.0, 1.0], 50)
    sampler = WeightedSampler(first, 50, replacement, seed=1)
    expected = list(sampler)
    run = iter(BatchSampler(sampler, 5) if batched else sampler)
    found = list(np.ravel(next(run)))
    sampler.update(second)
    found += [int(i) for batch in run for i in np.ravel(batch)]
    assert found == expected
    assert max(expected) < 50 <= min(sampler)


def test_a_state_needs_the_weights_of_its_epoch():
    weights = np.arange(1, 51)
    sampler = WeightedSampler(weights, seed=3)
    whole = list(sampler)
    run = iter(sampler)
    for _ in range(20):
        next(run)
    sampler.update(weights[::-1])  # for the next one: this epoch has the others
    state = sampler.state_dict()
    resumed = WeightedSampler(weights)
    resumed.load_state_dict(state)
    with pytest.raises(ValueError, match="goes on in the middle of an epoch: update the weights after it"):
        resumed.update(weights[::-1])
    assert list(resumed) == whole[20:]
    with pytest.raises(
        ValueError, match=r"another order and can't be resumed: it was saved by Weighted.*digest"
    ):
        WeightedSampler(weights[::-1]).load_state_dict(state)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: WeightedSampler([1, -2, 3]),
            "the weight of structure 1 is -2.0; weights are finite and not",
        ),
        (lambda: WeightedSampler([1, 2, np.nan]), "the weight of structure 2 is nan"),
        (lambda: WeightedSampler([np.inf, 2]), "the weight of structure 0 is inf"),
        (lambda: WeightedSampler([0, 0.0]), "0 of 2 weights are above zero: too few to draw 2 structures"),
        (lambda: WeightedSampler([], 3), "0 of 0 weights are above zero"),
        (lambda: WeightedSampler([1, 0, 1], 3, False), "2 of 3 .* draw 3 structures without replacement"),
        (lambda: WeightedSampler([[1.0]]), r"one number for each structure, not of shape \(1, 1\)"),
        (lambda: WeightedSampler([1.0], -1), "n_samples must not be negative, but is -1"),
        (lambda: WeightedSampler([1.0, 2]).update([1.0]), r"for each of 2 structures, not of shape \(1,\)"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_no_structures_and_no_draws():
    assert list(WeightedSampler([])) == []
    assert list(WeightedSampler([0.0, 0.0], 0)) == []


def test_it_says_what_it_is():
    text = repr(WeightedSampler([1.0, 2.0], 3, seed=4))
    assert text.startswith("<WeightedSampler: 2 structures, 3 drawn by weights of digest ")
    assert text.endswith(", seed 4>")
