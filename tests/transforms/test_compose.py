"""Transforms one after the other, and what becomes one."""

import math
import pickle

import numpy as np
import pytest

from tests.transforms.batches import make_batch, same
from zstruct.schema import FIELDS
from zstruct.transforms import (
    AddNoise,
    CastUnits,
    Center,
    Compose,
    Normalize,
    OnSample,
    RandomRotation,
    Wrap,
    as_transform,
)


def test_missing_values_stay_missing():
    batch = make_batch([3, 4], dtype=np.float32)
    batch.columns["forces"][:3] = np.nan
    batch.columns["stress"][1] = np.nan
    after = Compose([RandomRotation(), Normalize(-1.0, 2.0), CastUnits({"energy": "kcal/mol"})])(batch)
    assert np.isnan(after.columns["forces"][:3]).all()
    assert np.isfinite(after.columns["forces"][3:]).all()
    assert np.isnan(after.columns["stress"][1]).all()
    assert np.isfinite(after.columns["stress"][0]).all()


def test_places_in_a_list_draw_apart():
    zero = {"positions": np.zeros((2000, 3))}
    single = AddNoise(1.0, seed=1)(zero)["positions"]
    first = Compose([AddNoise(1.0, seed=1), Center()])(zero)["positions"]
    second = Compose([Center(), AddNoise(1.0, seed=1)])(zero)["positions"]
    nested = Compose([[AddNoise(1.0, seed=1)]])(zero)["positions"]
    both = Compose([AddNoise(1.0, seed=1), AddNoise(1.0, seed=1)])(zero)["positions"]
    for a, b in ((single, first), (first, second), (second, nested)):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.06
    assert both.std() == pytest.approx(math.sqrt(2), rel=0.05)


def test_anything_becomes_a_transform():
    rotation = RandomRotation()
    assert as_transform(rotation) is rotation
    assert as_transform(None).transforms == ()
    assert isinstance(as_transform(dict), OnSample)
    assert len(as_transform([rotation, dict]).transforms) == 2


def test_transforms_pickle():
    transform = Compose([RandomRotation(1), AddNoise(0.1, seed=1), Normalize(1.0, 2.0, {"H": 1.0}), Wrap()])
    bound = transform.bound({name: FIELDS[name] for name in make_batch([1]).columns})
    batch = make_batch([4, 2])
    batch.columns["numbers"][:] = 1
    same(pickle.loads(pickle.dumps(bound))(batch, 3), transform(batch, 3))
