"""Names of properties and stores that are too long for files, or no UTF-8."""

import os

import ase.build
import numpy as np
import pytest

import zstruct
from zstruct.errors import InputError
from zstruct.store.store import Store


def _built(path, **info):
    atoms = ase.build.molecule("H2O")
    atoms.info.update(info)
    zstruct.build([atoms], path, progress=False)
    zstruct.verify(path)
    return Store(path), zstruct.open(path)


def test_long_names_are_shortened_and_the_whole_ones_kept(tmp_path):
    long = "x" * 300
    store, ds = _built(tmp_path / "s.zarr", **{long: 1.0, long + "y": 2.0, "z" * 5000: "text"})
    short, other = "x" * 128, f"{'x' * 128}_2"
    assert store.read(short).tolist() == [1.0]
    assert store.read(other).tolist() == [2.0]
    assert store.array_attrs(short)["original_name"] == long
    again = ds.zs.to_ase(0)
    assert (again.info[long], again.info[long + "y"], again.info["z" * 5000]) == (1.0, 2.0, "text")
    assert zstruct.StructureReader(tmp_path / "s.zarr")[0][other] == 2.0


def test_names_in_bytes_that_are_no_utf_8(tmp_path):
    store, ds = _built(tmp_path / "s.zarr", **{"\udcffkey": 1.0, "\ud800": 2.0, "text": "\udcff"})
    assert store.array_attrs("key")["original_name"] == "\udcffkey"
    again = ds.zs.to_ase(0)
    assert (again.info["\udcffkey"], again.info["\ud800"], again.info["text"]) == (1.0, 2.0, "\udcff")
    atoms = tmp_path / "a.xyz"
    atoms.write_bytes(b"1\nProperties=species:S:1:pos:R:3 \xff\xfe=3 " + b"k" * 400 + b"=2\nH 0 0 0\n")
    zstruct.build(atoms, tmp_path / "b.zarr", progress=False)
    zstruct.verify(tmp_path / "b.zarr")
    assert Store(tmp_path / "b.zarr").read("k" * 128).tolist() == [2]


def test_half_a_character_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"text has the text '\\ud800x', with half a .*exclude=\['text'\]"):
        _built(tmp_path / "s.zarr", text="\ud800x")
    assert os.listdir(tmp_path) == []


def test_inputs_in_a_directory_that_is_no_utf_8(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir(b"\xff")
    (tmp_path / "a.xyz").write_text("1\n\nH 0 0 0\n")
    os.rename(b"a.xyz", b"\xff/a.xyz")
    zstruct.build(os.fsdecode(b"\xff/*.xyz"), "s.zarr", progress=False)
    zstruct.verify("s.zarr")
    assert os.fsencode(zstruct.open("s.zarr").source.values[0]).endswith(b"\xff/a.xyz")


@pytest.mark.parametrize("n", [244, 250, 256, 5000])
def test_targets_with_names_that_are_too_long(tmp_path, n):
    with pytest.raises(InputError, match="is none: File name too long"):
        _built(tmp_path / ("z" * n))
    assert os.listdir(tmp_path) == []


def test_the_longest_name_takes_groups_too(tmp_path):
    path = tmp_path / ("z" * 243)
    _built(path)
    assert zstruct.split(path, [1.0], name="x")["train"].tolist() == [0]
    assert zstruct.open_split(path, "x").labels == ("train",)
    with pytest.raises(InputError, match="can't name a split: use up to 128 letters"):
        zstruct.split(path, [1.0], name="n" * 129)
    for name in ("\udcff", "é", "a/b", "", 3, None):
        with pytest.raises(InputError, match=r"can't name|no split"):
            zstruct.open_split(path, name) if name is None else zstruct.split(path, [1.0], name=name)


def test_labels_of_any_length_and_bytes(tmp_path):
    _built(tmp_path / "s.zarr")
    labels = ["l" * 10_000, "\udcff\ud800"]
    zstruct.split(tmp_path / "s.zarr", np.array([1.0, 0.0]), labels=labels, name="x")
    assert list(zstruct.open_split(tmp_path / "s.zarr", "x").labels) == labels
