"""Splits that are kept with a store: read again, stale, damaged, interrupted."""

import shutil

import pytest

import zstruct
from tests.splits.conftest import check_exhaustive, molecules
from zstruct import (
    BuildLockedError,
    CorruptStoreError,
    InputError,
    StaleGroupError,
    StoreExistsError,
    StoreFormatError,
)
from zstruct.features import NeighborList
from zstruct.store.store import Store
from zstruct.store.workdir import WorkingDirectory


def test_a_split_is_kept_after_a_look(path):
    parts = zstruct.split(path, [0.75, 0.25], seed=3, stratify="formula")
    zstruct.split(path, parts, name="kept")
    again = zstruct.open_split(path, "kept")
    assert again.codes.tolist() == parts.codes.tolist()
    assert again.recipe == parts.recipe
    with pytest.raises(InputError, match="needs no by"):
        zstruct.split(path, parts, by="formula")
    some = zstruct.split(path, {"train": [1], "val": [2]})
    with pytest.raises(InputError, match="one of 60 structures, and there are 1 here"):
        zstruct.split(zstruct.StructureReader(path)[some["train"]], some)


def test_a_kept_split_is_read_again(path):
    before = Store(path).digest
    parts = zstruct.split(path, [0.8, 0.1, 0.1], seed=7, stratify="formula", name="default")
    again = zstruct.open_split(path)
    assert again.labels == ("train", "val", "test")
    assert again.codes.tolist() == parts.codes.tolist()
    assert again.recipe == {
        "method": "random",
        "seed": 7,
        "stratify": "formula",
        "bins": 10,
        "sizes": [0.8, 0.1, 0.1],
        "structures": 60,
    }
    assert repr(again) == "Split(train: 48, val: 6, test: 6)"
    assert Store(path).digest == before
    assert not path.with_name(path.name + ".featurizing").exists()
    zstruct.verify(path)
    assert zstruct.open(path).sizes["structure"] == 60


def test_the_same_call_does_nothing_and_another_is_refused(path):
    parts = zstruct.split(path, [0.8, 0.2], name="a")
    file = path / "splits" / "a" / "codes" / "c" / "0"
    written = file.stat().st_ino
    zstruct.split(path, [0.8, 0.2], name="a")
    assert file.stat().st_ino == written
    with pytest.raises(StoreExistsError, match=r"another split 'a'.*overwrite=True"):
        zstruct.split(path, [0.8, 0.2], seed=1, name="a")
    assert zstruct.open_split(path, "a").codes.tolist() == parts.codes.tolist()
    other = zstruct.split(path, [0.8, 0.2], seed=1, name="a", overwrite=True)
    assert zstruct.open_split(path, "a").codes.tolist() == other.codes.tolist()
    zstruct.split(path, [1.0], name="b")
    assert Store(path).group_names("splits") == ["a", "b"]
    zstruct.verify(path)


def test_a_store_that_was_opened_before_has_it(path):
    store = Store(path)
    assert store.group_names("splits") == []
    parts = zstruct.split(store, [0.5, 0.5], name="default")
    assert zstruct.open_split(store).codes.tolist() == parts.codes.tolist()


def test_kept_folds(path):
    folds = zstruct.kfold(path, 3, name="cv")
    for k, parts in enumerate(folds):
        kept = zstruct.open_split(path, f"cv-{k}")
        assert kept["val"].tolist() == parts["val"].tolist()
        assert kept.recipe["fold"] == k
    assert len(zstruct.kfold(path, 3, name="cv")) == 3  # the same again


def test_folds_of_two_divisions_do_not_mix(path):
    zstruct.split(path, [0.5, 0.5], name="cv-2")
    with pytest.raises(StoreExistsError, match="another split 'cv-2' already"):
        zstruct.kfold(path, 4, name="cv")
    assert Store(path).group_names("splits") == ["cv-2"]
    zstruct.kfold(path, 4, name="cv", overwrite=True)
    with pytest.raises(StoreExistsError, match="has cv-3, of more folds than 3"):
        zstruct.kfold(path, 3, name="cv", overwrite=True)
    assert zstruct.open_split(path, "cv-0").recipe["folds"] == 4


def test_what_is_not_there_is_said(path):
    with pytest.raises(InputError, match=r"no split 'default'; it has none; make one with zstruct.split"):
        zstruct.open_split(path)
    zstruct.split(path, [1.0], name="all")
    with pytest.raises(InputError, match="no split 'default'; it has all"):
        zstruct.open_split(path)


def test_a_split_of_other_content_is_stale(path):
    zstruct.split(path, [0.5, 0.5], name="default")
    zstruct.build(molecules(20), path.with_name("other.zarr"), progress=False)
    other = path.with_name("other.zarr")
    shutil.copytree(path / "splits", other / "splits")
    zstruct.split(other, [0.5, 0.5], name="fresh")  # writes the consolidated metadata again
    with pytest.raises(StaleGroupError, match="made for other content"):
        zstruct.open_split(other)
    zstruct.verify(other)
    with pytest.raises(StoreExistsError):
        zstruct.split(other, [0.5, 0.5], name="default")
    zstruct.split(other, [0.5, 0.5], name="default", overwrite=True)
    check_exhaustive(zstruct.open_split(other), 20)


def test_newer_versions_are_refused(path):
    zstruct.split(path, [0.5, 0.5], name="default")
    for file in (path / "zarr.json", path / "splits" / "default" / "zarr.json"):
        text = file.read_text()
        at = text.index('"zstruct-splits"')
        file.write_text(text[:at] + text[at:].replace('"1.0"', '"2.0"', 1))
    with pytest.raises(StoreFormatError, match=r"format version 2.0"):
        zstruct.open_split(path)


def test_damage_is_found(path):
    zstruct.split(path, [0.5, 0.5], name="default")
    for file in (path / "zarr.json", path / "splits" / "default" / "zarr.json"):
        text = file.read_text()
        at = text.index('"labels"')
        begin, end = text.index("[", at), text.index("]", at)
        file.write_text(text[:begin] + '["train"' + text[end:])
    with pytest.raises(CorruptStoreError, match="are not those that were written"):
        zstruct.verify(path)


def test_one_process_at_a_time_writes(path):
    with (
        WorkingDirectory(path.with_name(path.name + ".featurizing"), "writing groups"),
        pytest.raises(BuildLockedError),
    ):
        zstruct.split(path, [0.5, 0.5], name="default")


def test_groups_of_other_kinds_stay_and_an_interrupted_featurize_goes_on(path):
    zstruct.featurize(path, NeighborList(2.0), progress=False)
    work = path.with_name(path.name + ".featurizing")
    with WorkingDirectory(work, "writing groups"):
        (work / "job.json").write_text("[]")
        (work / "keeping").mkdir()  # left by a split that was killed
    zstruct.split(path, [0.5, 0.5], name="default")
    assert sorted(entry.name for entry in work.iterdir()) == ["job.json", "lock"]
    assert Store(path).group_names("neighbors") == ["rc2"]
    zstruct.featurize(path, NeighborList(2.5), progress=False)
    assert Store(path).group_names("splits") == ["default"]
    assert not work.exists()
    zstruct.verify(path)


def test_a_featurize_that_was_killed_while_publishing_is_finished(path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("zstruct.store.group_publication.create_parent", killed)
        with pytest.raises(KeyboardInterrupt):
            zstruct.featurize(path, NeighborList(2.0), progress=False)
    assert Store(path).group_names("neighbors") == []
    zstruct.split(path, [0.5, 0.5], name="default")
    assert Store(path).group_names("neighbors") == ["rc2"]
    finished = (path / "neighbors" / "rc2").stat().st_ino
    zstruct.featurize(path, NeighborList(2.0), progress=False)
    assert (path / "neighbors" / "rc2").stat().st_ino == finished
    assert not path.with_name(path.name + ".featurizing").exists()
    zstruct.verify(path)


def test_a_split_that_was_killed_is_made_again(path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("zstruct.store.group_publication.consolidate_again", killed)
        with pytest.raises(KeyboardInterrupt):
            zstruct.split(path, [0.5, 0.5], name="default")
    assert Store(path).group_names("splits") == ["default"]  # it is whole, though plain Zarr does not see it
    parts = zstruct.split(path, [0.5, 0.5], name="default")
    assert zstruct.open_split(path).codes.tolist() == parts.codes.tolist()
    assert not path.with_name(path.name + ".featurizing").exists()


def test_only_local_stores_are_written(path, monkeypatch):
    store = Store(path)
    monkeypatch.setattr(store, "path", "memory://molecules.zarr")
    with pytest.raises(InputError, match="local directories only"):
        zstruct.split(store, [0.5, 0.5], by="order", name="default")
