import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from tests.mace_data import imported
from zstruct.errors import InputError

h5py = pytest.importorskip("h5py")


@pytest.fixture
def frames():
    made = []
    for k, atoms in enumerate([molecule("H2O"), bulk("Cu", cubic=True), molecule("CH4")]):
        results = {"energy": -0.1 * k - 1, "forces": np.arange(3.0 * len(atoms)).reshape(-1, 3) + k}
        if k == 1:
            results["stress"] = np.arange(6.0) / 7
        if k != 2:
            atoms.calc = SinglePointCalculator(atoms, **results)
            atoms.info |= {"config_type": f"type {k}", "config_weight": 1.0 + k, "config_energy_weight": 0.5}
        made.append(atoms)
    return made


@pytest.fixture
def store(frames, tmp_path):
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    return tmp_path / "a.zarr"


def test_mace_reads_what_it_would_have_made_of_the_atoms(store, frames, tmp_path):
    data, tools = imported()
    report = zstruct.export(store, tmp_path / "a.h5", "mace-hdf5", progress=False)
    ones = {"weights of one": "which is what MACE has without one, 1 structure"}
    assert report.lost == dict.fromkeys(("source", "frame"), "MACE has no place for it") | ones
    spec = data.KeySpecification(info_keys={"energy": "E", "stress": "S"}, arrays_keys={"forces": "F"})
    for atoms in frames:
        if atoms.calc is not None:
            atoms.info["E"], atoms.arrays["F"] = atoms.get_potential_energy(), atoms.get_forces()
            if "stress" in atoms.calc.results:
                atoms.info["S"] = atoms.get_stress()
    configurations = [data.config_from_atoms(atoms, spec) for atoms in frames]
    with h5py.File(tmp_path / "mace.h5", "w") as file:
        data.save_configurations_as_HDF5(configurations, 0, file)
    table = tools.get_atomic_number_table_from_zs([1, 6, 8, 29])
    ours, theirs = (
        data.HDF5Dataset(str(tmp_path / name), r_max=4.0, z_table=table) for name in ("a.h5", "mace.h5")
    )
    assert len(ours) == len(theirs) == 3
    for i in range(3):
        a, b = ours[i].to_dict(), theirs[i].to_dict()
        assert a.keys() == b.keys()
        for name in a:
            same = a[name] == b[name] if a[name] is None or b[name] is None else (a[name] == b[name]).all()
            assert same, (i, name)
    assert ours[2]["energy_weight"] == 0
    assert ours[0]["energy_weight"] == 0.5
    assert ours[1]["weight"] == 2.0


def test_the_way_there_and_back(store, tmp_path):
    zstruct.export(store, tmp_path / "a.h5", "mace-hdf5", progress=False)
    zstruct.build(tmp_path / "a.h5", tmp_path / "b.zarr", progress=False)
    a, b = zstruct.Store(store), zstruct.Store(tmp_path / "b.zarr")
    for name in ("offsets", "numbers", "positions", "forces", "cell", "pbc", "energy", "stress"):
        assert np.array_equal(a.read(name), b.read(name), equal_nan=name not in ("offsets", "numbers", "pbc"))
    for name in ("energy", "forces", "stress", "config_type", "config_energy_weight"):
        assert np.array_equal(a.present(name), b.present(name)), name
    assert b.categories("config_type") == ["type 0", "type 1"]


def test_what_mace_does_not_know_is_said(tmp_path):
    atoms = molecule("H2O")
    atoms.info["gap"] = 1.5
    zstruct.build([atoms], tmp_path / "a.zarr", progress=False)
    report = zstruct.export(tmp_path / "a.zarr", tmp_path / "a.h5", "mace-hdf5", progress=False)
    assert report.lost["gap"] == "MACE has no place for it"
    assert "gap" not in report.fields
    atoms.info["config_type"] = "a\0b"
    zstruct.build([atoms], tmp_path / "b.zarr", progress=False)
    report = zstruct.export(tmp_path / "b.zarr", tmp_path / "b.h5", "mace-hdf5", progress=False)
    assert "some of its texts have a zero character" in report.lost["config_type"]
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["config_batch_0/config_0/config_type"].asstr()[()] == "Default"
    with pytest.raises(InputError, match="there is no format 'mace'"):
        zstruct.export(tmp_path / "a.zarr", tmp_path / "c.h5", "mace", progress=False)
