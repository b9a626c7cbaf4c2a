"""Units that structures state among their properties; CODATA values by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.aliases import by_alias
from zstruct.errors import InputError
from zstruct.sources import FileSource, Raw, RawColumn
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.remarks import Remarks

CASES = Path(__file__).parents[2] / "data" / "cases"
HARTREE, BOHR = 27.21138602, 0.52917721067
GPA = 1 / 160.21766208
KCAL_MOL = 4184 / (6.022140857e23 * 1.6021766208e-19)


def text(*values):
    """A column of texts, None where a structure has none."""
    names = sorted({v for v in values if v is not None})
    codes = np.array([0 if v is None else names.index(v) for v in values], np.int32)
    return [RawColumn(codes, np.array([v is not None for v in values]), names)]


def block(structure=None, atom=None, cell=False):
    """Two structures of one hydrogen atom each, with an energy of 1 and a force of (1, 1, 1)."""
    raw = Raw(np.arange(2), np.ones(2, np.int64))
    raw.atom = {"numbers": [RawColumn(np.ones(2, np.uint8))], "positions": [RawColumn(np.ones((2, 3)))]}
    raw.structure = {"energy": [RawColumn(np.ones(2))]} | (structure or {})
    raw.atom |= {"forces": [RawColumn(np.ones((2, 3)))]} if atom is None else atom
    if cell:
        raw.structure["cell"] = [RawColumn(np.stack([np.eye(3)] * 2))]
    return raw


def read(raw, **options):
    remarks = Remarks()
    packed, bad = normalize(raw, ReadOptions(**options), "in.xyz", remarks)
    assert not bad, bad[0].reason
    return packed, remarks


def refusal(raw, **options):
    packed, bad = normalize(raw, ReadOptions(**options), "in.xyz")
    assert len(packed) == 0
    return bad[0].reason


def test_units_in_a_comment_line_are_converted(tmp_path):
    path = tmp_path / "x.zarr"
    report = zstruct.build(CASES / "dpdata_units.xyz", path, progress=False)
    said = "forces from hartree/bohr, energy from hartree, stress from GPa"
    assert f"converted to the units of the store: {said}" in str(report).splitlines()
    ds = zstruct.open(path)
    assert ds.energy.values == pytest.approx([-0.5 * HARTREE])
    assert ds.forces.values[0, 0] == pytest.approx(0.1 * HARTREE / BOHR)
    assert ds.stress.values[0] == pytest.approx([GPA, GPA, GPA, 0, 0, 0])
    assert ds.energy.attrs["source_units"] == "hartree"
    assert ds.forces.attrs["source_units"] == "hartree/bohr"
    assert ds.stress.attrs["source_units"] == "GPa"
    assert not [name for name in ds.variables if "unit" in name]


@pytest.mark.parametrize(
    "key",
    (
        "energy-unit energy_unit energy_units energyUnit Energy_Unit units_energy REF_energy_unit "
        "unit_of_energy energy:unit energy.unit"
    ).split(),
)
def test_names_of_statements(key):
    packed, remarks = read(block({key: text("hartree", "hartree")}, atom={}))
    assert packed.columns["energy"] == pytest.approx([HARTREE] * 2)
    assert remarks.source_units("energy", "eV") == "hartree"
    assert set(packed.columns) == {"numbers", "positions", "cell", "pbc", "energy", "frame"}


@pytest.mark.parametrize(
    "key", ["unit_cell", "community", "n_units", "cell_units", "gap_unit", "energy_community"]
)
def test_what_only_looks_like_one_is_kept(key):
    packed, _ = read(block({key: text("hartree", "simple")}))
    assert packed.columns["energy"].tolist() == [1.0, 1.0]
    assert packed.categories[key] == ["hartree", "simple"]


def test_every_structure_speaks_for_itself():
    raw = block({"energy_unit": text("hartree", None), "force-unit": text("hartree/bohr", "eV/A")})
    packed, remarks = read(raw)
    assert packed.columns["energy"] == pytest.approx([HARTREE, 1.0])
    assert packed.columns["forces"][:, 0] == pytest.approx([HARTREE / BOHR, 1.0])
    assert remarks.source_units("energy", "eV") == "eV, hartree"


def test_a_statement_about_energies_alone_leaves_forces_open():
    raw = block({"energy_unit": text("hartree", "hartree")})
    assert "does not say the unit of forces, and there are several; say it with units={'forces'" in refusal(
        raw
    )
    packed, _ = read(raw, units={"forces": "eV/A"})
    assert packed.columns["energy"] == pytest.approx([HARTREE] * 2)
    assert packed.columns["forces"][0, 0] == 1.0
    assert read(block({"energy_unit": text("eV", "eV")}))[0].columns["forces"][0, 0] == 1.0


def test_what_the_user_and_the_input_say_goes_together():
    raw = block({"energy_unit": text("hartree", "hartree")})
    assert "does not say the unit of forces" in refusal(raw, units={"length": "bohr"})
    packed, _ = read(raw, units="atomic")
    assert packed.columns["energy"] == pytest.approx([HARTREE] * 2)
    assert packed.columns["forces"][0, 0] == pytest.approx(HARTREE / BOHR)
    packed, _ = read(block({"force_unit": text("Ry/bohr", "Ry/bohr")}), units={"energy": "kcal/mol"})
    assert packed.columns["energy"] == pytest.approx([KCAL_MOL] * 2)
    assert packed.columns["forces"][0, 0] == pytest.approx(HARTREE / 2 / BOHR)


def test_forces_follow_stated_energies_and_lengths():
    raw = block({"energy_unit": text("hartree", "hartree"), "length_unit": text("bohr", "bohr")}, cell=True)
    packed, _ = read(raw)
    assert packed.columns["forces"][0, 0] == pytest.approx(HARTREE / BOHR)
    assert packed.columns["positions"][0, 0] == pytest.approx(BOHR)
    assert packed.columns["cell"][0, 0, 0] == pytest.approx(BOHR)


def test_lengths_of_only_some_structures():
    packed, _ = read(block({"length_unit": text("bohr", None)}, atom={}, cell=True))
    assert packed.columns["positions"][:, 0] == pytest.approx([BOHR, 1.0])
    assert packed.columns["cell"][:, 0, 0] == pytest.approx([BOHR, 1.0])
    with pytest.raises(InputError, match="not for the cell"):
        read(block({"position_unit": text("bohr", None)}, atom={}, cell=True))


def test_systems_of_units():
    packed, remarks = read(block({"units": text("real", "metal")}))
    assert packed.columns["energy"] == pytest.approx([KCAL_MOL, 1.0])
    assert remarks.source_units("forces", "eV angstrom-1") == "eV angstrom-1, kcal/mol/angstrom"


def test_units_of_nothing_in_particular():
    with pytest.raises(InputError, match=r"units=kcal/mol, and it can't be told of what"):
        read(block({"units": text("kcal/mol", None)}))
    for harmless in ("eV", "eV, Angstrom", "primitive", "unit cell"):
        assert read(block({"units": text(harmless, harmless)}))[0].categories["units"] == [harmless]


@pytest.mark.parametrize("unit", ["foe", "GPa", "eV/atom"])
def test_unknown_units_are_quoted_until_the_user_says(unit):
    raw = block({"energy-unit": text(unit, unit)}, atom={})
    assert f"the input states {unit!r} as the unit of energy" in refusal(raw)
    assert read(raw, units={"energy": "meV"})[0].columns["energy"][0] == pytest.approx(1e-3)


def test_the_user_and_the_input_must_agree():
    raw = block({"energy-unit": text("hartree", "hartree")}, atom={})
    assert "states 'hartree' as the unit of energy, but units= says 'kcal/mol'" in refusal(
        raw, units={"energy": "kcal/mol"}
    )
    assert read(raw, units={"energy": "Ha"})[0].columns["energy"] == pytest.approx([HARTREE] * 2)
    assert read(raw, units="atomic")[0].columns["energy"] == pytest.approx([HARTREE] * 2)
    overruled, _ = read(raw, units={"energy": "kcal/mol"}, exclude=frozenset({"energy-unit"}))
    assert overruled.columns["energy"] == pytest.approx([KCAL_MOL] * 2)


def test_two_statements_about_one_thing():
    raw = block({"energy-unit": text("hartree", "eV"), "REF_energy_unit": text("hartree", "Ry")}, atom={})
    with pytest.raises(InputError, match="both energy-unit=eV and REF_energy_unit=Ry"):
        read(raw)


def test_a_statement_about_a_property_that_the_user_names():
    raw = block({"E_pbe": [RawColumn(np.full(2, 3.0))], "E_pbe-unit": text("Ry", "Ry")}, atom={})
    packed, _ = read(raw, keys={"energy": "E_pbe"}, exclude=frozenset({"energy"}))
    assert packed.columns["energy"] == pytest.approx([3 * HARTREE / 2] * 2)
    assert "E_pbe-unit" in read(raw)[0].columns


def test_a_statement_of_what_is_not_there_is_kept():
    raw = block({"E_pbe": [RawColumn(np.full(2, 3.0))], "energy_unit": text("Ry", "Ry")}, atom={})
    del raw.structure["energy"]
    packed, _ = read(raw)
    assert packed.categories["energy_unit"] == ["Ry"]
    taken, _ = read(raw, keys={"energy": "E_pbe"})
    assert taken.columns["energy"] == pytest.approx([3 * HARTREE / 2] * 2)
    assert "energy_unit" not in taken.columns


def test_a_statement_may_be_kept_as_a_property():
    packed, _ = read(block({"energy-unit": text("hartree", "hartree")}), keys={"was": "energy-unit"})
    assert packed.columns["energy"].tolist() == [1.0, 1.0]
    assert packed.categories["was"] == ["hartree"]


def test_comments_of_plain_files():
    comments = [
        "# Step: 1 positions{atomic_unit} cell{angstrom}",
        "# Step: 2 positions{angstrom} cell{angstrom}",
    ]
    packed, remarks = read(block({"comment": text(*comments)}, atom={}))
    assert packed.columns["positions"][:, 0] == pytest.approx([BOHR, 1.0])
    assert packed.categories["comment"] == sorted(comments)
    assert remarks.source_units("positions", "angstrom") == "angstrom, bohr"
    assert "states 'furlong' as the unit of positions" in refusal(
        block({"comment": text(*["positions{furlong}"] * 2)})
    )
    stated = block({"comment": text("step=1 energy=-1 energy_unit=Hartree", "no word")}, atom={})
    assert read(stated)[0].columns["energy"] == pytest.approx([HARTREE, 1.0])
    assert read(stated, exclude=frozenset({"comment"}))[0].columns["energy"].tolist() == [1.0, 1.0]
    plain, _ = read(block({"comment": text("a {set} of{two} in units: kcal/mol", None)}, atom={}))
    assert plain.columns["positions"][0, 0] == 1.0


@given(
    st.dictionaries(
        st.one_of(
            st.text(max_size=12),
            st.builds(
                "{}{}{}".format,
                st.sampled_from(["energy", "force", "Lattice", "length", "x", "", "unit"]),
                st.sampled_from(["_", "-", " ", ""]),
                st.sampled_from(["unit", "Units", "unit_of_force", ""]),
            ),
        ),
        st.lists(
            st.sampled_from(["eV", "hartree", "bohr", "", "a.u.", "GPa", "{}", "eV/A", "\u212b"]),
            min_size=2,
            max_size=2,
        ),
        max_size=3,
    )
)
@settings(max_examples=150)
def test_no_text_is_lost_or_ends_in_a_traceback(properties):
    # What is a field by its name is to be numbers, and text there is a fault of the frame.
    others = {key: text(*values) for key, values in properties.items() if by_alias(key, "structure") is None}
    others.pop("", None)
    raw = block(others, cell=True)
    keys = set(raw.structure)
    try:
        packed, bad = normalize(raw, ReadOptions(), "in.xyz")
    except InputError:
        return
    converted = np.any(packed.columns["positions"] != 1.0) or np.any(packed.columns["energy"] != 1.0)
    stated = [key for key in keys if "unit" in key.lower()]
    assert stated or not (converted or bad)
    kept = {
        spec.description.partition(", given")[0].removeprefix("input_") for spec in packed.fields.values()
    }
    assert all("unit" in key.lower() for key in keys - kept - {"energy", "cell"})


# By the source


def open_block(**structure):
    raw = block(structure, cell=True)
    for columns in (
        raw.atom["positions"],
        raw.atom["forces"],
        raw.structure["energy"],
        raw.structure["cell"],
    ):
        columns[0].unit = ""
    return raw


def test_units_that_nobody_knows_are_asked_for():
    assert "does not say the unit of positions" in refusal(open_block())
    assert "or for all with units='ase' or units='atomic'" in refusal(open_block())
    assert "does not say the unit of positions" in refusal(open_block(), units={"energy": "eV"})
    assert read(open_block(), units="ase")[0].columns["forces"][0, 0] == 1.0
    assert read(open_block(), units="atomic")[0].columns["forces"][0, 0] == pytest.approx(HARTREE / BOHR)
    packed, _ = read(open_block(), units={"energy": "eV", "length": "bohr"})
    assert packed.columns["forces"][0, 0] == pytest.approx(1 / BOHR)
    assert packed.columns["cell"][0, 0, 0] == pytest.approx(BOHR)


def test_the_word_of_the_source_is_nearer():
    raw = block({"energy_unit": text("hartree", "hartree")}, atom={})
    raw.structure["energy"][0].unit = "meV"
    assert read(raw)[0].columns["energy"].tolist() == [1e-3, 1e-3]


class Archive(FileSource):
    """A file of one line: the unit of its energy."""

    runs_in = "threads"

    def read(self, piece):
        raw = block(atom={})
        raw.structure["energy"][0].unit = Path(self.path).read_text() or None
        yield raw


def test_every_input_speaks_for_itself(tmp_path):
    sources = []
    for unit in ("hartree", "", "kcal/mol"):
        sources.append(tmp_path / f"{len(sources)}.txt")
        sources[-1].write_text(unit)
    zstruct.build([Archive(s) for s in sources], tmp_path / "x.zarr", progress=False)
    ds = zstruct.open(tmp_path / "x.zarr")
    assert ds.energy.values == pytest.approx(np.repeat([HARTREE, 1.0, KCAL_MOL], 2))
    assert ds.energy.attrs["source_units"] == "eV, hartree, kcal/mol"
