"""Seeds, and the numbers that structures draw by."""

from dataclasses import replace

import numpy as np
import pytest

from tests.kills import ended
from tests.transforms.batches import RANDOM, arrays_of, make_batch, same
from zstruct.batch.packed import Sample
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
    pytest.importorskip("torch")

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


@pytest.mark.parametrize("transform", RANDOM, ids=lambda t: type(t).__name__)
def test_what_is_drawn_depends_on_the_structure_alone(transform):
    counts = {0: 4, 1: 1, 2: 70, 3: 9, 4: 600}
    whole = transform(make_batch(list(counts.values()), structures=list(counts)), epoch=1)
    other = transform(make_batch([counts[i] for i in (3, 4, 1)], structures=[3, 4, 1]), epoch=1)
    for k, i in enumerate((3, 4, 1)):
        expected = arrays_of(whole, i)
        for name, column in arrays_of(other, k).items():
            np.testing.assert_array_equal(column, expected[name], err_msg=name)
    # Another epoch, another seed, another structure: other numbers.
    again = [transform(make_batch([70], structures=[2]), epoch=e).columns["positions"] for e in range(30)]
    again += [
        replace(transform, seed=6 + e)(make_batch([70], structures=[2])).columns["positions"]
        for e in range(30)
    ]
    unmoved = make_batch([70], structures=[2]).columns["positions"]
    assert len({a.tobytes() for a in again if not np.array_equal(a, unmoved)}) > 20


@pytest.mark.parametrize("transform", RANDOM, ids=lambda t: type(t).__name__)
def test_a_sample_draws_as_in_a_batch(transform):
    pytest.importorskip("torch")
    whole = transform(make_batch([4, 1, 70]), epoch=1)
    alone = transform(make_batch([70], structures=[2])[0], epoch=1)
    assert isinstance(alone, Sample)
    np.testing.assert_array_equal(alone["positions"], whole[2]["positions"])


def _moved():
    sample = {"positions": np.arange(30.0).reshape(10, 3)}
    return AddNoise(0.3, seed=2)(RandomRotation(seed=1)(sample, 3), 3)["positions"].tobytes()


def _move(results):
    results.put(_moved())


def test_the_same_in_another_process(spawner):
    results = spawner.SimpleQueue()
    assert ended(spawner, _move, results) == 0
    assert results.get() == _moved()
