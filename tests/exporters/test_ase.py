"""Databases and trajectories: built again they are the same store, and ASE reads the Atoms that went in."""

import ase.db
import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

import zstruct
from tests.building.test_round_trip import assert_same_store
from tests.strategies import assert_same
from zstruct.exporters.blocks import Contents
from zstruct.store.store import Store


def built(frames, folder):
    zstruct.build(frames, folder / "a.zarr", progress=False)
    return folder / "a.zarr"


@pytest.fixture
def frames():
    made = []
    for k, atoms in enumerate([molecule("H2O"), bulk("Cu", cubic=True), molecule("CH4"), bulk("Si")]):
        forces = np.random.default_rng(k).normal(size=(len(atoms), 3))
        results = {"energy": -1 / (k + 3), "forces": forces}
        if atoms.cell.any():
            results["stress"] = forces.ravel()[:6]
        if k != 2:
            atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info |= {"config_type": "ab"[k % 2], "k": k, "ok": k > 1, "spectrum": np.arange(4.0) / 3}
        atoms.set_tags(range(len(atoms)))
        made.append(atoms)
    made[0].set_constraint(FixAtoms([1]))
    made[1].info["note"] = "1.50"
    return made


@pytest.mark.parametrize("suffix", [".traj", ".db", ".aselmdb"])
def test_ase_reads_what_went_in(frames, tmp_path, suffix):
    report = zstruct.export(built(frames, tmp_path), tmp_path / f"out{suffix}", progress=False)
    assert report.lost == {}
    if suffix == ".traj":
        found = ase.io.read(tmp_path / "out.traj", ":")
        for before, after in zip(frames, found, strict=True):
            assert_same(before, after)
    else:
        type = {"type": "aselmdb"} if suffix == ".aselmdb" else {}
        with ase.db.connect(tmp_path / f"out{suffix}", **type) as database:
            rows = list(database.select())
        assert [row.id for row in rows] == [1, 2, 3, 4]
        for before, row in zip(frames, rows, strict=True):
            after = row.toatoms()
            assert (after.positions == before.positions).all()
            assert (after.get_tags() == before.get_tags()).all()
            assert len(after.constraints) == len(before.constraints)
            if before.calc is None:
                assert after.calc is None
            else:
                assert after.calc.results["energy"] == before.calc.results["energy"]
                assert (after.calc.results["forces"] == before.calc.results["forces"]).all()
            assert row.key_value_pairs["config_type"] == before.info["config_type"]
        assert rows[1].data["note"] == "1.50"
    zstruct.build(tmp_path / f"out{suffix}", tmp_path / "b.zarr", progress=False)
    assert_same_store(tmp_path / "a.zarr", tmp_path / "b.zarr")


def test_rows_are_selected_by_texts_and_numbers(frames, tmp_path):
    zstruct.export(built(frames, tmp_path), tmp_path / "out.db", progress=False)
    with ase.db.connect(tmp_path / "out.db") as database:
        assert [row.id for row in database.select("config_type=b,k>1")] == [4]


@pytest.mark.parametrize("format", ["traj", "ase-db", "aselmdb"])
def test_what_is_lost(frames, tmp_path, format):
    for atoms in frames:
        atoms.arrays["site"] = np.arange(len(atoms))
    store = built(frames, tmp_path)
    report = zstruct.export(store, tmp_path / "out", format, exclude=["frame"], progress=False)
    assert set(report.lost) == {"source", *(["site"] if format == "traj" else [])}


def test_missing_packages_are_a_sentence(frames, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ase_db_backends", None)
    with pytest.raises(zstruct.MissingExtraError, match=r"pip install 'zstruct\[aselmdb\]'"):
        zstruct.export(built(frames, tmp_path), tmp_path / "out.aselmdb", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_what_fails_is_closed(frames, tmp_path):
    from zstruct.exporters.ase import ASEDatabaseExporter

    store = Store(built(frames, tmp_path))
    exporter = ASEDatabaseExporter()
    exporter.begin(tmp_path / "x.db", Contents(0, 0, {"numbers": store.fields["numbers"]}, {}, 0))
    exporter.abort()
    assert not list(tmp_path.glob("*-journal"))


def test_large_tags_come_back(tmp_path):
    frames = [molecule("H2"), molecule("H2")]
    frames[0].set_tags([1, 2**31])
    frames[1].set_tags([-(2**31), 5])
    store = built(frames, tmp_path)
    zstruct.export(store, tmp_path / "out.db", progress=False)
    zstruct.build(tmp_path / "out.db", tmp_path / "b.zarr", progress=False)
    assert Store(tmp_path / "b.zarr").read("tags").tolist() == [1, 2**31, -(2**31), 5]
