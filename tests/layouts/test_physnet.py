"""PhysNet's batches, against a plain loop over the structures and the definition of their pairs."""

import functools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from torch.utils.data import DataLoader

from zstruct.layouts import physnet
from zstruct.loading import ZarrStructureDataset

PICK = [5, 0, 60, 17, 5, 12]
FIELDS = ["numbers", "positions", "forces", "energy", "tags", "serial"]


@pytest.fixture(scope="module")
def data(source):
    return ZarrStructureDataset(source.path, FIELDS, dtype=torch.float64)


def all_pairs(n_rows):
    """The pairs of e3x.ops.sparse_pairwise_indices, by its definition."""
    dst, src = np.repeat(np.arange(n_rows), n_rows), np.tile(np.arange(n_rows), n_rows)
    diagonal = slice(0, n_rows * n_rows, n_rows + 1)
    return np.delete(dst, diagonal), np.delete(src, diagonal)


def test_flat_batches(data, source):
    batch = physnet(data.take(PICK), num_atoms=41, as_numpy=True)

    dst, src = all_pairs(41)
    for k, i in enumerate(PICK):
        n, rows, pairs = source.counts[i], slice(41 * k, 41 * (k + 1)), slice(k * 41 * 40, (k + 1) * 41 * 40)
        for name, key in (("numbers", "Z"), ("positions", "R"), ("forces", "F"), ("tags", "tags")):
            assert_array_equal(batch[key][rows][:n], source.value(name, i))  # NaN where forces are missing
            assert not batch[key][rows][n:].any()
        assert_array_equal(batch["dst_idx"][pairs], dst + 41 * k)
        assert_array_equal(batch["src_idx"][pairs], src + 41 * k)
        assert_array_equal(batch["batch_mask"][pairs], (dst < n) & (src < n))
        assert_array_equal(batch["atom_mask"][rows], np.arange(41) < n)
    assert_array_equal(batch["batch_segments"], np.repeat(np.arange(6), 41))
    assert_array_equal(batch["E"], source.columns["energy"][PICK].reshape(6, 1))
    assert_array_equal(batch["N"], source.counts[PICK])
    assert_array_equal(batch["structure"], PICK)
    assert_array_equal(batch["serial"], source.columns["serial"][PICK])
    assert batch["has_forces"].shape == (6,)
    assert np.isnan(batch["F"]).any()
    assert_array_equal(batch["Qtot"], np.zeros(6))
    assert not {"D", "numbers", "energy"} & batch.keys()


def test_types(source, data):
    single = ZarrStructureDataset(source.path, FIELDS).take(PICK)
    batch = physnet(single, as_numpy=True)
    assert {batch[key].dtype for key in ("R", "F", "E")} == {np.dtype("f4")}
    whole = ("Z", "N", "dst_idx", "src_idx", "batch_segments", "batch_mask", "atom_mask")
    assert {batch[key].dtype for key in whole} == {np.dtype("i4")}
    assert batch["serial"].dtype == np.int64  # these do not fit into 32 bits

    tensors = physnet(single)
    assert tensors.keys() == batch.keys()
    for key, tensor in tensors.items():
        assert isinstance(tensor, torch.Tensor)
        assert_array_equal(tensor.numpy(), batch[key])


def test_the_form_of_the_loader(data, source):
    batch = physnet(data.take(PICK), legacy=True, as_numpy=True)

    assert batch["Z"].shape == (6, 40)
    assert batch["R"].shape == batch["F"].shape == (6, 40, 3)
    assert batch["E"].shape == batch["N"].shape == (6,)
    assert_array_equal([batch["dst_idx"], batch["src_idx"]], all_pairs(40))
    assert_array_equal(batch["batch_segments"], np.repeat(np.arange(6), 40))
    assert not {"batch_mask", "atom_mask", "mask"} & batch.keys()
    flat = physnet(data.take(PICK), as_numpy=True)
    for key in ("Z", "R", "F", "E", "tags"):
        assert_array_equal(batch[key].reshape(flat[key].shape), flat[key])


def test_charges_and_dipoles():
    water = {"numbers": [8, 1, 1], "total_charge": -1.0, "dipole": np.array([0.0, 0.5, 1.0])}
    proton = {"numbers": [1], "total_charge": 1.0, "dipole": np.zeros(3)}

    batch = physnet([water, proton])

    assert batch["Qtot"].tolist() == [-1, 1]
    assert batch["D"].tolist() == [[0, 0.5, 1], [0, 0, 0]]
    assert "E" not in batch
    # Nobody said: none.
    some = [water | {"has_total_charge": np.array(True)}, proton | {"total_charge": np.nan}]
    some[1]["has_total_charge"] = np.array(False)
    assert physnet(some)["Qtot"].tolist() == [-1, 0]
    assert physnet(some)["has_total_charge"].tolist() == [True, False]
    nobody = [{"numbers": [1], "positions": np.zeros((1, 3), dtype)} for dtype in (np.float64, np.float64)]
    assert physnet(nobody, as_numpy=True)["Qtot"].dtype == np.float64


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(0, 3))
@settings(max_examples=50)
def test_pairs_are_complete(counts, spare):
    rows = max(counts) + spare
    batch = physnet([{"numbers": np.ones(n)} for n in counts], rows, as_numpy=True)

    real = batch["batch_mask"] == 1
    pairs = list(zip(batch["dst_idx"][real].tolist(), batch["src_idx"][real].tolist(), strict=True))
    expected = [
        (rows * k + i, rows * k + j)
        for k, n in enumerate(counts)
        for i in range(n)
        for j in range(n)
        if i != j
    ]
    assert pairs == expected
    assert len(batch["dst_idx"]) == len(counts) * rows * (rows - 1)
    assert_array_equal(np.bincount(batch["batch_segments"], batch["atom_mask"]), counts)


def test_few_atoms_and_none(data):
    lone = physnet(data.take([0, 17]), as_numpy=True)  # one atom each
    assert lone["R"].shape == (2, 3)
    assert lone["dst_idx"].shape == lone["batch_mask"].shape == (0,)

    empty = physnet(data.take([]), as_numpy=True)
    assert empty["E"].shape == (0, 1)
    assert empty["R"].shape == (0, 3)
    assert {empty[key].size for key in ("Z", "N", "dst_idx", "batch_segments", "atom_mask")} == {0}


def test_batches_are_free_to_be_changed(data):
    for legacy in (False, True):
        first = physnet(data.take(PICK), legacy=legacy)
        expected = {key: tensor.clone() for key, tensor in first.items()}
        for tensor in first.values():
            tensor.zero_()
        for key, tensor in physnet(data.take(PICK), legacy=legacy).items():
            torch.testing.assert_close(tensor, expected[key], rtol=0, atol=0, equal_nan=True)


def test_what_does_not_fit(data, source):
    with pytest.raises(ValueError, match="structure 5 of the store has 40 atoms, more than num_atoms=39"):
        physnet(data.take([1, 5]), num_atoms=39)
    with pytest.raises(ValueError, match="the field 'Z' has a name that physnet batches use themselves"):
        physnet([{"numbers": [1], "Z": 1.0}])
    with pytest.raises(ValueError, match="there is no sample"):
        physnet([])
    paired = ZarrStructureDataset(source.path, ["numbers"], neighbors=1.0)
    with pytest.raises(ValueError, match="a physnet batch has no rows for edge_index"):
        physnet(paired.take([0]))


def test_samples_and_loaders(data):
    join = pickle.loads(pickle.dumps(functools.partial(physnet, num_atoms=40)))
    expected = join(data.take(range(8)))
    for batch in (
        join([data[i] for i in range(8)]),
        next(iter(DataLoader(data, batch_size=8, collate_fn=join))),
        next(iter(data.loader(batch_size=8, layout=join))),
    ):
        assert batch.keys() == expected.keys()
        for key, tensor in batch.items():
            torch.testing.assert_close(tensor, expected[key], rtol=0, atol=0, equal_nan=True)
