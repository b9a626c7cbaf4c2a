"""A transform for some of the structures, and masks that say which."""

from dataclasses import replace

import numpy as np
import pytest

from tests.transforms.batches import arrays_of
from zstruct.batch.pack import pack
from zstruct.transforms import (
    AddNoise,
    RandomApply,
)


class TestRandomApply:
    @pytest.fixture
    def batch(self):
        rng = np.random.default_rng(0)
        samples = [
            {"numbers": np.full(n, 1), "positions": rng.normal(size=(n, 3)), "energy": 1.0 * n}
            for n in rng.integers(1, 6, 200)
        ]
        return replace(pack(samples), structures=np.arange(1000, 1200))

    @pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
    def test_some_are_transformed_and_masks_say_which(self, batch, probability):
        changed = RandomApply(AddNoise(0.1, seed=1), probability, seed=5)(batch)

        moved = np.logical_or.reduceat(
            (changed.columns["positions"] != batch.columns["positions"]).any(axis=1), batch.offsets[:-1]
        )
        assert np.array_equal(moved, changed.columns["stale"])
        assert abs(moved.mean() - probability) < 0.12
        assert np.array_equal(changed.columns["energy"], batch.columns["energy"])

    def test_others_in_every_epoch_and_the_same_in_another_batch(self, batch):
        transform = RandomApply(AddNoise(0.1, seed=1), 0.5, seed=5)

        whole, later = transform(batch, 0), transform(batch, 1)
        alone = replace(pack([arrays_of(batch, 17)]), structures=batch.structures[17:18])
        one = transform.on_batch(alone, 0)

        assert not np.array_equal(whole.columns["stale"], later.columns["stale"])
        rows = slice(*batch.offsets[17:19])
        assert np.array_equal(one.columns["positions"], whole.columns["positions"][rows])

    def test_what_only_some_would_have_is_refused(self, batch):
        pytest.importorskip("torch")
        for function, sentence in (
            (lambda sample: {**sample, "twice": 2 * sample["energy"]}, "twice can't be added to some"),
            (
                lambda sample: {**sample, "energy": sample["energy"].bool()},
                "dtype of energy can't be changed",
            ),
        ):
            with pytest.raises(ValueError, match=sentence):
                RandomApply(function, 0.5)(batch)

    def test_a_probability_is_one(self):
        with pytest.raises(ValueError, match=r"p is a probability, between 0 and 1, not 1\.5"):
            RandomApply(AddNoise(0.1), 1.5)
