import functools
import pickle

import numpy as np
import pytest
import torch

from zstruct.batch.packed import PackedBatch, Sample
from zstruct.layouts.graph import as_list, graph
from zstruct.layouts.padded import padded
from zstruct.loading import ZarrStructureDataset

PICK = [5, 0, 60, 17, 5, 12]


@pytest.fixture(scope="module")
def data(source):
    return ZarrStructureDataset(source.path, dtype=torch.float64)


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=0, equal_nan=True)


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
    packed = PackedBatch(
        None, np.array([0, 2, 6]), np.array([2, 4]), np.repeat([0, 1], [2, 4]), columns, frozenset(columns)
    )
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


def test_plain_dicts_are_judged_by_the_field_table(data):
    names = ["numbers", "positions", "energy", "cell"]
    plain = [{name: data[i][name].numpy() for name in names} for i in PICK]

    batch = graph(plain)

    expected = graph(data.__getitems__(PICK))
    assert "structure" not in batch
    same(batch, {name: expected[name] for name in batch})


def test_plain_dicts_with_names_of_their_own():
    # Three atoms and three components: only the names can tell them apart.
    samples = [
        {"numbers": [8, 1, 1], "mine": np.arange(3.0), "mu": np.zeros(3), "energy": -1.0},
        {"numbers": [1, 1, 1], "mine": np.arange(3.0), "mu": np.ones(3), "energy": 2.0},
    ]
    batch = graph(samples, per_atom=["mine"])
    assert batch["mine"].tolist() == [0, 1, 2, 0, 1, 2]
    assert batch["mu"].shape == (2, 3)
    assert batch["energy"].tolist() == [-1, 2]
    assert padded(samples, 4, per_atom=["mine"])["mine"].tolist() == [[0, 1, 2, 0]] * 2


def test_plain_dicts_with_what_a_dataset_adds(featured):
    data = ZarrStructureDataset(featured.path, features="bumps", derivatives="bumps", neighbors="rc3")
    for picked in ([4, 0, 52, 4], [7]):
        plain = [dict(data[i]) for i in picked]
        expected = graph(data.__getitems__(picked))
        assert sum(expected["edge_index"].shape) > 2 or picked == [7]
        batch = graph(plain)
        same(batch, {name: expected[name] for name in batch})
        assert expected.keys() - batch.keys() == {"structure"}
    with pytest.raises(ValueError, match="no rows for edge_index"):
        padded(plain)
    with pytest.raises(ValueError, match=r"edge_index of float64 and shape \(3,\)"):
        graph([{"numbers": np.ones(2), "edge_index": np.ones(3)}])


def test_a_mask_that_some_samples_do_without():
    with_forces = {"numbers": np.ones(2), "forces": np.ones((2, 3))}
    maybe = {"numbers": np.ones(1), "forces": np.full((1, 3), np.nan), "has_forces": np.array(False)}
    for samples in ([with_forces, maybe], [maybe, with_forces]):
        has = graph(samples)["has_forces"].tolist()
        assert has == ["has_forces" not in sample for sample in samples]
    with pytest.raises(ValueError, match="sample 1 of the batch has numbers, has_forces"):
        graph([with_forces, {"numbers": np.ones(1), "has_forces": np.array(True)}])
    with pytest.raises(ValueError, match="sample 1 of the batch has numbers, has_forces"):
        graph([{"numbers": np.ones(1)}, {"numbers": np.ones(1), "has_forces": np.array(True)}])


def test_what_can_not_be_joined():
    with pytest.raises(ValueError, match="no sample to make a batch of"):
        graph([])
    with pytest.raises(TypeError, match="takes a list of samples, not one"):
        graph({"numbers": np.ones(3)})
    for nothing in (None, torch.ones(3), (sample for sample in ()), [1, 2]):
        with pytest.raises(TypeError, match="takes a list of samples, which are dicts"):
            graph(nothing)
    for rows in ("5", 7.5, True, -1):
        with pytest.raises(ValueError, match="num_atoms is a whole number of rows"):
            padded([{"numbers": np.ones(0)}], rows)
    with pytest.raises(ValueError, match="sample 1 of the batch has numbers, but sample 0 has numbers, tags"):
        graph([{"numbers": np.ones(1), "tags": np.ones(1)}, {"numbers": np.ones(1)}])
    with pytest.raises(ValueError, match=r"mine in shapes that do not join, .*per_atom=\['mine'\]"):
        graph([{"numbers": np.ones(k), "mine": np.ones(k)} for k in (1, 2)])
    with pytest.raises(ValueError, match="sample 0 of the batch does not say how many atoms"):
        graph([{"numbers": np.ones(1), "tags": np.ones(2)}])
    with pytest.raises(ValueError, match="does not say how many atoms"):
        graph([{"energy": 1.0}])
    with pytest.raises(TypeError, match="name holds <U4 values"):
        graph([{"numbers": np.ones(1), "name": "bulk"}])


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
