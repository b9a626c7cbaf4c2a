"""Parts as datasets and in files, as others write them."""

import numpy as np
import pytest

import zstruct
from tests.splits.conftest import check_exhaustive, formulas
from zstruct import (
    InputError,
)


def test_schnetpack_split_files(built, tmp_path):
    file = tmp_path / "split.npz"
    np.savez(file, train_idx=[0, 2, 4], val_idx=[1], test_idx=[5, 3])
    parts = zstruct.split(built, file)
    assert parts.labels == ("train", "val", "test")
    assert parts["test"].tolist() == [3, 5]
    np.savez(file, idx_train=[7])
    assert zstruct.split(built, str(file))["train"].tolist() == [7]
    # As kinoml writes them, beside other things.
    np.savez(file, X=np.ones((3, 2)), y=np.ones(3), idx_train=[0, 1], idx_test=[2])
    assert {k: v.tolist() for k, v in dict(zstruct.split(built, file)).items()} == {
        "train": [0, 1],
        "test": [2],
    }
    np.savez(file, idx_train=[0, 1], train_idx=[2])
    with pytest.raises(InputError, match="two of idx_train, train_idx are one part"):
        zstruct.split(built, file)
    np.savez(file, train=[0], val=[1])
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="can't be read as an"):
        zstruct.split(built, file)
    file.write_text("0\n1\n")
    np.save(tmp_path / "a.npy", [0, 1])
    for other in (file, str(tmp_path / "a.npy")):
        with pytest.raises(InputError, match=r"it is not an \.npz file of indices"):
            zstruct.split(built, other)
    with pytest.raises(InputError, match="can't be read as an"):
        zstruct.split(built, tmp_path / "nothing.npz")


def test_indices_in_a_file_are_imported_and_exported(built, tmp_path):
    parts = zstruct.split(built, [0.5, 0.5])
    np.savez(tmp_path / "split.npz", **parts)
    with np.load(tmp_path / "split.npz") as file:
        again = zstruct.split(built, file)
    assert again.keys() == ("train", "val")
    assert {label: part.tolist() for label, part in dict(again).items()} == {
        label: part.tolist() for label, part in dict(parts).items()
    }


def test_the_dataset_serves_a_part(path):
    pytest.importorskip("torch")
    parts = zstruct.split(path, [0.8, 0.2], name="default")
    zstruct.split(path, {"few": [4, 2]}, name="mine")
    train = zstruct.ZarrStructureDataset(path, split="train")
    assert train.structures.tolist() == parts["train"].tolist()
    assert train[5]["serial"].item() == parts["train"][5] // 4
    few = zstruct.ZarrStructureDataset(path, split=("mine", "few"))
    assert [sample["gap"].item() for sample in few] == [1.0, 2.0]
    assert zstruct.ZarrStructureDataset(path).structures.tolist() == list(range(60))
    with pytest.raises(InputError, match=r"'default' of .* has no part 'test'; it has train, val"):
        zstruct.ZarrStructureDataset(path, split="test")
    with pytest.raises(InputError, match="no split 'cv'"):
        zstruct.ZarrStructureDataset(path, split=("cv", "train"))
    with pytest.raises(TypeError, match="split is a label"):
        zstruct.ZarrStructureDataset(path, split=["train"])


def test_splitting_a_split_stays_inside(path):
    pytest.importorskip("torch")
    outer = zstruct.split(path, [0.5, 0.5], name="default")
    half = zstruct.ZarrStructureDataset(path, split="train")
    inner = zstruct.split(half, [20, 10], by="formula", name="inner")
    check_exhaustive(inner, 30)
    kept = zstruct.open_split(path, "inner")
    assert kept["train"].tolist() == half[inner["train"]].structures.tolist()
    assert set(kept["train"]) | set(kept["val"]) == set(outer["train"].tolist())
    assert not set(formulas(path)[kept["train"]]) & set(formulas(path)[kept["val"]])
    assert (kept.codes[outer["val"]] == -1).all()
    backwards = half[::-1]
    last = zstruct.split(backwards, [1, 29], by="order")["train"]
    assert backwards[last].structures.tolist() == [outer["train"][-1]]
    zstruct.split(path, dict(kept), name="inner2")  # structures of the store go in as they came out
    assert zstruct.open_split(path, "inner2").codes.tolist() == kept.codes.tolist()


def test_a_dataset_with_repeats_is_refused(path):
    pytest.importorskip("torch")
    data = zstruct.ZarrStructureDataset(path)
    with pytest.raises(InputError, match="structure 3 of the store more than once"):
        zstruct.split(data[[1, 3, 3]], [0.5, 0.5])


def test_parts_are_got_as_from_a_dict_and_unpacked_as_a_list():
    parts = zstruct.Split(("train", "test"), np.array([0, 1, -1, 0], np.int8))
    assert {label: part.tolist() for label, part in parts.items()} == {"train": [0, 3], "test": [1]}
    assert [part.tolist() for part in parts.values()] == [part.tolist() for part in parts] == [[0, 3], [1]]
    assert parts.get("test").tolist() == [1]
    assert (parts.get("val"), parts.get("val", default=())) == (None, ())
    assert ("train" in parts, "val" in parts, 0 in parts) == (True, False, False)
