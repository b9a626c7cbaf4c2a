"""How files of VASP are known: by their names in directories and archives, by their content else."""

import tarfile

import numpy as np
import pytest

import zstruct
from tests.sources.vasp.runs import outcar, steps, vasprun
from zstruct.errors import InputError
from zstruct.sources.ase.source import ASESource
from zstruct.sources.inputs import expand
from zstruct.sources.vasp.source import OutcarSource, VasprunSource


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("OUTCAR", OutcarSource),
        ("run3.out", OutcarSource),
        ("OUTCAR_relax.1", OutcarSource),
        ("vasprun.xml", VasprunSource),
        ("step.xml", VasprunSource),
    ],
)
def test_they_are_known(tmp_path, rng, name, kind):
    path = tmp_path / name
    path.write_text(outcar(steps(rng)) if kind is OutcarSource else vasprun(steps(rng)))
    ((source,), _) = expand(path)
    assert type(source) is kind
    with pytest.raises(
        InputError, match=f"{name}: .*reader='{'outcar' if kind is OutcarSource else 'vasprun'}'"
    ):
        list(ASESource(path, format="vasp-out" if kind is OutcarSource else "vasp-xml").read(None))


def test_what_lies_beside_an_outcar_is_not_looked_at(tmp_path, rng):
    (tmp_path / "OUTCAR").write_text(outcar(steps(rng)))
    (tmp_path / "POSCAR").write_text("this is none\n")
    report = zstruct.build(tmp_path / "OUTCAR", tmp_path / "s.zarr", progress=False)
    assert report.n_structures == 3


def test_in_an_archive(tmp_path, rng):
    ionic = steps(rng)
    for name, text in (("a/OUTCAR", outcar(ionic)), ("b/vasprun.xml", vasprun(ionic))):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    with tarfile.open(tmp_path / "runs.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a", "a")
        archive.add(tmp_path / "b", "b")
    store = zstruct.open(zstruct.build(tmp_path / "runs.tar.gz", tmp_path / "s.zarr", progress=False).path)
    np.testing.assert_allclose(store.energy.values, [-10.0, -11.0, -12.0] * 2)


def test_many_steps_come_in_blocks(tmp_path, rng):
    ionic = steps(rng, n=100)
    (tmp_path / "OUTCAR").write_text(outcar(ionic))
    found = list(OutcarSource(tmp_path / "OUTCAR").read(None))
    assert len(found) > 1
    assert np.concatenate([raw.frames for raw in found]).tolist() == list(range(100))
    report = zstruct.peek(tmp_path / "OUTCAR")
    assert "stress in eV angstrom-3 (converted from kbar)" in str(report)


def test_a_look_says_what_a_build_would_note(tmp_path, rng):
    ionic = steps(rng, n=3)
    ionic[1].cycles = 60
    (tmp_path / "OUTCAR").write_text(outcar(ionic, end=False))
    said = str(zstruct.peek(tmp_path / "OUTCAR"))
    assert "unconverged: 1 structure of those looked at (the calculation did not converge)" in said
    assert "cut: 3 structures of those looked at" in said
