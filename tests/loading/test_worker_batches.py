"""Batches from worker processes: the same as without, in memory that is used again once nobody has it."""

import gc
from functools import partial
from multiprocessing.reduction import ForkingPickler
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.tensors import same
from zstruct import layouts
from zstruct.loading import Shuffle, ZarrStructureDataset, worker_batches
from zstruct.loading.worker_batches import WorkerBatches

AHEAD = 2
SLOTS = AHEAD + 3


@pytest.fixture
def workers(monkeypatch):
    """What makes batches of themselves, as if in a worker, and has even small arrays travel in slots."""
    monkeypatch.setattr(worker_batches, "_SMALL", 0)
    monkeypatch.setattr(worker_batches, "get_worker_info", lambda: SimpleNamespace(id=1))
    return WorkerBatches(lambda batch: batch, AHEAD)


def sent(workers, batch):
    """Return what arrives of a batch."""
    return ForkingPickler.loads(ForkingPickler.dumps(workers(batch)))


@pytest.mark.parametrize(
    ("layout", "context"),
    [*(pytest.param(layout, "fork", marks=pytest.mark.long)
       for layout in ("graph", "padded", partial(layouts.graph, index="ptr"))),
     ("graph", "forkserver"), ("list", "fork")],
)  # fmt: skip
def test_batches_are_those_that_are_made_without_workers(source, monkeypatch, layout, context):
    monkeypatch.setattr(worker_batches, "_SMALL", 256)
    data = ZarrStructureDataset(source.path, neighbors=None if layout == "padded" else 3.0)
    options = {"layout": layout, "shuffle": Shuffle(seed=3)}
    expected = list(data.loader(3, **options, threads=0))
    loader = data.loader(3, **options, num_workers=2, multiprocessing_context=context)
    kept = list(loader)  # more than there are slots for
    assert len(kept) == len(expected) > 2 * SLOTS
    for batch, other in zip(kept, expected, strict=True):
        if layout == "list":
            for one, another in zip(batch, other, strict=True):
                same(one, another)
        else:
            same(batch, other)


def test_no_batch_changes_while_somebody_has_a_part_of_it(source, monkeypatch):
    monkeypatch.setattr(worker_batches, "_SMALL", 0)
    data = ZarrStructureDataset(source.path, ["positions", "energy"])
    loader = data.loader(2, Shuffle(seed=1), num_workers=2, persistent_workers=True)
    kept = []
    for epoch in range(3):
        for k, batch in enumerate(loader):
            expected = layouts.graph(data.take(batch["structure"]))
            same(batch, expected)
            if k % 4 == 0:
                kept.append((batch["positions"][1:], expected["positions"][1:]))
            batch["energy"].zero_()
        assert loader.epoch == epoch + 1
    for positions, expected in kept:
        assert torch.equal(positions, expected)


def test_slots_are_used_again_and_again(workers):
    batch = {"x": torch.arange(1000.0)}
    places = set()
    for _ in range(50):
        arrived = sent(workers, batch)
        assert torch.equal(arrived["x"], batch["x"])
        places.add(arrived["x"].data_ptr())
    assert len(places) <= 2


def test_where_all_slots_are_taken_torch_moves_batches(workers):
    kept = [sent(workers, {"x": torch.full((9,), float(k))})["x"][2:5] for k in range(SLOTS)]
    batch = {"x": torch.zeros(9)}
    assert workers(batch) is batch
    assert [float(x[0]) for x in kept] == list(range(SLOTS))
    del kept[3]
    gc.collect()
    assert workers(batch) is not batch


def test_what_is_small_takes_no_slot(monkeypatch, workers):
    monkeypatch.setattr(worker_batches, "_SMALL", 1 << 10)
    kept = [
        sent(workers, {"x": torch.zeros(1000), "energy": torch.ones(9)})["energy"] for _ in range(4 * SLOTS)
    ]
    for energy in kept:
        assert torch.equal(energy, torch.ones(9))
        energy.zero_()


def test_larger_batches_get_larger_slots(workers):
    kept = [sent(workers, torch.arange(n)) for n in (10, 1000, 10, 100_000, 7)]
    assert [len(one) for one in kept] == [10, 1000, 10, 100_000, 7]
    assert all(torch.equal(one, torch.arange(len(one))) for one in kept)


def test_anything_can_be_sent(workers):
    twice = torch.arange(6).reshape(2, 3)
    batch = {
        "turned": twice.T,
        "half": torch.ones(3, dtype=torch.bfloat16),
        "number": torch.tensor(2.5),
        "none": torch.empty(0, 3),
        "weights": torch.ones(2, requires_grad=True),
        "arrays": [np.arange(4), np.array(["Ti", "O"]), np.zeros((0, 2))],
        "twice": (twice, twice),
        "text": "O2Ti",
    }
    arrived = sent(workers, batch)
    for name in ("turned", "half", "number", "none", "weights"):
        assert arrived[name].dtype == batch[name].dtype
        assert torch.equal(arrived[name], batch[name])
    assert arrived["weights"].requires_grad
    assert arrived["twice"][0] is arrived["twice"][1]
    for one, other in zip(arrived["arrays"], batch["arrays"], strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    assert arrived["text"] == "O2Ti"
    arrived["number"] += 1
    arrived["arrays"][0][1] = 7


def test_what_arrives_after_the_end_is_nothing(workers):
    message = ForkingPickler.dumps(workers({"x": torch.zeros(9)}))
    worker_batches._by_number.clear()
    assert ForkingPickler.loads(message) is None


def test_a_fork_gives_nothing_back(workers):
    taken = np.ones(2, np.uint8)
    worker_batches._give_back(taken, 0, worker_batches.os.getpid() + 1)
    worker_batches._give_back(taken, 1, worker_batches.os.getpid())
    assert taken.tolist() == [1, 0]
