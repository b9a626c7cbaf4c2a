"""Tar archives: all dialects, as Python's tarfile writes them, and what is cut off or damaged."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.archive.make import tar_of
from zstruct.sources.archive.member import DamageError
from zstruct.sources.archive.tar import Tar

_FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=120)
_FILES = st.lists(st.tuples(_NAMES, st.binary(max_size=1500)), max_size=5)


def _read(data: bytes, seekable: bool):
    tar = Tar(io.BytesIO(data), len(data) if seekable else None)
    found, damage = [], None
    try:
        for member in tar.members():
            if seekable:
                found.append((member.name, data[member.at : member.at + member.size], member.size))
            else:
                found.append((member.name, tar.read(member.size), member.size))
    except DamageError as error:
        damage = str(error)
    return found, damage


@given(_FILES, st.sampled_from(_FORMATS[1:]), st.booleans())
def test_members_are_those_that_were_put_in(files, format, seekable):
    found, damage = _read(tar_of(files, format), seekable)
    assert damage is None
    assert [(name, data) for name, data, _ in found] == files


@given(_FILES.filter(bool), st.sampled_from(_FORMATS[1:]), st.booleans(), st.data())
def test_what_is_cut_off_never_passes_for_whole(files, format, seekable, data):
    whole = tar_of(files, format)
    end = len(whole.rstrip(b"\0"))  # at most: files may end with zeros
    used = sum(512 + len(content) + -len(content) % 512 for _, content in files)
    cut = data.draw(st.integers(0, max(end, used)))
    found, damage = _read(whole[:cut], seekable)
    assert damage is not None
    for (name, content, size), (was_name, was) in zip(found, files, strict=False):
        assert name == was_name
        assert content == was or (len(content) < size == len(was) and was.startswith(content))


@given(st.binary(max_size=3000), st.booleans())
def test_noise_is_no_archive(noise, seekable):
    found, damage = _read(noise, seekable)
    assert damage is not None or (not found and not noise.strip(b"\0"))


@given(_FILES.filter(bool), st.data())
def test_flipped_bytes_of_headers_are_found(files, data):
    whole = bytearray(tar_of(files))
    k = data.draw(st.integers(0, len(whole) - 1))
    whole[k] ^= data.draw(st.integers(1, 255))
    found, damage = _read(bytes(whole), seekable=False)
    same = sum(a[:2] == b for a, b in zip(found, files, strict=False))
    # One member can differ, by a byte of its contents; or something is said.
    assert damage is not None or (len(found) == len(files) and same >= len(files) - 1)


@pytest.mark.parametrize("format", _FORMATS)
def test_sizes_and_names_of_every_dialect(format):
    name = "a" * 90 + "/" + "b" * 95 if format == tarfile.USTAR_FORMAT else "x/" * 200 + "Größe.xyz"
    found, damage = _read(tar_of([(name, b"abc"), ("b", b"")], format), seekable=False)
    assert damage is None
    assert [(n, d) for n, d, _ in found] == [(name, b"abc"), ("b", b"")]


def test_old_archives_without_a_magic_word_are_read():
    whole = bytearray(tar_of([("a.xyz", b"abc")], tarfile.USTAR_FORMAT))
    whole[257:512] = bytes(255)
    whole[148:156] = b" " * 8
    whole[148:156] = b"%06o\0 " % sum(whole[:512])
    assert _read(bytes(whole), seekable=True) == ([("a.xyz", b"abc", 3)], None)


def test_kinds_are_told():
    items = []
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
        item = tarfile.TarInfo("../it")
        item.type, item.linkname = kind, "/etc/passwd"
        items.append(item)
    data = tar_of(items)
    kinds = [member.kind for member in Tar(io.BytesIO(data)).members()]
    assert kinds == ["a link", "a link", "a device", "a directory", "a pipe"]


def test_sparse_members_are_refused_and_passed_over():
    sparse = bytearray(tar_of([("s.xyz", b"abc")]))
    sparse[156:157] = b"S"
    sparse[482] = 1  # a block of the map follows
    sparse[148:156] = b" " * 8
    sparse[148:156] = b"%06o\0 " % sum(sparse[:512])
    data = bytes(sparse[:512]) + bytes(512) + bytes(sparse[512:1024]) + tar_of([("b.xyz", b"de")])
    members = list(Tar(io.BytesIO(data)).members())
    assert [member.name for member in members] == ["s.xyz", "b.xyz"]
    assert "sparse" in members[0].fault
    assert not members[1].fault


def test_sparse_members_of_pax_have_their_own_name():
    item = tarfile.TarInfo("./GNUSparseFile.1/a.xyz")
    item.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "a.xyz", "GNU.sparse.realsize": "99"}
    (member,) = Tar(io.BytesIO(tar_of([item], tarfile.PAX_FORMAT))).members()
    assert member.name == "a.xyz"
    assert "sparse" in member.fault


def test_large_sizes_are_binary():
    item = tarfile.TarInfo("a.xyz")
    item.size = 10 << 30
    header = item.tobuf(tarfile.GNU_FORMAT)
    tar = Tar(io.BytesIO(header))
    assert next(tar.members()).size == 10 << 30


def test_archives_joined_to_one_are_said():
    data = tar_of([("a.xyz", b"abc")]) + tar_of([("b.xyz", b"abc")])
    found, damage = _read(data, seekable=False)
    assert [name for name, _, _ in found] == ["a.xyz"]
    assert "joined to one" in damage


def test_a_name_of_megabytes_is_damage():
    item = tarfile.TarInfo("a" * (2 << 20))
    with pytest.raises(DamageError, match="damaged"):
        list(Tar(io.BytesIO(tar_of([item]))).members())
