"""From what the user gives to sources: paths, globs, directories, objects, readers."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
from ase.build import bulk, molecule
from ase.io.formats import ioformats

from zstruct import sources
from zstruct.errors import InputError, MissingExtraError
from zstruct.sources import FileSource
from zstruct.sources.ase.database import ASEDatabaseSource
from zstruct.sources.ase.source import ASESource, AtomsSource
from zstruct.sources.formats import FORMATS, UNREAD
from zstruct.sources.inputs import expand
from zstruct.sources.registry import _READERS, register
from zstruct.sources.runner.source import RunnerSource
from zstruct.sources.vasp.source import OutcarSource, VasprunSource
from zstruct.sources.xsf.source import XSFSource
from zstruct.sources.xyz.source import XYZSource


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory to put files into, by name alone."""
    monkeypatch.chdir(tmp_path)

    def touch(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x\n")
        return tmp_path

    return touch


@pytest.fixture
def registry():
    before = dict(_READERS)
    yield
    _READERS.clear()
    _READERS.update(before)


def labels(paths, **options):
    return [s.label for s in expand(paths, **options)[0]]


def only(paths, **options):
    ((source,), ignored) = expand(paths, **options)
    assert ignored == []
    return source


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.xyz", XYZSource),
        ("A.XYZ", XYZSource),
        ("a.extxyz", XYZSource),
        ("a.xyz.gz", XYZSource),
        ("a.extxyz.xz", XYZSource),
        ("a.xsf", XSFSource),
        ("a.xsf.bz2", XSFSource),
        ("a.db", ASEDatabaseSource),
        ("a.aselmdb", ASEDatabaseSource),
        ("a.json", ASEDatabaseSource),
        ("a.traj", ASESource),
        ("a.cif", ASESource),
        ("a.cif.gz", ASESource),
        ("POSCAR", ASESource),
        ("slab_CONTCAR.vasp", ASESource),
        ("OUTCAR.gz", OutcarSource),
        ("vasprun.xml", VasprunSource),
        ("relax.pwo", ASESource),
    ],
)
def test_readers_by_name(folder, name, kind):
    folder(name)
    source = only(name)
    assert type(source) is kind
    assert source.label == name
    assert type(only(Path(name))) is kind


def test_readers_by_content(folder):
    folder("frames.unheardof")
    ase.io.write("frames.unheardof", molecule("H2O"), format="traj")
    assert type(only("frames.unheardof")) is ASESource


@pytest.mark.parametrize("name", ["notes.txt", "data.unheardof", "picture.png"])
def test_unknown_files_ask_for_a_reader(folder, name):
    folder(name)
    with pytest.raises(InputError, match=rf"{name}: no reader knows this kind of file.*reader='xyz'"):
        expand(name)


def test_a_forced_reader(folder):
    folder("a.dat", "b.xyz", "sub/c")
    assert type(only("a.dat", reader="xyz")) is XYZSource
    assert type(only("b.xyz", reader="xsf")) is XSFSource
    source = only("a.dat", reader="ase:castep-castep")
    assert type(source) is ASESource
    assert source.format == "castep-castep"
    assert type(only("a.dat", reader="ase:vasp-out")) is OutcarSource
    assert {type(s) for s in expand(".", reader="ase-db")[0]} == {ASEDatabaseSource}
    assert labels(".", reader="xyz") == ["./a.dat", "./b.xyz", "./sub/c"]


@pytest.mark.parametrize(
    ("reader", "kind"),
    [
        ("ase:xsf", XSFSource),
        ("ase:extxyz", XYZSource),
        ("ase:xyz", XYZSource),
        ("ase:json", ASEDatabaseSource),
        ("ase:db", ASEDatabaseSource),
        ("ase:runnerdata", RunnerSource),
    ],
)
def test_formats_that_a_reader_of_ours_reads_better(folder, reader, kind):
    if reader.removeprefix("ase:") not in ioformats:
        pytest.skip("this ASE does not read it")
    folder("a")
    assert type(only("a", reader=reader)) is kind


@pytest.mark.parametrize("reader", [5, ["xyz"], {"a": "xyz"}, b"xyz", XYZSource, True])
def test_a_reader_is_a_name(folder, reader):
    folder("a.xyz")
    with pytest.raises(InputError, match=r"reader=.*: name the format with reader='xyz'"):
        expand("a.xyz", reader=reader)


@pytest.mark.parametrize("reader", ["nope", "ase:nope", "ase:png", "ase:", ""])
def test_readers_that_do_not_exist(folder, reader):
    folder("a.xyz")
    with pytest.raises(InputError, match=r"no reader|no format"):
        expand("a.xyz", reader=reader)


# Many files


def test_lists_keep_their_order_and_globs_count(folder):
    folder("f10.xyz", "f2.xyz", "f1.xyz", "a.xsf")
    assert labels("f*.xyz") == ["f1.xyz", "f2.xyz", "f10.xyz"]
    assert labels(["f10.xyz", "a.xsf", "f2.xyz"]) == ["f10.xyz", "a.xsf", "f2.xyz"]
    assert labels(["f10.xyz", "f[12].xyz"]) == ["f10.xyz", "f1.xyz", "f2.xyz"]
    assert labels(p for p in ("f2.xyz", Path("f1.xyz"))) == ["f2.xyz", "f1.xyz"]


def test_directories(folder):
    folder(
        "d/run10/f.xyz",
        "d/run9/f2.xyz",
        "d/run9/f10.xyz",
        "d/.hidden/g.xyz",
        "d/.g.xyz",
        "d/run9/README",
        "d/a.log",
    )
    found, ignored = expand("d")
    assert [s.label for s in found] == ["d/run9/f2.xyz", "d/run9/f10.xyz", "d/run10/f.xyz"]
    assert ignored == ["d/a.log", "d/run9/README"]
    assert labels("d/") == labels("d")
    assert labels("d/**/*.xyz") == labels("d")


def test_hidden_is_judged_inside_the_directory_only(folder):
    folder(".cache/d/a.xyz")
    assert labels(".cache/d") == [".cache/d/a.xyz"]


def test_one_vasp_run_counts_once(folder):
    names = ["vasprun.xml", "OUTCAR", "CONTCAR", "POSCAR", "INCAR", "XDATCAR"]
    folder(*(f"r/{n}" for n in names), *(f"s/{n}" for n in names[2:]))
    found, ignored = expand(["r", "s"])
    assert [s.label for s in found] == ["r/vasprun.xml", "s/XDATCAR"]
    assert len(ignored) == 8
    assert labels("r/OUTCAR") == ["r/OUTCAR"]
    assert labels("*/CONTCAR") == ["r/CONTCAR", "s/CONTCAR"]


def test_globs_leave_out_what_nobody_reads(folder):
    folder("a.xyz", "b.txt")
    assert [s.label for s in expand("*")[0]] == ["a.xyz"]
    assert expand("*")[1] == ["b.txt"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("none.xyz", "none.xyz: there is no such file or directory"),
        ("*.none", r"\*.none: no file matches this pattern"),
        ("docs", "docs: none of the files here is known by its name; name the format"),
        ("*.txt", "none of the files here is known"),
        ("void", "void: none of the files"),
        ([], "there is nothing to read"),
        (iter([]), "there is nothing to read"),
        (5, "can't build from int; give paths"),
        (["a.xyz", 5], "int is neither a path, an ase.Atoms object nor a source"),
        (["a.xyz", "a.xyz"], "a.xyz: the file is given twice, also as 'a.xyz'"),
        (["a.xyz", "*.xyz"], "given twice"),
        (["a.xyz", os.path.join("docs", "..", "a.xyz")], "given twice"),
        (["a.xyz", "link.xyz"], "given twice"),
    ],
)
def test_refusals(folder, given, reason):
    root = folder("a.xyz", "docs/b.txt", "c.txt")
    (root / "void").mkdir()
    (root / "link.xyz").symlink_to(root / "a.xyz")
    with pytest.raises(InputError, match=reason):
        expand(given)


def test_a_name_with_brackets_is_a_file_first(folder):
    folder("a[1].xyz")
    assert labels("a[1].xyz") == ["a[1].xyz"]


# Objects


@pytest.mark.parametrize("form", [lambda a: a[0], list, tuple, iter, lambda a: (x for x in a)])
def test_atoms(form):
    frames = [molecule("H2O"), bulk("Cu")]
    source = only(form(frames))
    assert type(source) is AtomsSource
    (piece,) = source.scan()
    (raw,) = source.read(piece)
    assert raw.n_atoms.tolist() == [3, 1][: len(raw.n_atoms)]
    assert len(raw.n_atoms) == (1 if form([1]) == 1 else 2)


def test_trajectory_objects(tmp_path):
    ase.io.write(tmp_path / "a.traj", [molecule("H2O"), bulk("Cu")])
    with ase.io.Trajectory(tmp_path / "a.traj") as trajectory:
        source = only(trajectory)
        (raw,) = source.read(source.scan()[0])
    assert raw.n_atoms.tolist() == [3, 1]


def test_sources_and_paths_mix(folder):
    folder("a.xyz", "b.xsf")
    mine = AtomsSource([molecule("H2O")], label="mine")
    assert labels([mine, "a.xyz", XSFSource("b.xsf")]) == ["mine", "a.xyz", "b.xsf"]
    assert only(mine) is mine


# Registering


class Mine(FileSource):
    def read(self, piece):
        yield from ()


def test_registered_formats(folder, registry):
    folder("a.mine", "b.mine.gz", "c.xyz", "d.xyz")
    register("mine", Mine, suffixes=[".mine", ".MINE.gz"])
    assert [type(s) for s in expand(["a.mine", "b.mine.gz"])[0]] == [Mine, Mine]
    assert type(only("c.xyz", reader="mine")) is Mine
    register("picky", Mine, matches=lambda content: content.name.endswith("c.xyz"))
    assert [type(s) for s in expand("*.xyz")[0]] == [Mine, XYZSource]
    register("mine", XSFSource, suffixes=[".xyz"])
    assert [type(s) for s in expand("*.xyz")[0]] == [XSFSource, XSFSource]
    with pytest.raises(InputError):
        expand("a.mine")


def test_bad_registrations(registry):
    for name in ("", "ase:mine"):
        with pytest.raises(InputError, match="can't be called"):
            register(name, Mine)
    with pytest.raises(InputError, match="list of texts"):
        register("mine", Mine, suffixes=".mine")


def test_real_data(shared_data):
    found, ignored = expand(shared_data)
    assert [type(s) for s in found] == [XYZSource] * 4 + [XSFSource] * 100
    assert [os.path.basename(n) for n in ignored] == ["README.md"]


def test_importing_sources_is_light():
    heavy = ("ase", "numba", "zarr", "torch")
    code = f"import sys, zstruct.sources; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_names_are_there_when_asked_for():
    assert set(sources.__all__) <= {n for n in sources.__all__ if getattr(sources, n) is not None}
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = sources.Nothing


def test_compressed_xsf_goes_through(folder):
    folder()
    Path("a.xsf.gz").write_bytes(gzip.compress(b"ATOMS\nH 0 0 0\n"))
    source = only("a.xsf.gz")
    (raw,) = source.read(source.scan()[0])
    assert raw.n_atoms.tolist() == [1]


@pytest.mark.parametrize("suffix", [suffix for suffixes in UNREAD for suffix in suffixes])
def test_kinds_that_are_not_read_get_a_sentence(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    path.write_bytes(b"\x93nothing that a program writes\0\1\2")

    def read():
        """A format of its own by now says what is wrong with this one."""
        (source,), _ = expand(path)
        blocks = [raw for piece in source.scan() for raw in source.read(piece)]
        raise InputError(blocks[-1].bad[-1].reason, source.label)

    with pytest.raises((InputError, MissingExtraError)) as caught:
        read()
    assert str(path) in str(caught.value)
    assert "no reader knows" not in str(caught.value)


@pytest.mark.parametrize("row", [row for row in FORMATS if row.seeks], ids=lambda row: row.name)
@pytest.mark.parametrize("asked", [True, False])
def test_files_that_are_read_here_and_there_are_not_packed(tmp_path, row, asked):
    path = tmp_path / f"data{row.suffixes[0]}.gz"
    path.write_bytes(gzip.compress(b"anything"))
    (source,), _ = expand(path, row.name if asked else None)
    with pytest.raises(InputError, match=r"compressed as a whole: unpack it") as caught:
        source.scan()
    assert str(path) in str(caught.value)
