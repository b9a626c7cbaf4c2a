from importlib import import_module

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from tests.exporters.round_trips import there_and_back

FORMATS = ["npz", "npz-ragged"]


@pytest.fixture
def frames():
    made = []
    for k, name in enumerate(["H2O", "CO2", "CH4", "H2O"]):
        atoms = molecule(name)
        forces = np.arange(3.0 * len(atoms)).reshape(-1, 3) + k
        atoms.calc = SinglePointCalculator(atoms, energy=-0.1 * k - 1, forces=forces)
        atoms.info["config_type"] = name
        made.append(atoms)
    return made


@pytest.fixture
def store(frames, tmp_path):
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    return tmp_path / "a.zarr"


def arrays_of(path):
    with np.load(path) as file:  # without pickles
        return {name: file[name] for name in file}


def test_padded_arrays_are_those_of_physnet(store, frames, tmp_path):
    zstruct.export(store, tmp_path / "a.npz", progress=False)
    arrays = arrays_of(tmp_path / "a.npz")
    assert arrays["N"].tolist() == [3, 3, 5, 3]
    assert (arrays["Z"].shape, arrays["R"].shape, arrays["F"].shape) == ((4, 5), (4, 5, 3), (4, 5, 3))
    for i, atoms in enumerate(frames):
        n = len(atoms)
        assert arrays["Z"][i].tolist() == [*atoms.numbers, *[0] * (5 - n)]
        assert np.array_equal(arrays["R"][i, :n], atoms.positions)
        assert np.array_equal(arrays["F"][i, :n], atoms.get_forces())
        assert not arrays["R"][i, n:].any()
        assert not arrays["F"][i, n:].any()
        assert arrays["E"][i] == atoms.get_potential_energy()
    assert arrays["config_type"].tolist() == ["H2O", "CO2", "CH4", "H2O"]
    assert ["E", "energy", "structure", "eV", ""] in arrays["zstruct_fields"].tolist()


def test_packed_arrays_follow_one_another(store, frames, tmp_path):
    zstruct.export(store, tmp_path / "a.npz", "npz-ragged", progress=False)
    arrays = arrays_of(tmp_path / "a.npz")
    assert arrays["offsets"].tolist() == [0, 3, 6, 11, 14]
    assert arrays["n_atoms"].tolist() == [3, 3, 5, 3]
    assert np.array_equal(arrays["numbers"], np.concatenate([atoms.numbers for atoms in frames]))
    assert np.array_equal(arrays["positions"], np.concatenate([atoms.positions for atoms in frames]))
    assert np.array_equal(arrays["forces"], np.concatenate([atoms.get_forces() for atoms in frames]))


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_structures_make_the_same_file(store, tmp_path, format):
    for name in "ab":
        zstruct.export(store, tmp_path / f"{name}.npz", format, progress=False)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_missing_stays_missing(tmp_path, format):
    frames = [molecule("H2O"), bulk("Cu", cubic=True), molecule("H2")]
    frames[1].calc = SinglePointCalculator(frames[1], energy=-1.0, forces=np.ones((4, 3)))
    frames[0].info |= {"config_type": "", "n": 0, "ok": False, "gap": 1.5}
    frames[2].info |= {"n": 3}
    frames[2].set_tags([1, 0])
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    there_and_back(tmp_path / "a.zarr", tmp_path, tmp_path / "a.npz", format)
    arrays = arrays_of(tmp_path / "a.npz")
    assert np.isnan(arrays["E" if format == "npz" else "energy"]).tolist() == [True, False, True]
    assert arrays["has_config_type"].tolist() == [True, False, False]
    assert arrays["has_n"].tolist() == [True, False, True]


def test_many_blocks_make_one_array(store, tmp_path, monkeypatch):
    zstruct.export(store, tmp_path / "a.npz", progress=False)
    monkeypatch.setattr(import_module("zstruct.exporters.structures"), "_BLOCK_BYTES", 200)
    zstruct.export(store, tmp_path / "b.npz", progress=False)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_selection_has_its_own_width(store, tmp_path):
    zstruct.export(store, tmp_path / "a.npz", select="C", fields=["energy"], progress=False)
    arrays = arrays_of(tmp_path / "a.npz")
    assert arrays["N"].tolist() == [3, 5]
    assert "F" not in arrays
