"""vasprun.xml: which labels are taken, in what units, of which steps, and what is said of the others."""

import gzip
import io
import re

import numpy as np
import pytest
from ase import units
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from tests.sources.vasp.runs import outcar, steps, vasprun
from zstruct.errors import InputError
from zstruct.sources.content import MemoryContent
from zstruct.sources.vasp import vasprun as module
from zstruct.sources.vasp.source import VasprunSource


def read(text):
    content = MemoryContent("vasprun.xml", "vasprun.xml", text.encode())
    return list(VasprunSource(content).read(None))


def only(text):
    (raw,) = read(text)
    return raw


@pytest.fixture
def build(tmp_path):
    def built(text, name="vasprun.xml", **options):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
        report = zstruct.build(path, tmp_path / "s.zarr", overwrite=True, progress=False, **options)
        return report, zstruct.open(report.path)

    return built


def test_labels_of_all_steps(build, rng):
    ionic = steps(rng)
    report, store = build(vasprun(ionic))
    assert store.numbers.values.tolist() == [8, 8, 22] * 3
    np.testing.assert_allclose(
        store.positions.values, np.concatenate([s.positions for s in ionic]), atol=1e-7
    )
    np.testing.assert_array_equal(store.forces.values, np.concatenate([s.forces for s in ionic]))
    np.testing.assert_allclose(store.energy.values, [-10.0, -11.0, -12.0], rtol=1e-14)
    assert store.free_energy.values.tolist() == [-10.5, -11.5, -12.5]
    kbar = units.GPa / 10
    np.testing.assert_allclose(store.stress.values[0], -kbar * np.array([1, 2, 3, 5, 6, 4.0]), rtol=1e-12)
    assert (report.noted, report.remarks, report.source_units) == ({}, {}, {"stress": "kbar"})


def test_it_says_what_outcar_says(build, tmp_path, rng):
    ionic = steps(rng)
    store = build(vasprun(ionic))[1].load()
    (tmp_path / "OUTCAR").write_text(outcar(ionic))
    other = zstruct.open(zstruct.build(tmp_path / "OUTCAR", tmp_path / "o.zarr", progress=False).path)
    for name in ("energy", "free_energy", "forces", "stress", "cell", "numbers"):
        np.testing.assert_allclose(store[name].values, other[name].values, rtol=1e-12)


@pytest.mark.parametrize("handed", [1.0, -1.0])
def test_the_pressure_is_not_in_the_energies(handed, rng):
    ionic = steps(rng)
    for step in ionic:
        step.cell = step.cell * handed  # a left-handed cell has a volume, too
    raw = only(vasprun(ionic, pstress=50.0))
    np.testing.assert_allclose(raw.structure["free_energy"][0].values, [-10.5, -11.5, -12.5], atol=1e-7)
    np.testing.assert_allclose(raw.structure["energy"][0].values, [-10.0, -11.0, -12.0], atol=1e-7)


@pytest.mark.parametrize("name", ["vasprun.xml", "vasprun.xml.gz"])
def test_steps_that_did_not_converge_and_files_that_break_off(build, rng, name):
    ionic = steps(rng)
    ionic[1].cycles = 4
    report, store = build(vasprun(ionic, nelm=4), name)
    assert (report.noted, store.sizes["structure"]) == ({"unconverged": 1}, 3)
    report, store = build(vasprun(ionic, nelm=4), name, filters={"leave_out": ["unconverged"]})
    np.testing.assert_allclose(store.energy.values, [-10.0, -12.0])
    text = vasprun(ionic, end=False) + " <calculation>\n  <scstep>\n  </scstep>\n"
    report, store = build(text, name)  # electrons at work are no step yet
    assert (report.noted, store.sizes["structure"]) == ({"cut": 3}, 3)


def test_where_a_file_may_end(rng):
    text = vasprun(steps(rng, n=2), end=False)
    start = text.index("</structure>", text.rindex("<calculation>")) + 12
    for end in range(start, text.rindex("</calculation>"), 53):
        raw = only(text[:end])
        assert (raw.frames.tolist(), raw.notes["cut"].tolist()) == ([0], [True])
        assert [b.frame for b in raw.bad] == [1]
        assert raw.bad[0].reason.startswith("the file ends inside of this structure")
    raw = only(text[: text.rindex("<structure>")])
    assert (raw.frames.tolist(), raw.bad) == ([0], [])


def test_damage_ends_a_file(rng):
    text = vasprun(steps(rng, n=3))
    at = text.index("<calculation>", text.index("</calculation>"))
    raw = only(text[: at + 20] + "<<" + text[at + 20 :])
    assert raw.frames.tolist() == [0]
    assert [b.frame for b in raw.bad] == [1]
    assert "the XML is damaged here (not well-formed" in raw.bad[0].reason


def test_what_is_left_out_may_lie_across_blocks(rng, monkeypatch):
    text = vasprun(steps(rng, n=5))
    whole = only(text)
    for size in (1, 7, 100, 333):
        monkeypatch.setattr(module, "_BLOCK", size)
        raw = only(text)
        np.testing.assert_array_equal(raw.atom["forces"][0].values, whole.atom["forces"][0].values)
        assert len(raw.frames) == 5
    assert b"1.0 1.0" not in b"".join(module._slim(io.BytesIO(text.encode())))


def test_numbers_without_room(rng):
    ionic = steps(rng)
    text = vasprun(ionic)
    raw = only(text.replace(f"{ionic[1].forces[2, 0]:>17.8f}", " ****************"))
    assert (raw.frames.tolist(), [b.frame for b in raw.bad]) == ([0, 2], [1])
    assert "among forces of atom 2 is '****************', which is no number" in raw.bad[0].reason
    raw = only(
        text.replace("<v>       1.00000000       4.00000000", "<v> *************** ***************", 1)
    )
    assert raw.structure["stress"][0].present.tolist() == [False, True, True]
    assert len(raw.remarks) == 1


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["TTT", "FFF", "TTT"], {"move_mask"}),
        (["TTT", "TFT", "TTT"], {"selective"}),
        (["TTT", "TTT", "TTT"], set()),
    ],
)
def test_selective_dynamics(rng, flags, names):
    raw = only(vasprun(steps(rng, n=2), selective=flags))
    assert {"move_mask", "selective"} & set(raw.atom) == names
    for name in names:
        expected = [row[0] == "T" if name == "move_mask" else [c == "T" for c in row] for row in flags]
        assert raw.atom[name][0].values[3:].tolist() == expected
    assert len(raw.remarks) == ("selective" in names)


def test_only_the_last_cycle_matters(rng):
    text = vasprun(steps(rng, n=1)).replace(f"{-11.5:>16.8f} ", "**************** ", 1)
    assert not only(text).bad
    raw = only(vasprun(steps(rng, n=1)).replace(f"{-11.5:>16.8f} ", "**************** "))
    assert "among the energies" in raw.bad[0].reason


def test_cycles_of_perturbations_do_not_count(rng):
    text = vasprun(steps(rng, n=1), nelm=5)
    cycle = text[text.index("  <scstep>") : text.index("</scstep>") + 9].replace("-11.0", "-99.0")
    raw = only(text.replace("<eigenvalues comment", 9 * cycle + "<eigenvalues comment"))
    assert raw.notes == {}
    assert raw.structure["energy"][0].values.tolist() == [-10.0]


def test_elements_that_vasp_misspells(rng):
    raw = only(
        vasprun(steps(rng), symbols=("r ", "r ", "X "), titles=("PAW_PBE Zr_sv 04Jan2005", "PAW_PBE Xe 1"))
    )
    assert raw.atom["numbers"][0].values[:3].tolist() == [40, 40, 54]
    with pytest.raises(InputError, match="atoms are called 'Qq', which is no chemical element"):
        read(vasprun(steps(rng), symbols=("Qq", "Qq", "Ti"), titles=("PAW_PBE Qq 1", "PAW_PBE Ti 1")))


def test_predictions_are_no_labels(build, rng):
    ionic = steps(rng)
    ionic[0].learned = ionic[2].learned = True
    report, store = build(vasprun(ionic))
    assert report.noted == {"predicted": 2}
    np.testing.assert_allclose(store.energy.values, [np.nan, -11.0, np.nan])
    np.testing.assert_array_equal(store.ml_energy.values, [-10.0, np.nan, -12.0])
    np.testing.assert_array_equal(store.ml_forces.values[6:], ionic[2].forces)
    raw = only(vasprun(ionic, pstress=10.0))
    assert "ml_energy" not in raw.structure
    assert any("not known whether the pressure is in them" in remark for remark in raw.remarks)
    text = vasprun(ionic, end=False)
    raw = only(text[: text.rindex("<energy>")])
    assert (raw.frames.tolist(), [b.frame for b in raw.bad]) == ([0, 1], [2])


def test_a_dipole_moment_keeps_a_name_of_its_own(rng):
    text = vasprun(steps(rng, n=1)).replace(
        "<eigenvalues comment", '<dipole><v name="dipole"> 0.1 0.2 0.3 </v></dipole><eigenvalues comment'
    )
    raw = only(text)
    assert raw.structure["input_dipole"][0].values.tolist() == [[0.1, 0.2, 0.3]]
    assert any("counts charge in electrons" in remark for remark in raw.remarks)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("<fpmd:simulation xmlns:fpmd='x'></fpmd:simulation>", "vasprun.xml with <modeling>"),
        ("nothing", "this is no XML"),
        ("<modeling></modeling>", "no ionic step is finished in it$"),
        ("<modeling><calculation><structure>", "no list of atoms|the file ends"),
        ("<modeling><calculation></calculation></modeling>", "there is no list of atoms|no structure"),
    ],
)
def test_what_can_not_be_read(text, message):
    try:
        (raw,) = read(text)
        said = raw.bad[0].reason
    except InputError as error:
        said = str(error)
    assert re.search(message, said)


@settings(max_examples=40)
@given(st.data())
def test_damage_is_said_or_harmless(data):
    text = vasprun(steps(np.random.default_rng(0), n=2))
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 200)))
    text = text[:start] + data.draw(st.text("0123456789.-* \n</>v", max_size=8)) + text[stop:]
    try:
        found = read(text)
    except InputError:
        return
    for raw in found:
        columns = [column for columns in raw.atom.values() for column in columns]
        assert {len(column.values) for column in columns} <= {int(raw.n_atoms.sum())}
