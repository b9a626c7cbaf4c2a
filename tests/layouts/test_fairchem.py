"""Batches of fairchem, against ASE and against the library's own."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from tests.layouts.frames import EVERY, frames, in_order, pairs_of_ase
from zstruct.layouts import fairchem
from zstruct.loading import ZarrStructureDataset


def test_fairchem(paired):
    batch = fairchem(paired.take(EVERY), dataset="omat")

    made = frames()
    counts = [len(atoms) for atoms in made]
    assert batch["natoms"].tolist() == counts
    assert batch["batch"].tolist() == np.repeat(EVERY, counts).tolist()
    assert_array_equal(batch["cell"], [a.cell.complete().array for a in made])
    assert batch["pbc"].shape == (8, 3)
    assert batch["sid"] == [str(i) for i in EVERY]
    assert batch["dataset"] == ["omat"] * 8
    assert batch["nedges"].sum() == batch["edge_index"].shape[1] == len(batch["cell_offsets"])
    assert {batch[k].dtype for k in ("tags", "fixed", "charge", "spin", "atomic_numbers")} == {torch.int64}
    assert {batch[k].dtype for k in ("cell", "cell_offsets", "energy", "forces", "stress")} == {torch.float64}

    # fairchem: vector = pos[edge_index[0]] - pos[edge_index[1]] + cell_offsets @ cell, centre second.
    neighbour, centre = batch["edge_index"]
    offsets = torch.einsum("ek,ekx->ex", batch["cell_offsets"], batch["cell"][batch["batch"][centre]])
    vectors = batch["pos"][neighbour] - batch["pos"][centre] + offsets
    rows = np.column_stack([centre, neighbour, batch["cell_offsets"], vectors])
    assert_allclose(in_order(rows), in_order(pairs_of_ase()), atol=1e-12)


def test_fairchem_without_edges(store):
    plain = ZarrStructureDataset(store)
    batch = fairchem(plain.take([0, 6]))
    assert batch["edge_index"].shape == (2, 0)
    assert batch["cell_offsets"].shape == (0, 3)
    assert batch["cell_offsets"].dtype == torch.float32
    assert batch["nedges"].tolist() == [0, 0]
    assert "dataset" not in batch

    sample = {
        "numbers": [1], "positions": np.zeros((1, 3)), "cell": np.zeros((3, 3)), "pbc": np.zeros(3, bool),
    }  # fmt: skip
    batch = fairchem([sample | {"total_charge": q, "tags": [2]} for q in (-1.0, np.nan)])
    assert batch["charge"].tolist() == [-1, 0]
    assert batch["tags"].tolist() == [2, 2]
    with pytest.raises(ValueError, match="a fairchem batch needs the field 'pbc'"):
        fairchem(ZarrStructureDataset(store, ["numbers", "positions", "cell"]).take([0]))


def test_fairchem_itself(paired):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atomic_data = pytest.importorskip(
            "fairchem.core.datasets.atomic_data", reason="needs fairchem-core, which is large"
        )
    batch = atomic_data.AtomicData.from_dict(fairchem(paired.take(EVERY)))
    batch.validate()
    single = [atomic_data.AtomicData.from_ase(atoms, target_dtype=torch.float64) for atoms in frames()]
    for i, expected in enumerate(single):
        assert torch.equal(batch.cell[i], expected.cell[0])
        assert torch.equal(batch.atomic_numbers[batch.batch == i], expected.atomic_numbers)
