"""Compressed inputs: how they are known, opened, and what a damaged one raises."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, cast

from zstruct.errors import InputError, MissingExtraError, StoreAccessError
from zstruct.sources.content import Content
from zstruct.text import sized

__all__ = [
    "DAMAGED",
    "HEAD",
    "LARGE_WINDOW",
    "MEMORY",
    "SUFFIXES",
    "begins",
    "compression",
    "decompressed",
    "kind_of",
    "most_in",
    "opened",
    "opened_bytes",
    "stem",
    "unpacked",
]

#: Bytes of a file's beginning that `compression` needs.
HEAD = 8
#: What reading a damaged or cut-off stream raises, beside OSError.
DAMAGED = (EOFError, zlib.error, lzma.LZMAError)

_MAGIC = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
# Of a block, or of the end; a tar archive begins with a name, which may begin with BZh1, too.
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&|\x17rE8)")
#: Ends of names of compressed files, in lower case, and what compressed them.
SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}

_PIECE = 1 << 18  # bytes of compressed data
_BUFFER = 1 << 17  # bytes of what is in it
_GUESS = 20  # times the compressed bytes
#: What is larger than this when it is decompressed, and so many times as large as it was, is refused.
_LARGE, _RATIO = 64 << 20, 500
#: Memory that unpacking may take: windows can be larger.
MEMORY = 1 << 30
# What lzma and zstd say where they would take more memory than they may.
_LARGE_SIGNS = ("Memory usage limit", "requires too much memory")
#: What is said of those that would take more.
LARGE_WINDOW = (
    "it is packed with so large a window that to unpack it takes more than 1 GiB of memory; unpack it "
    "yourself, or pack it anew, by xz or LZMA with a dictionary, by zstd with a window, of at most 512 MiB"
)
# Bytes that zstd is given at once: it returns all that is in them, which may be 2^15 times as much.
_ZSTD_PIECE = 1 << 11


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
    if _BZIP2.match(head):
        return "bzip2"
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


def decompressed(content: Content) -> io.BufferedReader[Any]:
    """Open content for reading, buffered, decompressed as its first bytes or its name say.

    What is compressed is read once, from front to back, in large pieces: a thread that does so holds up no
    other. It can seek only if it is not compressed.

    Raises
    ------
    InputError
        If it can't be opened; when it is read, if it is as large as bombs are, or if to unpack it takes more
        than 1 GiB of memory.
    MissingExtraError
        If its compression needs a package that is not installed.
    """
    kind = kind_of(content)
    if not kind:
        return io.BufferedReader(content.open())
    new = _zstd() if kind == "zstd" else _MACHINES[kind]
    return io.BufferedReader(_Stream(new, content.open(), content.label, most_in(content)), _BUFFER)


def most_in(content: Content) -> int:
    """Return how many bytes may be in compressed content."""
    return max(_LARGE, _RATIO * int(content.fingerprint()["size"]))


def kind_of(content: Content) -> str:
    """Return the name of the compression of content, "" for none.

    Raises
    ------
    InputError
        If it can't be opened.
    """
    with content.open() as file:
        return compression(file.read(HEAD), content.name)


def _zstd() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtraError(
            "files compressed by zstd need a package: pip install 'zstruct[zst]'"
        ) from error
    return partial(_ZstdFrame, zstandard)


class _ZstdFrame:
    """Decompresses a frame of zstd as the machines of Python do theirs, some bytes at a time.

    Parameters
    ----------
    zstandard
        The package.
    """

    def __init__(self, zstandard: Any):
        self._frame = zstandard.ZstdDecompressor(max_window_size=MEMORY).decompressobj()
        self._error = zstandard.ZstdError
        self._packed = self._ready = memoryview(b"")
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        """Whether all of it has been returned."""
        return bool(self._frame.eof) and not self._ready

    @property
    def needs_input(self) -> bool:
        """Whether there is nothing more in what was given."""
        return not self._ready and not self._packed

    def decompress(self, data: bytes, most: int) -> bytes:
        """Return up to so many bytes of what is in all that was given."""
        if data:
            self._packed = memoryview(bytes(self._packed) + data)
        while not self._ready and self._packed:
            piece, self._packed = self._packed[:_ZSTD_PIECE], self._packed[_ZSTD_PIECE:]
            try:
                self._ready = memoryview(self._frame.decompress(piece))
            except self._error as error:
                raise zlib.error(str(error)) from error
            if self._frame.eof:
                self.unused_data = self._frame.unused_data + bytes(self._packed)
                self._packed = memoryview(b"")
        made, self._ready = bytes(self._ready[:most]), self._ready[most:]
        return made


class _Stream(io.RawIOBase):
    """All streams of a compressed file, one after the other; its end inside of one is an error.

    Parameters
    ----------
    new
        Makes what decompresses one stream.
    file
        The compressed bytes.
    label
        What messages call it.
    most
        Bytes that may be in it.
    """

    def __init__(self, new: Callable[[], Any], file: BinaryIO, label: str, most: int):
        self._new, self._file, self._label = new, file, label
        self._most = self._left = most
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
            try:
                data = self._at_work.decompress(self._rest, len(buffer))
            except (zlib.error, lzma.LZMAError) as error:
                if any(sign in str(error) for sign in _LARGE_SIGNS):
                    raise InputError(LARGE_WINDOW, self._label) from error
                raise
            self._rest = getattr(self._at_work, "unconsumed_tail", b"")
            if self._at_work.eof:
                self._rest, self._at_work = self._at_work.unused_data, None
        self._left -= len(data)
        if self._left < 0:
            raise InputError(
                f"it unpacks to more than {sized(self._most)}, hundreds of times its size: if it is no bomb, "
                "unpack it yourself",
                self._label,
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file as well."""
        self._file.close()
        super().close()


_MACHINES: dict[str, Callable[[], Any]] = {
    "gzip": partial(zlib.decompressobj, 31),
    "bzip2": bz2.BZ2Decompressor,
    "xz": partial(lzma.LZMADecompressor, memlimit=MEMORY),
}


@dataclass(frozen=True)
class _Unpacked:
    """What is in a compressed content."""

    packed: Content
    path: None = field(default=None, init=False)

    @property
    def label(self) -> str:
        return self.packed.label

    @property
    def name(self) -> str:
        return stem(self.packed.name)

    def fingerprint(self) -> dict[str, Any]:
        """Return that of the compressed bytes, and a guess of the size."""
        packed = self.packed.fingerprint()
        return {**packed, "size": _GUESS * int(packed["size"])}

    def open(self) -> BinaryIO:
        return cast(BinaryIO, decompressed(self.packed))


def unpacked(content: Content, *kinds: str) -> Content:
    """Return what is in content that is compressed in one of some ways, else content as it is.

    It is decompressed where it is read, once from front to back, and raises what `decompressed` does.
    """
    if content.path is not None and os.path.isdir(content.path):
        return content
    return _Unpacked(content) if kind_of(content) in kinds else content


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
def opened_bytes(content: Content) -> Iterator[Any]:
    """Open content, plain or compressed, as buffered bytes of a text; whatever fails is an `InputError`."""
    try:
        with decompressed(content) as binary:
            head = binary.peek(1024)[:1024]
            if not head:
                raise InputError("the file is empty", content.label)
            if b"\0" in head:
                raise InputError("this is not a text file, as it should be", content.label)
            yield binary
    except DAMAGED as error:
        raise InputError(
            f"decompression failed, the file is damaged or cut off: {error}", content.label
        ) from error
    except StoreAccessError:
        raise  # of a server, which says what it is
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror or error}", content.label) from error


@contextmanager
def opened(content: Content) -> Iterator[io.TextIOBase]:
    """Open content, plain or compressed, as text; whatever fails is an `InputError`."""
    with opened_bytes(content) as binary:
        # Comments may be in any encoding; anything odd in the data is found as a wrong word.
        yield io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape")
