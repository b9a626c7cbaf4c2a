"""Parts in proportion: exact over windows, whoever asks, from wherever it is resumed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loading.order.epochs import epoch_of, joined, make
from zstruct.errors import InputError
from zstruct.jit.kernel import compiled_always
from zstruct.loading.order.batch_samplers import BatchSampler, BucketBatchSampler, BudgetBatchSampler
from zstruct.loading.order.mixture_sampler import MixtureSampler, turns_taken
from zstruct.loading.order.samplers import SequentialSampler, ShuffleSampler

SIZES = (50, 7, 23)
EDGES = np.cumsum([0, *SIZES])


def mixture(shares=(3, 1, 2), sizes=SIZES, kind="full", **options):
    return MixtureSampler([make(kind, n, blocks=5) for n in sizes], shares, **{"window": 12, **options})


def part_of(order, edges=EDGES):
    return np.searchsorted(edges, order, side="right") - 1


def counts_of(order, n_parts=3):
    return np.bincount(part_of(order), minlength=n_parts).tolist()


@pytest.mark.parametrize("kind", ["sequential", "full", "block"])
@pytest.mark.parametrize("compiled", [False, True])
def test_every_window_has_exact_proportions(kind, compiled):
    sampler = mixture(kind=kind, length=120, seed=4)
    with compiled_always() if compiled else np.errstate():
        order = epoch_of(sampler, 1)
    for begin in range(0, 120, 12):
        assert counts_of(order[begin : begin + 12]) == [6, 2, 4]
    assert len({tuple(part_of(order[begin : begin + 12])) for begin in range(0, 120, 12)}) > 5  # mixed anew


def test_the_compiled_order_is_the_same():
    orders = []
    for _ in range(2):
        orders.append(epoch_of(mixture(length=300, seed=4), 3).tolist())
        with compiled_always():
            orders.append(epoch_of(mixture(length=300, seed=4), 3).tolist())
    assert orders[0] == orders[1] == orders[2] == orders[3]


@given(
    shares=st.lists(st.one_of(st.integers(1, 9), st.floats(0.01, 5.0)), min_size=1, max_size=5),
    n=st.integers(0, 400),
    more=st.integers(1, 60),
)
@settings(max_examples=60)
def test_turns_are_as_close_to_the_proportions_as_can_be_and_never_taken_back(shares, n, more):
    shares = np.array(shares, np.float64)
    before, after = turns_taken(shares, n), turns_taken(shares, n + more)
    assert before.sum() == n
    assert (after >= before).all()
    quota = n * shares / shares.sum()
    assert np.abs(before - quota).max() <= max(1.0, len(shares) / 2)
    # What comes one by one is what is known of many at once.
    sampler = MixtureSampler([SequentialSampler(1000)] * len(shares), shares, length=n + more, mix=False)
    order = epoch_of(sampler, 0)
    edges = np.arange(len(shares) + 1) * 1000
    assert np.bincount(part_of(order[:n], edges), minlength=len(shares)).tolist() == before.tolist()
    assert np.bincount(part_of(order, edges), minlength=len(shares)).tolist() == after.tolist()


def test_proportions_in_decimals_are_exact_anywhere():
    sampler = mixture((0.7, 0.1, 0.2), length=4000, window=10, mix=False)
    parts = part_of(epoch_of(sampler, 0))
    for begin in range(0, 3990, 37):  # wherever a window begins
        assert np.bincount(parts[begin : begin + 10], minlength=3).tolist() == [7, 1, 2]


def test_all_structures_of_a_part_come_once_before_any_comes_again():
    sampler = mixture((1, 1, 1), length=60, seed=2)
    seen = [[], [], []]
    for epoch in range(5):
        order = epoch_of(sampler, epoch)
        for k in range(3):
            seen[k] += order[part_of(order) == k].tolist()
    for k, n in enumerate(SIZES):
        assert len(seen[k]) == 100
        for begin in range(0, 100 - n + 1, n):  # one time through the part after the other
            assert sorted(seen[k][begin : begin + n]) == list(range(EDGES[k], EDGES[k + 1]))


def test_in_proportion_to_sizes_every_structure_comes_once():
    sampler = mixture(SIZES, seed=9, window=16)
    for epoch in (0, 1):
        assert sorted(epoch_of(sampler, epoch)) == list(range(80))
    assert epoch_of(sampler, 0).tolist() != epoch_of(sampler, 1).tolist()


@pytest.mark.parametrize("kind", ["full", "block"])
@pytest.mark.parametrize("ranks", [(0, 1, None), (1, 3, None), (2, 3, "pad"), (0, 3, "drop")])
def test_an_epoch_goes_on_at_any_place(kind, ranks):
    rank, world_size, even = ranks
    sampler = mixture(kind=kind, length=100, rank=rank, world_size=world_size, even=even, seed=3)
    whole = epoch_of(sampler, 2)
    assert len(whole) == len(sampler)
    for start in (0, 1, 11, 12, 13, 30, len(whole) - 1, len(whole)):
        assert epoch_of(sampler, 2, start).tolist() == whole[start:].tolist()


@pytest.mark.parametrize("even", [None, "pad", "drop"])
def test_ranks_share_an_epoch(even):
    shares = [epoch_of(mixture(length=100, rank=r, world_size=3, even=even, seed=5), 0) for r in range(3)]
    sizes = {None: [33, 33, 34], "pad": [34, 34, 34], "drop": [33, 33, 33]}[even]
    assert sorted(map(len, shares)) == sizes
    for share in shares:  # each has its proportions, in windows of its own
        assert counts_of(share[:12]) == counts_of(share[12:24]) == [6, 2, 4]
    if even is None:
        # Together they draw what one rank alone does, in another order inside of windows.
        alone = epoch_of(mixture(length=100, seed=5), 0)
        assert sorted(joined(shares)) == sorted(alone)


def test_batches_by_number_and_by_size():
    n_atoms = np.random.default_rng(1).integers(1, 9, 80)
    sampler = mixture(length=100, seed=7)
    for batches in (
        BatchSampler(sampler, 12),
        BudgetBatchSampler(sampler, n_atoms, max_atoms=40),
        BucketBatchSampler(sampler, n_atoms, 4, 24),
    ):
        whole = [batch.tolist() for batch in batches.batches(1)]
        assert len(joined(whole)) == 100
        for taken in (1, 3):
            start = len(joined(whole[:taken]))
            assert [batch.tolist() for batch in batches.batches(1, start)] == whole[taken:]


def test_states_are_resumed_only_where_the_mixture_is_the_same():
    sampler = mixture(length=90, seed=3)
    run = iter(sampler)
    first = [next(run) for _ in range(31)]
    state = sampler.state_dict()
    other = mixture(length=90)
    other.load_state_dict(state)
    assert first + list(other) == epoch_of(mixture(length=90, seed=3), 0).tolist()
    for different in (
        mixture((3, 1, 3), length=90),
        mixture(length=91),
        mixture(length=90, window=6),
        mixture(length=90, kind="block"),
    ):
        with pytest.raises(ValueError, match="the state is of another order"):
            different.load_state_dict(state)


def test_without_mixing_every_epoch_is_the_same():
    sampler = mixture((2, 1, 1), kind="sequential", length=8, mix=False)
    assert epoch_of(sampler, 0).tolist() == epoch_of(sampler, 5).tolist() == [0, 50, 57, 1, 2, 51, 58, 3]


def test_parts_of_no_proportion_are_left_out():
    sampler = mixture((1, 0, 1), sizes=(50, 0, 23), length=40)
    assert np.bincount(part_of(epoch_of(sampler, 0), [0, 50, 50, 73]), minlength=3).tolist() == [20, 0, 20]
    assert epoch_of(mixture((1, 1, 1), length=0), 0).tolist() == []


def test_structures_may_be_anywhere_in_the_dataset():
    places = np.random.default_rng(3).permutation(80)
    order = epoch_of(mixture(length=60, seed=1), 0)
    assert epoch_of(mixture(length=60, seed=1, places=places), 0).tolist() == places[order].tolist()


def test_large_epochs_start_at_once():
    parts = [ShuffleSampler(100_000_000), ShuffleSampler(50_000_000)]
    sampler = MixtureSampler(parts, [1.0, 3.0], seed=1)
    some = next(sampler.chunks(3, 145_507 * 1024))
    assert np.count_nonzero(some[:1024] < 100_000_000) == 256


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [
        ((1, -1, 1), "the proportion of part 1 is -1.0; proportions are finite and not negative"),
        ((1, np.nan, 1), "the proportion of part 1 is nan"),
        ((np.inf, 1, 1), "the proportion of part 0 is inf"),
        ((0, 0, 0), "all proportions are zero"),
        ((1, 1), r"there are 3 parts, and proportions of shape \(2,\)"),
    ],
)
def test_proportions_that_make_no_sense(shares, sentence):
    with pytest.raises(InputError, match=sentence):
        mixture(shares)


def test_a_part_without_structures_has_no_turns():
    with pytest.raises(InputError, match="part 1 has no structures, but a proportion of 1"):
        mixture((1, 1, 1), sizes=(5, 0, 5))
    with pytest.raises(TypeError, match="parts are samplers"):
        MixtureSampler([5], [1])
