"""Archives as inputs of builds: what the members hold comes out, in order, and whatever is odd is said."""

import importlib
import io
import os
import pickle
import tarfile
import zipfile
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from tests.conftest import tree_bytes
from tests.sources.archive.make import PACKED, files_of, frame, tar_of, zip_of
from zstruct import InputError
from zstruct.sources import ArchiveSource, compression, expand, register
from zstruct.sources.archive import calls, contents
from zstruct.sources.archive import source as module
from zstruct.sources.content import RemoteContent
from zstruct.sources.registry import _READERS
from zstruct.store.store import Store

_KINDS = [*PACKED, ".zip"]
# What packs a tar archive is the same for all that is in it: one of them, and the others in long runs.
_FEW = [".tar", ".tar.gz"]
_TARS = [kind if kind in _FEW else pytest.param(kind, marks=pytest.mark.long) for kind in PACKED]
_SWEPT = [*_TARS, ".zip"]


def _write(folder, kind, files):
    """Write an archive of a kind; return its path."""
    path = folder / f"data{kind}"
    path.write_bytes(zip_of(files) if kind == ".zip" else PACKED[kind](tar_of(files)))
    return path


def _built(path, out, **options):
    report = zstruct.build(path, out, progress=False, overwrite=True, **options)
    store = Store(out)
    sources = [store.categories("source")[k] for k in store.read("source")]
    return (
        report,
        store,
        [
            os.path.basename(source.partition("::")[0]) + "::" + source.partition("::")[2]
            for source in sources
        ],
    )


@pytest.mark.parametrize("kind", _KINDS)
def test_members_are_read_in_their_order(tmp_path, kind):
    files = files_of(12)[::-1]
    report, store, sources = _built(_write(tmp_path, kind, files), tmp_path / "s.zarr")
    assert store.read("energy").tolist() == list(range(12))[::-1]
    assert sources == [f"data{kind}::{name}" for name, _ in files]
    assert store.read("frame").tolist() == [0] * 12
    assert report.ignored == []
    zstruct.verify(tmp_path / "s.zarr")


@pytest.mark.parametrize("kind", _SWEPT)
@pytest.mark.parametrize("workers", [1, 3])
def test_the_store_is_that_of_the_files(tmp_path, kind, workers, monkeypatch):
    monkeypatch.setattr(calls, "_MEMBERS", 3)
    monkeypatch.setattr(module, "_SLICE_MEMBERS", 5)
    files = files_of(23)
    folder = tmp_path / "run"
    folder.mkdir()
    for name, data in files:
        (tmp_path / name).write_bytes(data)
    zstruct.build([str(tmp_path / name) for name, _ in files], tmp_path / "files.zarr", progress=False)
    _, store, _ = _built(_write(tmp_path, kind, files), tmp_path / "s.zarr", workers=workers)
    other = Store(tmp_path / "files.zarr")
    for name in ("numbers", "positions", "forces", "energy", "n_atoms", "frame"):
        np.testing.assert_array_equal(store.read(name), other.read(name))


@pytest.mark.parametrize("kind", _SWEPT)
def test_all_formats_may_be_inside(tmp_path, kind):
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 1.0]], cell=[9, 9, 9], pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5, forces=np.ones((2, 3)))
    ase.io.write(tmp_path / "a.traj", [atoms] * 2)
    ase.io.write(tmp_path / "a.db", [atoms] * 3)
    ase.io.write(tmp_path / "a.cif", atoms)
    (tmp_path / "a.xsf").write_text(
        "# total energy = -2.5 eV\nCRYSTAL\nPRIMVEC\n9 0 0\n0 9 0\n0 0 9\nPRIMCOORD\n1 1\nO 0 0 0 1 2 3\n"
    )
    files = [(f"x/{name}", (tmp_path / name).read_bytes()) for name in ("a.traj", "a.db", "a.cif", "a.xsf")]
    files.append(("x/b.xyz.gz", PACKED[".tar.gz"](frame(7) + frame(8))))
    _, store, sources = _built(_write(tmp_path, kind, files), tmp_path / "s.zarr")
    names = [source.partition("::x/")[2] for source in sources]
    assert names == ["a.traj"] * 2 + ["a.db"] * 3 + ["a.cif", "a.xsf"] + ["b.xyz.gz"] * 2
    energies = [-1.5] * 5 + [np.nan, -2.5, 7, 8]
    np.testing.assert_array_equal(store.read("energy"), energies)
    assert store.read("frame").tolist() == [0, 1, 0, 1, 2, 0, 0, 0, 1]


@pytest.mark.parametrize("kind", _SWEPT)
def test_what_is_no_input_is_left_out_and_said(tmp_path, kind):
    files = [
        ("README", b"hello"),
        ("./a.xyz", frame(1)),
        ("._a.xyz", b"\0\5\26"),
        ("__MACOSX/b.xyz", b"\0"),
        (".git/c.xyz", b"\0"),
        ("inner.tar.gz", b"\x1f\x8b"),
        ("d.zip", b"PK"),
        ("s.zarr/zarr.json", b"{}"),
        ("/etc/../e.xyz", frame(2)),
        ("../../f.xyz", frame(3)),
    ]
    report, _, sources = _built(_write(tmp_path, kind, files), tmp_path / "s.zarr")
    assert sources == [f"data{kind}::{name}" for name in ("./a.xyz", "/etc/../e.xyz", "../../f.xyz")]
    said = [entry.partition("::")[2].partition(" (")[0] for entry in report.ignored]
    assert said == ["README", "inner.tar.gz", "d.zip", "s.zarr/zarr.json"]
    assert "inside of an archive" in report.ignored[1]
    assert "ignored 4 files" in str(report)
    assert not (tmp_path.parent / "f.xyz").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", _SWEPT)
def test_names_that_are_there_twice_are_two_inputs(tmp_path, kind):
    files = [("a.xyz", frame(1)), ("b.xyz", frame(2)), ("a.xyz", frame(3)), ("a.xyz", frame(4))]
    _, store, sources = _built(_write(tmp_path, kind, files), tmp_path / "s.zarr")
    assert store.read("energy").tolist() == [1, 2, 3, 4]
    names = ["a.xyz", "b.xyz", "member=2:a.xyz", "member=3:a.xyz"]
    assert sources == [f"data{kind}::{name}" for name in names]


@pytest.mark.parametrize("kind", _TARS)
def test_links_and_devices_do_no_harm(tmp_path, kind):
    items = [("a.xyz", frame(1))]
    for name, type in (("b.xyz", tarfile.SYMTYPE), ("c.xyz", tarfile.LNKTYPE), ("d.xyz", tarfile.CHRTYPE)):
        item = tarfile.TarInfo(name)
        item.type, item.linkname = type, "/etc/passwd"
        items.append(item)
    report, store, _ = _built(_write(tmp_path, kind, items), tmp_path / "s.zarr")
    assert store.read("energy").tolist() == [1]
    whys = [entry.partition("::")[2] for entry in report.ignored]
    assert whys == ["b.xyz (a link)", "c.xyz (a link)", "d.xyz (a device)"]


@pytest.mark.parametrize("kind", _SWEPT)
def test_a_bad_member_is_named_or_skipped(tmp_path, kind):
    files = [
        *files_of(3),
        ("run/bad.xyz", b"2\n\nH 0 0 0\n"),
        ("run/empty.xyz", b""),
        ("run/z.xyz", frame(9)),
    ]
    path = _write(tmp_path, kind, files)
    with pytest.raises(InputError, match=rf"data{kind}::run/bad.xyz, frame 0: the file ends after 1 of 2"):
        zstruct.build(path, tmp_path / "s.zarr", progress=False)
    report, store, _ = _built(path, tmp_path / "s.zarr", on_error="skip")
    assert store.read("energy").tolist() == [0, 1, 2, 9]
    assert [(label.partition("::")[2], n) for label, n, _ in report.skipped] == [
        ("run/bad.xyz", 0),
        ("run/empty.xyz", None),
    ]


@pytest.mark.parametrize("kind", _SWEPT)
def test_archives_of_nothing_known_are_refused(tmp_path, kind):
    path = _write(tmp_path, kind, [("README", b"a"), ("x.dat", b"b")])
    with pytest.raises(InputError, match=r"none of its members is known by its name \(README, x.dat\)"):
        zstruct.build(path, tmp_path / "s.zarr", progress=False)
    path = _write(tmp_path, kind, [])
    with pytest.raises(InputError, match=r"no members|there are no files"):
        zstruct.build(path, tmp_path / "s.zarr", progress=False)


@pytest.mark.parametrize("kind", _SWEPT)
def test_readers_that_are_named_read_every_member(tmp_path, kind):
    path = _write(tmp_path, kind, [("a.dat", frame(1)), ("b", frame(2))])
    _, store, _ = _built(path, tmp_path / "s.zarr", reader="xyz")
    assert store.read("energy").tolist() == [1, 2]
    _, store, _ = _built(path, tmp_path / "s.zarr", reader="ase:extxyz")
    assert store.read("energy").tolist() == [1, 2]


@pytest.mark.parametrize(
    "kind", [".tar.gz", *(pytest.param(kind, marks=pytest.mark.long) for kind in _KINDS if kind != ".tar.gz")]
)
def test_readers_of_users_are_known_inside_and_in_workers(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(importlib.import_module("zstruct.building.making"), "_PROCESSES_FROM", 0)
    monkeypatch.setattr(module, "_SLICE_MEMBERS", 2)

    class Slow(zstruct.sources.XYZSource):
        runs_in = "processes"

    try:
        register("odd", lambda content: Slow(content), suffixes=[".odd"])
        path = _write(tmp_path, kind, [(f"{k}.odd", frame(k)) for k in range(5)])
        _, store, _ = _built(path, tmp_path / "s.zarr", workers=2)
    finally:
        _READERS.pop("odd", None)
    assert store.read("energy").tolist() == list(range(5))


def test_archives_in_directories_are_left_alone(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.xyz").write_bytes(frame(1))
    (folder / "a.tar").write_bytes(tar_of([("a.xyz", frame(1))]))
    report, store, _ = _built(folder, tmp_path / "s.zarr")
    assert store.n_structures == 1
    assert report.ignored == [f"{folder / 'a.tar'} (an archive in a directory; name it to have it read)"]
    assert _built(f"{folder}/*.tar", tmp_path / "s.zarr")[1].n_structures == 1
    (folder / "a.xyz").unlink()
    with pytest.raises(InputError, match=r"archives are read if they are named, or by a pattern"):
        expand(folder)


def test_frames_behind_an_at_are_of_no_archive(tmp_path):
    path = _write(tmp_path, ".tar", files_of(3))
    with pytest.raises(InputError, match="each member of an archive counts its own frames"):
        expand(f"{path}@:2")


@pytest.mark.parametrize("kind", _SWEPT)
def test_of_vasp_runs_the_best_file_is_read(tmp_path, kind, monkeypatch):
    poscar = b"H\n1.0\n9 0 0\n0 9 0\n0 0 9\nH\n1\nCartesian\n0 0 0\n"
    files = [("run/CONTCAR", poscar), ("run/POSCAR", poscar), ("x/POSCAR", poscar), ("a.xyz", frame(1))]
    report, _, sources = _built(_write(tmp_path, kind, files), tmp_path / "s.zarr")
    assert [source.partition("::")[2] for source in sources] == ["run/CONTCAR", "x/POSCAR", "a.xyz"]
    assert [entry.partition("::")[2] for entry in report.ignored] == ["run/POSCAR"]


@pytest.mark.parametrize("kind", _SWEPT)
def test_large_members_pass_without_being_held(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(contents, "_HELD", 1000)
    xyz = b"".join(frame(k, 5) for k in range(200))
    atoms = [Atoms("H3", positions=np.eye(3) * k) for k in range(50)]
    held = io.StringIO()
    ase.io.write(held, atoms, format="xyz")
    (tmp_path / "a.traj").unlink(missing_ok=True)
    ase.io.write(tmp_path / "a.traj", atoms)
    files = [*files_of(2), ("big.xyz", xyz), ("a.traj", (tmp_path / "a.traj").read_bytes()), *files_of(1)]
    path = tmp_path / f"data{kind}"
    with pytest.warns(UserWarning, match="Duplicate") if kind == ".zip" else _no_warning():
        path = _write(tmp_path, kind, files)
    _, store, _ = _built(path, tmp_path / "s.zarr")
    energies = [0, 1, *range(200), *[np.nan] * 50, 0]
    np.testing.assert_array_equal(store.read("energy"), energies)


def _no_warning():
    from contextlib import nullcontext

    return nullcontext()


@pytest.mark.parametrize("kind", [".tar", ".zip"])
def test_a_large_member_is_cut_into_slices(tmp_path, kind, monkeypatch):
    for name in ("zstruct.sources.xyz.source.SLICE_BYTES", "zstruct.sources.archive.frames.SLICE_BYTES"):
        monkeypatch.setattr(name, 4000)
    xyz = b"".join(frame(k, 5) for k in range(300))
    path = _write(tmp_path, kind, [("a.xyz", frame(-1)), ("big.xyz", xyz), ("b.xyz", frame(-2))])
    source = ArchiveSource(path)
    slices = source.scan()
    assert len(slices) > 5 or kind == ".zip"
    blocks = [raw for piece in slices for raw in source.read(piece)]
    energies = np.concatenate([raw.structure["energy"][0].values for raw in blocks])
    assert energies.tolist() == [-1, *range(300), -2]
    frames = np.concatenate([raw.frames for raw in blocks])
    assert frames.tolist() == [0, *range(300), 0]
    assert {raw.label for raw in blocks} == {f"{path}::{name}" for name in ("a.xyz", "big.xyz", "b.xyz")}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(_KINDS), st.sampled_from([1, 3]))
def test_cut_anywhere_nothing_is_made_up(tmp_path, data, kind, workers):
    files = files_of(6)
    whole = _write(tmp_path, kind, files).read_bytes()
    used = len(whole.rstrip(b"\0")) if kind == ".tar" else len(whole) - 1
    path = tmp_path / f"cut{kind}"
    path.write_bytes(whole[: data.draw(st.integers(0, used))])
    with pytest.raises(InputError, match=rf"cut{kind}") as caught:
        zstruct.build(path, tmp_path / "s.zarr", progress=False, overwrite=True, workers=workers)
    assert "damaged" in str(caught.value) or "cut off" in str(caught.value) or "empty" in str(caught.value)
    try:
        report, store, _ = _built(path, tmp_path / "s.zarr", on_error="skip", workers=workers)
    except InputError:  # nothing is left
        return
    assert report.n_skipped > 0
    energies = store.read("energy").tolist()
    assert energies == list(range(len(energies)))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(_KINDS))
def test_flipped_bytes_are_found_or_change_one_member(tmp_path, data, kind):
    whole = bytearray(_write(tmp_path, kind, files_of(4)).read_bytes())
    k = data.draw(st.integers(0, len(whole) - 1))
    whole[k] ^= data.draw(st.integers(1, 255))
    path = tmp_path / f"bad{kind}"
    path.write_bytes(whole)
    try:
        _, store, _ = _built(path, tmp_path / "s.zarr", on_error="skip")
    except InputError:
        return
    assert store.n_structures <= 4 or kind == ".tar"


@pytest.mark.parametrize("kind", list(PACKED)[1:])
def test_what_unpacks_beyond_measure_is_refused(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(compression, "_LARGE", 1 << 20)
    path = _write(tmp_path, kind, [("a.xyz", frame(1)), ("b.xyz", b" " * (8 << 20))])
    with pytest.raises(InputError, match="hundreds of times its size: if it is no bomb"):
        zstruct.build(path, tmp_path / "s.zarr", progress=False)


def test_zip_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("zstruct.sources.archive.zipped._LARGE", 1 << 20)
    path = _write(tmp_path, ".zip", [("a.xyz", frame(1)), ("b.xyz", b" " * (8 << 20))])
    with pytest.raises(InputError, match=r"b.xyz: it would unpack to 8.39 MB, hundreds of times"):
        zstruct.build(path, tmp_path / "s.zarr", progress=False)
    assert _built(path, tmp_path / "s.zarr", on_error="skip")[1].n_structures == 1


def test_encrypted_members_are_said(tmp_path):
    data = bytearray(zip_of(files_of(2)))
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + at] |= 1
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"f0.xyz: it is encrypted: unpack it with its password"):
        zstruct.build(path, tmp_path / "s.zarr", progress=False)


def test_zip_members_may_be_packed_in_any_way_that_python_reads(tmp_path):
    for k, method in enumerate((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)):
        path = tmp_path / f"{k}.zip"
        path.write_bytes(zip_of(files_of(3), method))
        assert _built(path, tmp_path / "s.zarr")[1].read("energy").tolist() == [0, 1, 2]


def test_zip_members_with_large_dictionaries_are_refused(tmp_path):
    data = bytearray(zip_of(files_of(2), zipfile.ZIP_LZMA))
    at = data.index(b"PK\3\4") + 30 + len(files_of(1)[0][0]) + 5
    data[at : at + 4] = (3 << 29).to_bytes(4, "little")
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"f0.xyz: .* takes more than 1 GiB of memory"):
        zstruct.build(path, tmp_path / "s.zarr", progress=False)
    assert _built(path, tmp_path / "s.zarr", on_error="skip")[1].read("energy").tolist() == [1]


def test_large_zip_archives_have_larger_tables(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files_of(2):
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(data)
    assert _built(path, tmp_path / "s.zarr")[1].n_structures == 2


def test_members_that_lie_over_each_other_are_refused(tmp_path):
    data = zip_of([("a.xyz", os.urandom(5000))])
    table = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    entry = data[table:end]
    many = bytearray(data[:table] + entry * 9 + data[end:])
    at = many.index(b"PK\5\6")
    many[at + 8 : at + 12] = (9).to_bytes(2, "little") * 2
    many[at + 12 : at + 16] = (9 * len(entry)).to_bytes(4, "little")
    path = tmp_path / "a.zip"
    path.write_bytes(many)
    with pytest.raises(InputError, match="lie over each other"):
        zstruct.build(path, tmp_path / "s.zarr", progress=False)


@pytest.mark.parametrize("kind", _SWEPT)
def test_archives_behind_urls_are_read(tmp_path, kind):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.filesystem("memory").open(f"/archives/data{kind}", "wb") as file:
        file.write(_write(tmp_path, kind, files_of(5)).read_bytes())
    _, store, _ = _built(f"memory://archives/data{kind}", tmp_path / "s.zarr")
    assert store.read("energy").tolist() == list(range(5))
    assert isinstance(expand(f"memory://archives/data{kind}")[0][0].content, RemoteContent)


@pytest.mark.parametrize("kind", _SWEPT)
def test_a_change_of_the_archive_is_noticed(tmp_path, kind):
    path = _write(tmp_path, kind, files_of(3))

    def where(_frame):
        path.write_bytes(path.read_bytes() + b"\0")
        return True

    with pytest.raises(zstruct.ChangedInputError, match="data"):
        zstruct.build(path, tmp_path / "s.zarr", filters=where, progress=False)


@pytest.mark.parametrize("kind", _SWEPT)
def test_builds_are_the_same_whatever_the_workers(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(calls, "_MEMBERS", 2)
    path = _write(tmp_path, kind, files_of(30))
    for workers in (1, 4):
        zstruct.build(path, tmp_path / f"{workers}.zarr", workers=workers, progress=False)
    assert tree_bytes(tmp_path / "1.zarr") == tree_bytes(tmp_path / "4.zarr")


def test_readers_that_hold_the_gil_run_in_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(calls, "_PROCESSES_FROM", 0)
    monkeypatch.setattr(calls, "_MEMBERS", 2)
    poscar = "H\n1.0\n{} 0 0\n0 9 0\n0 0 9\nH\n1\nCartesian\n0 0 0\n"
    files = [(f"{k}/POSCAR", poscar.format(k + 5).encode()) for k in range(6)]
    path = _write(tmp_path, ".tar.gz", files)
    _, store, sources = _built(path, tmp_path / "s.zarr", workers=2)
    assert store.read("cell")[:, 0, 0].tolist() == [5, 6, 7, 8, 9, 10]
    assert [source.partition("::")[2] for source in sources] == [name for name, _ in files]


def test_sources_are_sent_to_workers(tmp_path):
    path = _write(tmp_path, ".tar", files_of(3))
    source = ArchiveSource(path)
    source._readers = replace(source._readers, added=())  # other tests register what can't be sent
    copy = pickle.loads(pickle.dumps(source))
    assert copy.scan() == source.scan()
    assert source.runs_in == copy.runs_in == "threads"
