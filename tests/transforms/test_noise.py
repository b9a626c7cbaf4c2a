"""Noise moves atoms and says so, or is refused where labels would lie."""

import numpy as np
import pytest

from tests.transforms.batches import COUNTS, make_batch, same, with_edges
from zstruct.layouts.graph import graph
from zstruct.schema import FIELDS
from zstruct.transforms import (
    AddNoise,
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_moves_positions_and_says_so(dtype):
    batch = make_batch(dtype=dtype)
    moved = AddNoise(0.05)(batch)
    step = moved.columns["positions"] - batch.columns["positions"]
    assert step.std() == pytest.approx(0.05, rel=0.05)
    assert moved.columns["stale"].tolist() == [True] * len(COUNTS)
    np.testing.assert_array_equal(moved.columns["forces"], batch.columns["forces"])
    assert "stale" in graph(moved, as_numpy=True)
    labels = AddNoise(0.1, fields=["forces", "stress"])(batch)
    assert "stale" not in labels.columns
    assert (labels.columns["stress"] != batch.columns["stress"]).all()
    np.testing.assert_array_equal(labels.columns["positions"], batch.columns["positions"])
    same(AddNoise(0.0, fields=["forces"])(batch), batch)


def test_noise_is_refused_where_it_would_lie():
    with pytest.raises(ValueError, match="edge_index, edge_shift, edge_vec"):
        AddNoise(0.1)(with_edges(make_batch([3])))
    with pytest.raises(ValueError, match="features would still be those of where they were"):
        AddNoise(0.1).bound({"positions": FIELDS["positions"]}, ["features"])
    with pytest.raises(ValueError, match="AddNoise needs velocities, but there are only numbers"):
        AddNoise(0.1, ("velocities",))(make_batch([3]))
    with pytest.raises(ValueError, match="floating-point numbers, but numbers has int64"):
        AddNoise(0.1, ("numbers",))(make_batch([3]))
    with pytest.raises(ValueError, match="not negative"):
        AddNoise(-0.1)
    with pytest.raises(TypeError, match=r"fields=\['forces'\]"):
        AddNoise(0.1, "forces")
    AddNoise(0.1, ("forces",)).bound({"forces": FIELDS["forces"]}, ["features"])
