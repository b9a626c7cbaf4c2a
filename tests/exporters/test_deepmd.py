"""DeePMD-kit's npy: what dpdata reads, and back number for number, structure by structure."""

import warnings

import numpy as np
import pytest

import zstruct
from tests.exporters.frames import labelled, repeated
from zstruct.errors import InputError
from zstruct.exporters import deepmd


def built(tmp_path, frames, **options):
    return zstruct.build(frames, tmp_path / "a.zarr", progress=False, overwrite=True, **options).path


def test_what_dpdata_reads(tmp_path, monkeypatch):
    dpdata = pytest.importorskip("dpdata")
    monkeypatch.setattr(deepmd, "_WAITING", 0)  # in many steps
    frames = labelled(40, 1, periodic=True)
    zstruct.export(built(tmp_path, frames), tmp_path / "systems", "deepmd-npy", progress=False)
    found = {}
    for folder in (tmp_path / "systems").iterdir():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            system = dpdata.LabeledSystem(str(folder), fmt="deepmd/npy")
        data = system.data
        for k in range(len(data["energies"])):
            found[data["energies"][k]] = (data, k)
    assert len(found) == 40
    for atoms in frames:
        data, k = found[atoms.get_potential_energy()]
        names = np.array(data["atom_names"])[data["atom_types"]]
        assert names.tolist() == atoms.get_chemical_symbols()
        assert data["coords"][k].tolist() == atoms.positions.tolist()
        assert data["forces"][k].tolist() == atoms.get_forces().tolist()
        assert data["cells"][k].tolist() == atoms.cell.array.tolist()
        wanted = -atoms.get_stress(voigt=False) * atoms.get_volume()
        assert data["virials"][k] == pytest.approx(wanted, rel=1e-12)


def test_atoms_are_sorted_and_molecules_have_no_box(tmp_path):
    atoms = labelled(1, 4, periodic=False)[0][[0]]
    atoms.calc = None
    atoms.arrays.pop("charges")
    water = atoms.copy()
    water = type(atoms)("OHOH", np.arange(12.0).reshape(4, 3))
    zstruct.export(built(tmp_path, [water, water]), tmp_path / "s", "deepmd-npy", progress=False)
    folder = tmp_path / "s" / "H2O2"
    assert {path.name for path in folder.iterdir()} == {"type.raw", "type_map.raw", "nopbc", "set.000"}
    assert {path.name for path in (folder / "set.000").iterdir()} == {"coord.npy"}
    assert np.load(folder / "set.000" / "coord.npy")[1].reshape(4, 3).tolist() == [
        [3, 4, 5], [9, 10, 11], [0, 1, 2], [6, 7, 8],
    ]  # fmt: skip
    assert (folder / "type.raw").read_text() == "0\n0\n1\n1\n"
    assert (folder / "type_map.raw").read_text() == "H\nO\n"


def test_slabs_are_said_to_be_periodic(tmp_path):
    slab = labelled(1, periodic=True)[0]
    repeated(slab, [True, True, False])
    report = zstruct.export(built(tmp_path, [slab]), tmp_path / "s", "deepmd-npy", progress=False)
    assert "structures that repeat along some vectors only" in report.lost
    slab.calc = None
    slab.set_cell([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    with pytest.raises(InputError, match="its cell has no volume"):
        zstruct.export(built(tmp_path, [slab]), tmp_path / "t", "deepmd-npy", progress=False)
    assert not (tmp_path / "t").exists()
