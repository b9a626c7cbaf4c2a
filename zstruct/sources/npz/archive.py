"""Arrays in NumPy's archive: members of a zip file, read by ranges of rows where they are not compressed.

Nothing in it is unpickled. What the arrays mean is not known here.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from zstruct.errors import InputError, ZstructError
from zstruct.sources.content import Content
from zstruct.sources.origins import hidden_by

__all__ = ["Member", "check_sums", "members"]

_SUFFIX = ".npy"
_LOCAL_HEADER = 30  # bytes before the name of a member
_PIECE = 4 << 20
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,  # of headers, which are pieces of Python
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
)
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass
class Member:
    """An array of an archive.

    Parameters
    ----------
    name
        Without ``.npy``.
    shape, dtype
        As its header says.
    in_order
        Whether it is compressed.
    fault
        A sentence if its values can't be read.
    unit
        None: archives state none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    in_order: bool
    fault: str | None
    unit: None = None

    _archive: zipfile.ZipFile | None = field(default=None, repr=False)
    _entry: zipfile.ZipInfo | None = field(default=None, repr=False)
    _stream: Any = field(default=None, repr=False)
    _at: int = field(default=0, repr=False)
    _begin: int = field(default=0, repr=False)
    _label: str = ""
    _whole: NDArray[Any] | None = field(default=None, repr=False)
    _fortran: bool = False

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Return some rows; an array without axes is its own row.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        if self.fault is not None:
            raise InputError(f"{self.name}: {self.fault}", self._label)
        if self._fortran or not self.shape:
            if self._whole is None:
                self._whole = self._all()
            return self._whole[start:stop] if self.shape else self._whole
        shape = (max(0, min(stop, self.shape[0]) - start), *self.shape[1:])
        row = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        values = np.empty(shape, self.dtype)
        self._fill(values, start * row)
        return values

    def _all(self) -> NDArray[Any]:
        values = np.empty(self.shape[::-1] if self._fortran else self.shape, self.dtype)
        self._fill(values, 0)
        return values.T if self._fortran else values

    def _fill(self, values: NDArray[Any], at: int) -> None:
        """Read what follows from a place in the data into an array."""
        if not values.nbytes:
            return
        into = values.reshape(-1).view(np.uint8).data
        try:
            if self._stream is None or (self.in_order and at < self._at):
                self._open()
            if not self.in_order:
                self._stream.seek(self._begin + at)
            else:
                while self._at < at:
                    self._at += len(self._take(min(_PIECE, at - self._at)))
            done = 0
            while done < len(into):
                got = self._stream.readinto(into[done:])
                if not got:
                    raise EOFError("it ends before its arrays do")
                done += got
            self._at = at + len(into)
        except ZstructError:
            raise  # of a server, which says what it is
        except _DAMAGED as error:
            _refuse(error, self._label, self.name)

    def _take(self, n: int) -> bytes:
        found: bytes = self._stream.read(n)
        if not found:
            raise EOFError("it ends before its arrays do")
        return found

    def _open(self) -> None:
        assert self._archive is not None
        assert self._entry is not None
        if self.in_order:
            self._stream = self._archive.open(self._entry)
            _header(self._stream)
            self._at = 0
        else:
            self._stream = self._archive.fp


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an array; the stream is at its values after that."""
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"an array has a header of version {version[0]}.{version[1]}")
    shape, fortran, dtype = _HEADERS[version](stream)
    if any(n < 0 for n in shape):
        raise ValueError(f"an array has the shape {shape}")
    return shape, fortran, dtype


def _refuse(error: Exception, label: str, name: str | None = None) -> NoReturn:
    """Say that an archive is damaged, or what else has kept it from being read."""
    if (hidden := hidden_by(error)) is not None:
        raise hidden from None
    where = "" if name is None else f" (at the array {name!r})"
    said = f"{error}" or type(error).__name__
    raise InputError(f"the archive is damaged or cut off{where}: {said}", label) from error


@contextmanager
def members(content: Content) -> Iterator[dict[str, Member]]:
    """Open an archive for a while, and have its arrays by name.

    Raises
    ------
    InputError
        If it is damaged.
    """
    with content.open() as file:
        try:
            archive = zipfile.ZipFile(file)
            found = {}
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            for entry in entries:
                if entry.filename.endswith(_SUFFIX):
                    member = _member(archive, entry, content.label)
                else:
                    member = Member(entry.filename, (), np.dtype(np.uint8), False, "it is no array")
                if member.name in found:
                    raise InputError(f"the archive has two arrays {member.name!r}", content.label)
                found[member.name] = member
        except ZstructError:
            raise
        except _DAMAGED as error:
            _refuse(error, content.label)
        if not any(entry.filename.endswith(_SUFFIX) for entry in entries):
            raise InputError("there are no arrays in this archive", content.label)
        yield found


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, label: str) -> Member:
    name = entry.filename.removesuffix(_SUFFIX)
    with archive.open(entry) as stream:
        shape, fortran, dtype = _header(stream)
        header = stream.tell()
    stored = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1
    fault = None
    if dtype.hasobject:
        fault = "its values are pickled Python objects, which are never read"
    elif dtype.kind not in "biufSU":
        fault = f"its values are {dtype.name}, which can't be stored"
    size = dtype.itemsize * int(np.prod(shape, dtype=object) if shape else 1)
    if fault is None and header + size > entry.file_size:
        raise ValueError(f"the array {name!r} ends before its {size:,} bytes do")
    member = Member(name, tuple(shape), dtype, not stored, fault)
    member._archive, member._entry, member._label = archive, entry, label
    member._fortran = fortran and len(shape) > 1
    if stored:
        file: BinaryIO = archive.fp  # type: ignore[assignment]
        file.seek(entry.header_offset)
        local = file.read(_LOCAL_HEADER)
        names = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
        member._begin = entry.header_offset + _LOCAL_HEADER + names + header
    return member


def check_sums(content: Content) -> None:
    """Compare names, and what is not compressed with its checksum; for the rest, decompression does that.

    Raises
    ------
    InputError
        If some of it was changed.
    """
    with content.open() as file:
        try:
            archive = zipfile.ZipFile(file)
            for entry in archive.infolist():
                is_array = entry.filename.endswith(_SUFFIX)
                with archive.open(entry) as stream:  # which compares its name with that before the member
                    while not (is_array and entry.compress_type != zipfile.ZIP_STORED) and stream.read(
                        _PIECE
                    ):
                        pass
        except ZstructError:
            raise
        except _DAMAGED as error:
            _refuse(error, content.label)
