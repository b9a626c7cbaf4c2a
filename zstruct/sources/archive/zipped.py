"""The members of a zip archive, from the table at its end."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from typing import BinaryIO, cast

from zstruct.errors import InputError, ZstructError
from zstruct.sources.archive.member import Member
from zstruct.sources.compression import LARGE_WINDOW, MEMORY
from zstruct.sources.origins import hidden_by
from zstruct.text import sized

__all__ = ["opened_zip", "unzipped", "zip_members"]

_ENCRYPTED = 0x1
#: What is larger than this, and so many times as large as what it is packed in, is no text.
_LARGE, _RATIO = 64 << 20, 500
# Bytes of the header in front of a member, and what it may have beside the name.
_LOCAL, _SOME = 30, 64
# Bytes of the header of LZMA, of which the last four are the size of its dictionary.
_LZMA = 9


def opened_zip(file: BinaryIO, label: str) -> zipfile.ZipFile:
    """Open an archive.

    Raises
    ------
    InputError
        If its table can't be read.
    """
    try:
        return zipfile.ZipFile(file)
    except ZstructError:
        raise
    except Exception as error:  # whatever the damage
        if (hidden := hidden_by(error)) is not None:
            raise hidden from None
        raise InputError(
            f"this is no zip archive, or it is damaged or cut off: its table is at the end ({error})", label
        ) from error


def unzipped(file: BinaryIO, info: zipfile.ZipInfo) -> bytes | None:
    """Return what a member holds, faster than `zipfile` does; None if it is packed in some other way.

    Raises
    ------
    BadZipFile, zlib.error
        If it is damaged.
    """
    if info.compress_type not in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        return None
    file.seek(info.header_offset)
    head = file.read(_LOCAL + len(info.orig_filename) + _SOME + info.compress_size)
    if len(head) < _LOCAL or head[:4] != b"PK\3\4":
        raise zipfile.BadZipFile("its header is none")
    start = _LOCAL + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    packed = head[start : start + info.compress_size]
    if len(packed) < info.compress_size:
        file.seek(info.header_offset + start)
        packed = file.read(info.compress_size)
    data = packed
    if info.compress_type == zipfile.ZIP_DEFLATED:
        data = zlib.decompressobj(-15).decompress(packed, info.file_size + 1)
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise zipfile.BadZipFile("its checksum is another")
    return data


def zip_members(archive: zipfile.ZipFile, nbytes: int, label: str) -> list[Member]:
    """Return the members in the order of the table; their places are their own.

    Parameters
    ----------
    archive
        The archive.
    nbytes
        Its bytes.
    label
        For messages.

    Raises
    ------
    InputError
        If members lie over each other, as those do that are to fill a memory.
    """
    entries = archive.infolist()
    if sum(info.compress_size for info in entries) > nbytes:
        raise InputError("its members lie over each other: it is damaged, or made to do harm", label)
    file = cast(BinaryIO, archive.fp)
    return [_member(k, info, file) for k, info in enumerate(entries)]


def _dictionary(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Return the bytes of memory that it takes to unpack a member of LZMA; 0 if its header is none."""
    try:
        file.seek(info.header_offset)
        head = file.read(_LOCAL)
        file.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), os.SEEK_CUR)
    except (OSError, ValueError):  # which is said where it is read
        return 0
    return int.from_bytes(file.read(_LZMA)[_LZMA - 4 :], "little")


def _member(index: int, info: zipfile.ZipInfo, file: BinaryIO) -> Member:
    kind = fault = ""
    mode = info.external_attr >> 16
    if info.is_dir():
        kind = "a directory"
    elif info.create_system == 3 and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        kind = "a link" if stat.S_ISLNK(mode) else "a device"
    elif info.flag_bits & _ENCRYPTED:
        fault = "it is encrypted: unpack it with its password"
    elif info.file_size > _LARGE and info.file_size > _RATIO * info.compress_size:
        fault = (
            f"it would unpack to {sized(info.file_size)}, hundreds of times what it takes: if it is no bomb, "
            "unpack it yourself"
        )
    elif info.compress_type == zipfile.ZIP_LZMA and _dictionary(file, info) > MEMORY:
        fault = LARGE_WINDOW
    return Member(index, info.filename, info.file_size, info.header_offset, kind, fault)
