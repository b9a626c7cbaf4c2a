import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from tests.exporters.round_trips import there_and_back

h5py = pytest.importorskip("h5py")
FORMATS = ["hdf5", "hdf5-flat"]


@pytest.fixture
def frames():
    made = []
    for k, atoms in enumerate([molecule("H2O"), bulk("Cu", cubic=True), molecule("CH4"), molecule("H2")]):
        results = {"energy": -0.1 * k - 1, "forces": np.arange(3.0 * len(atoms)).reshape(-1, 3) + k}
        if k == 1:
            results["stress"] = np.arange(6.0)
        if k != 3:
            atoms.calc = SinglePointCalculator(atoms, **results)
            atoms.info |= {"config_type": f"type {k}", "<R2>": 1.5 * k, "n": k}
        made.append(atoms)
    return made


@pytest.fixture
def store(frames, tmp_path):
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    return tmp_path / "a.zarr"


def test_a_group_for_each_structure(store, frames, tmp_path):
    zstruct.export(store, tmp_path / "a.h5", "hdf5", progress=False)
    with h5py.File(tmp_path / "a.h5") as file:
        assert sorted(file["structures"], key=int) == ["0", "1", "2", "3"]
        for i, atoms in enumerate(frames):
            group = file[f"structures/{i}"]
            assert group["species"][()].tolist() == atoms.numbers.tolist()
            assert np.array_equal(group["positions"][()], atoms.positions)
            assert np.array_equal(group["cell"][()], atoms.cell.array)
            assert group["pbc"][()].tolist() == atoms.pbc.tolist()
            assert ("energy" in group) == (i != 3)
            if i != 3:
                assert group["energy"][()] == atoms.get_potential_energy()
                assert np.array_equal(group["forces"][()], atoms.get_forces())
                assert group["config_type"].asstr()[()] == f"type {i}"
                assert group["<R2>"][()] == 1.5 * i
            assert ("stress" in group) == (i == 1)


def test_flat_arrays(store, frames, tmp_path):
    zstruct.export(store, tmp_path / "a.h5", progress=False)  # which is the default for this name
    with h5py.File(tmp_path / "a.h5") as file:
        structures, labels = file["structures"], file["labels"]
        splits = structures["atomic_numbers_splits"][()]
        assert splits.tolist() == [0, 3, 7, 12, 14]
        assert labels["forces_splits"][()].tolist() == splits.tolist()
        assert np.array_equal(structures["cells"][()], [atoms.cell.array for atoms in frames])
        assert np.array_equal(structures["pbc"][()], [atoms.pbc for atoms in frames])
        assert labels["stress_mask"][()].tolist() == [False, True, False, False]
        assert labels["energy"].attrs["units"] == "eV"
        assert np.isnan(labels["energy"][3])
        for i, atoms in enumerate(frames):
            rows = slice(splits[i], splits[i + 1])
            assert structures["atomic_numbers"][rows].tolist() == atoms.numbers.tolist()
            assert np.array_equal(structures["positions"][rows], atoms.positions)
            if i != 3:
                assert np.array_equal(labels["forces"][rows], atoms.get_forces())
                assert labels["config_type"].asstr()[i] == f"type {i}"
        assert labels["has_n"][()].tolist() == [True, True, True, False]


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_missing_stays_missing(store, tmp_path, format):
    there_and_back(store, tmp_path, tmp_path / "a.h5", format)


@pytest.mark.parametrize("format", FORMATS)
def test_large_structures_and_names_of_other_letters(tmp_path, format):
    rng = np.random.default_rng(0)
    frames = [Atoms(f"H{n}", rng.normal(size=(n, 3))) for n in (1, 2000, 7)]
    for k, atoms in enumerate(frames):
        atoms.info |= {"µ": 0.5 * k, "Größe": f"größer als {k}", "two": [True, k == 1]}
        atoms.arrays["Lücke"] = rng.normal(size=(len(atoms), 2))
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    there_and_back(tmp_path / "a.zarr", tmp_path, tmp_path / "a.h5", format)
    if format == "hdf5":
        with h5py.File(tmp_path / "a.h5") as file:
            assert file["structures/1/Größe"].asstr()[()] == "größer als 1"
            assert np.array_equal(file["structures/1/Lücke"], frames[1].arrays["Lücke"])


def test_names_that_mean_something_else_are_kept(tmp_path):
    frames = [molecule("H2O"), molecule("H2")]
    for k, atoms in enumerate(frames):
        atoms.info |= {"N": k, "Z": 1.5, "units": "none", "has_N": True, "forces_splits": k}
        atoms.arrays["R"] = atoms.positions + 1
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    for format in (*FORMATS, "npz", "npz-ragged"):
        end = "npz" if format.startswith("npz") else "h5"
        there_and_back(tmp_path / "a.zarr", tmp_path, tmp_path / f"a.{end}", format)
