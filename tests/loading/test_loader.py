import gc
import itertools
import os
import random
import subprocess
import sys
import threading
import time
import traceback

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler, Subset, random_split

from zstruct import InputError, layouts
from zstruct.loading import Batches, Cache, PackedBatch, Ranks, Shuffle, Threads, ZarrStructureDataset
from zstruct.loading.cache import placement
from zstruct.loading.cache.cache import BlockCache
from zstruct.loading.order.batch_samplers import BatchSampler
from zstruct.loading.order.block_shuffle_sampler import BlockShuffleSampler
from zstruct.loading.order.samplers import SequentialSampler, ShuffleSampler
from zstruct.loading.order.weighted_sampler import WeightedSampler
from zstruct.loading.prefetch import Prefetcher

FORK = {"num_workers": 2, "multiprocessing_context": "fork"}
WAYS = [{"threads": 0}, {"threads": 1}, {"threads": Threads(3, ahead=2)}, {}, FORK]
IDS = ["inline", "one thread", "three threads", "default", "fork"]
MOST, LONG_FORK = WAYS[:-1], pytest.param(FORK, marks=pytest.mark.long)
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def data(source):
    return ZarrStructureDataset(source.path, ["numbers", "positions", "energy"])


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    if threads_of_batches():
        gc.collect()  # which takes longer than most tests here
    assert not threads_of_batches()


def threads_of_batches():
    return [thread for thread in threading.enumerate() if thread.name.startswith("zstruct-batches")]


def structures(batches):
    return [batch["structure"].tolist() for batch in batches]


def stops(way, all_of_them, long_run):
    """Return after how many batches to stop: where workers are started each time, one stop is drawn."""
    return [random.choice(all_of_them)] if way is FORK and not long_run else all_of_them


def joined(lists):
    return list(itertools.chain.from_iterable(lists))


@pytest.mark.parametrize("way", [*MOST, LONG_FORK], ids=IDS)
@pytest.mark.parametrize("shuffle", [False, "full", "block"])
def test_however_they_are_made_batches_are_the_same(source, data, shuffle, way):
    order = shuffle and Shuffle(shuffle, seed=5)
    batches = list(data.loader(8, order, **way))
    assert structures(batches) == structures(data.loader(8, order, threads=0))
    assert sorted(joined(structures(batches))) == list(range(len(source)))
    for batch in batches:
        expected = np.concatenate([source.value("positions", i) for i in batch["structure"].tolist()])
        assert np.array_equal(batch["positions"].numpy(), expected.astype(np.float32))


@pytest.mark.parametrize(("threads", "expected"), [(0, False), (1, True)])
def test_threads_decode_ahead_what_an_epoch_needs(source, threads, expected):
    data = ZarrStructureDataset(source.path, ["positions", "energy"], cache="memory")
    batches = iter(data[5:].loader(2, "full", threads=Threads(threads, ahead=1 if threads else None)))
    next(batches)
    del batches  # its thread finishes first: it may be decoding a block for the next batch
    cache = data._gather.cache
    for thread in list(cache._ahead._threads):
        thread.join(10)
    # All but the first block, whose four structures are not in the subset.
    decoded = cache.resident.present["structure"].tolist()
    assert (sum(decoded) == len(decoded) - 1 and not decoded[0]) == expected


@pytest.mark.parametrize(
    "way", [*MOST, LONG_FORK, {**FORK, "persistent_workers": True}], ids=[*IDS, "persistent"]
)
def test_every_iteration_is_a_new_epoch(data, way):
    orders = structures(itertools.chain(*[data.loader(61, Shuffle(seed=2), **way)] * 3))
    assert len({tuple(order) for order in orders}) == 3
    chosen = data.loader(61, Shuffle(seed=2), **way)
    for epoch in (2, 0, 1):
        chosen.set_epoch(epoch)
        assert structures(chosen) == [orders[epoch]]
    assert chosen.epoch == 2
    assert structures(chosen) == [orders[2]]


def test_the_seed_comes_from_the_generator(data):
    def order(shuffle=True, **options):
        return structures(data.loader(61, shuffle, **options))

    assert order(generator=torch.Generator().manual_seed(3)) == order(
        generator=torch.Generator().manual_seed(3)
    )
    torch.manual_seed(4)
    first = order()
    assert order() != first
    torch.manual_seed(4)
    assert order() == first
    assert order(Shuffle(seed=1)) == order({"seed": 1}) != order(Shuffle(seed=2))
    # All ranks must agree, also where each has a generator of its own.
    shares = [order(ranks=(r, 2)) for r in (0, 1)]
    assert sorted(joined(joined(shares))) == list(range(61))


@pytest.mark.parametrize("way", WAYS, ids=IDS)
@pytest.mark.parametrize("shuffle", [pytest.param("full", marks=pytest.mark.long), "block"])
def test_an_epoch_is_resumed(data, shuffle, way, long_run):
    whole = data.loader(7, Shuffle(shuffle, seed=8), threads=0)
    epochs = [structures(whole) for _ in range(3)]
    for taken in stops(way, (0, 1, 4, len(whole)), long_run):
        old = data.loader(7, Shuffle(shuffle, seed=8), **way)
        assert structures(old) == epochs[0]
        run = iter(old)
        assert structures(itertools.islice(run, taken)) == epochs[1][:taken]
        state = torch.load(saved(old.state_dict()))
        del run
        new = data.loader(7, Shuffle(shuffle, seed=0), **way)
        new.load_state_dict(state)
        new.set_epoch(1)  # a loop that counts epochs does this, and it changes nothing
        assert new.state_dict() == state
        assert structures(new) == epochs[1][taken:]
        assert structures(new) == epochs[2]


SIZED = {
    "atoms": {"batch_size": Batches(max_atoms=50), "shuffle": Shuffle(seed=8)},
    "buckets": {"batch_size": Batches(4, bucket=16), "shuffle": Shuffle("block", seed=8)},
    "both, on a rank": {
        "batch_size": Batches(max_atoms=60, bucket=30),
        "shuffle": Shuffle(seed=8),
        "ranks": Ranks(1, 3, even="pad"),
    },
    "weights": {"batch_size": 7, "shuffle": Shuffle(seed=8, weights=np.arange(61))},
}


@pytest.mark.parametrize(
    ("options", "way"),
    [
        pytest.param(options, way, id=f"{what}-{how}", marks=[pytest.mark.long] * later)
        for what, options in SIZED.items()
        for how, way in zip(IDS[::2], WAYS[::2], strict=True)
        for later in [way is FORK and what != "both, on a rank"]
    ],
)
def test_batches_of_any_size_are_the_same_however_made_and_resumed(data, options, way, long_run):
    whole = data.loader(threads=0, **options)
    epochs = [structures(whole) for _ in range(3)]
    for taken in stops(way, (0, 2, len(epochs[1])), long_run):
        old = data.loader(**options, **way)
        assert structures(old) == epochs[0]
        assert len(old) == len(epochs[1])
        run = iter(old)
        assert structures(itertools.islice(run, taken)) == epochs[1][:taken]
        state = torch.load(saved(old.state_dict()))
        assert state["position"] == len(joined(epochs[1][:taken]))
        del run
        new = data.loader(**options, **way)
        new.load_state_dict(state)
        assert structures(new) == epochs[1][taken:]
        assert structures(new) == epochs[2]


def test_no_batch_has_too_many_atoms_or_edges(featured):
    data = ZarrStructureDataset(featured.path, ["numbers"], neighbors="rc3")
    sizes = [(len(sample["numbers"]), sample["edge_index"].shape[1]) for sample in data]
    atoms, edges = (2 * max(column) for column in zip(*sizes, strict=True))
    for part in (data, data[5:50], data[::-2]):
        made = part.loader(Batches(max_atoms=atoms, max_edges=edges), Shuffle(seed=1))
        batches = list(made)
        assert sorted(joined(structures(batches))) == sorted(part.structures.tolist())
        for batch in batches:
            assert len(batch["numbers"]) <= atoms
            assert batch["edge_index"].shape[1] <= edges
        few = part.loader(Batches(2, max_atoms=atoms), Shuffle(seed=1))
        assert {len(batch) for batch in structures(few)} <= {1, 2}
    worst = int(np.argmax([size[0] for size in sizes]))
    with pytest.raises(
        ValueError, match=f"structure {worst} of the dataset has {atoms // 2} atoms, more than"
    ):
        data.loader(Batches(max_atoms=atoms // 2 - 1))


def test_edges_are_counted_for_stored_lists_only(data, featured):
    for other in (data, ZarrStructureDataset(featured.path, ["numbers"], neighbors=2.5)):
        with pytest.raises(ValueError, match="the number of edges is known of those that are stored"):
            other.loader(Batches(max_edges=1000))


def test_padding_efficiency_is_that_of_the_next_epoch(data):
    for options in (
        (8,),
        (Batches(8, bucket=32), Shuffle(seed=2)),
        (Batches(max_atoms=80, bucket=61), Shuffle(seed=2)),
    ):
        made = data[3:].loader(*options, layout="padded")
        for _ in range(2):
            said = made.padding_efficiency()
            masks = [batch["mask"] for batch in made]
            assert said == pytest.approx(sum(m.sum().item() for m in masks) / sum(m.numel() for m in masks))
    assert data[3:].loader(8).padding_efficiency() < said < 1
    assert data[:0].loader(8).padding_efficiency() == 1
    with pytest.raises(TypeError, match="only loaders with a sampler of zstruct"):
        data.loader(8, sampler=RandomSampler(data)).padding_efficiency()


def test_weights_are_updated_between_epochs(data):
    low, high = np.arange(61) < 30, np.arange(61) >= 30
    for way in WAYS:
        made = data.loader(8, Shuffle(seed=3, weights=low), **way)
        run = iter(made)
        made.sampler.update(high)  # the epoch has begun, if with no batch yet
        first = joined(structures(run))
        assert len(first) == 61
        assert max(first) < 30
        assert min(joined(structures(made))) >= 30
    # The rest of an epoch is resumed with the weights it began with, the next one with the new ones.
    old = data.loader(8, Shuffle(seed=3, weights=low))
    run = iter(old)
    next(run)
    old.sampler.update(high)
    resumed = data.loader(8, Shuffle(weights=low))
    resumed.load_state_dict(old.state_dict())
    list(run)
    with pytest.raises(ValueError, match=r"can't be resumed: it was saved by WeightedSampler.* digest"):
        data.loader(8, Shuffle(weights=low)).load_state_dict(old.state_dict())
    data.loader(8, Shuffle(weights=high)).load_state_dict(old.state_dict())
    assert joined(structures(resumed)) == first[8:]


def test_a_weighted_sampler_of_its_own(data):
    sampler = WeightedSampler(np.arange(61), 20, replacement=False, seed=1)
    found = joined(structures(data.loader(Batches(max_atoms=80, bucket=10), sampler=sampler)))
    assert len(set(found)) == len(found) == 20
    assert 0 not in found


def saved(state):
    import io

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


def test_the_state_after_an_epoch_is_the_next_one(data):
    first = data.loader(10, Shuffle(seed=1))
    assert (first.state_dict()["epoch"], first.state_dict()["position"]) == (0, 0)
    list(first)
    assert (first.state_dict()["epoch"], first.state_dict()["position"]) == (1, 0)
    with pytest.raises(ValueError, match="of another order and can't be resumed: it was saved by Shuffle"):
        data.loader(10, False).load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="this is ShuffleSampler: 60 structures"):
        data[:60].loader(10, True).load_state_dict(first.state_dict())


def test_a_fault_surfaces_where_it_belongs(data):
    def breaks_at_20(packed):
        if 20 in packed.structures:
            raise LookupError("no such thing")
        return layouts.graph(packed)

    for way in WAYS[:-1]:
        run = iter(data.loader(8, layout=breaks_at_20, **way))
        assert structures(itertools.islice(run, 2)) == [[*range(8)], [*range(8, 16)]]
        with pytest.raises(LookupError, match="no such thing") as caught:
            next(run)
        assert "breaks_at_20" in [frame.name for frame in traceback.extract_tb(caught.tb)]
        assert next(run, "the end") == "the end"


def test_threads_stop_when_nobody_listens(data):
    many = data.loader(1, True, threads=2)
    for _ in many:
        assert len(threads_of_batches()) == 2
        break
    gc.collect()
    assert not threads_of_batches()
    run = iter(many)
    next(run)
    del run
    assert not threads_of_batches()


def test_several_iterators_are_independent(data):
    both = data.loader(5, Shuffle(seed=1), threads=2)
    epochs = [structures(data.loader(5, Shuffle(seed=1))), structures(both)]
    assert epochs[0] == epochs[1]
    both.set_epoch(0)
    pairs = list(zip(both, both, strict=True))
    assert structures(a for a, _ in pairs) == epochs[0]
    assert sorted(joined(structures(b for _, b in pairs))) == sorted(joined(epochs[0]))
    assert structures(b for _, b in pairs) != epochs[0]


def test_no_more_is_made_ahead_than_asked(data):
    made = []
    run = iter(data.loader(1, threads=Threads(2, ahead=6), layout=lambda packed: made.append(1) or packed))
    for taken in range(1, 20):
        next(run)
        time.sleep(0.002)
        assert len(made) <= taken + 6


@pytest.mark.parametrize("patience", [0, 0.001, 1])
@pytest.mark.parametrize("threads", [0, 1, 4])
def test_results_come_in_order(threads, patience):
    def slow(k):
        time.sleep(0.002 * (k % 3))
        return k

    assert list(Prefetcher(iter(range(40)), slow, threads, 7, patience)) == list(range(40))


def test_an_interruption_is_heard_at_once():
    # The consumer lends a hand with a later result, and is interrupted there.
    consumer = threading.get_ident()

    def make(k):
        if threading.get_ident() == consumer:
            raise KeyboardInterrupt
        time.sleep(0.2)
        return k

    run = Prefetcher(iter(range(6)), make, 1, 4)
    with pytest.raises(KeyboardInterrupt):
        next(run)
    assert not any(thread.is_alive() for thread in run._threads)


def test_threads_are_started_when_results_take_long():
    run = Prefetcher(iter(range(40)), lambda k: time.sleep(0.002 * (k > 20)), 2, 4, patience=0.001)
    list(itertools.islice(run, 20))
    assert not run._threads
    list(itertools.islice(run, 19))
    assert len(run._threads) == 2


def test_the_interpreter_ends_with_iterators_open_and_kept_somewhere(source):
    code = f"""
import logging
from zstruct.loading import ZarrStructureDataset
data = ZarrStructureDataset({str(source.path)!r})
run = iter(data.loader(1, True, threads=3))
next(run)
kept = [run, globals()]
other = iter(data.loader(4))
next(other)
logging.kept = lambda: other
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_is_told_to_begin_anew(data):
    run = iter(data.loader(1, threads=1))
    next(run)
    pid = os.fork()
    if pid == 0:
        try:
            next(run)
        except RuntimeError as error:
            del run
            os._exit(0 if "begin a new one in the child" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert next(run)["structure"].tolist() == [1]


def test_the_shuffle_is_chosen_by_size_and_shown(source):
    roomy = ZarrStructureDataset(source.path, ["positions", "energy"], cache="memory")
    tight = ZarrStructureDataset(source.path, ["positions", "energy"], cache=Cache("memory", bytes=1000))
    assert isinstance(roomy.loader(8, False).sampler, SequentialSampler)
    assert isinstance(roomy.loader(8, True).sampler, ShuffleSampler)
    assert isinstance(tight.loader(8, True).sampler, BlockShuffleSampler)
    assert isinstance(tight.loader(8, "full").sampler, ShuffleSampler)
    assert repr(tight.loader(8, Shuffle(seed=3), threads=Threads(2, ahead=5))).startswith(
        "StructureLoader(<8 batches of 8: <BlockShuffleSampler: 61 structures, "
    )
    assert "<ShuffleSampler: 61 structures, seed 3>>, 2 threads, prefetch 5)" in repr(
        roomy.loader(8, Shuffle(seed=3), threads=Threads(2, ahead=5))
    )
    assert repr(roomy.loader(8, threads=0, device="cpu")).endswith(", no threads, device cpu)")
    assert repr(roomy.loader(8, **FORK)).endswith(", 2 worker processes)")


@pytest.mark.parametrize(
    "rows",
    [slice(3, 50), slice(50, 3, -2), [7, 7, 60, 1], np.random.default_rng(0).permutation(61)[:40], []],
    ids=["slice", "backwards", "repeats", "random", "empty"],
)
def test_the_block_shuffle_of_a_part_reads_block_by_block(source, rows):
    data = ZarrStructureDataset(source.path, ["positions", "energy"], cache=Cache("memory", bytes=150))[rows]
    expected = sorted(np.arange(61)[rows].tolist())
    found = joined(structures(data.loader(5, Shuffle(seed=1))))
    assert sorted(found) == expected
    blocks = data.loader(5, Shuffle(seed=1)).sampler
    if len(data) > 30:
        assert blocks.window == 1
        order = np.arange(61)[rows] if blocks.order is None else np.sort(np.arange(61)[rows])
        block = np.searchsorted(blocks.edges, np.searchsorted(order, found), side="right")
        assert np.count_nonzero(np.diff(block)) == len(blocks.edges) - 2  # never back to one that was left


def test_ranks_agree_whatever_memory_they_have(source, monkeypatch):
    def orders(**options):
        found = []
        for rank, memory in enumerate((64 << 30, 2000)):
            monkeypatch.setattr(placement, "available_bytes", lambda memory=memory: memory)
            data = ZarrStructureDataset(source.path, ["positions", "energy"], **{"cache": "memory"} | options)
            loaders = [data.loader(4, shuffle, ranks=Ranks(rank, 2)) for shuffle in (True, "block")]
            found.append([(loader.batch_sampler.recipe(), joined(structures(loader))) for loader in loaders])
        return found

    for options in ({}, {"cache": Cache("memory", bytes=1000)}):
        first, second = orders(**options)
        for (recipe, mine), (other, theirs) in zip(first, second, strict=True):
            assert recipe == other
            assert sorted([*mine, *theirs]) == list(range(61))
        assert first[0][0].startswith("BlockShuffle" if options else "Shuffle")


def test_blocks_are_not_decoded_again_and_again(source, monkeypatch):
    reads, decode = [], BlockCache._decode
    monkeypatch.setattr(
        BlockCache, "_decode", lambda self, *block: (reads.append(block), decode(self, *block))[1]
    )
    columns = ["positions", "energy"]
    nbytes = ZarrStructureDataset(source.path, columns)._gather.cache.nbytes
    data = ZarrStructureDataset(source.path, columns, cache=Cache("memory", bytes=nbytes // 2))
    loader = data.loader(4, Shuffle("block", seed=1), threads=Threads(2, ahead=2))
    assert isinstance(loader.sampler, BlockShuffleSampler)
    assert sorted(joined(structures(loader))) == list(range(61))
    assert len(set(reads)) <= len(reads) <= 2 * len(set(reads))


def test_no_fields_can_be_shuffled_too(source):
    loaded = structures(ZarrStructureDataset(source.path, []).loader(61, Shuffle("block", seed=1)))
    assert sorted(loaded[0]) == list(range(61)) != loaded[0]


def test_ranks_come_from_torch_distributed(data, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    found = []
    for rank in range(3):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        found.append(joined(structures(data.loader(4, True))))
        assert len(data.loader(4, True, ranks=Ranks(even="drop"))) == 5
        assert len(data.loader(4, True, ranks=Ranks(0, 1, even="drop"))) == 16
    assert [len(f) for f in found] == [20, 20, 21]
    assert sorted(joined(found)) == list(range(61))


def test_it_is_a_dataloader_and_tells_what_it_was_given(data):
    made = data.loader(Batches(8, drop_last=True))
    assert isinstance(made, DataLoader)
    assert (made.batch_size, made.drop_last, len(made), made.dataset) == (8, True, 7, data)
    assert len(structures(made)) == 7
    assert len(data.loader(8)) == 8


def test_samplers_of_torch(data):
    shares = []
    for rank in range(2):
        made = data.loader(8, sampler=DistributedSampler(data, 2, rank, seed=3, drop_last=True))
        epochs = []
        for epoch in (0, 1, 0):
            made.set_epoch(epoch)
            epochs.append(structures(made))
        assert epochs[0] == epochs[2] != epochs[1]
        shares.append(joined(epochs[0]))
    assert len(set(joined(shares))) == 60
    assert structures(data.loader(batch_sampler=[[3, 1], [2]])) == [[3, 1], [2]]
    own = data.loader(8, sampler=ShuffleSampler(61, seed=1))
    assert structures(own) == structures(data.loader(8, Shuffle(seed=1)))
    assert own.state_dict()["epoch"] == 1
    own = data.loader(batch_sampler=BatchSampler(ShuffleSampler(61, seed=1), 8))
    assert structures(own) == structures(data.loader(8, Shuffle(seed=1)))
    foreign = data.loader(8, sampler=RandomSampler(data))
    for call in (foreign.state_dict, lambda: foreign.load_state_dict({}), lambda: foreign.epoch):
        with pytest.raises(TypeError, match="this one has BatchSampler of RandomSampler"):
            call()
    with pytest.raises(TypeError, match="RandomSampler has no epochs"):
        foreign.set_epoch(1)


@pytest.mark.parametrize("split", ["subset", "random_split"])
def test_parts_by_torch_are_fetched_a_batch_at_a_time(data, monkeypatch, split):
    if split == "subset":
        part = Subset(data, [5, 3, 60, 0, 17, 17, 2])
    else:
        part = random_split(data, [54, 7], torch.Generator().manual_seed(1))[1]
    asked = []

    class Counting(ZarrStructureDataset):
        def __getitem__(self, index):
            raise AssertionError("one by one")

        def __getitems__(self, indices):
            asked.append(list(indices))
            return super().__getitems__(indices)

    monkeypatch.setattr(data, "__class__", Counting)
    batches = list(DataLoader(part, batch_size=3, collate_fn=layouts.graph))
    assert structures(batches) == asked
    assert joined(asked) == list(part.indices)
    assert [len(indices) for indices in asked] == [3, 3, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shuffle": "blocks"}, "shuffle is True, False, 'full' or 'block', not 'blocks'"),
        ({"batch_size": 0}, "a batch is a number of structures, at least 1, not 0"),
        ({"batch_size": None}, "nothing says how large batches are"),
        ({"shuffle": {"seed": 1}, "generator": torch.Generator()}, "give one of them"),
        ({"ranks": {"rank": 1}}, "rank and world_size go together"),
        ({"ranks": (2, 2)}, r"rank must be in range\(2\)"),
        ({"ranks": {"even": "both"}}, "even is 'pad', 'drop' or None"),
        ({"threads": 1, "num_workers": 1}, "threads are for num_workers=0"),
        ({"threads": {"ahead": 1}, "num_workers": 1}, "threads are for num_workers=0"),
        ({"threads": -1}, "threads is a whole number from 0 up to 4,096, not -1"),
        ({"threads": {"ahead": 0}}, "batches ahead is a whole number from 1 up to"),
        ({"timeout": 1}, "timeout is for worker processes"),
        ({"worker_init_fn": print}, "worker_init_fn is for worker processes"),
        ({"prefetch_factor": 2}, "prefetch_factor option could only be specified in multiprocessing"),
        ({"persistent_workers": True}, "persistent_workers option needs num_workers > 0"),
        ({"shuffle": True, "sampler": [1]}, "shuffle can't be combined with sampler"),
        ({"ranks": (0, 2), "sampler": [1]}, "ranks can't be combined with sampler"),
        ({"batch_size": 2, "sampler": [1], "batch_sampler": [[1]]}, "batch_size, sampler can't be"),
        ({"batch_size": Batches(max_atoms=99), "batch_sampler": [[1]]}, "batch_size can't be combined with"),
        ({"shuffle": {"how": "full", "weights": np.ones(61)}}, "they can't be combined with 'full'"),
        ({"shuffle": {"weights": np.ones(60)}}, "there are 60 weights for the 61 structures of the dataset"),
        ({"batch_size": {"max_atoms": 99}, "sampler": [1]}, "by size need a sampler of zstruct, not list"),
        ({"batch_size": {"size": 8, "bucket": 60}}, "a multiple of the 8 of a batch such as 256, not 60"),
        ({"sampler": ShuffleSampler(60)}, "one of 60 structures, and the dataset has 61"),
        ({"shuffle": {"weights": {"H": 1.0}}}, "weights is one number for each structure, not {'H': 1.0}"),
        ({"suffle": True}, "loader has no option 'suffle'; is it shuffle"),
        ({"drop_last": True}, r"loader has drop_last in batch_size: batch_size=Batches\(drop_last=...\)"),
        ({"seed": 1}, r"loader has seed in shuffle: shuffle=Shuffle\(seed=...\)"),
        ({"layout": ["graph"]}, r"layout is 'graph', .* or a function, not \['graph'\]"),
    ],
)
def test_what_does_not_fit_together_is_refused(data, options, words):
    with pytest.raises(ValueError, match=words):
        data.loader(**options)


@pytest.mark.parametrize(
    ("option", "name"),
    [("batch_size", "max_atoms"), ("batch_size", "bucket"), ("shuffle", "seed"), ("ranks", "rank")],
)
@pytest.mark.parametrize("value", ["4", 4.0, True])
def test_whole_numbers_are_whole_numbers(data, option, name, value):
    with pytest.raises(TypeError, match=f"{name} is a whole number, not {value!r}"):
        data.loader(**{option: {name: value}})
    with pytest.raises(TypeError, match=f"the size of a batch is a whole number, not {value!r}"):
        data.loader(value)
    batches = Batches(np.int64(4), max_atoms=np.int32(80), bucket=np.int64(8))
    assert structures(data.loader(batches)) == structures(data.loader(Batches(4, max_atoms=80, bucket=8)))


@pytest.mark.parametrize("shuffle", [1, np.True_, True])
def test_true_is_true(data, shuffle):
    assert isinstance(data.loader(4, shuffle).sampler, ShuffleSampler)
    assert isinstance(data.loader(4, np.False_).sampler, SequentialSampler)


def test_a_generator_is_one_of_torch(data):
    with pytest.raises(TypeError, match=r"generator is a torch\.Generator, not"):
        data.loader(4, True, generator=np.random.default_rng(0))


def test_what_is_no_state(data):
    for nothing in ({}, None, {"sampler": "x"}):
        with pytest.raises(ValueError, match="this is no state of a sampler or loader"):
            data.loader(4).load_state_dict(nothing)


def test_the_order_of_arrival_must_be_known_to_resume(data):
    if "in_order" not in DataLoader.__init__.__code__.co_varnames:
        pytest.skip("this torch has no in_order")
    with pytest.raises(ValueError, match="no telling which structures were received"):
        data.loader(8, in_order=False, **FORK).state_dict()


def test_options_reach_the_workers(data, tmp_path):
    made = data.loader(
        8,
        num_workers=1,
        multiprocessing_context="fork",
        worker_init_fn=lambda k: (tmp_path / f"worker-{k}").touch(),
        prefetch_factor=3,
        timeout=30,
    )
    assert len(list(made)) == 8
    assert (tmp_path / "worker-0").exists()
    assert made.prefetch_factor == 3


@pytest.mark.parametrize("layout", ["graph", "padded", "list"])
def test_batches_go_to_the_device(data, layout):
    batch = next(iter(data.loader(3, layout=layout, device="meta")))
    for sample in batch if layout == "list" else [batch]:
        assert {tensor.device.type for tensor in sample.values()} == {"meta"}
    here = next(iter(data.loader(3, layout=layout, device="cpu")))
    if layout == "list":
        assert isinstance(here, PackedBatch)
        assert [(s.structure, s.n_atoms) for s in batch] == [(s.structure, s.n_atoms) for s in here]
    else:
        assert {tensor.device.type for tensor in here.values()} == {"cpu"}


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is MPS")
def test_a_device_of_another_kind_that_is_not_there_is_refused_at_once(data):
    with pytest.raises(InputError, match="batches can't be put on device 'mps': "):
        data.loader(8, device="mps")


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator")
def test_pinned_memory_without_an_accelerator(data):
    with pytest.warns(UserWarning, match="pin_memory=True does nothing here: torch finds no accelerator"):
        assert structures(data.loader(61, pin_memory=True)) == [list(range(61))]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("way", WAYS, ids=IDS)
def test_batches_on_a_cuda_device_hold_the_same(data, way):
    for there, here in zip(data.loader(8, device="cuda", **way), data.loader(8), strict=True):
        for name, tensor in there.items():
            assert tensor.is_cuda
            assert torch.equal(tensor.cpu(), here[name])
    assert next(iter(data.loader(8, pin_memory=True)))["positions"].is_pinned()
