"""Finding out what a file is: damaged files get a sentence, and nothing else is ever raised."""

import bz2
import contextlib
import gzip
import lzma
import os
import pickle
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.errors import InputError
from zstruct.sources.ase.detection import UnreadableSource, ase_format
from zstruct.sources.content import content_of
from zstruct.sources.inputs import expand
from zstruct.sources.source import Source

CASES = Path(__file__).parents[2] / "data" / "cases"
WATER = b"3\nenergy=-1.0\nO 0 0 0\nH 0 0 1\nH 0 1 0\n"
DAMAGED = "the compressed data is damaged, so its format can't be told"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.xyz").write_bytes(WATER)
    return tmp_path


def cut(packed):
    return packed[: len(packed) // 2]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("broken.gz", (CASES / "broken.gz").read_bytes()),
        ("plain.gz", b"not packed at all"),
        ("cut.gz", cut(gzip.compress(os.urandom(1000)))),
        ("cut.xz", cut(lzma.compress(os.urandom(1000)))),
        ("plain.xz", b"not packed at all"),
        ("cut.bz2", cut(bz2.compress(os.urandom(1000)))),
        ("plain.bz2", b"not packed at all"),
        ("flipped.gz", gzip.compress(bytes(1000))[:12] + b"\xff\xff\xff" + gzip.compress(bytes(1000))[15:]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # contents differ from run to run
)
def test_damaged_files_are_named_or_left_out(folder, name, content):
    (folder / name).write_bytes(content)
    for inputs in (name, ["a.xyz", name], "*"):
        with pytest.raises(InputError, match=rf"^{name}: {DAMAGED} \(.+\); mend the file, or leave it out$"):
            zstruct.build(inputs, "s.zarr", progress=False)
    for inputs in (["a.xyz", name], "*"):
        report = zstruct.build(inputs, "s.zarr", on_error="skip", overwrite=True, progress=False)
        assert report.n_structures == 1
        ((label, frame, reason),) = report.skipped
        assert (label, frame) == (name, None)
        assert reason.startswith(DAMAGED)
        shutil.rmtree("s.zarr")
    found, ignored = expand(".")  # known by name alone
    assert [s.label for s in found] == ["./a.xyz"]
    assert ignored == [f"./{name}"]


def test_a_damaged_file_of_known_type(folder):
    (folder / "b.cif.gz").write_bytes((CASES / "broken.gz").read_bytes())
    with pytest.raises(InputError, match=r"^b\.cif\.gz, frame 0: ASE fails to read it: EOFError"):
        zstruct.build("*", "s.zarr", progress=False)
    report = zstruct.build("*", "s.zarr", on_error="skip", progress=False)
    assert [label for label, _, _ in report.skipped] == ["b.cif.gz"]


def test_a_file_that_cannot_be_opened(folder, monkeypatch):
    (folder / "b.out").write_bytes(b"x")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ase.io.formats.open_with_compression", refuse)
    with pytest.raises(InputError, match=r"b\.out: can't be opened: Permission denied"):
        zstruct.build("b.out", "s.zarr", progress=False)


def test_names_of_servers_are_names_of_files(folder):
    for name in ("mysql.out", "postgres", "mariadb.txt"):
        (folder / name).write_bytes(b"Program PWSCF\n" if name == "mysql.out" else b"text")
    assert ase_format(content_of("mysql.out")) == "espresso-out"
    assert ase_format(content_of("postgres")) is None
    assert ase_format(content_of("mariadb.txt")) is None


def test_unreadable_sources_travel():
    source = pickle.loads(pickle.dumps(UnreadableSource("a.gz", "why")))
    assert isinstance(source, Source)
    with pytest.raises(InputError, match=r"^a\.gz: why$"):
        source.scan()
    with pytest.raises(InputError, match=r"^a\.gz: why$"):
        source.read(None)


MAGIC = [
    b"begin\n",
    b"ITEM: TIMESTEP\n",
    b"SQLite format 3\0",
    b"- of UlmASE-Trajectory",
    b"AFFormatGPAW",
    b"CDF\x01",
    b"\x1f\x8b\x08",
    b"\xfd7zXZ\0",
    b"BZh9",
    b"\nCRYSTAL\n",
    b"$coord\n",
    b'{"1": {',
    b"3\n\n",
    b"lattice 1 0 0\n#",
    b"Program PWSCF",
]
CONTENT = st.lists(st.one_of(st.sampled_from(MAGIC), st.binary(max_size=60)), max_size=4).map(b"".join)
PACK = st.sampled_from([bytes, gzip.compress, bz2.compress, lzma.compress])
STEMS = st.one_of(
    st.sampled_from(
        ["a", "OUTCAR", "POSCAR", "vasprun.xml", "input.data", "HISTORY", "xyz.in", "coord", "mysql"]
    ),
    st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=12),
)
SUFFIXES = st.lists(
    st.sampled_from(
        ["", ".xyz", ".gz", ".bz2", ".xz", ".db", ".json", ".data", ".xsf", ".cif", ".out", ".zip", ".zarr"]
    ),
    max_size=3,
).map("".join)


@st.composite
def files(draw):
    content = draw(PACK)(draw(CONTENT))
    if draw(st.booleans()):
        content = content[: draw(st.integers(0, len(content)))]
    if content and draw(st.booleans()):
        at = draw(st.integers(0, len(content) - 1))
        content = content[:at] + draw(st.binary(min_size=1, max_size=3)) + content[at + 1 :]
    depth = draw(st.integers(0, 2))
    folders = [draw(st.sampled_from(["d", "run.zarr", "states", "[x]", "é"])) for _ in range(depth)]
    return os.path.join(*folders, draw(STEMS) + draw(SUFFIXES)), content


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(files(), min_size=1, max_size=4), st.sampled_from(["tree", "tree/**", "each"]))
@example([("a.out.gz", b"\x1f\x8b\x08\0")], "each")
@example([("begin.txt", b"begin\n" + b"#" * 3000)], "each")
def test_any_file_gives_a_source_or_a_sentence(tmp_path, monkeypatch, tree, way):
    monkeypatch.chdir(tmp_path)
    shutil.rmtree("tree", ignore_errors=True)
    os.mkdir("tree")
    names = []
    for name, content in tree:
        path = os.path.join("tree", name)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            Path(path).write_bytes(content)
            names.append(path)
        except (OSError, ValueError):  # a file where a directory should be, a name that is too long
            continue
    for item in names if way == "each" else [way]:
        sources, ignored = [], []
        with contextlib.suppress(InputError):
            sources, ignored = expand(item)
            assert sources
        assert all(isinstance(source, Source) for source in sources)
        assert not set(ignored) & {source.label for source in sources}
        for source in sources:
            with contextlib.suppress(InputError, zstruct.MissingExtraError):
                assert source.scan()
