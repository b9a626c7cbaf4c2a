"""Batches of SchNetPack, against ASE and against the library's own."""

import warnings

import numpy as np
import pytest
import torch
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.testing import assert_allclose, assert_array_equal

from tests.layouts.frames import CUTOFF, EVERY, frames, in_order, pairs_of_ase
from zstruct.layouts import schnetpack


def test_schnetpack(paired):
    batch = schnetpack(paired.take(EVERY))

    made = frames()
    counts = [len(atoms) for atoms in made]
    assert batch["_n_atoms"].tolist() == counts
    assert batch["_idx"].tolist() == list(EVERY)
    assert batch["_idx_m"].tolist() == np.repeat(EVERY, counts).tolist()
    assert_array_equal(batch["_atomic_numbers"], np.concatenate([a.numbers for a in made]))
    assert_array_equal(batch["_positions"], np.concatenate([a.positions for a in made]))
    assert_array_equal(batch["_cell"], [a.cell.array for a in made])
    assert_array_equal(batch["_pbc"], np.concatenate([a.pbc for a in made]))
    assert_array_equal(batch["energy"], [a.calc.results["energy"] for a in made])
    assert_array_equal(batch["dipole_moment"], [a.calc.results["dipole"] for a in made])
    stress = voigt_6_to_full_3x3_stress(made[1].calc.results["stress"])
    assert_array_equal(batch["stress"][1], stress)

    centre, neighbour = batch["_idx_i"], batch["_idx_j"]
    vectors = batch["_positions"][neighbour] - batch["_positions"][centre] + batch["_offsets"]
    shifts = paired.take(EVERY).pairs[0].columns["edge_shift"]
    assert_allclose(
        in_order(np.column_stack([centre, neighbour, shifts, vectors])), in_order(pairs_of_ase()), atol=1e-12
    )
    first = torch.tensor([0, *counts]).cumsum(0)[batch["_idx_m"][centre]]
    assert_array_equal(batch["_idx_i_local"], centre - first)
    assert_array_equal(batch["_idx_j_local"], neighbour - first)


def test_schnetpack_itself(paired):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(
            "schnetpack.data.loader",
            reason="needs schnetpack, which as of 2.1 does not load with torch 2.13",
            exc_type=ImportError,
        )
        from schnetpack import properties
        from schnetpack.data.loader import _atoms_collate_fn as join
        from schnetpack.transform import ASENeighborList
    systems = []
    for i, atoms in enumerate(frames()):
        system = {
            properties.idx: torch.tensor([i]),
            properties.n_atoms: torch.tensor([len(atoms)]),
            properties.Z: torch.tensor(atoms.numbers),
            properties.R: torch.tensor(atoms.positions),
            properties.cell: torch.tensor(atoms.cell.array[None]),
            properties.pbc: torch.tensor(atoms.pbc),
            "energy": torch.tensor([atoms.calc.results["energy"]]),
        }
        systems.append(ASENeighborList(CUTOFF)(system))
    expected = join(systems)

    batch = schnetpack(paired.take(EVERY))

    edges = ("_idx_i", "_idx_j", "_idx_i_local", "_idx_j_local", "_offsets")
    order = [np.lexsort(np.column_stack([b[k] for k in edges]).round(6).T) for b in (batch, expected)]
    for key, value in expected.items():
        ours, theirs = batch[key], value
        if key in edges:
            ours, theirs = ours[order[0]], theirs[order[1]]
        assert ours.shape == theirs.shape
        assert_allclose(ours, theirs, atol=1e-12)
