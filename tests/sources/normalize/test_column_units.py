"""Units that an input states itself: converted, or refused in its own words."""

from dataclasses import replace

import numpy as np
import pytest
from ase import units

from zstruct.errors import InputError
from zstruct.schema import infer, merge
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.source import Raw, RawColumn


def block(energy_unit=None, forces_unit=None, **structure):
    raw = Raw(np.arange(2), np.array([1, 2]))
    raw.atom["numbers"] = [RawColumn(np.array([1, 1, 8], dtype=np.uint8))]
    raw.atom["positions"] = [RawColumn(np.arange(9.0).reshape(3, 3))]
    raw.atom["forces"] = [RawColumn(np.ones((3, 3)), unit=forces_unit)]
    raw.structure["energy"] = [RawColumn(np.array([-1.0, -2.0]), unit=energy_unit)]
    for key, column in structure.items():
        raw.structure[key] = [column]
    return raw


def read(raw, **given):
    packed, bad = normalize(raw, ReadOptions(units=given), "in")
    return packed, [b.reason for b in bad]


def test_stated_units_are_converted():
    packed, bad = read(block("kcal/mol", "Hartree/Bohr"))
    assert bad == []
    assert packed.columns["energy"] == pytest.approx(np.array([-1, -2]) * units.kcal / units.mol, rel=1e-14)
    assert packed.columns["forces"] == pytest.approx(units.Hartree / units.Bohr, rel=1e-14)


def test_every_column_has_its_own_unit():
    raw = block()
    first = np.array([True, False])
    raw.structure["energy"] = [
        RawColumn(np.array([-1.0, 9.0]), first, unit="Ha"),
        RawColumn(np.array([9.0, -2.0]), ~first),
    ]
    packed, bad = read(raw)
    assert bad == []
    assert packed.columns["energy"].tolist() == [-units.Hartree, -2.0]


def test_text_that_is_a_number_is_converted_too():
    raw = block()
    raw.structure["energy"] = [RawColumn(np.array([0, 1]), texts=["-1", "-3"], unit="meV")]
    assert read(raw)[0].columns["energy"].tolist() == [-0.001, -0.003]


def test_unknown_units_are_quoted_until_the_user_says():
    packed, bad = read(block("furlong"))
    assert len(packed) == 0
    assert bad[0].startswith("the input states 'furlong' as the unit of energy: the unit 'furlong'")
    assert bad[0].endswith("say it with units={'energy': ...}, for instance 'eV' or what the program uses")
    assert read(block("furlong"), energy="Ha")[0].columns["energy"].tolist() == [
        -units.Hartree,
        -2 * units.Hartree,
    ]
    assert "'bohr' is no unit of energy" in read(block("bohr"))[1][0]


def test_open_units_are_asked_for():
    packed, bad = read(block(forces_unit=""))
    assert len(packed) == 0
    assert bad[0].startswith("the input does not say the unit of forces, and there are several; say it with")
    packed, bad = read(block(forces_unit=""), forces="Ha/bohr")
    assert bad == []
    assert packed.columns["forces"] == pytest.approx(units.Hartree / units.Bohr, rel=1e-14)
    assert np.all(read(block(forces_unit=""), forces="eV/A")[0].columns["forces"] == 1.0)


def test_the_user_must_not_contradict_the_input():
    assert read(block("Hartree"), energy="Ha")[1] == []
    packed, bad = read(block("Hartree"), energy="kcal/mol")
    assert len(packed) == 0
    assert bad[0].startswith(
        "the input states 'Hartree' as the unit of energy, but units= says 'kcal/mol'; leave"
    )


def test_other_properties_keep_numbers_and_unit():
    packed, bad = read(block(gap=RawColumn(np.array([0.5, 0.25]), unit="Hartree")))
    assert bad == []
    assert packed.columns["gap"].tolist() == [0.5, 0.25]
    assert packed.fields["gap"].unit == "Hartree"


def test_one_property_in_two_units_is_refused():
    a = infer("gap", "structure", "float", ())
    with pytest.raises(InputError, match="different units, 'Hartree' and none stated"):
        merge(replace(a, unit="Hartree"), a)


def test_fields_without_a_unit_of_their_own_have_that_of_the_input():
    given = RawColumn(np.stack([np.eye(3), np.eye(3)]), unit="a0^3")
    packed, bad = read(block(polarizability=given))
    assert (bad, packed.fields["polarizability"].unit) == ([], "a0^3")
    assert packed.columns["polarizability"][1].tolist() == np.eye(3).tolist()
