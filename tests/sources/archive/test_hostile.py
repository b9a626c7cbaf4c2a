"""Archives from strangers: whatever is in them, a sentence that names file and member, and nothing else."""

import io
import os
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from tests.sources.archive.make import PACKED, files_of, frame, tar_of, zip_of
from zstruct.sources import ArchiveSource
from zstruct.sources.archive import source as module
from zstruct.store.store import Store

_FULL = b"%011o\0" % 512
_ONE = [("a.xyz", frame(1))]
_KINDS = [*PACKED, ".zip"]


def _write(folder, kind, data):
    path = folder / f"data{kind}"
    path.write_bytes(PACKED[kind](data) if kind in PACKED else data)
    return path


def _header(name=b"b.xyz", size=b"%011o\0" % 0, kind=b"0", magic=b"ustar\x0000"):
    """Return the header of a member, whatever is in its fields."""
    made = bytearray(512)
    made[: len(name)] = name
    made[124 : 124 + len(size)] = size
    made[156:157] = kind
    made[257 : 257 + len(magic)] = magic
    made[148:156] = b" " * 8
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


def _before_the_end(extra: bytes) -> bytes:
    """Return an archive with a good member, and something behind it."""
    whole = tar_of(_ONE)
    used = 512 + 512 * -(-len(frame(1)) // 512)
    return whole[:used] + extra + bytes(1024)


def _pax(*records: bytes) -> bytes:
    data = b""
    for record in records:
        n = len(record) + 3
        while len(b"%d" % n) + 2 + len(record) != n:
            n += 1
        data += b"%d %s\n" % (n, record)
    return _header(b"pax", b"%011o\0" % len(data), b"x") + data + bytes(-len(data) % 512)


def _binary(size: int) -> bytes:
    return b"\x80" + size.to_bytes(11, "big")


#: What may be behind the first member of a tar archive, and what is said of it; nothing if it is left out.
TRICKS = {
    "a size of 2^70": (_header(size=_binary(1 << 70)), "a size that is none"),
    "a size of 2^61": (_header(size=_binary(1 << 61)), "cut off|not a text file"),
    "a negative size": (_header(size=b"\xff" * 12), "no header"),
    "a size that is no number": (_header(size=b"9" * 11 + b"\0"), "no header"),
    "a size of pax of 2^63": (_pax(b"size=9999999999999999999") + _header(), "a size that is none"),
    "a size of pax that is no number": (_pax(b"size=-1") + _header(), "a size that is none"),
    "records of pax without an end": (_header(kind=b"x", size=_FULL) + b"99 path=a\n".ljust(512), "none"),
    "a name of control characters": (_pax(b"path=\x1b[2J\n\0.xyz") + _header(), r"\\x1b\[2J\\x0a\\x00.xyz"),
    "a name of no encoding": (_header(name=b"\xe9\xff.xyz"), r"::\\xe9\\xff.xyz"),
    "a name that turns text around": (_header(name="\u202egpj.xyz".encode()), r"::\\x202egpj.xyz"),
    "a name of a kilobyte": (_pax(b"path=" + b"a" * 1000 + b".xyz") + _header(), r"a.xyz.*empty"),
    "a name of slashes": (_header(name=b"/" * 60), None),
    "a link with bytes": (_header(kind=b"2", size=_FULL), None),
    "a hard link to a file outside": (_header(kind=b"1"), None),
    "a device": (_header(kind=b"4"), None),
    "a member of no known kind": (_header(kind=b"Z"), None),
    "a sparse member": (_header(kind=b"S"), "sparse"),
    "a member of several volumes": (_header(kind=b"M"), "several volumes"),
    "a header of all ones": (b"\xff" * 512, "no header"),
    "noise": (bytes(range(256)) * 2, "no header"),
    "two archives": (bytes(1024) + _header(), "joined to one"),
}  # fmt: skip


# What packs an archive is unpacked before anything is looked at.
_PACKED_TRICKS = (
    "a size of 2^61",
    "a name of control characters",
    "a link with bytes",
    "noise",
    "two archives",
)


@pytest.mark.parametrize(
    ("trick", "kind"),
    [
        (trick, kind)
        if kind == ".tar" or (kind == ".tar.gz" and trick in _PACKED_TRICKS)
        else pytest.param(trick, kind, marks=pytest.mark.long)
        for trick in TRICKS
        for kind in PACKED
    ],
)
def test_tricks_of_tar_archives(tmp_path, trick, kind):
    extra, said = TRICKS[trick]
    path = _write(tmp_path, kind, _before_the_end(extra))
    if said is not None:
        with pytest.raises(zstruct.InputError, match=said) as caught:
            zstruct.build(path, tmp_path / "s.zarr", progress=False)
        assert f"data{kind}" in str(caught.value)
        assert str(caught.value).isprintable()
    report = zstruct.build(path, tmp_path / "s.zarr", progress=False, on_error="skip")
    assert Store(tmp_path / "s.zarr").read("energy").tolist() == [1]
    assert all(label.isprintable() for label in report.ignored)
    assert bool(report.skipped) == (said is not None)
    assert sorted(os.listdir(tmp_path)) == [f"data{kind}", "s.zarr"]


def _zip_with(change):
    """Return a zip archive of two members, of the second of which the entries in the table are changed."""
    data = bytearray(zip_of(files_of(2), zipfile.ZIP_STORED))
    change(data, data.rindex(b"PK\1\2"))
    return bytes(data)


def _put(at, form, value):
    return lambda data, entry: struct.pack_into(form, data, entry + at, value)


def _zip64(file_size: int):
    """Claim a size in 64 bits."""

    def change(data, entry):
        end = data.rindex(b"PK\5\6")
        more = struct.pack("<HHQ", 1, 8, file_size)
        struct.pack_into("<I", data, entry + 24, 0xFFFFFFFF)
        struct.pack_into("<H", data, entry + 30, len(more))
        data[end:end] = more
        struct.pack_into("<I", data, end + len(more) + 12, end + len(more) - data.index(b"PK\1\2"))

    return change


ZIPS = {
    "a size that is too small": (_put(24, "<I", 10), "checksum"),
    "a size that is too large": (_put(24, "<I", 500), "checksum|cut off|damaged"),
    "a size of 4 GB": (_put(24, "<I", 0xFFFFFFFE), "would unpack to"),
    "a size of 2^63": (_zip64(2**63), "would unpack to"),
    "a size of 2^64": (_zip64(2**64 - 1), "would unpack to"),
    "packed to nothing": (_put(20, "<I", 0), "checksum|damaged"),
    "a header beyond the end": (_put(42, "<I", 0x7FFFFFFF), "damaged"),
    "a header in another": (_put(42, "<I", 3), "damaged"),
    "a way of packing that nobody knows": (_put(10, "<H", 77), "packed in a way that can't be read"),
    "a way of packing that needs what is newer": (_put(6, "<H", 73), "zip file version 7.3"),
    "encrypted": (_put(8, "<H", 1), "encrypted"),
    "encrypted by something stronger": (_put(8, "<H", 0x41), "encrypted"),
    "patched": (_put(8, "<H", 0x20), None),
    "another checksum": (_put(16, "<I", 1), "checksum"),
    "a link": (_put(38, "<I", 0o120777 << 16), None),
}  # fmt: skip


@pytest.mark.parametrize("trick", ZIPS)
def test_tricks_of_zip_archives(tmp_path, trick):
    change, said = ZIPS[trick]
    path = _write(tmp_path, ".zip", _zip_with(change))
    if said is not None:
        with pytest.raises(zstruct.InputError, match=said) as caught:
            zstruct.build(path, tmp_path / "s.zarr", progress=False)
        assert "data.zip" in str(caught.value)
    try:
        zstruct.build(path, tmp_path / "s.zarr", progress=False, on_error="skip")
    except zstruct.InputError as error:  # the table can't be read
        assert "no structure is left" in str(error)  # noqa: PT017
    else:
        assert Store(tmp_path / "s.zarr").read("energy").tolist()[0] == 0


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(_KINDS))
def test_bytes_changed_anywhere_are_told_or_do_nothing(tmp_path, data, kind):
    files = files_of(4)
    path = _write(tmp_path, kind, zip_of(files) if kind == ".zip" else tar_of(files))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    try:
        zstruct.build(path, tmp_path / "s.zarr", progress=False, overwrite=True, on_error="skip")
    except zstruct.InputError as error:
        assert f"data{kind}" in str(error) or "no structure is left" in str(error)  # noqa: PT017


def test_members_without_number_are_not_kept(tmp_path):
    """None of them is an input, and a few bytes are all that they take."""
    data = tar_of(_ONE)[:1024] + b"".join(_header(name=b"%d.txt" % k) for k in range(2500)) + bytes(1024)
    path = _write(tmp_path, ".tar.gz", data)
    source = ArchiveSource(path)
    counts = [len(raw.ignored) for raw in source.read(source.scan()[0])]
    assert sum(counts) == 2500
    assert max(counts) == 1000
    report = zstruct.build(path, tmp_path / "s.zarr", progress=False)
    assert report.n_ignored == 2500
    assert len(report.ignored) == 100
    assert "ignored 2,500 files" in str(report)


@pytest.mark.parametrize("kind", [".tar", pytest.param(".tar.gz", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "name", ["..", ".", "a\0b.cif", "x" * 300 + ".cif", "\udcff.cif", "a:b?.cif", "-rf.cif"]
)
def test_names_do_not_lead_copies_astray(tmp_path, name, kind):
    """ASE is given files: copies, in a folder of their own."""
    made = io.BytesIO()
    cif = (
        b"data_x\n_cell_length_a 3\n_cell_length_b 3\n_cell_length_c 3\n_cell_angle_alpha 90\n"
        b"_cell_angle_beta 90\n_cell_angle_gamma 90\nloop_\n_atom_site_label\n_atom_site_fract_x\n"
        b"_atom_site_fract_y\n_atom_site_fract_z\nH 0 0 0\n"
    )
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        item = tarfile.TarInfo("x")
        item.pax_headers = {"path": name}
        item.size = len(cif)
        archive.addfile(item, io.BytesIO(cif))
    path = _write(tmp_path, kind, made.getvalue())
    zstruct.build(path, tmp_path / "s.zarr", reader="ase:cif", progress=False)
    assert Store(tmp_path / "s.zarr").n_structures == 1
    assert sorted(os.listdir(tmp_path)) == [f"data{kind}", "s.zarr"]


def test_an_archive_in_itself_is_not_entered(tmp_path):
    inner = tar_of(_ONE)
    for _ in range(5):
        inner = tar_of([("a.tar", inner), ("b.xyz", frame(2))])
    path = _write(tmp_path, ".tar.gz", inner)
    for reader in (None, "archive", "xyz"):
        report = zstruct.build(
            path, tmp_path / "s.zarr", reader=reader, progress=False, overwrite=True, on_error="skip"
        )
        assert set(Store(tmp_path / "s.zarr").read("energy").tolist()) <= {1, 2}
        assert report.n_structures <= 2


@pytest.mark.parametrize("kind", _KINDS)
def test_many_members_of_one_name_are_all_different(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(module, "_SLICE_MEMBERS", 7)
    files = [("a.xyz", frame(k)) for k in range(20)]
    if kind == ".zip":
        with pytest.warns(UserWarning, match="Duplicate"):
            data = zip_of(files)
    else:
        data = tar_of(files)
    zstruct.build(_write(tmp_path, kind, data), tmp_path / "s.zarr", progress=False)
    store = Store(tmp_path / "s.zarr")
    assert store.read("energy").tolist() == list(range(20))
    assert len(np.unique(store.read("source"))) == 20


@pytest.mark.parametrize("name", ["PK", "PK\3/a.xyz", "BZh9/a.xyz", "BZh1AY.xyz"])
def test_a_tar_archive_begins_with_a_name(tmp_path, name):
    path = _write(tmp_path, ".tar", tar_of([(name, frame(1)), ("b.xyz", frame(2))]))
    zstruct.build(path, tmp_path / "s.zarr", progress=False)
    assert Store(tmp_path / "s.zarr").read("energy").tolist()[-1] == 2
