"""Which unit a field has, given units of systems, quantities and fields; CODATA values by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zstruct.errors import InputError
from zstruct.sources.normalize.unit_systems import UnitChoice
from zstruct.units import factor, ratio

# CODATA 2014, from the tables of NIST.
HARTREE, BOHR = 27.21138602, 0.52917721067
KCAL_MOL = 4184 / (6.022140857e23 * 1.6021766208e-19)
ATOMIC_TIME = 0.02418884326509  # fs
GPA = 1 / 160.21766208
# angstrom sqrt(amu / eV) in fs
ASE_TIME = 10.180505671156723


def scale(said, name):
    unit = UnitChoice.of(said).unit_of(name)
    return 1.0 if unit is None else factor(name, unit)


@pytest.mark.parametrize(
    ("said", "name", "expected"),
    [
        ("atomic", "energy", HARTREE),
        ("Atomic", "free_energy", HARTREE),
        ("a.u.", "positions", BOHR),
        ("atomic", "cell", BOHR),
        ("atomic", "forces", HARTREE / BOHR),
        ("atomic", "stress", HARTREE / BOHR**3),
        ("atomic", "virial", HARTREE),
        ("atomic", "dipole", BOHR),
        ("atomic", "velocities", BOHR / ATOMIC_TIME),
        ("atomic", "charges", 1.0),
        ("atomic", "magmoms", 1.0),
        ("ase", "energy", 1.0),
        ("ase", "velocities", 1 / ASE_TIME),
        ("ase", "momenta", 1.0),
        ("metal", "energy", 1.0),
        ("metal", "stress", GPA / 1e4),
        ("metal", "velocities", 1e-3),
        ("real", "forces", KCAL_MOL),
        ("real", "stress", GPA * 1.01325e-4),
        ({"length": "bohr", "energy": "kcal/mol"}, "forces", KCAL_MOL / BOHR),
        ({"length": "bohr", "energy": "kcal/mol"}, "stress", KCAL_MOL / BOHR**3),
        ({"length": "bohr", "energy": "kJ mol^-1"}, "forces", KCAL_MOL / 4.184 / BOHR),
        ({"length": "bohr"}, "dipole", BOHR),
        ({"length": "bohr"}, "forces", 1 / BOHR),
        ({"length": "bohr"}, "energy", 1.0),
        ({"energy": "hartree"}, "positions", 1.0),
        ({"energy": "hartree"}, "forces", HARTREE),
        ({"energy": "hartree", "forces": "eV/A"}, "forces", 1.0),
        ({"length": "nm", "time": "ps"}, "velocities", 1e-2),
        ({"time": "ps"}, "velocities", 1e-3),
        ({"system": "atomic", "stress": "GPa"}, "stress", GPA),
        ({"system": "metal", "energy": "kcal/mol"}, "virial", KCAL_MOL),
        ({"forces": "atomic"}, "forces", HARTREE / BOHR),
        ({"stress": "metal"}, "stress", GPA / 1e4),
        ({"energy": "a.u."}, "forces", HARTREE),
        ({"system": "atomic", "mass": "me"}, "masses", 5.48579909070e-4),
        (None, "forces", 1.0),
    ],
)
def test_units_follow(said, name, expected):
    assert scale(said, name) == pytest.approx(expected, rel=2e-9)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("lj", "Reduced units mean nothing"),
        ("imperial", "there are ase, atomic, metal, real"),
        ("kcal/mol", r"say of what: units=\{'energy': 'kcal/mol'\}"),
        ("bohr", r"say of what: units=\{'length': 'bohr'\}"),
        ("eV/A", r"say of what: units=\{'forces': 'eV/A'\}"),
        (3, "not 3"),
        (["atomic"], "name of a system"),
        ({"system": 3}, "no system of units 3"),
        ({"force": "eV/A"}, "is it 'forces'"),
        ({"lenght": "bohr"}, "is it 'length'"),
        ({"length": "hartree"}, "'hartree' is no unit of length"),
        ({"length": 2.0}, "a unit is a text"),
        ({"length": "nm*1"}, "as one unit"),
        ({"energy": "kcal"}, "write kcal/mol"),
        ({"gap": "eV"}, "can be given as text for the fields"),
        ({"momenta": "atomic"}, "ASE's units only"),
        ({"mass": "atomic"}, "have no unit of mass"),
        ({3: "eV"}, "can be given as text for the fields"),
    ],
)
def test_what_is_no_unit_is_refused(said, reason):
    with pytest.raises(InputError, match=reason):
        UnitChoice.of(said)


@pytest.mark.parametrize(
    ("said", "name", "reason"),
    [
        ("atomic", "masses", "in amu or in masses of the electron"),
        ("atomic", "momenta", "ASE's units only"),
        ({"length": "bohr"}, "velocities", "can't be told without that of time"),
    ],
)
def test_what_does_not_follow_is_asked_for(said, name, reason):
    with pytest.raises(InputError, match=reason):
        UnitChoice.of(said).unit_of(name)


names = st.sampled_from
ENERGIES = ["eV", "hartree", "kcal/mol", "kJ mol^-1", "Ry", "meV"]


@given(
    energy=names(ENERGIES),
    length=names(["bohr", "nm", "pm", "angstrom"]),
    time=names(["fs", "ps", "aut"]),
    system=names([None, "atomic", "ase", "metal", "real"]),
)
def test_units_that_follow_are_powers_of_those_that_are_said(energy, length, time, system):
    said = {"energy": energy, "length": length, "time": time}
    choice = UnitChoice(said | ({} if system is None else {"system": system}))
    e, a = factor("energy", energy), factor("positions", length)
    expected = {"virial": e, "free_energy": e, "energies": e, "cell": a, "dipole": a, "forces": e / a}
    expected["velocities"] = a / ratio(time, "fs", "time")
    if system not in ("metal", "real"):  # which have a unit of stress that is no power of these
        expected["stress"] = e / a**3
    found = {name: factor(name, choice.unit_of(name)) for name in expected}
    assert found == pytest.approx(expected, rel=1e-14)


def test_quantities_that_are_not_said():
    choice = UnitChoice({"energy": "hartree"})
    assert (choice.missing_for("energy"), choice.missing_for("forces")) == ([], ["length"])
    assert UnitChoice({"system": "atomic"}).missing_for("velocities") == []
