"""Transforms of batches, samples and mappings; functions as transforms."""

import numpy as np
import pytest

from tests.transforms.batches import RANDOM, copied, make_batch, replace_empty, same, with_edges
from zstruct.batch.packed import PackedBatch, Sample
from zstruct.transforms import (
    AddNoise,
    CastUnits,
    Center,
    Compose,
    Normalize,
    OnBatch,
    OnSample,
    RandomRotation,
    Wrap,
    as_transform,
)


def test_functions_of_samples_and_of_batches():
    torch = pytest.importorskip("torch")
    batch = make_batch([3, 2])

    def label(sample):
        sample["positions"] += 1.0
        return {**sample, "size": torch.tensor(sample.n_atoms), "depth": sample["positions"][:, 2]}

    by_sample = OnSample(label, per_atom=("depth",))(batch)
    np.testing.assert_array_equal(by_sample.columns["positions"], batch.columns["positions"] + 1)
    np.testing.assert_array_equal(by_sample.columns["depth"], by_sample.columns["positions"][:, 2])
    assert by_sample.columns["size"].tolist() == [3, 2]
    assert by_sample.structures.tolist() == [0, 1]

    def less(packed):
        del packed.columns["forces"]
        return packed

    assert "forces" not in Compose([dict, OnBatch(less)])(batch).columns
    with pytest.raises(ValueError, match=r"per_atom=\['depth'\]"):
        as_transform(label)(batch)
    edged = with_edges(batch)
    kept = OnSample(dict)(edged)
    np.testing.assert_array_equal(kept.pairs[0].index, edged.pairs[0].index)
    np.testing.assert_array_equal(
        kept.pairs[1].columns["deriv_values"], edged.pairs[1].columns["deriv_values"]
    )
    assert (
        OnSample(lambda s: {k: v for k, v in s.items() if not k.startswith(("edge", "deriv"))})(edged).pairs
        == ()
    )
    assert len(OnSample(label).on_batch(replace_empty(batch))) == 0


def test_functions_that_return_something_else():
    pytest.importorskip("torch")
    batch = make_batch([3, 2])
    with pytest.raises(TypeError, match="must return a mapping of tensors, not None"):
        OnSample(lambda sample: None)(batch)
    with pytest.raises(TypeError, match="must return a PackedBatch, not None"):
        OnBatch(lambda packed: None)(batch)
    with pytest.raises(ValueError, match="'positions': 1"):
        OnSample(lambda sample: {**sample, "positions": sample["positions"][:1]})(batch)
    with pytest.raises(TypeError, match="a transform is a Transform, a function"):
        as_transform(3)


@pytest.mark.parametrize(
    "transform", [RandomRotation(), Wrap(), Normalize(1.0, 2.0), AddNoise(0.1), Center()]
)
def test_called_it_copies_and_keeps_the_kind(transform):
    torch = pytest.importorskip("torch")
    batch = make_batch([3, 2])
    kept = copied(batch)
    assert isinstance(transform(batch), PackedBatch)
    sample = transform(batch[1])
    assert isinstance(sample, Sample)
    assert sample.structure == 1
    plain = transform(dict(batch[1]))
    assert type(plain) is dict
    assert isinstance(plain["positions"], torch.Tensor)
    arrays = transform({name: tensor.numpy() for name, tensor in batch[1].items()})
    assert isinstance(arrays["positions"], np.ndarray)
    assert arrays["positions"].shape == (2, 3)
    same(batch, kept)


@pytest.mark.parametrize("transform", [RandomRotation(), AddNoise(0.1), Wrap(), Center()])
def test_arrays_need_not_be_contiguous(transform):
    plain, strided = make_batch([3, 2]), make_batch([3, 2])
    for name, column in strided.columns.items():
        strided.columns[name] = np.repeat(column, 2, axis=-1)[..., ::2] if column.ndim > 1 else column
    same(transform.on_batch(strided), transform.on_batch(plain))


def test_in_place_without_a_copy():
    batch = make_batch([3, 2])
    positions = batch.columns["positions"]
    before = positions.copy()
    assert RandomRotation().on_batch(batch) is batch
    assert batch.columns["positions"] is positions
    assert (positions != before).all()


@pytest.mark.parametrize("transform", [*RANDOM, Wrap(), Center(), Normalize(), CastUnits({"length": "nm"})])
def test_batches_without_structures(transform):
    batch = transform.on_batch(replace_empty(make_batch([3])))
    assert len(batch) == 0
