"""Extended XYZ goes out as it came in: built again it is the same store, and ASE reads the same Atoms."""

import bz2
import gzip
import lzma
import random

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from tests.building.test_round_trip import assert_same_store
from zstruct.errors import InputError


def exported(frames, folder, name="a.xyz", **options):
    zstruct.build(frames, folder / "a.zarr", progress=False)
    return zstruct.export(folder / "a.zarr", folder / name, progress=False, **options)


def assert_comes_back(frames, folder, **build):
    report = exported(frames, folder)
    zstruct.build(folder / "a.xyz", folder / "b.zarr", progress=False, **build)
    assert_same_store(folder / "a.zarr", folder / "b.zarr")
    return report


def test_ase_reads_the_same_atoms(tmp_path):
    frames = []
    for k, atoms in enumerate([molecule("H2O"), bulk("Cu", cubic=True), bulk("NaCl", "rocksalt", 5.6)]):
        atoms.rattle(0.1, seed=k)
        forces = np.random.default_rng(k).normal(size=(len(atoms), 3))
        results = {"energy": -1 / (k + 3), "forces": forces}
        if atoms.cell.any():
            results["stress"] = forces.ravel()[:6]
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info |= {"config_type": "two words", "k": k, "ok": k > 1, "spectrum": np.arange(4.0) / 3}
        atoms.arrays["site"] = np.arange(len(atoms))
        frames.append(atoms)
    frames[1].info["only here"] = 'say "hi" \\ there'
    frames[1].info["matrix"] = np.arange(6.0).reshape(2, 3) / 7
    exported(frames, tmp_path)
    found = ase.io.read(tmp_path / "a.xyz", ":", format="extxyz")
    for before, after in zip(frames, found, strict=True):
        for theirs, ours in ((after.arrays, before.arrays), (after.calc.results, before.calc.results)):
            assert theirs.keys() == ours.keys()
            for name, value in ours.items():
                assert np.array_equal(theirs[name], value), name
        for name, value in before.info.items():
            assert np.array_equal(after.info[name], value), name
        assert (after.cell == before.cell).all()
        assert (after.pbc == before.pbc).all()
        assert after.info["zstruct_source"] == "atoms"


TEXTS = ["", " ", "1", "007", "1.50", "1e5", "1_0", "T", "False", "T F", "nan", "-inf", "300K", "a b", " a",
         "a ", "[1, 2]", "{x}", "'", '"', "\\", "\\n", "a\nb", "a\tb", "\r", "\0", "é", "\x85", "a=b", "=",
         "_JSON [1]", "_JSON", ",", "1,2", "12-x", "None", "comment #"]  # fmt: skip


def test_texts_of_all_kinds_come_back_alone(tmp_path, long_run):
    for k, text in enumerate(TEXTS if long_run else random.sample(TEXTS, 4)):
        folder = tmp_path / str(k)
        folder.mkdir()
        frames = [Atoms("H", info={"config_type": text, "note": text})]
        assert assert_comes_back(frames, folder).lost == {}, text


def test_texts_of_all_kinds_come_back_together(tmp_path):
    frames = [Atoms("H", info={"config_type": text, "note": text, "a 'key\"= [of": text}) for text in TEXTS]
    assert assert_comes_back(frames, tmp_path).lost == {}


def test_ase_reads_texts_of_all_kinds(tmp_path):
    exported([Atoms("H", info={"note": text}) for text in TEXTS], tmp_path)
    found = ase.io.read(tmp_path / "a.xyz", ":", format="extxyz")
    assert [atoms.info["note"] for atoms in found] == TEXTS


def test_arrays_of_odd_shapes_come_back(tmp_path):
    frames = [
        Atoms("H2", info={
            "one": np.array([0.1 * k]), "one_int": np.array([k]), "matrix": np.arange(4.0).reshape(2, 2) / 3,
            "cube": np.arange(8).reshape(2, 2, 2), "flags": np.array([True, False]), "flag": np.array([True]),
            "nine": np.arange(9.0), "three by three": np.arange(9.0).reshape(3, 3), "huge": 1e300,
            "polarizability": np.arange(9.0).reshape(3, 3), "infinite": np.array([[np.inf, -np.inf, np.nan]]),
        })
        for k in range(3)
    ]  # fmt: skip
    assert assert_comes_back(frames, tmp_path).lost == {}


def test_what_atom_lines_cannot_hold_is_said(tmp_path):
    atoms = Atoms("H2")
    atoms.arrays["site"] = np.array(["a b", "c"])
    atoms.arrays["born"] = np.arange(18.0).reshape(2, 3, 3)
    atoms.arrays["a:b"] = np.arange(2)
    report = exported([atoms], tmp_path)
    assert set(report.lost) == {"site", "the shape of born", "a_b"}
    assert "one word" in report.lost["site"]
    back = ase.io.read(tmp_path / "a.xyz")
    assert set(back.arrays) == {"numbers", "positions", "born"}


def test_names_that_mean_something_else_are_written_clear_of_it(tmp_path):
    atoms = Atoms("H2", info={"dft_energy": -1.0, "my_energy": -2.0})
    zstruct.build(atoms, tmp_path / "a.zarr", keys={"energy": "my_energy"}, progress=False)
    report = zstruct.export(tmp_path / "a.zarr", tmp_path / "a.xyz", exclude=["energy"], progress=False)
    said = "it is written as input_dft_energy: dft_energy would be taken for the energy"
    assert report.lost == {"the name of dft_energy": said}
    zstruct.build(tmp_path / "a.xyz", tmp_path / "b.zarr", progress=False)
    assert zstruct.Store(tmp_path / "b.zarr").read("input_dft_energy").tolist() == [-1.0]


def test_missing_labels_are_absent(tmp_path):
    frames = [molecule("H2O") for _ in range(4)]
    frames[1].calc = SinglePointCalculator(frames[1], energy=-1.0, forces=np.ones((3, 3)))
    frames[2].calc = SinglePointCalculator(frames[2], energy=-2.0)
    frames[3].arrays["tags"] = np.array([1, 2, 3])
    assert_comes_back(frames, tmp_path)
    lines = (tmp_path / "a.xyz").read_text().splitlines()
    assert ("forces" in lines[1], "energy" in lines[1]) == (False, False)
    assert ("energy=-1.0" in lines[6], ":forces:R:3 " in lines[6]) == (True, True)
    assert (lines[2].split()[0], len(lines[2].split()), len(lines[7].split())) == ("O", 4, 7)
    assert ":tags:I:1 " in lines[16]


def test_single_precision_is_written_short(tmp_path):
    frames = [molecule("CH4")]
    frames[0].rattle(0.1)
    zstruct.build(frames, tmp_path / "a.zarr", encoding="float32", progress=False)
    zstruct.export(tmp_path / "a.zarr", tmp_path / "a.xyz", progress=False)
    assert max(map(len, (tmp_path / "a.xyz").read_text().splitlines()[3].split())) <= 13
    zstruct.build(tmp_path / "a.xyz", tmp_path / "b.zarr", encoding="float32", progress=False)
    assert_same_store(tmp_path / "a.zarr", tmp_path / "b.zarr")


@pytest.mark.parametrize(
    ("suffix", "opened"), [(".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open), (".ZST", None)]
)
def test_compressed_files(tmp_path, suffix, opened, monkeypatch):
    import importlib

    monkeypatch.setattr(importlib.import_module("zstruct.exporters.structures"), "_BLOCK_BYTES", 300)
    frames = [molecule("H2O") for _ in range(9)]
    exported(frames, tmp_path, "a.xyz")
    zstruct.export(tmp_path / "a.zarr", tmp_path / f"b.xyz{suffix}", progress=False)
    if opened is not None:
        with opened(tmp_path / f"b.xyz{suffix}") as file:
            assert file.read() == (tmp_path / "a.xyz").read_bytes()
    zstruct.build(tmp_path / f"b.xyz{suffix}", tmp_path / "b.zarr", progress=False)
    assert_same_store(tmp_path / "a.zarr", tmp_path / "b.zarr")


def test_a_split_goes_along(tmp_path):
    zstruct.build([molecule("H2O") for _ in range(10)], tmp_path / "a.zarr", progress=False)
    zstruct.split(tmp_path / "a.zarr", {"train": [0, 2, 4], "val": [1]}, name="default")
    zstruct.export(tmp_path / "a.zarr", tmp_path / "a.xyz", with_split="default", progress=False)
    parts = [atoms.info.get("split") for atoms in ase.io.iread(tmp_path / "a.xyz")]
    assert parts == ["train", "val", "train", None, "train", *[None] * 5]
    zstruct.export(
        tmp_path / "a.zarr", tmp_path / "b.xyz", split="train", with_split="default", progress=False
    )
    assert [atoms.info["split"] for atoms in ase.io.iread(tmp_path / "b.xyz")] == ["train"] * 3
    zstruct.build(tmp_path / "a.xyz", tmp_path / "b.zarr", progress=False)
    zstruct.split(tmp_path / "b.zarr", [5, 5], name="x")
    with pytest.raises(InputError, match="has a field 'split' already"):
        zstruct.export(tmp_path / "b.zarr", tmp_path / "c.xyz", with_split="x", progress=False)


def test_atoms_that_lack_a_text_others_have(tmp_path):
    atoms = Atoms("H2")
    atoms.arrays["site"] = np.array(["a", "b"])
    exported([atoms], tmp_path)
    from zstruct.exporters.blocks import Block, Contents
    from zstruct.exporters.xyz import XYZExporter
    from zstruct.schema import FIELDS, infer

    fields = {**{name: FIELDS[name] for name in ("numbers", "positions", "cell", "pbc")}}
    fields["site"] = infer("site", "atom", "category", ())
    exporter = XYZExporter()
    exporter.begin(tmp_path / "x.xyz", Contents(2, 3, fields, {"site": ["a"]}, 2))
    columns = {name: np.zeros((3, *field.shape), field.dtype) for name, field in fields.items()}
    columns |= {name: columns[name][:2] for name in ("cell", "pbc")}
    columns["site"] = np.array([0, 0, -1], np.int32)
    with pytest.raises(InputError, match="structure 8 has site of some atoms only"):
        exporter.text(Block(np.array([1, 2]), columns, {}, 7))
    exporter.end()


@pytest.mark.parametrize(
    "name", ["3bpa_train_300K", "carbon_reduced_100", "qm7x_reduced_100", "qm9_reduced_100"]
)
def test_shared_data_come_back(shared_data, name, tmp_path):
    zstruct.build(shared_data / f"{name}.xyz", tmp_path / "a.zarr", progress=False)
    zstruct.export(tmp_path / "a.zarr", tmp_path / "a.xyz", progress=False)
    zstruct.build(tmp_path / "a.xyz", tmp_path / "b.zarr", progress=False)
    assert_same_store(tmp_path / "a.zarr", tmp_path / "b.zarr")
