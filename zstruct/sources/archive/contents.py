"""The bytes of a member as a `Content`: a stretch of a file, what is unzipped, what passes in a stream.

Small members are held in memory, as a `MemoryContent`.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from zstruct.errors import InputError, ZstructError
from zstruct.sources.archive.member import DamageError
from zstruct.sources.content import Content

__all__ = ["CopiedContent", "PassingContent", "StretchContent", "UnzippedContent", "is_held", "unzip_fault"]

#: Members up to this size are held in memory.
_HELD = 16 << 20

#: Bytes at the beginning of a passing member that can be read again and again.
_KEPT = 1 << 20


@dataclass(frozen=True)
class CopiedContent:
    """A file that is a copy of a member, and goes by its label."""

    label: str
    path: str

    @property
    def name(self) -> str:
        """The name of the member."""
        return os.path.basename(self.path)

    def fingerprint(self) -> dict[str, Any]:
        """Return its size: nobody changes it."""
        return {"size": os.path.getsize(self.path)}

    def open(self) -> BinaryIO:
        """Return the file, unbuffered."""
        return cast(BinaryIO, open(self.path, "rb", buffering=0))


class _Within(io.RawIOBase):
    """A stream of `size` bytes that are found by their place."""

    def __init__(
        self, size: int, read_at: Callable[[int, int], bytes], close: Callable[[], None] | None = None
    ):
        self._size, self._read_at, self._close = size, read_at, close
        self._place = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can seek."""
        return True

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to another place."""
        self._place = max(0, (0, self._place, self._size)[whence] + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return how much there was."""
        n = min(len(buffer), self._size - self._place)
        if n <= 0:
            return 0
        data = self._read_at(self._place, n)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        """Close what is behind it."""
        if self._close is not None and not self.closed:
            self._close()
        super().close()


@dataclass(frozen=True)
class StretchContent:
    """A stretch of another content.

    Parameters
    ----------
    label, name
        Of the member.
    whole
        What it lies in.
    start, size
        Where it begins, and its bytes.
    """

    label: str
    name: str
    whole: Content
    start: int
    size: int
    path: None = field(default=None, init=False)

    def fingerprint(self) -> dict[str, Any]:
        """Return size and place, and what tells that the whole is another."""
        return {**self.whole.fingerprint(), "size": self.size, "start": self.start}

    def open(self) -> BinaryIO:
        """Return a stream of the stretch."""
        file = self.whole.open()

        def read_at(place: int, n: int) -> bytes:
            file.seek(self.start + place)
            data = file.read(n)
            if not data:
                raise EOFError(f"the archive ends behind {place:,} of its {self.size:,} bytes")
            return data

        return cast(BinaryIO, _Within(self.size, read_at, file.close))


def is_held(size: int) -> bool:
    """Tell whether a member of that size is held in memory when it is read."""
    return size <= _HELD


class UnzippedContent:
    """A member of a zip archive, decompressed whenever it is opened; it can't be sent to other processes."""

    path = None

    def __init__(self, label: str, name: str, archive: Callable[[], zipfile.ZipFile], info: zipfile.ZipInfo):
        self.label, self.name, self._archive, self._info = label, name, archive, info

    def fingerprint(self) -> dict[str, Any]:
        """Return size and checksum."""
        return {"size": self._info.file_size, "crc32": self._info.CRC}

    def open(self) -> BinaryIO:
        """Return a stream of what is decompressed."""
        try:
            stream = self._archive().open(self._info)
        except ZstructError:
            raise  # of a server, which says what it is
        except Exception as error:  # whatever the damage, or the kind of compression
            raise InputError(unzip_fault(error), self.label) from error

        def read_at(place: int, n: int) -> bytes:
            try:
                if stream.tell() != place:
                    stream.seek(place)
                data = stream.read(n)
            except (zipfile.BadZipFile, EOFError) as error:
                raise zlib.error(str(error)) from error
            if not data:
                raise EOFError(f"it ends behind {place:,} of its {self._info.file_size:,} bytes")
            return data

        return cast(BinaryIO, _Within(self._info.file_size, read_at, stream.close))


def unzip_fault(error: Exception) -> str:
    """Return what is wrong with a member that can't be unzipped."""
    if isinstance(error, NotImplementedError):
        return f"it is packed in a way that can't be read ({error}): pack it by deflate"
    return f"decompression failed, the archive is damaged: {error}"


class PassingContent:
    """A member that passes in a stream: it can be read once, but for its beginning.

    Parameters
    ----------
    label, name, size
        Of the member.
    read
        Returns the next bytes of the stream, fewer where it ends.
    """

    path = None

    def __init__(self, label: str, name: str, size: int, read: Callable[[int], bytes]):
        self.label, self.name, self.size, self._read = label, name, size, read
        self._head, self._passed = b"", 0

    def fingerprint(self) -> dict[str, Any]:
        """Return its size."""
        return {"size": self.size}

    def open(self) -> BinaryIO:
        """Return a stream of it from its beginning."""
        return cast(BinaryIO, _Within(self.size, self._read_at))

    def held(self) -> bytes:
        """Return all of it, or what there is of it.

        Raises
        ------
        DamageError
            If the stream can't be read.
        """
        return self._head + self._read(self.size - self._passed)

    def _read_at(self, place: int, n: int) -> bytes:
        if place < len(self._head):
            return self._head[place : place + n]
        if place != self._passed:
            raise OSError("it passes in a stream, and what is behind can't be read again")
        data = self._next(n)
        if self._passed <= _KEPT:
            self._head += data
        return data

    def _next(self, n: int) -> bytes:
        try:
            data = self._read(n)
        except DamageError as error:  # readers know what decompression raises
            raise EOFError(str(error)) from error
        self._passed += len(data)
        if len(data) < n:
            raise EOFError(f"the archive ends behind {self._passed:,} of its {self.size:,} bytes")
        return data
