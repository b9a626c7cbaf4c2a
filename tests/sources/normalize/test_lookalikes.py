"""Properties that look like labels: which are named, which are plainly none."""

import numpy as np
import pytest

import zstruct
from tests.sources.normalize.test_normalize import block, some, texts
from zstruct.sources.normalize.lookalikes import suggestion
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.remarks import Remarks

SCALAR, VECTOR, TENSOR = (), (3,), (3, 3)


@pytest.mark.parametrize(
    ("key", "level", "shape", "name"),
    [
        ("E", "structure", SCALAR, "energy"),
        ("E_pbe", "structure", SCALAR, "energy"),
        ("TotEnergy", "structure", SCALAR, "energy"),
        ("total_energy", "structure", SCALAR, "energy"),
        ("energy-wB97X", "structure", SCALAR, "energy"),
        ("mace_energy", "structure", (1,), "energy"),
        ("U0", "structure", SCALAR, "energy"),
        ("enregy", "structure", SCALAR, "energy"),
        ("pe", "structure", SCALAR, "energy"),
        ("F", "atom", VECTOR, "forces"),
        ("f_pbe", "atom", VECTOR, "forces"),
        ("MACE_forces", "atom", VECTOR, "forces"),
        ("atomForces", "atom", VECTOR, "forces"),
        ("gradients", "atom", VECTOR, "forces"),
        ("pbe_stress", "structure", (9,), "stress"),
        ("stress_voigt", "structure", (6,), "stress"),
        ("virial_tensor", "structure", TENSOR, "virial"),
        ("dipole_moment", "structure", VECTOR, "dipole"),
        ("net_charge", "structure", SCALAR, "total_charge"),
        ("multiplicity", "structure", SCALAR, "spin_multiplicity"),
        ("spin", "structure", SCALAR, "spin_multiplicity"),
        ("mulliken_charges", "atom", SCALAR, "charges"),
        ("atomic_charges", "atom", SCALAR, "charges"),
        ("spins", "atom", SCALAR, "magmoms"),
        ("vel", "atom", VECTOR, "velocities"),
        ("Latice", "structure", (9,), "cell"),
    ],
)
def test_what_looks_like_a_label(key, level, shape, name):
    found = suggestion(key, level, "float", shape)
    assert found is not None
    assert found[0] == name
    assert repr(key) in found[1]


@pytest.mark.parametrize(
    ("key", "level", "shape"),
    [
        ("energy_weight", "structure", SCALAR),
        ("config_energy_weight", "structure", SCALAR),
        ("ENCUT", "structure", SCALAR),
        ("energy_cutoff", "structure", SCALAR),
        ("e_fermi", "structure", SCALAR),
        ("e_above_hull", "structure", SCALAR),
        ("energy_error", "structure", SCALAR),
        ("kinetic_energy", "structure", SCALAR),
        ("E_kin_kinetic", "structure", SCALAR),
        ("zpe", "structure", SCALAR),
        ("gap", "structure", SCALAR),
        ("temperature", "structure", SCALAR),
        ("time", "structure", SCALAR),
        ("method_e", "structure", SCALAR),
        ("force_mask", "atom", VECTOR),
        ("forces_uncertainty", "atom", VECTOR),
        ("fmax", "structure", SCALAR),
        ("force", "structure", SCALAR),
        ("forces", "atom", SCALAR),
        ("energy", "structure", (5,)),
        ("x", "atom", VECTOR),
        ("f", "atom", (7,)),
        ("rotation", "structure", TENSOR),
        ("mix_charge_amp", "structure", SCALAR),
        ("spin_fix", "structure", SCALAR),
        ("elec_energy_tol", "structure", SCALAR),
        ("cut_off_energy", "structure", SCALAR),
    ],
)
def test_what_is_plainly_none(key, level, shape):
    assert suggestion(key, level, "float", shape) is None


def test_group_labels():
    assert suggestion("configtype", "structure", "category", ())[0] == "config_type"
    assert suggestion("Config-Type", "structure", "category", ())[0] == "config_type"
    assert suggestion("comment", "structure", "category", ()) is None
    assert suggestion("energy", "structure", "category", ()) is None


def remarks(raw, **options):
    found = Remarks()
    normalize(raw, ReadOptions(**options), "in.xyz", found)
    return found.told()


def test_only_structures_that_lack_the_label_count():
    raw = block(structure={"E_pbe": np.ones(2), "energy": some([1.0, 0.0], [1, 0])})
    said = "'E_pbe' looks like the energy, but was not taken for it; if it is, say keys={'energy': 'E_pbe'}"
    assert remarks(raw) == {said: 1}
    assert remarks(raw, exclude=frozenset({"energy"})) == {said: 2}
    assert remarks(raw, exclude=frozenset({"E_pbe"})) == {}
    assert remarks(raw, keys={"energy": "E_pbe"}) == {}
    assert remarks(raw, keys={"pbe": "E_pbe"}) == {}


def test_names_that_carry_a_unit_and_gradients():
    raw = block(
        atom={"grad": np.ones((3, 3))}, structure={"energy_hartree": np.ones(2), "note": texts([0, 1], "ab")}
    )
    energy, gradient = sorted(remarks(raw))
    assert energy.endswith("say keys={'energy': 'energy_hartree'} and units={'energy': 'hartree'}")
    assert gradient.startswith("'grad' looks like minus the forces")


def test_the_report_names_them(tmp_path):
    file = tmp_path / "a.xyz"
    file.write_text(
        "1\nProperties=species:S:1:pos:R:3:f_pbe:R:3 E_pbe=-13.6 cutoff=5\nH 0 0 0 0.1 0 0\n"
        "1\nProperties=species:S:1:pos:R:3 energy=-13.6 multiplicity=2\nH 0 0 0\n"
    )
    report = zstruct.build(file, tmp_path / "a.zarr", progress=False)
    lines = str(report).splitlines()
    assert "1 structure: " + next(r for r in report.remarks if "E_pbe" in r) in lines
    assert len(report.remarks) == 3
    assert not [line for line in lines if "recognised" in line]
    given = {"energy": "E_pbe", "forces": "f_pbe", "spin_multiplicity": "multiplicity"}
    again = zstruct.build(file, tmp_path / "b.zarr", keys=given, progress=False)
    assert again.remarks == {"'energy' was not taken for energy: keys= says 'E_pbe', which is not there": 1}
