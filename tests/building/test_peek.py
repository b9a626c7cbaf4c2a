"""What a look at inputs shows is what a build makes of them, and nothing in one keeps it from the others."""

import gzip

import ase.io
import numpy as np
import pytest
from ase.build import molecule

import zstruct
from tests.conftest import extxyz_text
from zstruct import cli
from zstruct.errors import InputError

WATER = """3
Properties=species:S:1:pos:R:3:f_pbe:R:3 E_pbe=-325.9 energy-unit=kcal/mol pbc="F F F"
O  0.00  0.00  0.12   0.0  0.0 -1.2
H  0.00  0.76 -0.48   0.0  0.9  0.6
H  0.00 -0.76 -0.48   0.0 -0.9  0.6
"""


@pytest.fixture
def water(tmp_path):
    path = tmp_path / "water.xyz"
    path.write_text(WATER)
    return path


def test_what_is_shown_is_what_a_build_makes(xyz_file, frames, tmp_path):
    report = zstruct.peek(xyz_file)
    (one,) = report.inputs
    assert (one.reader, one.n_frames, one.exact, one.n_bad) == ("xyz", 30, True, 0)
    built = zstruct.build(xyz_file, tmp_path / "s.zarr", progress=False)
    shares = {name: count / 30 for name, count in built.coverage.items()}
    assert {f.name: f.share for f in one.fields} == pytest.approx(
        {name: share for name, share in shares.items() if name in {f.name for f in one.fields}}
    )
    assert {"energy", "forces", "stress", "positions", "cell"} <= {f.name for f in one.fields}
    assert one.first.startswith(frames[0].get_chemical_formula("hill") + ", cell of ")
    assert f"energy {frames[0].get_potential_energy():.6g} eV" in one.first
    assert "read by 'xyz'" in str(report)
    assert "<table>" in report._repr_html_()


def test_what_is_not_taken_for_a_label_is_said_with_the_words_that_would(water):
    text = str(zstruct.peek(water))
    assert "no energy" in text
    assert "keys={'energy': 'E_pbe'}" in text
    taken = zstruct.peek(water, keys={"energy": "E_pbe", "forces": "f_pbe"}, units={"forces": "kcal/mol/A"})
    energy = next(f for f in taken.inputs[0].fields if f.name == "energy")
    assert (energy.taken_from, energy.unit, energy.source_unit) == (("E_pbe",), "eV", "kcal/mol")
    assert "energy from 'E_pbe' in eV (converted from kcal/mol)" in str(taken)
    assert f"energy {-325.9 / 23.060547830619:.6g} eV" in taken.inputs[0].first


def test_keys_that_occur_nowhere_are_said(water):
    assert "no input has 'E_dft'" in str(zstruct.peek(water, keys={"energy": "E_dft"}))


def test_units_that_are_left_open_are_a_problem(tmp_path):
    path = tmp_path / "input.data"
    path.write_text(
        "begin\nlattice 9 0 0\nlattice 0 9 0\nlattice 0 0 9\natom 0 0 0 H 0 0 0 0 0\nenergy 1\nend\n"
    )
    (one,) = zstruct.peek(path).inputs
    assert one.reader == "runner"
    assert one.n_bad == 1
    assert "does not say the unit" in one.problem
    assert "energy" in one.properties
    (one,) = zstruct.peek(path, units="atomic").inputs
    assert not one.problem
    assert "energy 27.2114 eV" in one.first


def test_one_bad_input_among_others(tmp_path, xyz_file):
    (tmp_path / "bad.xyz").write_text("2\n\nH 0 0 0\n")
    (tmp_path / "no.idea").write_text("?")
    (tmp_path / "x.traj").write_bytes(b"- of Ulm nonsense")
    given = [xyz_file, tmp_path / "bad.xyz", tmp_path / "no.idea", tmp_path / "gone.xyz", tmp_path / "x.traj"]
    report = zstruct.peek(given)
    by_name = {one.label.rpartition("/")[2]: one for one in report.inputs}
    assert by_name["train.xyz"].fields
    assert "file ends after 1 of 2" in by_name["bad.xyz"].problem
    assert "no reader knows" in by_name["no.idea"].problem
    assert "no such file" in by_name["gone.xyz"].problem
    assert by_name["x.traj"].problem
    assert str(report).count("problem: ") == 4
    with pytest.raises(InputError, match="no such file"):
        zstruct.peek(tmp_path / "gone.xyz")


def test_two_energies_are_a_problem_that_is_said(tmp_path):
    path = tmp_path / "two.xyz"
    path.write_text("1\nProperties=species:S:1:pos:R:3 energy=1 REF_energy=2\nH 0 0 0\n")
    (one,) = zstruct.peek(path).inputs
    assert "energy" in one.problem
    assert set(one.properties) >= {"energy", "REF_energy"}


def test_only_the_beginning_of_a_large_input_is_read(tmp_path, frames, monkeypatch):
    path = tmp_path / "a.xyz"
    path.write_text(extxyz_text(frames) * 3)
    for module in ("zstruct.sources.source", "zstruct.sources.xyz.source"):
        monkeypatch.setattr(f"{module}.SLICE_BYTES", 4000)
    (one,) = zstruct.peek(path).inputs
    assert not one.exact
    assert 30 < one.n_frames < 91
    assert "at least" in str(one.lines[0])


def test_structures_in_memory_and_slices(xyz_file, frames):
    assert zstruct.peek(frames).inputs[0].n_frames == 30
    (one,) = zstruct.peek(f"{xyz_file}@-3:").inputs
    assert (one.reader, one.n_frames, one.exact) == ("xyz", 3, True)
    arrays = zstruct.sources.arrays(positions=np.zeros((4, 1, 3)), numbers=[2], energy=[1, 2, 3, 4])
    assert zstruct.peek(arrays).inputs[0].n_frames == 4


def test_many_inputs(tmp_path):
    for k in range(13):
        ase.io.write(tmp_path / f"{k}.xyz", molecule("H2O"))
    report = zstruct.peek(tmp_path, limit=4)
    assert [one.label.rpartition("/")[2] for one in report.inputs] == [f"{k}.xyz" for k in range(4)]
    assert "and 9 more inputs; limit=13 looks into all" in str(report)
    with pytest.raises(InputError, match="limit"):
        zstruct.peek(tmp_path, limit=0)
    with pytest.raises(TypeError, match="peek has no option 'reeder'; is it reader"):
        zstruct.peek(tmp_path, reeder="xyz")


def test_the_command(water, tmp_path, capsys):
    assert cli.main(["peek", str(water), "--key", "energy=E_pbe", "--exclude", "f_pbe"]) == 0
    assert "energy from 'E_pbe'" in capsys.readouterr().out
    (tmp_path / "bad.xyz").write_text("x")
    assert cli.main(["peek", str(tmp_path / "bad.xyz")]) == 1
    assert cli.main(["peek", str(tmp_path / "gone.xyz")]) == 1
    assert "no such file" in capsys.readouterr().err


def test_what_needs_no_conversion_is_not_said_to_be_converted(tmp_path):
    zeros = {"R": np.zeros((1, 2, 3)), "Z": np.ones((1, 2), int), "F": np.zeros((1, 2, 3)), "E": np.zeros(1)}
    np.savez(tmp_path / "a.npz", **zeros)
    with pytest.raises(InputError, match=r"unit of forces, .*, or with units='ase' if all is in eV"):
        zstruct.build(tmp_path / "a.npz", tmp_path / "a.zarr", progress=False)
    assert "converted" not in str(zstruct.peek(tmp_path / "a.npz", units="ase"))
    report = zstruct.build(tmp_path / "a.npz", tmp_path / "a.zarr", units="ase", progress=False)
    assert report.source_units == {}


def test_what_nothing_can_read_is_read_by_nobody(tmp_path):
    (tmp_path / "broken.gz").write_bytes(gzip.compress(b"H 0 0 0\n" * 99)[:-20])
    (one,) = zstruct.peek(tmp_path / "broken.gz").inputs
    assert "damaged" in one.problem
    assert one.reader == ""
