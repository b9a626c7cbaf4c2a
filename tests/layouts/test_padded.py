"""Batches in boxes: a row for each structure, a mask that says which atoms are real."""

import numpy as np
import pytest
import torch

from tests.tensors import PICK
from zstruct.batch.packed import PackedBatch
from zstruct.layouts.graph import graph
from zstruct.layouts.padded import padded
from zstruct.loading import ZarrStructureDataset


def test_padded(data, source):
    batch = padded(data.__getitems__(PICK))

    assert batch["mask"].sum(1).tolist() == source.counts[PICK].tolist()
    assert batch["mask"].dtype == torch.bool
    assert batch["positions"].shape == (6, 40, 3)
    for k, i in enumerate(PICK):
        n = source.counts[i]
        assert np.array_equal(batch["positions"][k, :n].numpy(), source.value("positions", i))
        assert np.array_equal(batch["numbers"][k, :n].numpy(), source.value("numbers", i))
        assert not batch["positions"][k, n:].any()
        assert not batch["forces"][k, n:].any()  # zero, not NaN, also where forces are missing


def test_the_layouts_hold_the_same(data):
    packed = data.__getitems__(PICK)
    flat, box = graph(packed), padded(packed, num_atoms=50)
    for name in flat.keys() & box.keys():
        inside = box[name][box["mask"]] if name in packed.per_atom else box[name]
        torch.testing.assert_close(flat[name], inside, rtol=0, atol=0, equal_nan=True)
    assert box["numbers"].shape == (6, 50)


def test_padding_where_there_is_none(data, source):
    same_size = [i for i in range(61) if source.counts[i] == 7]
    assert len(same_size) > 1
    batch = padded(data.take(same_size))
    assert batch["positions"].shape == (len(same_size), 7, 3)
    for k, i in enumerate(same_size):
        assert np.array_equal(batch["positions"][k].numpy(), source.value("positions", i))
    assert batch["mask"].all()


def test_columns_of_any_memory():
    values = np.arange(24.0).reshape(6, 4)
    locked = np.arange(6)
    locked.flags.writeable = False
    columns = {"strided": values[:, 1:3], "locked": locked, "flags": locked % 2 == 0}
    packed = PackedBatch(None, np.array([0, 2, 6]), np.array([2, 4]), columns, frozenset(columns))
    batch = padded(packed, 5)
    assert np.array_equal(batch["strided"][0, :2], values[:2, 1:3])
    assert np.array_equal(batch["strided"][1, :4], values[2:, 1:3])
    assert batch["locked"].tolist() == [[0, 1, 0, 0, 0], [2, 3, 4, 5, 0]]
    assert batch["flags"].tolist() == [[True, False, False, False, False], [True, False, True, False, False]]


def test_padded_batches_without_structures(data):
    batch = padded(data.take([]))
    assert batch["positions"].shape == (0, 0, 3)
    assert batch["mask"].shape == (0, 0)
    assert padded(data.take([]), 5)["positions"].shape == (0, 5, 3)


def test_padded_batches_have_no_edges(source):
    paired = ZarrStructureDataset(source.path, ["numbers"], neighbors=1.0)
    with pytest.raises(ValueError, match="a padded batch has no rows for edge_index: use layout='graph'"):
        padded(paired.take([0]))


def test_too_large_a_structure(data):
    with pytest.raises(ValueError, match="structure 33 of the store has 40 atoms, more than num_atoms=20"):
        padded(data.__getitems__([1, 33]), num_atoms=20)
    plain = [dict(data[1]), dict(data[33])]
    with pytest.raises(ValueError, match="sample 1 of the batch has 40 atoms"):
        padded([{"numbers": sample["numbers"]} for sample in plain], num_atoms=20)
