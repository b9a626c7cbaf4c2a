"""A file in two places: a clone or a second name, each where it can be had, and nothing else is promised."""

import errno
import fcntl
import os
import stat

import pytest

from zstruct.store import sharing
from zstruct.store.sharing import clone, link, share


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a").write_bytes(b"content" * 1000)
    return tmp_path / "a"


def refuse(number):
    def refusing(*_):
        raise OSError(number, os.strerror(number))

    return refusing


def test_a_second_name_is_the_same_file_and_read_only(file, tmp_path):
    assert link(file, tmp_path / "b")
    assert os.path.samefile(file, tmp_path / "b")
    assert not stat.S_IMODE(file.stat().st_mode) & 0o222
    file.unlink()
    assert (tmp_path / "b").read_bytes() == b"content" * 1000


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP])
def test_where_there_are_no_links(file, tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "link", refuse(number))
    assert not link(file, tmp_path / "b")
    assert share(file, tmp_path / "b", links=True) in ("clone", None)


def test_who_may_not_make_it_read_only_gets_no_link(file, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "chmod", refuse(errno.EPERM))
    assert not link(file, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_clone_is_another_file(file, tmp_path, monkeypatch):
    asked = []

    def cloning(made, request, source):
        asked.append(request)
        os.write(made, os.pread(source, 1 << 20, 0))

    monkeypatch.setattr(fcntl, "ioctl", cloning)
    assert share(file, tmp_path / "b", links=True) == "clone"
    assert asked == [0x40049409]
    assert (tmp_path / "b").read_bytes() == file.read_bytes()
    assert not os.path.samefile(file, tmp_path / "b")
    assert file.stat().st_mode & 0o200


def test_where_there_are_no_clones_it_is_linked_or_left_to_be_copied(file, tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "ioctl", refuse(errno.EOPNOTSUPP))
    assert not clone(file, tmp_path / "b")
    assert share(file, tmp_path / "b", links=True) == "link"
    assert share(file, tmp_path / "c", links=False) is None
    assert not (tmp_path / "c").exists()


def test_what_an_interrupted_call_left_is_replaced(file, tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "ioctl", refuse(errno.EXDEV))
    (tmp_path / "b").write_bytes(b"half")
    assert share(file, tmp_path / "b", links=True) == "link"
    assert share(file, tmp_path / "b", links=True) == "link"
    assert os.path.samefile(file, tmp_path / "b")


def test_a_full_disk_is_no_reason_to_copy(file, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing.fcntl, "ioctl", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        share(file, tmp_path / "b", links=True)
    assert not (tmp_path / "b").exists()
    with pytest.raises(FileNotFoundError):
        link(tmp_path / "nothing", tmp_path / "b")
