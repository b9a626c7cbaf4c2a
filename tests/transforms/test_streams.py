"""Seeds, and the numbers that structures draw by."""

import numpy as np
import pytest

from tests.transforms.batches import make_batch, same
from zstruct.transforms import (
    AddNoise,
    Compose,
    OnBatch,
    OnSample,
    RandomReflection,
    RandomRotation,
    random_keys,
)


def test_seeded_functions_draw_by_structure():
    def jitter(sample, rng):
        return {**sample, "energy": np.float64(rng.normal())}

    def keyed(packed, keys):
        packed.columns["key"] = keys.astype(np.int64)
        return packed

    transform = Compose([OnSample(jitter, seed=1), OnBatch(keyed, seed=1)])
    whole = transform(make_batch([3, 2, 4], structures=[5, 6, 7]), epoch=2)
    one = transform(make_batch([4], structures=[7]), epoch=2)
    for name in ("energy", "key"):
        assert one.columns[name][0] == whole.columns[name][2]
        assert len(set(whole.columns[name].tolist())) == 3
        assert one.columns[name][0] != transform(make_batch([4], structures=[7])).columns[name][0]
    batch = make_batch([1, 1])
    assert (random_keys(batch, 1, 0) != random_keys(batch, 1, 1)).all()
    assert (random_keys(batch, 1, 0) != random_keys(batch, 2, 0)).all()


@pytest.mark.parametrize("make", [RandomRotation, RandomReflection, lambda seed: AddNoise(0.1, seed=seed)])
def test_seeds(make):
    batch = make_batch([4, 2])
    same(make(seed=np.int64(3))(batch), make(seed=3)(batch))
    same(make(seed=np.uint8(3))(batch), make(seed=3)(batch))
    for seed in (None, 1.5, "a", True):
        with pytest.raises(TypeError, match="seed is a whole number, not"):
            make(seed=seed)
