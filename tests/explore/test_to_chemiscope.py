"""What chemiscope is given, judged by ASE's structures, and by chemiscope itself where it is installed."""

import json
import math

import numpy as np
import pytest

import zstruct


def test_structures_are_those_of_the_input(ds, structures):
    made = ds.zs.to_chemiscope()

    assert made["meta"] == {"name": "labelled"}
    assert set(made) == {"meta", "structures", "properties"}
    for found, atoms in zip(made["structures"], structures, strict=True):
        assert found["names"] == list(atoms.symbols)
        np.testing.assert_array_equal(np.array([found[x] for x in "xyz"]).T, atoms.positions)
        if atoms.cell.array.any():
            np.testing.assert_array_equal(found["cell"], atoms.cell.array.ravel())
        else:
            assert "cell" not in found


def test_properties_have_units_and_missing_ones_are_nan(ds, structures):
    found = ds.zs.to_chemiscope()["properties"]

    energies = [atoms.calc.results["energy"] for atoms in structures]
    assert found["energy"] == {
        "target": "structure", "values": energies, "units": "eV", "description": "total energy",
    }  # fmt: skip
    assert found["fmax"]["units"] == "eV/Å"
    assert [math.isnan(x) for x in found["fmax"]["values"]] == [
        "forces" not in a.calc.results for a in structures
    ]
    assert found["config_type"]["values"] == [atoms.info.get("config_type", "") for atoms in structures]
    assert found["n_k"]["values"][1] == float(structures[1].info["n_k"])
    json.dumps(found)


def test_atoms_and_arrows(ds, structures):
    part = ds.zs.where(ds.zs.has("forces"))
    kept = [atoms for atoms in structures if "forces" in atoms.calc.results]
    made = part.zs.to_chemiscope(properties=["energy", "forces"], atoms=True, forces=True, name="mine")

    n = sum(map(len, kept))
    assert made["meta"]["name"] == "mine"
    assert [e["center"] for e in made["environments"]] == [k for atoms in kept for k in range(len(atoms))]
    assert set(made["properties"]) == {"energy", "forces_x", "forces_y", "forces_z"}
    forces = np.concatenate([atoms.calc.results["forces"] for atoms in kept])
    assert made["properties"]["forces_y"]["values"] == forces[:, 1].tolist()
    arrows = made["shapes"]["forces"]["parameters"]["atom"]
    np.testing.assert_array_equal([arrow["vector"] for arrow in arrows], forces)
    assert len(arrows) == n


def test_what_can_not_be_is_said(ds):
    with pytest.raises(zstruct.InputError, match=r"some structures have no forces.*has\('forces'\)"):
        ds.zs.to_chemiscope(forces=True)
    with pytest.raises(zstruct.InputError, match=r"forces has a value for each atom.*atoms=True"):
        ds.zs.to_chemiscope(properties=["forces"])
    with pytest.raises(KeyError, match="no field 'enrgy'"):
        ds.zs.to_chemiscope(properties=["enrgy"])


def test_chemiscope_makes_the_same(ds):
    chemiscope = pytest.importorskip("chemiscope")
    part = ds.zs.where(ds.zs.has("forces"))
    ours = part.zs.to_chemiscope(forces=True)

    atoms = part.zs.to_ase()
    theirs = chemiscope.create_input(
        atoms,
        metadata=ours["meta"],
        properties={
            key: one for key, one in ours["properties"].items() if key in ("energy", "fmax", "formula")
        },
        shapes=ours["shapes"],
    )
    assert ours["meta"] == theirs["meta"]
    assert [one | {"cell": None} for one in ours["structures"]] == [
        one | {"cell": None} for one in theirs["structures"]
    ]
    for key, one in theirs["properties"].items():
        assert ours["properties"][key] == one
    assert ours["shapes"] == theirs["shapes"]
