"""Units of inputs against CODATA values written out by hand, and refusals."""

import pytest

from zstruct.errors import InputError
from zstruct.schema import FIELDS, infer
from zstruct.units import Conversion, factor

# CODATA 2014, from the tables of NIST.
HARTREE = 27.21138602
BOHR = 0.52917721067
KCAL_MOL = 4184 / (6.022140857e23 * 1.6021766208e-19)
KJ_MOL = 1000 / (6.022140857e23 * 1.6021766208e-19)
GPA = 1 / 160.21766208


@pytest.mark.parametrize(
    ("field", "unit", "expected"),
    [
        ("energy", "eV", 1.0),
        ("energy", "meV", 1e-3),
        ("energy", "Ha", HARTREE),
        ("energy", "Hartree", HARTREE),
        ("energy", "Ry", HARTREE / 2),
        ("energy", "kcal/mol", KCAL_MOL),
        ("energy", "kJ/mol", KJ_MOL),
        ("energy", "kJ mol^-1", KJ_MOL),
        ("energies", "Ha", HARTREE),
        ("free_energy", "ha", HARTREE),
        ("forces", "eV/A", 1.0),
        ("forces", "eV/Å", 1.0),
        ("forces", "eV/\u212b", 1.0),
        ("forces", "eV Ang-1", 1.0),
        ("forces", "kcal/mol/A", KCAL_MOL),
        ("forces", "kcal / mol / Ang", KCAL_MOL),
        ("forces", "Ha/Bohr", HARTREE / BOHR),
        ("forces", "Ha Bohr^-1", HARTREE / BOHR),
        ("forces", "Ry/a0", HARTREE / 2 / BOHR),
        ("forces", "kJ/mol/nm", KJ_MOL / 10),
        ("positions", "Bohr", BOHR),
        ("positions", "nm", 10.0),
        ("positions", "pm", 0.01),
        ("cell", "a0", BOHR),
        ("stress", "GPa", GPA),
        ("stress", "kbar", GPA / 10),
        ("stress", "bar", GPA / 1e4),
        ("stress", "Pa", GPA / 1e9),
        ("stress", "eV/A^3", 1.0),
        ("stress", "eV/A**3", 1.0),
        ("stress", "Ha/Bohr3", HARTREE / BOHR**3),
        ("virial", "Ha", HARTREE),
        ("dipole", "Debye", 0.20819434),
        ("dipole", "D", 0.20819434),
        ("dipole", "e Bohr", BOHR),
        ("dipole", "e*A", 1.0),
        ("velocities", "A/fs", 1.0),
        ("velocities", "A/ps", 1e-3),
        ("velocities", "nm/ps", 1e-2),
        ("charges", "e", 1.0),
        ("magmoms", "mu_B", 1.0),
        ("masses", "amu", 1.0),
    ],
)
def test_factor(field, unit, expected):
    assert factor(field, unit) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    ("field", "unit"),
    [
        ("forces", "eV"),
        ("energy", "eV/A"),
        ("energy", "kcal/mol/A"),
        ("stress", "eV"),
        ("positions", "fs"),
        ("dipole", "e"),
        ("energy", ""),
        ("energy", "1"),
        ("magmoms", "mol"),
        ("magmoms", "1"),
        ("charges", "mu_B"),
    ],
)
def test_wrong_dimension_is_refused(field, unit):
    with pytest.raises(InputError, match="no unit of"):
        factor(field, unit)


@pytest.mark.parametrize(
    "unit", ["parsec", "kcal/(mol A)", "eV/A^x", "eV/A^1.5", "2 eV", "MeV", "%", "eV/A^"]
)
def test_unknown_unit_is_named(unit):
    with pytest.raises(InputError, match="is not known"):
        factor("energy", unit)


@pytest.mark.parametrize("field", ["numbers", "pbc", "weight", "no_such_field", "config_type"])
def test_fields_without_unit_are_refused(field):
    with pytest.raises(InputError, match="units can be given as text for the fields"):
        factor(field, "eV")


def test_units_that_are_no_text_are_refused():
    with pytest.raises(InputError, match="units can be given as text"):
        factor("energy", 27.2)


def test_momenta_must_be_in_ase_units():
    with pytest.raises(InputError, match="convert them beforehand"):
        factor("momenta", "amu A/fs")


@pytest.mark.parametrize(
    ("field", "unit"),
    [
        ("energy", "kcal/mol"),
        ("energies", "kcal/mol"),
        ("positions", "bohr"),
        ("forces", "kcal/mol/bohr"),
        ("stress", "kcal/mol/bohr^3"),
        ("virial", "kcal/mol"),
        ("dipole", "e*bohr"),
        ("velocities", "bohr/fs"),
    ],
)
def test_units_made_of_others_change_with_them(field, unit):
    conversion = Conversion.to({"energy": "kcal/mol", "length": "bohr"})
    assert conversion.scale(field, FIELDS[field]) == pytest.approx(1 / factor(field, unit), rel=1e-14)


def test_what_has_a_unit_of_its_own_or_none_does_not_follow():
    conversion = Conversion.to({"energy": "Ha", "length": "nm", "stress": "GPa"})
    assert conversion.scale("stress", FIELDS["stress"]) == pytest.approx(1 / GPA)
    assert conversion.scale("charges", FIELDS["charges"]) == 1.0
    assert conversion.scale("mu", infer("mu", "structure", "float", ())) == 1.0
    assert conversion.scale("edge_dist", None) == pytest.approx(0.1)
    assert conversion.scale("deriv_values", None) == pytest.approx(10.0)
    assert conversion.scale("edge_shift", None) == 1.0
