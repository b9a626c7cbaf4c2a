"""A packed batch is a sequence of samples, and both can be sent to other processes."""

import pickle

import pytest

from tests.tensors import PICK, same
from zstruct.batch.packed import PackedBatch, Sample
from zstruct.layouts.graph import graph


def test_a_batch_is_a_sequence_of_samples(data, source):
    packed = data.__getitems__(PICK)

    assert isinstance(packed, PackedBatch)
    assert len(packed) == len(list(packed)) == 6
    assert packed[-1].structure == 12
    assert [sample.structure for sample in packed[1:4]] == [0, 60, 17]
    assert packed[0].n_atoms == 40
    with pytest.raises(IndexError, match="sample 6 is out of range: the batch has 6"):
        packed[6]
    assert repr(packed).startswith(f"PackedBatch(6 structures, {source.counts[PICK].sum()} atoms: numbers,")


def test_samples_and_batches_pickle(data):
    packed = data.__getitems__(PICK)
    loaded = pickle.loads(pickle.dumps(packed))
    same(graph(loaded), graph(packed))

    sample = pickle.loads(pickle.dumps(packed[2]))
    assert isinstance(sample, Sample)
    assert (sample.structure, sample.n_atoms, sample.per_atom) == (60, 1, packed.per_atom)
    same(sample, packed[2])
