"""Which structure goes to which part: in proportion, whole groups together, as likely as any."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zstruct.random import hashes
from zstruct.splits.allocation import dealt, dealt_whole, rounded

fractions = st.lists(st.floats(0, 1), min_size=1, max_size=5).filter(lambda x: sum(x) > 1e-3)


shares = st.lists(st.integers(0, 40), min_size=1, max_size=5)


def test_hashes_are_splitmix64():
    # Reference: java.util.SplittableRandom's algorithm from a state of zero begins with these numbers;
    # hashes(n, seed) starts from the first number of the state `seed`.
    first = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    mask, gamma = 2**64 - 1, 0x9E3779B97F4A7C15

    def sequence(state, n):
        for _ in range(n):
            state = (state + gamma) & mask
            z = state
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
            yield z ^ (z >> 31)

    assert list(sequence(0, 3)) == first
    assert hashes(5, 0).tolist() == list(sequence(first[0], 5))
    assert len(set(hashes(100_000, 42).tolist())) == 100_000
    assert hashes(3, 1).tolist() != hashes(3, 2).tolist()


@given(shares, st.integers(1, 12), st.integers(0, 2**70))
def test_strata_are_proportional_and_sizes_exact(counts, n_strata, seed):
    n = sum(counts)
    strata = (hashes(n, 3) % np.uint64(n_strata)).astype(np.int64)
    codes = dealt(strata, np.array(counts), seed)
    assert np.bincount(codes, minlength=len(counts)).tolist() == counts
    for s in np.unique(strata):
        here = np.bincount(codes[strata == s], minlength=len(counts))
        assert np.abs(here - np.array(counts) * (strata == s).sum() / n).max() <= 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), shares, st.integers(0, 2**64))
def test_groups_stay_whole_and_sizes_near(group_sizes, weights, seed):
    groups = np.repeat(np.arange(len(group_sizes)), group_sizes)
    counts = rounded(np.array(weights) + 0.01, len(groups))
    codes = dealt_whole(groups, counts, seed)
    assert all(len(set(codes[groups == g].tolist())) == 1 for g in range(len(group_sizes)))
    got = np.bincount(codes, minlength=len(counts))
    if len(group_sizes) >= (counts > 0).sum():
        assert (got[counts > 0] > 0).all()
    assert (got - counts).max() < max(group_sizes)
    if max(group_sizes) == 1:
        assert got.tolist() == counts.tolist()


def test_groups_reach_the_sizes_where_they_can():
    groups = np.repeat(np.arange(6), [50, 20, 10, 10, 5, 5])
    for seed in range(20):
        codes = dealt_whole(groups, np.array([80, 10, 10]), seed)
        assert np.bincount(codes).tolist() == [80, 10, 10]


def test_every_structure_is_as_likely_in_any_part():
    # 2000 draws: the standard deviation of a mean is 0.009 for a probability of 0.2.
    codes = np.array([dealt(np.zeros(10, int), np.array([8, 2]), seed) for seed in range(2000)])
    assert np.abs(codes.mean(axis=0) - 0.2).max() < 0.045
    alone = np.array([dealt(np.arange(10), np.array([8, 2]), seed) for seed in range(2000)])
    assert np.abs(alone.mean(axis=0) - 0.2).max() < 0.045
    whole = np.array([dealt_whole(np.arange(10), np.array([8, 2]), seed) for seed in range(2000)])
    assert np.abs(whole.mean(axis=0) - 0.2).max() < 0.045
    assert abs(np.corrcoef(codes[:, 3], codes[:, 4])[0, 1] + 1 / 9) < 0.09  # drawn without replacement
