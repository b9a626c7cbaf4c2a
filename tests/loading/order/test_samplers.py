import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loading.order.epochs import KINDS, epoch_of, joined, make
from zstruct.loading.order.batch_samplers import BatchSampler
from zstruct.loading.order.block_shuffle_sampler import BlockShuffleSampler
from zstruct.loading.order.samplers import SequentialSampler, ShuffleSampler


@given(
    st.sampled_from(KINDS),
    st.integers(0, 400),
    st.integers(1, 7),
    st.integers(1, 9),
    st.integers(1, 40),
    st.integers(0, 5),
)
@settings(max_examples=150)
def test_ranks_share_the_structures(kind, n, ranks, window, blocks, epoch):
    parts = {}
    for even in (None, "pad", "drop"):
        samplers = [
            make(kind, n, window, blocks, seed=1, rank=r, world_size=ranks, even=even) for r in range(ranks)
        ]
        parts[even] = [epoch_of(sampler, epoch) for sampler in samplers]
        assert [len(p) for p in parts[even]] == [len(s) for s in samplers]
    assert np.array_equal(np.sort(np.concatenate(parts[None])), np.arange(n))
    assert np.ptp([len(p) for p in parts[None]]) <= 1
    padded, dropped = np.concatenate(parts["pad"]), np.concatenate(parts["drop"])
    assert {len(p) for p in parts["pad"]} == {-(-n // ranks)}
    assert {len(p) for p in parts["drop"]} == {n // ranks}
    assert np.array_equal(np.unique(padded), np.arange(n))
    assert np.bincount(padded, minlength=1).max() <= max(2, ranks if n < ranks else 0)
    assert len(np.unique(dropped)) == len(dropped) == n // ranks * ranks


@given(
    st.sampled_from(KINDS),
    st.integers(1, 300),
    st.integers(1, 5),
    st.integers(1, 50),
    st.booleans(),
    st.data(),
)
@settings(max_examples=150)
def test_any_place_can_be_resumed(kind, n, ranks, batch_size, drop_last, data):
    rank = data.draw(st.integers(0, ranks - 1))

    def fresh(seed):
        return BatchSampler(
            make(kind, n, seed=seed, rank=rank, world_size=ranks), batch_size, drop_last=drop_last
        )

    sampler = fresh(9)
    sampler.set_epoch(4)
    batches = [batch.tolist() for batch in sampler]
    assert len(batches) == len(sampler)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert joined(batches) == epoch_of(sampler.sampler, 4).tolist()[: sum(map(len, batches))]

    taken = data.draw(st.integers(0, len(batches)))
    stopped = fresh(9)
    stopped.set_epoch(4)
    run = iter(stopped)
    for _ in range(taken):
        next(run)
    resumed = fresh(0)
    resumed.load_state_dict(pickle.loads(pickle.dumps(stopped.state_dict())))
    resumed.set_epoch(4)  # as a training loop does
    assert [batch.tolist() for batch in resumed] == batches[taken:]
    assert [batch.tolist() for batch in resumed] == batches  # the next one is whole


@pytest.mark.parametrize("kind", ["full", "block"])
def test_orders_depend_on_seed_and_epoch_alone(kind):
    orders = {(s, e): epoch_of(make(kind, 500, seed=s), e).tolist() for s in (0, 1) for e in (0, 1)}
    assert len({tuple(order) for order in orders.values()}) == 4
    again = make(kind, 500, seed=1)
    list(again)
    again.set_epoch(1)
    assert list(again) == orders[1, 1]
    assert list(again) == orders[1, 1]  # a sampler does not go on to the next epoch by itself


def test_one_by_one_is_resumed_too():
    sampler = ShuffleSampler(100, seed=3)
    run = iter(sampler)
    first = [next(run) for _ in range(37)]
    resumed = ShuffleSampler(100)
    resumed.load_state_dict(sampler.state_dict())
    assert first + list(resumed) == list(ShuffleSampler(100, seed=3))


class Numbers:
    """A dataset of torch that says which indices it was asked for, and how."""

    def __len__(self):
        return 50

    def __getitem__(self, i):
        return i

    def __getitems__(self, indices):
        assert isinstance(indices, np.ndarray | list)
        return [type(indices).__name__, *map(int, indices)]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_in_a_plain_dataloader(kind, workers):
    options = {"num_workers": workers, "multiprocessing_context": "fork" if workers else None}
    data = pytest.importorskip("torch.utils.data")
    batches = list(
        data.DataLoader(
            Numbers(),
            batch_sampler=BatchSampler(make(kind, 50, seed=2), 8),
            collate_fn=lambda found: found,
            **options,
        )
    )
    assert {batch[0] for batch in batches} == {"ndarray"}
    order = epoch_of(make(kind, 50, seed=2), 0).tolist()
    assert joined(batch[1:] for batch in batches) == order
    as_sampler = data.DataLoader(
        Numbers(), 8, sampler=make(kind, 50, seed=2), collate_fn=lambda found: found[1:], **options
    )
    assert joined(as_sampler) == order


def test_a_hundred_million_structures_take_no_memory():
    n, ranks = 10**8, 8
    edges = np.append(np.arange(0, n, 1 << 14), n)
    for sampler in (
        SequentialSampler(n, rank=5, world_size=ranks),
        ShuffleSampler(n, rank=5, world_size=ranks),
        BlockShuffleSampler(edges, 32, rank=5, world_size=ranks),
    ):
        assert len(sampler) == n // ranks
        chunk = next(sampler.chunks(1, start=10**7))
        assert len(chunk) < 1 << 17
        assert chunk.min() >= 0
        assert chunk.max() < n


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ShuffleSampler(-1), "n is a whole number from 0, not -1"),
        (lambda: ShuffleSampler(3, rank=2, world_size=2), r"rank must be in range\(2\), the world_size"),
        (lambda: ShuffleSampler(3, even=True), "even is 'pad', 'drop' or None, not True"),
        (lambda: ShuffleSampler(3).set_epoch(-1), "there is no place 0 in epoch -1"),
        (lambda: ShuffleSampler(3).load_state_dict(SequentialSampler(3).state_dict()), "of another order"),
        (lambda: ShuffleSampler(3).load_state_dict(ShuffleSampler(4).state_dict()), "3 structures"),
        (lambda: BatchSampler(ShuffleSampler(3), 0), "batch_size"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_they_say_what_they_are():
    sampler = ShuffleSampler(1000, seed=4, rank=1, world_size=2, even="pad")
    assert repr(BatchSampler(sampler, 8)) == (
        "<63 batches of 8: <ShuffleSampler: 1,000 structures, 2 ranks, even='pad', seed 4, rank 1>>"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_structures_are_announced_before_their_batches_but_not_all_at_once(kind):
    sampler = make(kind, 120_000, window=6, blocks=60)
    announced, most = set(), 0
    for k, batch in enumerate(
        BatchSampler(sampler, 100).batches(0, 300, lambda a: announced.update(a.tolist()))
    ):
        assert announced.issuperset(batch.tolist())
        most = max(most, len(announced) - 100 * k)
    assert len(announced) == 120_000 - 300
    # A sequence or a full shuffle comes in pieces of 2 ** 15. A block of 2000 that enters the window
    # gives a share at each of its steps; those of the first blocks are larger.
    piece = 2_000 * sum(1 / k for k in range(1, 7)) if kind == "block" else 1 << 15
    assert most <= (sampler.ahead + 1) * piece + 100
