"""input.data: read back number for number, and by ASE and dpdata."""

import ase.io
import pytest
from ase import units

import zstruct
from tests.exporters.frames import labelled, repeated
from tests.exporters.round_trips import DATA, there_and_back
from zstruct.errors import InputError

WITHOUT = ("source", "stress", "virial")


def built(tmp_path, frames, **options):
    return zstruct.build(frames, tmp_path / "a.zarr", progress=False, overwrite=True, **options).path


def test_the_text(tmp_path):
    (atoms,) = labelled(1, periodic=True)
    atoms.info.update(comment="as it was\nin two lines", total_charge=1.0, note="x")
    report = zstruct.export(built(tmp_path, [atoms]), tmp_path / "input.data", progress=False)
    lines = (tmp_path / "input.data").read_text().split("\n")
    assert lines[:4] == [
        "begin", "comment lengths in angstrom, energies in eV", "comment as it was", "comment in two lines",
    ]  # fmt: skip
    assert lines[4] == "lattice " + " ".join(map(repr, atoms.cell[0].tolist()))
    assert lines[-4:] == [f"energy {atoms.get_potential_energy()!r}", "charge 1.0", "end", ""]
    assert set(report.lost) == {"stress", "note", "source", "frame"}


def test_what_ase_and_dpdata_read(tmp_path):
    dpdata = pytest.importorskip("dpdata")
    frames = labelled(1, 3, periodic=True) * 3
    path = tmp_path / "input.data"
    zstruct.export(built(tmp_path, frames), path, progress=False)
    for atoms, there in zip(frames, ase.io.read(path, ":", format="runnerdata"), strict=True):
        assert there.numbers.tolist() == atoms.numbers.tolist()
        assert there.positions / units.Bohr == pytest.approx(atoms.positions)
        assert there.get_potential_energy() / units.Hartree == pytest.approx(atoms.get_potential_energy())
        assert there.cell.array / units.Bohr == pytest.approx(atoms.cell.array)
        force = units.Hartree / units.Bohr
        assert there.get_forces() / force == pytest.approx(atoms.get_forces())
    system = dpdata.LabeledSystem(str(path), fmt="n2p2")
    assert system.data["energies"] / units.Hartree == pytest.approx(frames[0].get_potential_energy())
    assert system.data["coords"][1] / units.Bohr == pytest.approx(frames[0].positions, rel=1e-6)


def test_units_that_are_stated_go_with_others(tmp_path):
    frames = labelled(2, periodic=False)
    path = tmp_path / "input.data"
    zstruct.export(built(tmp_path, frames), path, progress=False)
    text = path.read_text()
    other = "begin\natom 1 0 0 H 0 0 0 0 0.5\nenergy 1\nend\n"
    path.write_text(text + other)
    with pytest.raises(InputError, match=r"frame 2: the input does not say the unit of"):
        zstruct.build(path, tmp_path / "b.zarr", progress=False)
    with pytest.raises(InputError, match="the input states 'angstrom' as the unit of positions"):
        zstruct.build(path, tmp_path / "b.zarr", progress=False, units="atomic")
    report = zstruct.build(path, tmp_path / "b.zarr", progress=False, units="ase")
    assert zstruct.open(report.path)["energy"].values[-1] == 1.0


def test_what_it_can_t_say(tmp_path):
    frames = labelled(6, whole=False, seed=1)
    store = built(tmp_path, frames)
    with pytest.raises(InputError, match=r"structure \d has no \w+, and the format can't say so"):
        zstruct.export(store, tmp_path / "input.data", progress=False)
    assert not (tmp_path / "input.data").exists()
    with pytest.raises(InputError, match=r"the format has forces of every structure, and there are none"):
        zstruct.export(store, tmp_path / "input.data", progress=False, exclude=["forces"])
    slab, box = labelled(2, periodic=True)
    repeated(slab, [True, True, False])
    repeated(box, False)
    report = zstruct.export(built(tmp_path, [slab, box]), tmp_path / "input.data", progress=False)
    assert report.lost["structures that repeat along some vectors only"].endswith("along all, 1 structure")
    assert report.lost["cells of structures that do not repeat"].endswith("periodic ones only, 1 structure")
    text = (tmp_path / "input.data").read_text()
    assert text.count("lattice") == 3


@pytest.mark.parametrize("name", ["alloys", "metals", "molecules"])
def test_the_sample_there_and_back(tmp_path, name):
    store = built(tmp_path, DATA / "sample" / f"{name}.xyz")
    without = (*WITHOUT, "config_type", "tags")
    there_and_back(store, tmp_path, tmp_path / "input.data", without=without)
