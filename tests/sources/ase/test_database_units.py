"""Units that the metadata of ASE databases state."""

from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given
from hypothesis import strategies as st

import zstruct
from zstruct.errors import InputError
from zstruct.sources.ase.database_units import stated_units

CASE = Path(__file__).parents[2] / "data" / "cases" / "schnetpack_units.db"


@pytest.fixture(params=["db", "json"])
def database(request, tmp_path):
    """Write a database of two structures with the metadata, and build a store of it."""

    def build(metadata, atoms=None, data=None, overwrite=True, **options):
        path = tmp_path / f"a.{request.param}"
        path.unlink(missing_ok=True)
        with ase.db.connect(path) as db:
            for k in (1.0, 2.0):
                values = {"energy": np.array([-k]), "forces": np.full((3, 3), k), "gap": k / 4}
                db.write(atoms or molecule("H2O"), data=values if data is None else data, level=k)
            db.metadata = metadata
        report = zstruct.build(path, tmp_path / "s.zarr", overwrite=overwrite, progress=False, **options)
        return zstruct.open(report.path)

    return build


def test_schnetpack_in_kilocalories(tmp_path):
    store = zstruct.open(zstruct.build(CASE, tmp_path / "s.zarr", progress=False).path)
    kcal = units.kcal / units.mol
    assert store["energy"].values == pytest.approx(np.array([-1.0, -2.0, -3.0]) * kcal, rel=1e-12)
    assert store["energy"].values[0] == pytest.approx(-0.0433641, rel=1e-6)
    right = np.repeat([0.0, 1.0, 2.0], 9).reshape(9, 3) * kcal
    assert store["forces"].values == pytest.approx(right)
    assert store["positions"].values[:3] == pytest.approx(molecule("H2O").positions)


def test_lengths_and_properties_that_are_in_no_table(database):
    stated = {"energy": "Ha", "forces": "Ha/Bohr", "gap": "Hartree"}
    store = database({"_property_unit_dict": stated, "_distance_unit": "Bohr"})
    assert store["energy"].values == pytest.approx(np.array([-1, -2]) * units.Hartree)
    assert store["forces"].values[3:] == pytest.approx(2 * units.Hartree / units.Bohr)
    assert store["positions"].values[:3] == pytest.approx(molecule("H2O").positions * units.Bohr)
    assert store["gap"].values.tolist() == [0.25, 0.5]
    assert store["gap"].attrs["units"] == "Hartree"
    cell = database({"_distance_unit": "Bohr"}, bulk("Cu"), {})["cell"].values
    assert cell[0] == pytest.approx(bulk("Cu").cell.array * units.Bohr)


@pytest.mark.parametrize(
    "metadata",
    [
        {"units": {"energy": "kcal/mol", "forces": "kcal/mol/A"}},
        {"energy_unit": "kcal/mol", "forces_unit": "kcal/mol/A"},
        {
            "key_descriptions": {
                "energy": ["E", "total", "kcal/mol"],
                "forces": ["F", "", "kcal/mol/A"],
            }
        },
    ],
)
def test_other_places(database, metadata):
    store = database(metadata)
    assert store["energy"].values == pytest.approx(np.array([-1, -2]) * units.kcal / units.mol)
    assert store["forces"].values[0, 0] == pytest.approx(units.kcal / units.mol)


def test_calculators_are_in_the_units_of_ase(database):
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0)
    stated = {"_property_unit_dict": {"energy": "kcal/mol"}}
    assert database(stated, atoms, {})["energy"].values.tolist() == [-1.0, -1.0]
    with pytest.raises(InputError, match="two different values of 'energy'"):
        database(stated, atoms, {"energy": -1.0})


def test_unknown_units_are_quoted_until_the_user_says(database):
    stated = {"_property_unit_dict": {"energy": "furlong"}}
    with pytest.raises(InputError, match=r"frame 0: the input states 'furlong' as the unit of energy"):
        database(stated)
    assert database(stated, units={"energy": "Ha"})["energy"].values[0] == pytest.approx(-units.Hartree)
    with pytest.raises(InputError, match=r"states 'eV/atom' as the unit of energy"):
        database({"key_descriptions": {"energy": ["E", "E", "eV/atom"]}})
    with pytest.raises(InputError, match=r"states 'Ha' as the unit of energy, but units= says 'eV'"):
        database({"units": {"energy": "Ha"}}, units={"energy": "eV"})


@pytest.mark.parametrize("unit", [None, "", "-", "none", "1", [], {}, True])
def test_what_states_nothing(unit):
    metadata = {"_property_unit_dict": {"energy": unit}, "_distance_unit": unit, "energy_unit": unit}
    assert stated_units(metadata) == {}


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from(["_property_unit_dict", "key_descriptions", "units", "_distance_unit", "a_unit", "x"])


@given(st.dictionaries(_KEYS, _JSON) | _JSON)
def test_odd_metadata_state_texts_or_nothing(metadata):
    assert all(isinstance(k, str) and isinstance(v, str) and v for k, v in stated_units(metadata).items())
