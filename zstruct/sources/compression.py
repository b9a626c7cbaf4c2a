"""Compressed inputs: how they are known, opened, and what a damaged one raises."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

from zstruct.errors import InputError, MissingExtraError, StoreAccessError
from zstruct.sources.content import Content, MemoryContent

__all__ = [
    "DAMAGED",
    "HEAD",
    "SUFFIXES",
    "begins",
    "compression",
    "decompressed",
    "opened",
    "stem",
    "streamed",
    "unpacked",
]

#: Bytes of a file's beginning that `compression` needs.
HEAD = 8
#: What reading a damaged or cut-off stream raises, beside OSError.
DAMAGED = (EOFError, zlib.error, lzma.LZMAError)

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
#: Ends of names of compressed files, in lower case, and what compressed them.
SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}


def _zstd(file: BinaryIO) -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtraError(
            "files compressed by zstd need a package: pip install 'zstruct[zst]'"
        ) from error
    return io.BufferedReader(_ZstdStream(zstandard, file))


class _ZstdStream(io.RawIOBase):
    """All frames of a zstd file, one after the other; its end inside of one is an error.

    Parameters
    ----------
    zstandard
        The package.
    file
        The compressed bytes.
    """

    def __init__(self, zstandard: Any, file: BinaryIO):
        self._new, self._error = zstandard.ZstdDecompressor().decompressobj, zstandard.ZstdError
        self._file, self._rest, self._ready = file, b"", memoryview(b"")
        self._at_work: Any = None

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return how much there was."""
        while not self._ready:
            if not self._advance():
                return 0
        n = min(len(buffer), len(self._ready))
        buffer[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n

    def _advance(self) -> bool:
        """Decompress some more; return whether there may be more."""
        block, self._rest = self._rest or self._file.read(1 << 18), b""
        if not block:
            if self._at_work is not None:
                raise EOFError("the compressed data end before their end is marked")
            return False
        self._at_work = self._at_work or self._new()
        try:
            self._ready = memoryview(self._at_work.decompress(block))
        except self._error as error:
            raise zlib.error(str(error)) from error
        if self._at_work.eof:
            self._rest, self._at_work = self._at_work.unused_data, None
        return True

    def close(self) -> None:
        """Close the file as well."""
        self._file.close()
        super().close()


_OPEN: dict[str, Any] = {"": io.BufferedReader, "gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}


def compression(head: bytes, name: str) -> str:
    r"""Return the name of a file's compression, by its first bytes or else its suffix; "" for none.

    Examples
    --------
    >>> compression(b"\x1f\x8b\x08", "a.xyz"), compression(b"3\nwater\n", "a.xyz.gz")
    ('gzip', '')
    """
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    # A damaged header must not make a compressed file pass for a bad text.
    suffix = SUFFIXES.get(name[len(stem(name)) :].lower(), "")
    return suffix if suffix and not _is_text(head) else ""


def stem(name: str) -> str:
    """Return the name of a file without the suffix of its compression.

    Examples
    --------
    >>> stem("a.xyz.GZ"), stem("a.xyz")
    ('a.xyz', 'a.xyz')
    """
    place = name.rfind(".")
    return name[:place] if place >= 0 and name[place:].lower() in SUFFIXES else name


def decompressed(content: Content) -> Any:
    """Open content for reading, buffered, decompressed as its first bytes or its name say.

    Raises
    ------
    InputError
        If it can't be opened.
    MissingExtraError
        If its compression needs a package that is not installed.
    """
    with content.open() as file:
        kind = compression(file.read(HEAD), content.name)
    if kind == "zstd":
        return _zstd(content.open())
    if content.path is not None:  # closing a stream does not close a file that was opened before it
        return (_OPEN[kind] if kind else open)(content.path, "rb")
    return _OPEN[kind](content.open())


def streamed(content: Content) -> Any:
    """Open content for reading once, decompressed in large pieces: a thread that does so holds up no other.

    Raises
    ------
    InputError
        If it can't be opened.
    MissingExtraError
        If its compression needs a package that is not installed.
    """
    with content.open() as file:
        kind = compression(file.read(HEAD), content.name)
    if kind not in _MACHINES:
        return decompressed(content)
    return io.BufferedReader(_Stream(_MACHINES[kind], content.open()))


class _Stream(io.RawIOBase):
    """All streams of a compressed file, one after the other; its end inside of one is an error.

    Parameters
    ----------
    new
        Makes what decompresses one stream.
    file
        The compressed bytes.
    """

    def __init__(self, new: Callable[[], Any], file: BinaryIO):
        self._new, self._file = new, file
        self._at_work: Any = None
        self._rest = b""

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return how much there was."""
        data = b""
        while not data:
            if not self._rest and (self._at_work is None or getattr(self._at_work, "needs_input", True)):
                self._rest = self._file.read(_PIECE)
                if not self._rest:
                    if self._at_work is not None:
                        raise EOFError("the compressed data end before their end is marked")
                    return 0
            if self._at_work is None:
                self._rest = self._rest.lstrip(b"\0")  # with which tapes are filled up
                if not self._rest:
                    continue
                self._at_work = self._new()
            data = self._at_work.decompress(self._rest, len(buffer))
            self._rest = getattr(self._at_work, "unconsumed_tail", b"")
            if self._at_work.eof:
                self._rest, self._at_work = self._at_work.unused_data, None
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file as well."""
        self._file.close()
        super().close()


_PIECE = 1 << 18  # bytes of compressed data
_MACHINES: dict[str, Callable[[], Any]] = {
    "gzip": partial(zlib.decompressobj, 31),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
}


def unpacked(content: Content, *kinds: str) -> Content:
    """Return content decompressed in memory if it is compressed in one of some ways, else as it is.

    Raises
    ------
    InputError
        If it is damaged.
    """
    if content.path is not None and os.path.isdir(content.path):
        return content
    with content.open() as file:
        kind = compression(file.read(HEAD), content.name)
    if kind not in kinds:
        return content
    try:
        with decompressed(content) as stream:
            return MemoryContent(content.label, stem(content.name), stream.read())
    except StoreAccessError:
        raise
    except (*DAMAGED, OSError) as error:
        raise InputError(
            f"decompression failed, the file is damaged or cut off: {error}", content.label
        ) from error


def begins(content: Content, nbytes: int = 4096) -> bytes:
    """Return how content begins, decompressed; nothing if it can't be read, which its reader will say."""
    try:
        with decompressed(content) as stream:
            return bytes(stream.read(nbytes))
    except (*DAMAGED, OSError, InputError, MissingExtraError):
        return b""


def _is_text(head: bytes) -> bool:
    return bool(head) and all(c >= 32 or c in b"\t\n\v\f\r" for c in head)


@contextmanager
def opened(content: Content) -> Iterator[io.TextIOBase]:
    """Open content, plain or compressed, as text; whatever fails is an `InputError`."""
    try:
        with decompressed(content) as binary:
            head = binary.peek(1024)[:1024]
            if not head:
                raise InputError("the file is empty", content.label)
            if b"\0" in head:
                raise InputError("this is not a text file, as it should be", content.label)
            # Comments may be in any encoding; anything odd in the data is found as a wrong word.
            yield io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape")
    except DAMAGED as error:
        raise InputError(
            f"decompression failed, the file is damaged or cut off: {error}", content.label
        ) from error
    except StoreAccessError:
        raise  # of a server, which says what it is
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror or error}", content.label) from error
