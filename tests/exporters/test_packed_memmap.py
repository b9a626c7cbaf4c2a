import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from zstruct.errors import InputError


def test_the_files_are_those_of_numpy(tmp_path):
    frames = []
    for k, name in enumerate(["H2O", "CO2", "CH4"]):
        atoms = molecule(name)
        forces = np.arange(3.0 * len(atoms)).reshape(-1, 3)
        atoms.calc = SinglePointCalculator(atoms, energy=-0.1 * k - 1, forces=forces)
        frames.append(atoms)
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    report = zstruct.export(tmp_path / "a.zarr", tmp_path / "mm", "packed-memmap", progress=False)
    folder = tmp_path / "mm"
    assert np.load(folder / "offsets.npy").tolist() == [0, 3, 6, 11]
    assert np.load(folder / "offsets.npy").dtype == np.int64
    assert np.load(folder / "n_atoms.npy").tolist() == [3, 3, 5]
    assert np.load(folder / "n_atoms.npy").dtype == np.int32
    files = {
        "Z_pack.int32": np.concatenate([a.numbers for a in frames]).astype(np.int32),
        "R_pack.f32": np.concatenate([a.positions for a in frames]).astype(np.float32),
        "F_pack.f32": np.concatenate([a.get_forces() for a in frames]).astype(np.float32),
        "E.f64": np.array([a.get_potential_energy() for a in frames]),
    }
    for name, expected in files.items():
        assert (folder / name).read_bytes() == expected.tobytes(), name
    for name, values in (("offsets", np.array([0, 3, 6, 11])), ("n_atoms", np.array([3, 3, 5], np.int32))):
        np.save(tmp_path / "expected.npy", values)
        assert (folder / f"{name}.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    assert {path.name for path in folder.iterdir()} == {*files, "n_atoms.npy", "offsets.npy"}
    assert report.fields == ["numbers", "positions", "forces", "energy"]
    assert report.lost["frame"] == "the format has no place for it"
    assert report.lost["the precision of positions"] == "written in single precision"
    assert report.lost["units"].startswith("no file says them")


def test_a_total_charge_that_some_lack_is_refused(tmp_path):
    frames = [molecule("H2"), molecule("H2")]
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.zeros((2, 3)))
    frames[0].info["total_charge"] = 1.0
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    with pytest.raises(InputError, match="structure 1 has no total_charge, and others may have one"):
        zstruct.export(tmp_path / "a.zarr", tmp_path / "mm", "packed-memmap", progress=False)
    zstruct.export(
        tmp_path / "a.zarr", tmp_path / "mm", "packed-memmap", exclude=["total_charge"], progress=False
    )
    assert not (tmp_path / "mm" / "Qtot.f64").exists()


def test_what_single_precision_has_not_is_refused(tmp_path):
    atoms = molecule("H2")
    atoms.positions[1, 2] = 1e39
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.zeros((2, 3)))
    zstruct.build([molecule("H2"), atoms], tmp_path / "a.zarr", progress=False)
    with pytest.raises(InputError, match="structure 0 has a position or a force that is no number of single"):
        zstruct.export(tmp_path / "a.zarr", tmp_path / "mm", "packed-memmap", select=[1], progress=False)
