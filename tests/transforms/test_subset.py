"""Transforms that have a probability, and transforms that are written as torch's are."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.handmade import write_store
from zstruct import StructureReader, ZarrStructureDataset
from zstruct.ragged import counts_to_offsets
from zstruct.transforms import (
    AddNoise,
    Center,
    Compose,
    OnBatch,
    OnSample,
    RandomApply,
    RandomReflection,
    RandomRotation,
    Transform,
    Wrap,
)

torch = pytest.importorskip("torch")


def doubled(batch):
    batch.columns["positions"] *= 2.0
    return batch


CHANCES = {
    "rotation": lambda p, seed: RandomRotation(p=p, seed=seed),
    "reflection": lambda p, seed: RandomReflection(p=p, seed=seed),
    "noise": lambda p, seed: AddNoise(0.1, p=p, seed=seed),
    "wrap": lambda p, seed: Wrap(p=p, seed=seed),
    "center": lambda p, seed: Center(p=p, seed=seed, periodic=True),
    "sample": lambda p, seed: OnSample(lambda s, rng: {**s, "positions": 2 * s["positions"]}, p=p, seed=seed),
    "batch": lambda p, seed: OnBatch(lambda batch, keys: doubled(batch), p=p, seed=seed),
    "apply": lambda p, seed: RandomApply(OnBatch(doubled), p=p, seed=seed),
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """400 periodic structures, whose atoms are all outside of their cells."""
    rng = np.random.default_rng(5)
    counts = rng.integers(2, 6, 400)
    columns = {
        "numbers": np.ones(counts.sum(), np.uint8),
        "positions": rng.uniform(4.5, 7.5, (counts.sum(), 3)),
        "cell": np.tile(4.0 * np.eye(3), (400, 1, 1)),
        "pbc": np.ones((400, 3), bool),
    }
    return write_store(tmp_path_factory.mktemp("cells") / "cells.zarr", counts, columns)


def positions(source, transform, epoch=0):
    reader = StructureReader(source.path, dtype="float64", transform=transform)
    reader.set_epoch(epoch)
    return reader.take(range(400)).columns["positions"]


def changed(source, found):
    """Return which structures have moved, all of their atoms or none."""
    moved = (found != source.columns["positions"]).any(axis=1)
    starts = counts_to_offsets(source.counts)[:-1]
    assert_array_equal(np.logical_or.reduceat(moved, starts), np.logical_and.reduceat(moved, starts))
    return np.logical_or.reduceat(moved, starts)


@pytest.mark.parametrize("name", CHANCES)
class TestEach:
    def test_some_are_changed_and_these_as_if_all_were(self, cells, name):
        some, every = (positions(cells, CHANCES[name](p, 3)) for p in (0.3, 1.0))
        moved = changed(cells, some)
        assert changed(cells, every).all()
        assert abs(moved.mean() - 0.3) < 0.08
        assert_array_equal(
            some, np.where(np.repeat(moved, cells.counts)[:, None], every, cells.columns["positions"])
        )

    def test_none_and_other_seeds_and_epochs(self, cells, name):
        assert not changed(cells, positions(cells, CHANCES[name](0.0, 3))).any()
        drawn = [
            changed(cells, positions(cells, CHANCES[name](0.5, seed), epoch)).tolist()
            for seed, epoch in ((3, 0), (3, 0), (4, 0), (3, 1))
        ]
        assert drawn[0] == drawn[1]
        assert len(set(map(tuple, drawn))) == 3

    def test_two_in_a_row_choose_apart(self, cells, name):
        if name in ("wrap", "center"):
            return  # twice is once
        both = positions(cells, Compose([CHANCES[name](0.5, 3), CHANCES[name](0.5, 3)]))
        assert abs(changed(cells, both).mean() - 0.75) < 0.1 or name == "reflection"

    @pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
    def test_what_is_no_probability(self, name, p):
        with pytest.raises(ValueError, match="p is a "):
            CHANCES[name](p, 0)

    @pytest.mark.parametrize("p", ["half", None, True])
    def test_what_is_no_number(self, name, p):
        with pytest.raises(TypeError, match="p is a number, not"):
            CHANCES[name](p, 0)


def test_in_single_precision_the_gather_turns_all_or_leaves_it_to_the_transform(cells):
    for transform in (RandomRotation(seed=1, p=0.4), AddNoise(0.1, seed=1, p=0.4)):
        reader = StructureReader(cells.path, transform=transform)
        reader.take(range(400))  # now everything is decoded
        batch = reader.take(range(400))
        plain = cells.columns["positions"].astype(np.float32)
        moved = np.logical_or.reduceat((batch.columns["positions"] != plain).any(axis=1), cells.offsets[:-1])
        assert abs(moved.mean() - 0.4) < 0.08
        if isinstance(transform, AddNoise):
            assert_array_equal(batch.columns["stale"], moved)


class Shift(Transform):
    """As one writes a transform for torch."""

    def __init__(self, by=1.0):
        self.by = by

    def __call__(self, sample):
        return {**sample, "positions": sample["positions"] + self.by}


class Later(Shift):
    def __call__(self, sample, epoch=0):
        return {**sample, "positions": sample["positions"] + epoch}


class TestOnlyCall:
    def test_it_is_given_samples(self, cells):
        expected = cells.columns["positions"] + 1.0
        assert_array_equal(positions(cells, Shift()), expected)
        assert_array_equal(positions(cells, [Shift(-2.0), Shift(3.0)]), expected)
        assert_array_equal(Shift()({"positions": torch.zeros(1, 3)})["positions"], torch.ones(1, 3))

    def test_it_may_take_the_epoch(self, cells):
        assert_array_equal(positions(cells, Later(), epoch=5), cells.columns["positions"] + 5)

    @pytest.mark.parametrize("layout", ["graph", "padded", "list"])
    @pytest.mark.parametrize("workers", [0, 1])
    def test_in_a_loader(self, cells, layout, workers):
        data = ZarrStructureDataset(cells.path, transform=Shift())
        batch = next(iter(data.loader(3, layout=layout, num_workers=workers)))
        first = batch[0] if layout == "list" else batch
        found = first["positions"][0] if layout != "padded" else first["positions"][0, 0]
        np.testing.assert_allclose(found, cells.columns["positions"][0] + 1, rtol=1e-6)

    def test_some_structures_only(self, cells):
        assert 0.1 < changed(cells, positions(cells, RandomApply(Shift(), p=0.3))).mean() < 0.5

    def test_what_batches_would_not_go_through_is_refused(self):
        with pytest.raises(TypeError, match="Turned defines __call__, but batches would go through"):

            class Turned(RandomRotation):
                def __call__(self, sample):
                    return sample

    def test_one_that_defines_nothing_is_none(self):
        class Nothing(Transform):
            pass

        with pytest.raises(TypeError, match="abstract"):
            Nothing()
