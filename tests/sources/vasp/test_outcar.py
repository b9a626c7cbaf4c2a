"""OUTCAR: which labels are taken, in what units, of which steps, and what is said of the others."""

import bz2
import gzip
import lzma
import re

import numpy as np
import pytest
from ase import units
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from tests.sources.vasp.runs import moments, outcar, steps
from zstruct.errors import InputError
from zstruct.sources.content import MemoryContent
from zstruct.sources.vasp.source import OutcarSource


@pytest.fixture
def read(tmp_path):
    """Write an OUTCAR and return all blocks of its source."""

    def blocks(text, name="OUTCAR"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        source = OutcarSource(path)
        return list(source.read(source.scan()[0]))

    return blocks


@pytest.fixture
def build(tmp_path):
    def built(text, **options):
        (tmp_path / "OUTCAR").write_text(text)
        report = zstruct.build(
            tmp_path / "OUTCAR", tmp_path / "s.zarr", overwrite=True, progress=False, **options
        )
        return report, zstruct.open(report.path)

    return built


def only(blocks):
    (raw,) = blocks
    return raw


def test_labels_of_all_steps(build, rng):
    ionic = steps(rng)
    report, store = build(outcar(ionic))
    assert store.numbers.values.tolist() == [8, 8, 22] * 3
    np.testing.assert_array_equal(store.positions.values, np.concatenate([s.positions for s in ionic]))
    np.testing.assert_array_equal(store.forces.values, np.concatenate([s.forces for s in ionic]))
    assert store.energy.values.tolist() == [-10.0, -11.0, -12.0]
    assert store.free_energy.values.tolist() == [-10.5, -11.5, -12.5]
    # XX YY ZZ XY YZ ZX of a pressure in kB, to xx yy zz yz xz xy of a stress in eV/angstrom^3.
    kbar = units.GPa / 10
    np.testing.assert_allclose(store.stress.values[0], -kbar * np.array([1, 2, 3, 5, 6, 4.0]), rtol=1e-12)
    assert store.cell.values[2].tolist() == np.diag([4.0, 5.0, 6.0]).tolist()
    assert store.pbc.values.all()
    assert "magmom" not in store
    assert (report.noted, report.remarks, report.source_units) == ({}, {}, {"stress": "kbar"})


@pytest.mark.parametrize(("version", "first"), [(4, True), (5, False), (6, False)])
def test_the_energy_may_be_before_or_behind_the_forces(read, rng, version, first):
    raw = only(read(outcar(steps(rng), version=version, energy_first=first)))
    assert raw.structure["energy"][0].values.tolist() == [-10.0, -11.0, -12.0]
    assert not raw.bad


@pytest.mark.parametrize(
    ("given", "magmom"), [("", None), ("      2.5000000", 2.5), ("  0.1  0.2 -0.3", [0.1, 0.2, -0.3])]
)
def test_magnetic_moments_of_the_cell(read, rng, given, magmom):
    raw = only(read(outcar(steps(rng, n=1, magnetization=given))))
    found = raw.structure.get("magmom")
    assert (None if found is None else found[0].values[0].tolist()) == magmom


def test_magnetic_moments_of_atoms(read, rng):
    ionic = steps(rng, n=2)
    ionic[0].table, ionic[1].table = moments([1, 2, 3]), moments([4, 5, 6.5])
    text = outcar(ionic)
    whole, behind = text.split(" General")
    again = whole + moments([4, 5, 6.5]) + " General" + behind  # VASP repeats the last table at the end
    for one in (text, again, whole + moments([7, 8, 9])[:-150]):
        assert only(read(one)).atom["magmoms"][0].values.tolist() == [1, 2, 3, 4, 5, 6.5]
    ionic[0].table = "".join(moments([k, 2.0, 3.0], axis) for k, axis in enumerate("xyz"))
    raw = only(read(outcar(ionic[:1])))
    assert raw.atom["magmoms"][0].values[0].tolist() == [0, 1, 2]


def test_unconverged_steps(build, rng):
    ionic = steps(rng, n=4)
    ionic[1].cycles = 5  # VASP 5 says that EDIFF is reached where it gives up
    ionic[2].says = "aborting loop EDIFF was not reached (unconverged)"
    report, store = build(outcar(ionic, nelm=5))
    assert (report.noted, store.sizes["structure"]) == ({"unconverged": 2}, 4)
    report, store = build(outcar(ionic, nelm=5), filters={"leave_out": ["unconverged"]})
    assert report.dropped == {"unconverged": 2}
    assert store.energy.values.tolist() == [-10.0, -13.0]


def test_numbers_that_touch(read, rng):
    (step,) = steps(rng, n=1)
    step.positions[1] = [10.5, -100.25, -200.125]
    step.pressure = (-1153.5, -1100.0, -1234.56789, 1.0, 2.0, 3.0)
    text = outcar([step]).replace("10.50000   -100.25000   -200.12500", "10.50000-100.25000-200.12500")
    text = text.replace(" -1100.00000 -1234.56789", "-1100.00000-1234.56789")
    raw = only(read(text))
    assert raw.atom["positions"][0].values[1].tolist() == [10.5, -100.25, -200.125]
    assert raw.structure["stress"][0].values[0, :3].tolist() == [1153.5, 1100.0, 1234.56789]


def test_forces_without_dispersion_beside_them(read, rng):
    (step,) = steps(rng, n=1)
    text = outcar([step])
    for force in step.forces:
        row = "".join(f"{x:>14.6f}" for x in force)
        text = text.replace(row[1:] + "\n", row[1:] + " 9.0 9.0 9.0\n").replace(
            row + "\n", row + " 9.0 9.0 9.0\n"
        )
    assert text.count(" 9.0 9.0 9.0") == 3
    raw = only(read(text))
    assert not raw.bad
    np.testing.assert_array_equal(raw.atom["forces"][0].values, step.forces)


@pytest.mark.parametrize("lines", [["O_s", "Ti_pv"], ["O_s", "Ti_pv", "O_s", "O_s", "Ti_pv", "O_s"]])
def test_potentials_that_are_only_listed(read, rng, lines):
    text = outcar(steps(rng)).replace(" POTCAR:    PAW_PBE O_s 07Sep2000\n", "")
    listed = "".join(f" POTCAR:    PAW_PBE {name} 07Sep2000\n" for name in lines)
    text = text.replace(" POTCAR:    PAW_PBE Ti_pv 07Sep2000\n", listed)
    raw = only(read(re.sub("VRHFIN|TITEL", "X", text)))
    assert raw.atom["numbers"][0].values[:3].tolist() == [8, 8, 22]


def test_numbers_without_room(read, rng):
    ionic = steps(rng)
    text = outcar(ionic)
    force = f"{ionic[1].forces[2, 0]:>13.6f}"
    raw = only(read(text.replace(force, "*" * 13)))
    assert [(b.frame, b.reason) for b in raw.bad] == [
        (
            1,
            "among positions and forces of atom 2 is '*************', which is no number, "
            "for which VASP had no room",
        )
    ]
    assert raw.frames.tolist() == [0, 2]  # it goes on behind it
    raw = only(read(text.replace("     1.00000     2.00000", "************" * 2, 1)))
    assert not raw.bad
    assert raw.structure["stress"][0].present.tolist() == [False, True, True]
    (remark,) = raw.remarks
    assert remark.startswith("the stress of some steps is written as '****'")


def test_runs_of_one_file_after_the_other(read, rng):
    first, second = steps(rng, n=2), steps(rng, n=1, n_atoms=2)
    text = outcar(first) + outcar(second, counts=(1, 1))
    raw = only(read(text))
    assert raw.n_atoms.tolist() == [3, 3, 2]
    assert raw.atom["numbers"][0].values.tolist() == [8, 8, 22, 8, 8, 22, 8, 22]


def test_a_first_step_without_positions(read, rng):
    ionic = steps(rng, n=2)
    text = outcar(ionic)
    title, end = text.index(" POSITION "), text.index("    total drift")
    raw = only(read(text[:title] + text[end:]))
    assert not raw.bad  # it is where the run begins
    np.testing.assert_array_equal(raw.atom["positions"][0].values[:3], ionic[0].positions)
    assert raw.atom["forces"][0].present.tolist() == [False, True]
    title, end = text.rindex(" POSITION "), text.rindex("    total drift")
    raw = only(read(text[:title] + text[end:]))
    assert raw.bad[0].frame == 1
    assert "NWRITE = 0; read vasprun.xml" in raw.bad[0].reason


@pytest.mark.parametrize("isif", [2, 3])
def test_cells_that_are_not_repeated(read, rng, isif):
    text = outcar(steps(rng, n=2), isif=isif)
    at = text.rindex("      direct lattice")
    raw = only(read(text[:at] + text[at:].replace("direct", "other")))
    if isif == 2:
        assert raw.structure["cell"][0].values[1].tolist() == np.diag([4.0, 5.0, 6.0]).tolist()
    else:
        assert [(b.frame, b.reason) for b in raw.bad] == [(1, "there are no cell vectors")]


# Force fields that VASP learns


def test_predictions_are_no_labels(build, rng):
    one, two, three = steps(rng)
    before, again = steps(rng, n=2, learned=True)
    before.positions, again.positions = one.positions, one.positions
    before.energy = -77.0
    again.energy = again.free = -88.0  # what VASP predicts after it has learned from the step
    three.learned = True
    report, store = build(outcar([before, one, again, two, three]))
    assert report.noted == {"predicted": 1}
    assert store.energy.values[:2].tolist() == [-10.0, -11.0]
    np.testing.assert_array_equal(store.forces.values[:6], np.concatenate([one.forces, two.forces]))
    assert np.isnan(store.energy.values[2])
    assert np.isnan(store.forces.values[6:]).all()
    assert np.isnan(store.stress.values[2]).all()
    np.testing.assert_array_equal(store.ml_energy.values, [-88.0, np.nan, -12.0])
    np.testing.assert_array_equal(store.ml_forces.values[6:], three.forces)
    assert store.ml_stress.values[2].tolist() == [-1, -2, -3, -5, -6, -4]
    assert (store.ml_energy.attrs["units"], store.ml_stress.attrs["units"]) == ("eV", "kbar")
    report, store = build(outcar([before, one, two, three]), filters={"leave_out": ["predicted"]})
    assert (report.dropped, store.sizes["structure"]) == ({"predicted": 1}, 2)


def test_a_force_field_that_has_learned_nothing_predicts_nothing(read, rng):
    (step,) = steps(rng, n=1)
    (nothing,) = steps(rng, n=1, learned=True)
    nothing.positions, nothing.forces, nothing.energy, nothing.free = (
        step.positions,
        0 * step.forces,
        0.0,
        0.0,
    )
    raw = only(read(outcar([nothing, step])))
    assert raw.n_atoms.tolist() == [3]
    assert not {"ml_energy", "ml_stress"} & set(raw.structure)


def test_predictions_as_labels_if_the_user_says_so(build, rng):
    text = outcar(steps(rng, learned=True))
    keys = {"energy": "ml_energy", "forces": "ml_forces", "stress": "ml_stress"}
    report, store = build(text, keys=keys)
    assert store.energy.values.tolist() == [-10.0, -11.0, -12.0]
    np.testing.assert_allclose(store.stress.values[0, 0], -units.GPa / 10, rtol=1e-12)
    assert report.noted == {"predicted": 3}


# Files that break off


def test_where_a_file_may_end(read, rng):
    text = outcar(steps(rng, n=2), end=False)
    raw = only(read(text))
    assert raw.notes["cut"].tolist() == [True, True]
    second = text.index("Iteration", text.index("energy(sigma"))
    labels = text.index("  in kB", second)
    assert not only(read(text[:labels])).bad  # electrons at work are no step yet
    for end in range(labels + 30, len(text) - 2, 37):
        raw = only(read(text[:end]))
        assert raw.frames.tolist() == [0]
        assert [b.frame for b in raw.bad] == [1]
        assert "the file ends inside of this structure" in raw.bad[0].reason


def test_where_a_file_of_an_old_version_may_end(read, rng):
    text = outcar(steps(rng, n=2), version=4, energy_first=True, end=False)
    for end in range(text.rindex("FREE ENERGIE") + 60, text.rindex("POSITION") + 260, 41):
        raw = only(read(text[:end]))
        assert (raw.frames.tolist(), [b.frame for b in raw.bad]) == ([0], [1])


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_last_step_that_is_not_whole(build, rng, on_error):
    text = outcar(steps(rng, n=2), end=False)[:-200]
    if on_error == "raise":
        with pytest.raises(InputError, match="OUTCAR, frame 1: the file ends inside of this structure"):
            build(text)
    else:
        report, store = build(text, on_error="skip")
        assert (report.n_skipped, report.noted) == (1, {"cut": 1})
        assert store.energy.values.tolist() == [-10.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[: t.index("Iteration")], "no ionic step is finished in it: the calculation was stopped"),
        (lambda t: "", "the file is empty"),
        (lambda t: re.sub("VRHFIN|TITEL|POTCAR", "X", t), "no list of potentials"),
        (
            lambda t: t.replace("NIONS =      3", "NIONS =      7"),
            "2 potentials and 7 atoms, .* sum of 3: .*xml",
        ),
        (
            lambda t: t.replace("VRHFIN", "X").replace("Ti_pv 07", "Xx_pv 07"),
            "'Xx' is of no chemical element",
        ),
    ],
)
def test_what_can_not_be_read(build, rng, change, message):
    with pytest.raises(InputError, match=message):
        build(change(outcar(steps(rng))))


@pytest.mark.parametrize(("end", "pack"), [(".gz", gzip), (".xz", lzma), (".bz2", bz2)])
def test_compressed(read, rng, end, pack):
    text = outcar(steps(rng)).encode()
    raw = only(read(pack.compress(text), f"OUTCAR{end}"))
    assert (len(raw.frames), raw.notes) == (3, {})
    assert "cut" in only(read(pack.compress(text[:-60]), f"OUTCAR{end}")).notes
    with pytest.raises(InputError, match="damaged or cut off"):
        read(pack.compress(text)[:-20], f"OUTCAR{end}")


def test_counts_of_atoms_that_are_negative_are_said():
    text = outcar(steps(np.random.default_rng(0), n=1))
    damaged = re.sub(r"(ions per type = *)(\d+)", r"\g<1>-\2", text)
    assert damaged != text
    with pytest.raises(InputError, match=r"'ions per type' are .* some are negative"):
        list(OutcarSource(MemoryContent("OUTCAR", "OUTCAR", damaged.encode())).read(None))


@settings(max_examples=40)
@given(st.data())
def test_damage_is_said_or_harmless(data):
    text = outcar(steps(np.random.default_rng(0), n=2))
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 200)))
    text = text[:start] + data.draw(st.text("0123456789.-* \nEX", max_size=8)) + text[stop:]
    try:
        found = list(OutcarSource(MemoryContent("OUTCAR", "OUTCAR", text.encode())).read(None))
    except InputError:
        return
    for raw in found:
        columns = [column for columns in raw.atom.values() for column in columns]
        assert {len(column.values) for column in columns} <= {int(raw.n_atoms.sum())}
        numbers = sorted([*raw.frames.tolist(), *(bad.frame for bad in raw.bad)])
        assert numbers == list(range(len(numbers)))
