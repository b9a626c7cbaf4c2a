"""Directories and patterns: every file once, whatever links and stores are among them."""

import glob
import os
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.errors import InputError
from zstruct.sources.inputs import expand
from zstruct.sources.paths import below, matching

WATER = "3\nenergy=-1.0\nO 0 0 0\nH 0 0 1\nH 0 1 0\n"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A working directory to put files into."""
    monkeypatch.chdir(tmp_path)

    def touch(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(WATER)
        return tmp_path

    return touch


def labels(given):
    return [source.label for source in expand(given)[0]]


def test_linked_directories_are_read_once(tree):
    root = tree("elsewhere/b.xyz", "d/a.xyz", "d/z/c.xyz")
    (root / "d" / "more").symlink_to(root / "elsewhere")
    assert labels("d") == ["d/a.xyz", "d/more/b.xyz", "d/z/c.xyz"]
    (root / "d" / "again").symlink_to(root / "d" / "z")  # sorts before what it leads to
    assert labels("d") == ["d/a.xyz", "d/more/b.xyz", "d/z/c.xyz"]
    assert sorted(labels("d/**/*.xyz")) == sorted(labels("d"))


def test_loops(tree):
    root = tree("d/a.xyz", "d/e/b.xyz")
    (root / "d" / "e" / "up").symlink_to("..")
    (root / "d" / "self").symlink_to(".")
    (root / "d" / "round.xyz").symlink_to("round.xyz")
    found, ignored = expand("d")
    assert [s.label for s in found] == ["d/a.xyz", "d/e/b.xyz", "d/round.xyz"]
    assert ignored == []
    with pytest.raises(InputError, match=r"d/round\.xyz: can't be opened: Too many levels of symbolic links"):
        zstruct.build("d", "s.zarr", progress=False)
    report = zstruct.build("d", "s.zarr", on_error="skip", progress=False)
    assert report.n_structures == 2
    assert report.skipped == [("d/round.xyz", None, "can't be opened: Too many levels of symbolic links")]
    assert [n for n in matching("d/**/*.xyz").names if "round" not in n] == ["d/a.xyz", "d/e/b.xyz"]


def test_a_link_to_nothing_is_said(tree):
    tree("d/a.xyz")
    os.symlink("nowhere.xyz", "d/b.xyz")
    with pytest.raises(InputError, match=r"d/b\.xyz: can't be opened: No such file or directory"):
        zstruct.build("d", "s.zarr", progress=False)
    with pytest.raises(InputError, match=r"d/b\.xyz: this is a pipe, a device or a link to nothing"):
        expand("d/b.xyz")


def test_pipes_and_sockets_are_not_opened(tree):
    tree("d/a.xyz")
    os.mkfifo("d/pipe.xyz")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("d/socket.xyz")
        for inputs in ("d", "d/*"):
            found, ignored = expand(inputs)
            assert [s.label for s in found] == ["d/a.xyz"]
            assert ignored == ["d/pipe.xyz", "d/socket.xyz"]
    for path in ("d/pipe.xyz", "/dev/null"):
        with pytest.raises(InputError, match="this is a pipe, a device or a link to nothing"):
            expand(path)


def test_stores_among_the_files_are_left_out_whole(tree):
    tree("d/a.xyz", "d/e/b.xyz")
    zstruct.build("d/a.xyz", "d/e/s.zarr", progress=False)
    (work := tree("d/t.zarr.building/parts/c.xyz") / "d" / "t.zarr.building").joinpath("lock").touch()
    assert work.is_dir()
    for inputs in ("d", "d/**", "d/**/*"):
        found, ignored = expand(inputs)
        assert [s.label for s in found] == ["d/a.xyz", "d/e/b.xyz"]
        assert ignored == ["d/e/s.zarr", "d/t.zarr.building"]
    assert expand("d/*")[1] == ["d/e", "d/t.zarr.building"]
    with pytest.raises(InputError, match="this is the working directory of what is under way"):
        expand("d/t.zarr.building")


def test_a_directory_that_cannot_be_listed(tree, monkeypatch):
    tree("d/a.xyz", "d/secret/b.xyz")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert below("d").unlisted == [("d/secret", "can't be listed: Permission denied")]
    with pytest.raises(InputError, match="d/secret: can't be listed: Permission denied"):
        zstruct.build("d", "s.zarr", progress=False)
    report = zstruct.build("d", "s.zarr", on_error="skip", progress=False)
    assert report.skipped == [("d/secret", None, "can't be listed: Permission denied")]


def test_compressed_files_of_programs_are_known_by_name(tree):
    tree("d/vasprun.xml.gz", "d/OUTCAR.xz", "e/OUTCAR.bz2", "e/notes.gz")
    found, ignored = expand(["d", "e"])
    assert [s.label for s in found] == ["d/vasprun.xml.gz", "e/OUTCAR.bz2"]
    assert ignored == ["d/OUTCAR.xz", "e/notes.gz"]


# No "..": outside are the loops of other tests, in which `glob.glob` walks for ever.
PARTS = st.sampled_from(["a", "b", "*", "**", "a*", "[ab]", "?", "c.xyz", "*.xyz", "b/..", ".h"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PARTS, min_size=1, max_size=4), st.booleans())
def test_patterns_match_what_glob_matches(tree, parts, absolute):
    root = tree("a/b/c.xyz", "a/c.xyz", "b/a/a/c.xyz", "b/.h/c.xyz", "c.xyz", "ab/x.xyz", "b/[a/c.xyz")
    pattern = os.path.join(*([str(root)] if absolute else []), *parts)
    right = sorted({os.path.normpath(p) for p in glob.glob(pattern, recursive=True) if os.path.isfile(p)})
    if not right:
        with pytest.raises(InputError, match="no file matches this pattern"):
            matching(pattern)
    else:
        assert sorted({os.path.normpath(p) for p in matching(pattern).names}) == right
