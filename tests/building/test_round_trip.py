"""What leaves a store as Atoms and is built again is the same store, however often, by whatever way."""

import tempfile
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from tests.strategies import assert_same, random_atoms
from zstruct.store.store import Store

KEPT = ("kind", "rotates", "units", "long_name", "coverage", "original_name", "presence", "presence_of")


def assert_same_store(a, b):
    """Every field, dtype, unit and value, who has them, and where structures first came from."""
    a, b = Store(a), Store(b)
    assert a.columns == b.columns
    for name, field in a.columns.items():
        mine, other = a.array_attrs(name), b.array_attrs(name)
        assert {key: mine.get(key) for key in KEPT} == {key: other.get(key) for key in KEPT}
        if field.kind == "category":
            tables = [np.array([*store.categories(name), None]) for store in (a, b)]
            assert tables[0][a.read(name)].tolist() == tables[1][b.read(name)].tolist()
        else:
            assert a.read(name).tobytes() == b.read(name).tobytes(), name
    assert a.digest == b.digest


def built(frames, folder, name):
    zstruct.build(frames, folder / name, progress=False)
    return folder / name


@given(frames=st.lists(random_atoms(), min_size=1, max_size=6))
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
def test_generations_in_memory_are_equal(frames):
    with tempfile.TemporaryDirectory() as folder:
        first = built(frames, Path(folder), "1.zarr")
        taken = zstruct.open(first).zs.to_ase()
        for before, after in zip(frames, taken, strict=True):
            assert_same(before, after)
        second = built(taken, Path(folder), "2.zarr")
        reader = zstruct.StructureReader(second)
        third = built([reader.get_atoms(i) for i in range(len(frames))], Path(folder), "3.zarr")

        assert_same_store(first, second)
        assert_same_store(first, third)


@pytest.fixture
def labelled(frames):
    for k, atoms in enumerate(frames):
        atoms.info |= {
            "config_type": ("a", "b")[k % 2],
            "source": "VASP",
            "frame": k / 4,
            "id": 2**53 + 1 + k,
        }
        if k % 3:
            atoms.info |= {"charge": k - 4, "ok": bool(k % 2)}
            atoms.arrays["site"] = np.arange(len(atoms))
    return frames


def test_generations_through_trajectories_are_equal(tmp_path, labelled):
    """But for arrays of one's own, which ASE's trajectories don't carry."""
    for atoms in labelled:
        atoms.arrays.pop("site", None)
    first = built(labelled, tmp_path, "1.zarr")
    ase.io.write(tmp_path / "2.traj", zstruct.open(first).zs.to_ase())
    second = built(tmp_path / "2.traj", tmp_path, "2.zarr")
    ase.io.write(tmp_path / "3.traj", zstruct.open(second).zs.to_ase())
    third = built(tmp_path / "3.traj", tmp_path, "3.zarr")

    assert_same_store(first, second)
    assert_same_store(first, third)


def test_generations_through_extended_xyz_are_equal(tmp_path, labelled):
    """Coordinates have eight digits at most here, which is what ASE's writer keeps."""
    first = built(labelled, tmp_path, "1.zarr")
    ase.io.write(tmp_path / "2.xyz", zstruct.open(first).zs.to_ase(), format="extxyz")
    second = built(tmp_path / "2.xyz", tmp_path, "2.zarr")

    assert_same_store(first, second)


def test_generations_through_databases_keep_labels(tmp_path, labelled):
    first = built(labelled, tmp_path, "1.zarr")
    ase.io.write(tmp_path / "2.db", zstruct.open(first).zs.to_ase())
    a, b = Store(first), Store(built(tmp_path / "2.db", tmp_path, "2.zarr"))

    for name in ("numbers", "positions", "forces", "cell", "pbc", "energy", "stress"):
        assert a.read(name).tobytes() == b.read(name).tobytes()


def test_lists_mix_files_and_atoms_and_keep_where_each_came_from(tmp_path, labelled):
    ase.io.write(tmp_path / "new.xyz", labelled[5:7], format="extxyz")
    first = built(labelled[:5], tmp_path, "1.zarr")
    taken = zstruct.open(first).zs.to_ase()
    mixed = built([*taken[:2], tmp_path / "new.xyz", Atoms("H"), taken[4]], tmp_path, "2.zarr")

    sources = Store(mixed).categories("source")
    found = [sources[code] for code in Store(mixed).read("source")]
    assert found[:2] == ["atoms", "atoms"]
    assert [Path(text).name for text in found[2:4]] == ["new.xyz", "new.xyz"]
    assert Store(mixed).read("frame")[[0, 1, 2, 3, 5]].tolist() == [0, 1, 0, 1, 4]


def test_half_a_provenance_is_a_property_like_any_other(tmp_path):
    frames = [Atoms("H", info={"zstruct_frame": 7}), Atoms("He", info={"zstruct_frame": 8})]
    store = Store(built(frames, tmp_path, "x.zarr"))

    assert store.read("zstruct_frame").tolist() == [7, 8]
    assert store.read("frame").tolist() == [0, 1]
