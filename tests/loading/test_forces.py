"""The structures whose forces are used: how many, which, and what comes for them only."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loading.groups import Bumps
from zstruct import ZarrStructureDataset
from zstruct.loading import Forces
from zstruct.loading.forces import ForcePolicy
from zstruct.store.store import Store


@pytest.fixture(scope="module")
def with_forces(source):
    """Which structures have forces."""
    firsts = source.columns["forces"][source.offsets[:-1], 0]
    return ~np.isnan(firsts)


def policy(source, rows=None, fraction=0.5, minimum=1, **options):
    return ForcePolicy(Store(source.path), rows, Forces(fraction, minimum=minimum, **options))


@given(fraction=st.floats(0.01, 1), minimum=st.integers(0, 100), epoch=st.integers(0, 1000))
@settings(max_examples=30)
def test_as_many_as_said_and_none_without_forces(source, with_forces, fraction, minimum, epoch):
    used = policy(source, fraction=fraction, minimum=minimum).used(epoch)

    n = with_forces.sum()
    assert used.sum() == min(n, max(round(fraction * n), minimum))
    assert not np.any(used & ~with_forces)


def test_none_is_a_fraction_too(source, plain):
    data = ZarrStructureDataset(source.path, derivatives=Bumps()).with_forces(0.0)
    batch = next(iter(data.loader(61)))
    assert not batch["use_forces"].any()
    assert batch["deriv_index"].shape[1] == 0
    assert data.loss({"forces": batch["forces"].nan_to_num()}, batch) == 0
    assert "forces of 0 of" in repr(data)
    at_least = ZarrStructureDataset(source.path).with_forces(0.0, minimum=3)
    assert sum(bool(sample["use_forces"]) for sample in at_least) == 3
    assert sum(bool(s["use_forces"]) for s in ZarrStructureDataset(source.path).with_forces(1e-9)) == 1


def test_without_forces_none_are_used(make_store, tmp_path):
    made = make_store(tmp_path / "none.zarr", np.ones(3, int), {"numbers": np.ones(3, np.uint8)})
    assert not any(sample["use_forces"] for sample in ZarrStructureDataset(made.path).with_forces(0.0))
    with pytest.raises(ValueError, match="training on forces needs some"):
        ZarrStructureDataset(made.path).with_forces(0.5)


def test_random_draws_anew_in_each_window_of_epochs(source):
    drawn = policy(source, every=3)

    epochs = [drawn.used(epoch).tolist() for epoch in range(9)]

    assert epochs[0] == epochs[1] == epochs[2]
    assert len({tuple(epochs[k]) for k in (0, 3, 6)}) == 3


def test_fixed_stays_and_seeds_differ(source):
    fixed = policy(source, sampling="fixed")

    assert np.array_equal(fixed.used(0), fixed.used(7))
    assert not np.array_equal(fixed.used(0), policy(source, sampling="fixed", seed=1).used(0))


def test_over_many_epochs_every_structure_has_its_turn(source, with_forces):
    drawn = policy(source, fraction=0.3)

    times = sum(drawn.used(epoch).astype(int) for epoch in range(400))

    expected = 400 * drawn.n_used / with_forces.sum()
    assert np.abs(times[with_forces] - expected).max() < 5 * np.sqrt(400 * 0.3 * 0.7)


def test_a_subset_chooses_among_its_own(source, with_forces):
    data = ZarrStructureDataset(source.path, ["forces"]).with_forces(0.5)
    rows = np.flatnonzero(with_forces)[:8]

    part = data[rows]

    batch = part.take(np.arange(8))
    assert batch.columns["use_forces"].sum() == 4
    assert data.take(np.arange(len(data))).columns["use_forces"].sum() == round(0.5 * with_forces.sum())


def test_samples_batches_and_epochs(source):
    data = ZarrStructureDataset(source.path, ["energy", "forces"]).with_forces(0.5, seed=3)

    masks = []
    for epoch in range(3):
        data.set_epoch(epoch)
        batch = next(iter(torch.utils.data.DataLoader(data, 61, collate_fn=lambda packed: packed)))
        masks.append(batch.columns["use_forces"].copy())
        assert [bool(data[i]["use_forces"]) for i in range(len(data))] == masks[-1].tolist()

    assert not np.array_equal(masks[0], masks[1])
    data.set_epoch(0)
    assert np.array_equal(data.take(np.arange(61)).columns["use_forces"], masks[0])


@pytest.mark.parametrize("rows", [np.arange(61), np.arange(5, 50)])
@pytest.mark.parametrize("options", [{}, {"num_workers": 2, "persistent_workers": True}])
def test_a_loader_draws_anew_in_each_epoch(source, rows, options):
    data = ZarrStructureDataset(source.path, ["energy"]).with_forces(0.5)[rows]
    loader = data.loader(16, shuffle=True, **options)
    drawn = policy(source, rows)

    for epoch in range(3):
        used = np.zeros(61, dtype=bool)
        for batch in loader:
            used[batch["structure"].numpy()] = batch["use_forces"].numpy()
        assert np.array_equal(used, drawn.used(epoch))


def test_copies_of_a_dataset_have_epochs_of_their_own(source):
    data = ZarrStructureDataset(source.path, ["energy"]).with_forces(0.5)
    view, pickled = data[:30], pickle.loads(pickle.dumps(data))

    data.set_epoch(5)

    assert (data.epoch, view.epoch, pickled.epoch, copy.deepcopy(data).epoch) == (5, 0, 0, 5)


@pytest.mark.parametrize("derivatives", ["bumps", Bumps()])
def test_derivatives_come_for_used_structures_only(featured, derivatives):
    everything = ZarrStructureDataset(featured.path, ["forces"], derivatives=derivatives)
    some = ZarrStructureDataset(featured.path, ["forces"], derivatives=derivatives).with_forces(0.4)
    indices = np.arange(len(some))

    pairs = 0
    for whole, sample in zip(everything.take(indices), some.take(indices), strict=True):
        used = bool(sample["use_forces"])
        pairs += whole["deriv_index"].shape[1]
        assert torch.equal(sample["deriv_index"], whole["deriv_index"][:, : None if used else 0])
        assert torch.equal(sample["deriv_values"], whole["deriv_values"][: None if used else 0])

    assert 0 < some.take(indices).pairs[0].index.shape[1] < pairs


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"fraction": -0.1}, "fraction is at least 0 and"),
        ({"fraction": 1.5}, "fraction is at least 0 and"),
        ({"fraction": float("nan")}, "fraction is a number, not nan"),
        ({"sampling": "best"}, "sampling is 'random' or 'fixed'"),
        ({"every": 0}, "every is a whole number from 1, not 0"),
        ({"minimum": -1}, "minimum is a whole number from 0, not -1"),
    ],
)
def test_what_makes_no_sense_is_refused(source, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        policy(source, **options)


def test_a_store_without_forces_is_refused(make_store, tmp_path):
    counts = np.array([2, 1])
    bare = make_store(tmp_path / "bare.zarr", counts, {"numbers": np.array([1, 1, 8], np.uint8)})

    with pytest.raises(ValueError, match="training on forces needs some"):
        policy(bare)


def test_what_is_no_number_is_refused(source):
    data = ZarrStructureDataset(source.path)
    for options in ({"fraction": "0.5"}, {"fraction": True}, {"seed": 1.5}, {"fraction": None}):
        with pytest.raises(TypeError, match=f"{next(iter(options))} is a"):
            data.with_forces(**{"fraction": 0.5} | options)
