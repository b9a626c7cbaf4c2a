"""A working directory is taken only where zstruct made it: what others keep under its name stays."""

import os

import pytest

from tests.conftest import tree_bytes
from zstruct.errors import BuildLockedError, InputError
from zstruct.store.workdir import WorkingDirectory


def _keep(path):
    path.mkdir()
    (path / "thesis.tex").write_text("...")


def _keep_with_lock(path):
    _keep(path)
    (path / "lock").write_text("")


def _keep_with_marked_lock_of_others(path):
    _keep(path)
    (path / "lock").write_text("pid 17")


def _lock_alone(path):
    path.mkdir()
    (path / "lock").write_text("pid 17")


def _lock_is_a_link(path):
    _keep(path)
    (path.parent / "other").write_text("...")
    (path / "lock").symlink_to(path.parent / "other")


def _lock_is_a_directory(path):
    _keep(path)
    (path / "lock").mkdir()


def _lock_is_a_pipe(path):
    path.mkdir()
    os.mkfifo(path / "lock")


def _link(path):
    with WorkingDirectory(path.with_name("ours"), "working"):
        (path.with_name("ours") / "thesis.tex").write_text("...")
    path.symlink_to(path.with_name("ours"))


def _link_to_others(path):
    _keep(path.with_name("theirs"))
    path.symlink_to(path.with_name("theirs"))


def _link_to_nothing(path):
    path.symlink_to(path.with_name("nowhere"))


def _file(path):
    path.write_text("...")


@pytest.mark.parametrize(
    "make",
    [
        _keep,
        _keep_with_lock,
        _keep_with_marked_lock_of_others,
        _lock_alone,
        _lock_is_a_link,
        _lock_is_a_directory,
        _lock_is_a_pipe,
        _link,
        _link_to_others,
        _link_to_nothing,
        _file,
    ],
)
def test_what_zstruct_did_not_make_is_refused_and_stays(tmp_path, make):
    path = tmp_path / "train.zarr.building"
    make(path)
    names = sorted(tmp_path.rglob("*"))
    files = {name: name.read_bytes() for name in names if name.is_file()}
    with pytest.raises(InputError, match="move what is there away"), WorkingDirectory(path, "building"):
        pass
    assert sorted(tmp_path.rglob("*")) == names
    assert {name: name.read_bytes() for name in files} == files


@pytest.mark.parametrize("left", [[], ["lock"]])
def test_what_a_kill_left_before_the_lock_was_marked_is_taken(tmp_path, left):
    path = tmp_path / "train.zarr.building"
    path.mkdir()
    for name in left:
        (path / name).write_text("")
    with WorkingDirectory(path, "building") as work:
        (path / "parts").mkdir()
    with work:
        assert (path / "parts").is_dir()
        with pytest.raises(BuildLockedError), WorkingDirectory(path, "building"):
            pass
        work.remove()
    assert not path.exists()


def test_records_last_and_longer_ones_leave_nothing_behind(tmp_path):
    with WorkingDirectory(tmp_path / "w", "working") as work:
        assert work.recorded() is None
        work.record(["a long one"] * 20)
        work.record([1])
    with WorkingDirectory(tmp_path / "w", "working") as work:
        assert work.recorded() == [1]


def test_clearing_removes_links_not_what_they_point_to(tmp_path):
    theirs = tmp_path / "theirs"
    (theirs / "deep").mkdir(parents=True)
    (theirs / "deep" / "thesis.tex").write_text("...")
    before = tree_bytes(theirs)
    with WorkingDirectory(tmp_path / "w", "working") as work:
        (work.path / "link").symlink_to(theirs)
        (work.path / "store").mkdir()
        (work.path / "store" / "inner").symlink_to(theirs / "deep")
        (work.path / "file").symlink_to(theirs / "deep" / "thesis.tex")
        work.clear()
        assert os.listdir(work.path) == ["lock"]
        work.remove()
    assert tree_bytes(theirs) == before


def test_a_directory_that_its_holder_is_removing_is_taken_as_soon_as_it_is_gone(tmp_path, monkeypatch):
    """It is looked at when there is work in it, and holds neither work nor lock when that is opened."""
    path = tmp_path / "train.zarr.building"
    path.mkdir()
    for name in ("lock", "part"):
        (path / name).touch()
    listed = os.listdir

    def removed_once_listed(folder):
        names = listed(folder)
        for name in names:
            (path / name).unlink()
        monkeypatch.setattr(os, "listdir", listed)
        return names

    monkeypatch.setattr(os, "listdir", removed_once_listed)
    with WorkingDirectory(path, "building") as held:
        assert os.listdir(held.path) == ["lock"]
