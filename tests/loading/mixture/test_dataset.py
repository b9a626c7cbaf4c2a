"""A mixture as a torch dataset: loaders, worker processes, other people's loaders, models with heads."""

import functools
import itertools
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset

from tests.mixed import FIELDS, check
from zstruct import InputError, Mixture, layouts
from zstruct.loading import Batches, Proportions, Ranks, Shuffle, ZarrStructureDataset
from zstruct.loading.order import MixtureSampler, ShuffleSampler

TEXTS = ["bulk", "slab", "gas"]
WAYS = [{"threads": 0}, {"threads": 2}, {"num_workers": 2, "multiprocessing_context": "fork"}]
IDS = ["inline", "threads", "fork"]
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def datasets(three, fields=FIELDS, names="abc", **options):
    return {
        name: ZarrStructureDataset(
            three[name].path, [f for f in fields if f in three[name].columns], **options
        )
        for name in names
    }


@pytest.fixture(scope="module")
def mixture(three):
    return Mixture(
        datasets(three, ["numbers", "energy"]), weights={"a": 2, "b": 1, "c": 1}, window=12, length=72
    )


def structures(batches):
    return [batch["structure"].tolist() for batch in batches]


def joined(lists):
    return list(itertools.chain.from_iterable(lists))


def heads(batch):
    return torch.bincount(batch["head"], minlength=3).tolist()


@pytest.mark.parametrize("way", WAYS, ids=IDS)
def test_every_batch_of_a_window_has_the_proportions(mixture, way):
    loader = mixture.loader(12, Shuffle(seed=3), **way)
    epochs = [list(loader) for _ in range(2)]
    assert [heads(batch) for batch in epochs[0]] == [[6, 3, 3]] * 6
    assert structures(epochs[0]) == structures(mixture.loader(12, Shuffle(seed=3))) != structures(epochs[1])
    assert isinstance(loader.sampler, MixtureSampler)


@pytest.mark.parametrize(
    ("batches", "way"),
    [(Batches(7), WAYS[0]), (Batches(max_atoms=40), WAYS[1]), (Batches(4, bucket=24), WAYS[0])],
    ids=["number", "atoms", "bucket"],
)
def test_an_epoch_is_resumed_at_any_batch(mixture, batches, way):
    whole = structures(mixture.loader(batches, Shuffle(seed=5)))
    for taken in range(len(whole) + 1):
        loader = mixture.loader(batches, Shuffle(seed=5), **way)
        run = iter(loader)
        assert structures(itertools.islice(run, taken)) == whole[:taken]
        state = pickle.loads(pickle.dumps(loader.state_dict()))
        del run
        resumed = mixture.loader(batches, shuffle=True, **way)
        resumed.load_state_dict(state)
        assert structures(resumed) == whole[taken:]


@pytest.mark.parametrize("batches", [Batches(6), Batches(max_atoms=40)], ids=str)
def test_ranks_share_an_epoch(mixture, batches):
    alone = joined(structures(mixture.loader(batches, Shuffle(seed=2))))
    shares = [joined(structures(mixture.loader(batches, Shuffle(seed=2), ranks=(r, 3)))) for r in range(3)]
    assert sorted(joined(shares)) == sorted(alone)
    even = [mixture.loader(batches, Shuffle(seed=2), ranks=Ranks(r, 5, even="pad")) for r in range(5)]
    assert len({len(loader) for loader in even}) == 1


def test_every_structure_once(three):
    once = Mixture(datasets(three, ["numbers"]))
    loader = once.loader(8, shuffle=True)
    assert isinstance(loader.sampler, ShuffleSampler)
    assert sorted(joined(structures(loader))) == list(range(65))
    assert joined(structures(once.loader(8))) == list(range(65))
    # In blocks, each store in a window of its own; all end together.
    blocks = Mixture(datasets(three, ["numbers"], cache={"where": "memory", "bytes": 20}))
    loader = blocks.loader(8, Shuffle(seed=1))
    assert "BlockShuffleSampler" in repr(loader)
    for _ in range(2):
        assert sorted(joined(structures(loader))) == list(range(65))
    again = Mixture(datasets(three, ["numbers"]), window=16)
    assert sorted(joined(structures(again.loader(8, shuffle=True)))) == list(range(65))


def test_in_order_the_parts_take_turns(mixture):
    order = structures(mixture.loader(8))
    assert order[0] == [0, 41, 64, 1, 2, 42, 64, 3]
    assert order == structures(mixture.loader(8))


@pytest.mark.parametrize("workers", [0, 2])
def test_torchs_own_loader(three, workers):
    mixture = Mixture(datasets(three))
    loader = DataLoader(mixture, 13, collate_fn=layouts.graph, num_workers=workers)
    places = list(range(65))
    for k, batch in enumerate(loader):
        some = places[13 * k : 13 * k + 13]
        assert batch["structure"].tolist() == some
        which = [("a", i) if i < 41 else ("b", i - 41) if i < 64 else ("c", 0) for i in some]
        check({name: tensor.numpy() for name, tensor in batch.items()}, which, three, TEXTS)
    shuffled = DataLoader(mixture, 13, shuffle=True, collate_fn=layouts.graph, num_workers=workers)
    assert sorted(joined(structures(shuffled))) == places


def test_samples_are_tensors_of_all_fields(three):
    mixture = Mixture(datasets(three))
    sample = mixture[50]
    assert sample["head"].shape == ()
    assert sample["head"].item() == 1
    assert sample["has_forces"].item() is False
    assert torch.isnan(sample["forces"]).all()
    assert sample.structure == 50
    assert [mixture[k]["head"].item() for k in (-1, 0)] == [2, 0]
    batch = layouts.graph([mixture[3], mixture[50]])
    expected = layouts.graph(mixture.take([3, 50]))
    assert batch.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(batch[name], tensor, equal_nan=True)
    assert len(DataLoader(Subset(mixture, [1, 2]), 2, collate_fn=layouts.graph)) == 1
    with pytest.raises(InputError, match="other units"):
        layouts.graph([ConcatDataset([mixture, *datasets(three, names="b").values()])[k] for k in (0, 70)])


def test_epochs_of_parts_that_vary(three):
    def noisy(**options):
        from zstruct.transforms import AddNoise

        return Mixture(
            datasets(three, ["numbers", "positions"], "ab", transform=AddNoise(0.1, seed=1)), **options
        )

    mixture = noisy()
    first, second = (
        torch.cat([batch["positions"] for batch in mixture.loader(64, Shuffle(seed=1), num_workers=workers)])
        for workers in (0, 1)
    )
    assert torch.equal(first, second)
    persistent = mixture.loader(64, num_workers=1, persistent_workers=True)
    epochs = [next(iter([batch["positions"] for batch in persistent])) for _ in range(2)]
    assert not torch.equal(*epochs)
    mixture.set_epoch(1)
    assert torch.equal(layouts.graph(mixture.take(np.arange(64)))["positions"], epochs[1])


def test_heads_for_mace(three):
    options = {"neighbors": 2.0}
    mixture = Mixture(
        datasets(three, ["numbers", "positions", "cell", "pbc", "energy", "forces", "stress"], **options)
    )
    (batch,) = itertools.islice(mixture.loader(65, layout="mace"), 1)
    assert batch["head"].tolist() == [0] * 41 + [1] * 23 + [2]
    assert batch["head"].dtype == torch.int64
    assert batch["node_attrs"].shape[1] == 3  # H, C and O, whichever store has them
    there = [float("stress" in three[name].columns) for name in "abc"]
    assert batch["stress_weight"].tolist() == [there[0]] * 41 + [there[1]] * 23 + [there[2]]
    assert not batch["stress"][41:].any()
    assert batch["forces_weight"][40:].tolist() == [1.0, *[0.0] * 23, 1.0]
    by_name = functools.partial(layouts.mace, elements=mixture.elements, heads=["c", "pt", "b", "a"])
    assert by_name(mixture.take([0, 50, 64]))["head"].tolist() == [3, 2, 0]
    with pytest.raises(InputError, match="structure 9 of b has the head 'b'; the model has a, c"):
        layouts.mace(mixture.take([0, 50]), mixture.elements, heads=["a", "c"])
    with pytest.raises(InputError, match="the model are by the names of heads, and structures have none"):
        layouts.mace(mixture.parts[0].take([0]), mixture.elements, heads=["a"])


def test_tasks_for_fairchem(three):
    pytest.importorskip("ase")
    own = datasets(three, ["numbers", "positions", "cell", "pbc", "energy"])
    batch = layouts.fairchem(Mixture(own).take([64, 0, 50]))
    assert batch["dataset"] == ["c", "a", "b"]
    assert batch["sid"] == ["64", "0", "50"]
    said = functools.partial(layouts.fairchem, dataset={"a": "omat", "b": "omol", "c": "omat"})
    assert said(Mixture(own).take([64, 0, 50]))["dataset"] == ["omat", "omat", "omol"]
    with pytest.raises(InputError, match="structure 0 of a has the head 'a'; dataset has b"):
        layouts.fairchem(Mixture(own).take([0]), dataset={"b": "omol"})
    assert layouts.fairchem(Mixture(own).take([0]), dataset="oc20")["dataset"] == ["oc20"]
    assert "dataset" not in layouts.fairchem(Mixture(list(own.values())).take([0]))  # nobody said one


def test_a_loader_says_what_it_draws(mixture):
    said = repr(mixture.loader(8, Shuffle(seed=1)))
    assert "72 drawn in proportions 2 : 1 : 1" in said
    assert "windows of 12" in said
    assert isinstance(mixture.proportions, Proportions)


def test_a_state_of_another_mixture_is_refused(three, mixture):
    state = mixture.loader(8, Shuffle(seed=1)).state_dict()
    other = Mixture(
        datasets(three, ["numbers", "energy"]), weights={"a": 2, "b": 1, "c": 2}, window=12, length=72
    )
    with pytest.raises(ValueError, match="of another order and can't be resumed"):
        other.loader(8, shuffle=True).load_state_dict(state)


def test_losses_leave_out_what_a_store_lacks(three):
    mixture = Mixture(datasets(three, ["numbers", "positions", "forces"]))
    batch = layouts.graph(mixture.take([3, 50]))
    predicted = torch.where(torch.isnan(batch["forces"]), 9.0, batch["forces"] + 2.0)
    assert mixture.loss({"forces": predicted}, batch).item() == pytest.approx(4.0)
