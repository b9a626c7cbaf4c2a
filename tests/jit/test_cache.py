"""Compiled kernels are kept by what they were made of, whole, and found where they can only be read."""

import os
import time

import pytest

from zstruct.jit import cache

MODULE = "zstruct.layouts.kernels"
CODE = """
    import numpy as np
    from zstruct.layouts.kernels import mark_rows
    real = np.zeros((1, 3), bool)
    mark_rows(np.array([2]), real)
    assert real.tolist() == [[True, True, False]]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The only folder that kernels of `MODULE` may be in."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (folder,) = cache.folders(MODULE)
    return folder


@pytest.fixture
def compiles(fresh):
    """Return whether a fresh process compiles the kernel that it calls."""
    return lambda **environment: "compiles" in fresh.errors(CODE, **environment)[0]


def test_what_is_saved_is_found(folder):
    assert not cache.is_kept(MODULE)
    assert cache.save(MODULE, "a.code", b"123") == folder
    assert cache.is_kept(MODULE)
    assert cache.load(MODULE, "a.code") == b"123"
    assert cache.load(MODULE, "b.code") is None
    assert [file.name for file in folder.iterdir()] == ["a.code"]


@pytest.mark.parametrize("left", [0, 20, 34])
def test_damaged_code_is_not_run(folder, left):
    cache.save(MODULE, "a.code", b"123")
    (folder / "a.code").write_bytes((folder / "a.code").read_bytes()[:left])
    assert cache.load(MODULE, "a.code") is None


def test_a_damaged_file_is_compiled_again_and_replaced(folder, compiles):
    assert compiles()
    (file,) = folder.iterdir()
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2])
    assert compiles()
    assert not compiles()
    assert len(file.read_bytes()) > len(good) // 2


def test_code_is_kept_by_the_sources_of_all_that_is_imported(tmp_path, monkeypatch):
    package = tmp_path / "zstruct"
    (package / "gather").mkdir(parents=True)
    (package / "jit").mkdir()
    (package / "gather" / "kernels.py").write_text("from zstruct.jit.pointers import move\n")
    (package / "jit" / "pointers.py").write_text("from zstruct import schema\nA = 1\n")
    (package / "schema.py").write_text("B = 1\n")
    monkeypatch.setattr(cache, "_PACKAGE", package)
    seen = set()
    for file in ("gather/kernels.py", "jit/pointers.py", "schema.py"):
        cache._digest.cache_clear()
        seen.add(cache._digest("zstruct.gather.kernels"))
        (package / file).write_text((package / file).read_text() + "# changed\n")
    cache._digest.cache_clear()
    seen.add(cache._digest("zstruct.gather.kernels"))
    cache._digest.cache_clear()
    assert len(seen) == 4


def test_another_file_in_its_place_is_not_found(folder):
    cache.save(MODULE, "a.code", b"123")
    folder.rename(folder.with_name(f"{MODULE}-0123456789abcdef"))
    assert not cache.is_kept(MODULE)
    assert cache.load(MODULE, "a.code") is None


def test_code_of_other_versions_counts_for_nothing(folder, monkeypatch):
    cache.save(MODULE, "a.code", b"123")
    monkeypatch.setattr(cache, "_versions", lambda: b"cpython-399 0.99")
    cache._digest.cache_clear()
    assert not cache.is_kept(MODULE)
    assert cache.load(MODULE, "a.code") is None
    monkeypatch.undo()
    cache._digest.cache_clear()


def test_code_of_old_sources_is_removed_after_some_months(folder):
    for name, age in (("old", 100), ("new", 80)):
        other = folder.with_name(f"{MODULE}-{name}")
        other.mkdir(parents=True)
        then = time.time() - age * 86400
        os.utime(other, (then, then))
    cache.save(MODULE, "a.code", b"123")
    assert sorted(f.name for f in folder.parent.iterdir()) == sorted([f"{MODULE}-new", folder.name])


def test_the_first_place_that_can_be_written_is_taken_and_all_are_read(tmp_path, monkeypatch):
    blocked, free = tmp_path / "file", tmp_path / "free"
    blocked.write_text("no folder")
    monkeypatch.setattr(cache, "_places", lambda: [blocked / "kernels", free])
    assert cache.save(MODULE, "a.code", b"1").parent == free
    assert cache.load(MODULE, "a.code") == b"1"
    monkeypatch.setattr(cache, "_places", lambda: [tmp_path / "another", free])
    assert cache.load(MODULE, "a.code") == b"1"


def test_nowhere_to_write_is_no_error(tmp_path, compiles):
    (tmp_path / "file").write_text("")
    assert compiles(NUMBA_CACHE_DIR=str(tmp_path / "file"))
    assert compiles(NUMBA_CACHE_DIR=str(tmp_path / "file"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_can_only_be_read_is_used(tmp_path, compiles):
    assert compiles(NUMBA_CACHE_DIR=str(tmp_path))
    for path in tmp_path.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert not compiles(NUMBA_CACHE_DIR=str(tmp_path))
    for path in tmp_path.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)


def test_processes_that_compile_at_once_agree(tmp_path, fresh, compiles):
    assert any("compiles" in said for said in fresh.errors(CODE, 3, NUMBA_CACHE_DIR=str(tmp_path)))
    assert not compiles(NUMBA_CACHE_DIR=str(tmp_path))
    assert not list(tmp_path.rglob("*.partial"))
