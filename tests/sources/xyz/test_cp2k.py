"""Trajectories of CP2K: three files that are one, by their steps."""

import gzip
import tarfile
import uuid

import fsspec
import numpy as np
import pytest
from ase.units import Bohr, Hartree
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.errors import InputError
from zstruct.sources.inputs import expand
from zstruct.sources.source import Slice
from zstruct.sources.xyz.cp2k import CP2KSource

CELL = "#   Step   Time [fs]       Ax [Angstrom]       Ay [Angstrom]  ...  Volume [Angstrom^3]\n"


def xyz(rows, steps):
    """The text of a file of CP2K: vectors of two atoms for each step."""
    lines = []
    for step, (o, h) in zip(steps, rows, strict=True):
        lines += ["       2", f" i = {step:8d}, time = {step / 2:12.3f}, E = {-17.0 - step / 8:20.10f}"]
        lines += ["  O  " + " ".join(f"{x:.10f}" for x in o), "  H  " + " ".join(f"{x:.10f}" for x in h)]
    return "\n".join(lines) + "\n"


def cells(steps):
    rows = (f"{step} {step / 2:.3f} {9 + step} 0 0 0.5 9 0 0 0 9 729.0\n" for step in steps)
    return CELL + "".join(rows)


@pytest.fixture
def vectors(rng):
    return np.round(rng.normal(size=(2, 5, 2, 3)), 8)


@pytest.fixture
def run(tmp_path, vectors):
    """A run of five steps."""
    (tmp_path / "w-pos-1.xyz").write_text(xyz(vectors[0], range(5)))
    (tmp_path / "w-frc-1.xyz").write_text(xyz(vectors[1], range(5)))
    (tmp_path / "w-1.cell").write_text(cells(range(5)))
    return tmp_path


def built(path, folder, **options):
    report = zstruct.build(path, folder / "s.zarr", progress=False, overwrite=True, **options)
    return report, zstruct.open(report.path)


@pytest.mark.parametrize("given", ["w-pos-1.xyz", ""])
def test_three_files_are_one(run, vectors, given):
    (source,), left = expand(run / given)
    assert isinstance(source, CP2KSource)
    report, store = built(run / given, run)
    np.testing.assert_array_equal(store.positions.values, vectors[0].reshape(-1, 3))
    np.testing.assert_allclose(store.forces.values, vectors[1].reshape(-1, 3) * Hartree / Bohr, rtol=1e-8)
    np.testing.assert_allclose(store.energy.values, (-17.0 - np.arange(5) / 8) * Hartree, rtol=1e-8)
    assert store.cell.values[3].tolist() == [[12, 0, 0], [0.5, 9, 0], [0, 0, 9]]
    assert store.pbc.values.all()
    assert store.time.values.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert [remark[:47] for remark in report.remarks] == [
        "the file of cells does not say along which vectors "[:47]
    ]
    if not given:
        assert f"{run}/w-frc-1.xyz" in left


def test_forces_are_those_of_the_same_step(run, vectors):
    (run / "w-frc-1.xyz").write_text(xyz(vectors[1][[0, 2, 4]], [0, 2, 4]))
    _, store = built(run / "w-pos-1.xyz", run)
    forces = store.forces.values.reshape(5, 2, 3)
    np.testing.assert_allclose(forces[[0, 2, 4]], vectors[1][[0, 2, 4]] * Hartree / Bohr, rtol=1e-8)
    assert np.isnan(forces[[1, 3]]).all()


def test_what_is_not_there_is_said(run):
    (run / "w-frc-1.xyz").unlink()
    (run / "w-1.cell").unlink()
    report, store = built(run / "w-pos-1.xyz", run)
    assert sum("beside it" in remark for remark in report.remarks) == 2
    assert "forces" not in store
    assert not store.pbc.values.any()


def test_compressed_files(run, vectors):
    for name in ("w-pos-1.xyz", "w-frc-1.xyz"):
        (run / f"{name}.gz").write_bytes(gzip.compress((run / name).read_bytes()))
        (run / name).unlink()
    _, store = built(run / "w-pos-1.xyz.gz", run)
    assert store.sizes["structure"] == 5
    assert np.isfinite(store.forces.values).all()


@pytest.mark.parametrize("what", ["frc", "vel"])
def test_forces_and_velocities_are_no_positions(run, vectors, what):
    path = run / f"w-{what}-1.xyz"
    path.write_text(xyz(vectors[1], range(5)))
    with pytest.raises(InputError, match=r"these are (forces|velocities), .*-pos-"):
        built(path, run)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("w-frc-1.xyz", lambda t: t.replace("  H  ", "  F  ", 1), r"w-frc-1\.xyz: its atoms are not those"),
        ("w-frc-1.xyz", lambda t: t[: len(t) - 30], r"w-frc-1\.xyz"),
        ("w-pos-1.xyz", lambda t: t + t, "step 0 comes behind step 4: several runs"),
        ("w-1.cell", lambda t: t.rsplit("\n", 2)[0] + "\n", "there is no cell of step 4"),
        ("w-1.cell", lambda t: t.replace("Angstrom", "bohr"), "no file of cells in angstrom"),
        ("w-1.cell", lambda t: t + "x\n", "line 7 has no step"),
        ("w-1.cell", lambda t: t[:-8], "line 6 has no step"),
    ],
)
def test_what_does_not_fit_is_said(run, name, change, message):
    path = run / name
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=message):
        built(run / "w-pos-1.xyz", run)


def test_a_change_of_the_forces_is_a_change(run, vectors):
    source = CP2KSource(run / "w-pos-1.xyz")
    before = source.fingerprint()
    (run / "w-frc-1.xyz").write_text("")
    assert source.fingerprint() != before


def test_other_files_of_that_name_are_plain(tmp_path):
    (tmp_path / "a-pos-1.xyz").write_text("1\n\nHe 0 0 0\n")
    assert type(expand(tmp_path / "a-pos-1.xyz")[0][0]).__name__ == "XYZSource"


RESTART = """ # Version information for this restart file
 &GLOBAL
   PROJECT_NAME w
   RUN_TYPE  {run}
 &END GLOBAL
 &MOTION
   &MD
     ENSEMBLE  {ensemble}
   &END MD
 &END MOTION
 &FORCE_EVAL
   &SUBSYS
     &CELL
       A     9.5000000000000000E+00    0.0000000000000000E+00    0.0000000000000000E+00
       B     0.5000000000000000E+00    9.0000000000000000E+00    0.0000000000000000E+00
       C     0.0000000000000000E+00    0.0000000000000000E+00    2.0000000000000000E+01
       PERIODIC  XY
       MULTIPLE_UNIT_CELL  1 1 1
     &END CELL
   &END SUBSYS
 &END FORCE_EVAL
"""


@pytest.mark.parametrize(
    ("kind", "ensemble", "there"),
    [("MD", "NVT", True), ("MD", "NPT_I", False), ("GEO_OPT", "NVE", True), ("CELL_OPT", "NVE", False)],
)
def test_a_cell_that_no_step_changes(run, kind, ensemble, there):
    (run / "w-1.cell").unlink()
    (run / "w-1.restart").write_text(RESTART.format(run=kind, ensemble=ensemble))
    report, store = built(run / "w-pos-1.xyz", run)
    assert any("so structures have no cell" in remark for remark in report.remarks) != there
    assert store.pbc.values.tolist() == [[there, there, False]] * 5
    if there:
        assert store.cell.values[4].tolist() == [[9.5, 0, 0], [0.5, 9, 0], [0, 0, 20]]


def test_cells_come_before_the_one_of_a_restart(run):
    (run / "w-1.restart").write_text(RESTART.format(run="MD", ensemble="NVT"))
    assert built(run / "w-pos-1.xyz", run)[1].cell.values[3, 0, 0] == 12


def test_archives_are_refused_and_single_files_read(run, tmp_path_factory):
    archive = tmp_path_factory.mktemp("packed") / "run.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("w-pos-1.xyz", "w-frc-1.xyz", "w-1.cell"):
            tar.add(run / name, f"run/{name}")
    with pytest.raises(
        InputError, match=r"run\.tar::run/w-pos-1\.xyz: .* unpack it, or read positions alone"
    ):
        built(archive, run)


def test_files_behind_a_url(run, vectors):
    folder = f"memory://cp2k-{uuid.uuid4()}"
    for name in ("w-pos-1.xyz", "w-frc-1.xyz", "w-1.cell"):
        with fsspec.open(f"{folder}/{name}", "wb") as file:
            file.write((run / name).read_bytes())
    source = CP2KSource(f"{folder}/w-pos-1.xyz")
    assert set(source.fingerprint()) >= {"forces", "cells"}
    (raw,) = source.read(source.scan()[0])
    np.testing.assert_array_equal(raw.atom["forces"][0].values, vectors[1].reshape(-1, 3))
    assert raw.structure["cell"][0].values[3, 0, 0] == 12


@settings(max_examples=30)
@given(data=st.data())
def test_damage_is_said_or_harmless(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage")
    rows = np.round(np.random.default_rng(0).normal(size=(2, 3, 2, 3)), 8)
    texts = {
        "w-pos-1.xyz": xyz(rows[0], range(3)),
        "w-frc-1.xyz": xyz(rows[1], range(3)),
        "w-1.cell": cells(range(3)),
    }
    name = data.draw(st.sampled_from(sorted(texts)))
    text = texts[name]
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 100)))
    texts[name] = text[:start] + data.draw(st.text("0123456789.-= \nOHi,", max_size=6)) + text[stop:]
    for each, content in texts.items():
        (folder / each).write_text(content)
    try:
        found = list(CP2KSource(folder / "w-pos-1.xyz").read(Slice(0, len(texts["w-pos-1.xyz"]), 0, 0)))
    except InputError:
        return
    for raw in found:
        columns = [column for columns in raw.atom.values() for column in columns]
        assert {len(column.values) for column in columns} <= {int(raw.n_atoms.sum())}
