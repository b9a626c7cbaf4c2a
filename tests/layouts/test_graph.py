"""Batches as graphs; what holds for every layout that joins samples."""

import functools
import pickle

import numpy as np
import pytest
import torch

from tests.tensors import PICK, same
from zstruct import InputError
from zstruct.layouts.graph import as_list, graph
from zstruct.layouts.padded import padded


def test_graph(data, source):
    batch = graph(data.__getitems__(PICK))

    counts = source.counts[PICK]
    assert batch["n_atoms"].tolist() == counts.tolist()
    assert batch["structure"].tolist() == PICK
    assert batch["ptr"].tolist() == [0, *np.cumsum(counts)]
    assert batch["batch"].tolist() == np.repeat(np.arange(6), counts).tolist()
    assert {batch[name].dtype for name in ("n_atoms", "structure", "ptr", "batch")} == {torch.int64}
    joined = np.concatenate([source.value("positions", i) for i in PICK])
    assert np.array_equal(batch["positions"].numpy(), joined)
    assert np.array_equal(batch["energy"].numpy(), source.columns["energy"][PICK])
    assert batch["cell"].shape == (6, 3, 3)
    assert batch["pbc"].dtype == torch.bool


@pytest.mark.parametrize("index", ["batch", "ptr"])
def test_what_tells_whose_atoms_are_whose_can_be_chosen(data, index):
    both, one = graph(data.take(PICK)), graph(data.take(PICK), index=index)
    left_out = {"batch": "ptr", "ptr": "batch"}[index]
    assert list(one) == [name for name in both if name != left_out]
    same(one, {name: both[name] for name in one})
    renamed = graph(data.take(PICK), index=index, names={index: "rows"})
    assert torch.equal(renamed["rows"], both[index])
    with pytest.raises(InputError, match="index is 'batch', 'ptr' or 'both', not 'none'"):
        graph(data.take(PICK), index="none")


@pytest.mark.parametrize("join", [graph, padded, functools.partial(padded, num_atoms=64)])
def test_packed_or_one_by_one(data, join):
    join = pickle.loads(pickle.dumps(join))
    same(join(data.__getitems__(PICK)), join([data[i] for i in PICK]))
    same(join(data.__getitems__(PICK)), join(as_list(data.__getitems__(PICK))))


def test_batches_are_free_to_be_changed(data):
    for join in (graph, padded):
        batch = join(data.__getitems__(PICK))
        for tensor in batch.values():
            tensor.zero_()
    sample = data[5]
    sample["positions"] += 1
    assert not torch.equal(sample["positions"], data[5]["positions"])


@pytest.mark.parametrize("join", [graph, padded])
def test_arrays_instead_of_tensors(data, join):
    arrays, tensors = join(data.take(PICK), as_numpy=True), join(data.take(PICK))
    assert arrays.keys() == tensors.keys()
    for name, array in arrays.items():
        assert type(array) is np.ndarray
        assert np.array_equal(array, tensors[name].numpy(), equal_nan=array.dtype.kind == "f")
