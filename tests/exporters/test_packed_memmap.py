import numpy as np
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct


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


def test_the_way_there_and_back_is_exact_in_single_precision(tmp_path):
    rng = np.random.default_rng(0)
    frames = []
    for k, name in enumerate(["H2O", "CO2", "CH4"]):
        atoms = molecule(name)
        atoms.calc = SinglePointCalculator(
            atoms, energy=rng.normal(), forces=rng.normal(size=(len(atoms), 3))
        )
        atoms.info["total_charge"] = k - 1.0
        frames.append(atoms)
    zstruct.build(frames, tmp_path / "a.zarr", encoding="float32", progress=False)
    zstruct.export(tmp_path / "a.zarr", tmp_path / "mm", "packed-memmap", progress=False)
    zstruct.build(tmp_path / "mm", tmp_path / "b.zarr", units="ase", encoding="float32", progress=False)
    a, b = zstruct.Store(tmp_path / "a.zarr"), zstruct.Store(tmp_path / "b.zarr")
    for name in ("offsets", "numbers", "positions", "forces", "energy", "total_charge"):
        assert np.array_equal(a.read(name), b.read(name)), name
        assert a.read(name).dtype == b.read(name).dtype
