"""Batches in other units and by other names."""

import ase.neighborlist
import ase.units
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tests.layouts.frames import CUTOFF, EVERY
from zstruct.errors import InputError
from zstruct.layouts import fairchem, schnetpack
from zstruct.loading import Edges, ZarrStructureDataset


def test_other_units(paired):
    units = {"energy": "kcal/mol", "length": "bohr", "dipole": "debye"}
    batch = schnetpack(paired.take(EVERY), units=units)

    plain = schnetpack(paired.take(EVERY))
    kcal, bohr = ase.units.kcal / ase.units.mol, ase.units.Bohr
    expected = {
        "energy": 1 / kcal,
        "forces": bohr / kcal,
        "stress": bohr**3 / kcal,
        "_positions": 1 / bohr,
        "_cell": 1 / bohr,
        "_offsets": 1 / bohr,
        "dipole_moment": 1 / ase.units.Debye,
    }
    for key, scale in expected.items():
        assert_allclose(batch[key], plain[key] * scale, rtol=1e-12)
    for key in plain.keys() - expected.keys():
        torch.testing.assert_close(batch[key], plain[key], rtol=0, atol=0, equal_nan=True)
    # Without a unit of its own a dipole follows the length.
    follows = schnetpack(paired.take(EVERY), units={"length": "nm"})
    assert_allclose(follows["dipole_moment"], plain["dipole_moment"] / 10, rtol=1e-12)
    assert torch.equal(follows["energy"], plain["energy"])


def test_units_of_what_pairs_carry(store):
    paired = ZarrStructureDataset(
        store, dtype=torch.float64, neighbors=Edges(CUTOFF, carry=["edge_shift", "edge_vec", "edge_dist"])
    )
    batch, plain = (fairchem(paired.take(EVERY), units=units) for units in ({"length": "pm"}, None))
    assert_allclose(batch["edge_vec"], 100 * plain["edge_vec"], rtol=1e-12)
    assert_allclose(batch["edge_dist"], 100 * plain["edge_dist"], rtol=1e-12)
    assert torch.equal(batch["cell_offsets"], plain["cell_offsets"])


def test_units_that_do_not_work(paired):
    packed = paired.take([0])
    with pytest.raises(InputError, match="the unit 'furlong' in 'furlong' is not known"):
        fairchem(packed, units={"length": "furlong"})
    with pytest.raises(InputError, match="is no unit of energy"):
        fairchem(packed, units={"energy": "angstrom"})
    with pytest.raises(InputError, match="units can be given as text for the fields"):
        fairchem(packed, units={"numbers": "eV"})
    with pytest.raises(ValueError, match="give the unit of 'length'"):
        fairchem(packed, units={"positions": "bohr"})


def test_other_names(paired):
    batch = schnetpack(paired.take([0]), names={"energy": "energy_U0", "_idx": "which"})
    assert {"energy_U0", "which"} <= batch.keys()
    assert not {"energy", "_idx"} & batch.keys()
    with pytest.raises(ValueError, match="names has 'positions', but the schnetpack batch has only"):
        schnetpack(paired.take([0]), names={"positions": "R"})
    with pytest.raises(ValueError, match="the same name"):
        schnetpack(paired.take([0]), names={"energy": "forces"})
    sample = {"numbers": [1], "positions": np.zeros((1, 3)), "cell": np.eye(3), "pbc": np.ones(3, bool)}
    for name in ("natoms", "pos"):
        with pytest.raises(ValueError, match=f"the field '{name}' has a name that fairchem batches use"):
            fairchem([sample | {name: 3.0}])
