"""Labels beside a store's own are exported in its place, or with it, and come back as they were."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import zstruct
from tests.conftest import random_atoms
from zstruct import InputError
from zstruct.cli import main

SIZES = (3, 1, 8, 5)


@pytest.fixture
def store(tmp_path, rng):
    out = tmp_path / "s.zarr"
    zstruct.build([random_atoms(rng, n, periodic=True) for n in SIZES], out, progress=False)
    energy = np.round(rng.normal(size=4), 6)
    energy[1] = np.nan
    zstruct.labels.add(out, "teacher", energy=energy, forces=np.round(rng.normal(size=(17, 3)), 8))
    return out


def built(path, tmp_path):
    out = tmp_path / "back.zarr"
    zstruct.build(path, out, overwrite=True, progress=False)
    return zstruct.Store(out)


def test_labels_take_the_place_of_the_own(store, tmp_path):
    report = zstruct.export(store, tmp_path / "t.xyz", labels="teacher", progress=False)
    assert "stress" not in report.fields
    assert "labels" not in report.lost
    back, labels = built(tmp_path / "t.xyz", tmp_path), zstruct.open_labels(store, "teacher")
    assert_array_equal(back.read("energy"), labels.read("energy"))
    assert_array_equal(back.read("forces"), labels.read("forces"))
    plain = zstruct.export(store, tmp_path / "own.xyz", progress=False)
    assert plain.lost["labels"] == "teacher: labels= writes them"


def test_labels_come_beside_the_own(store, tmp_path):
    zstruct.export(store, tmp_path / "t.xyz", labels={"t": "teacher"}, select="has(t_energy)", progress=False)
    back, labels = built(tmp_path / "t.xyz", tmp_path), zstruct.open_labels(store, "teacher")
    assert_array_equal(back.read("t_energy"), labels.read("energy")[[0, 2, 3]])
    assert_array_equal(back.read("energy"), zstruct.Store(store).read("energy")[[0, 2, 3]])
    assert back.read("t_forces").shape == (16, 3)


def test_views_and_the_command_line_take_them(store, tmp_path, capsys):
    reader = zstruct.StructureReader(store)[[3, 0]]
    zstruct.export(reader, tmp_path / "t.xyz", labels="teacher", progress=False)
    energies = zstruct.open_labels(store, "teacher").read("energy")
    assert_array_equal(built(tmp_path / "t.xyz", tmp_path).read("energy"), energies[[3, 0]])
    assert main(["export", str(store), str(tmp_path / "c.xyz"), "--labels", "teacher", "--quiet"]) == 0
    assert "4 structures" in capsys.readouterr().out
    assert_array_equal(built(tmp_path / "c.xyz", tmp_path).read("energy"), energies)


def test_a_dataset_has_its_own_values(store, tmp_path):
    ds = zstruct.open(store)
    with pytest.raises(InputError, match="a Dataset is exported with the values that it has: assign labels"):
        zstruct.export(ds, tmp_path / "t.xyz", labels="teacher")
    with pytest.raises(InputError, match="has no set of labels 'pupil'"):
        zstruct.export(store, tmp_path / "t.xyz", labels="pupil")
