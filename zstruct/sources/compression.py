"""Compressed inputs: known by their first bytes, read as streams, and what a damaged one raises."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zstruct.errors import InputError

__all__ = ["DAMAGED", "HEAD", "compression", "decompressed", "opened"]

#: Bytes of a file's beginning that `compression` needs.
HEAD = 8
#: What reading a damaged or cut-off stream raises, beside OSError.
DAMAGED = (EOFError, zlib.error, lzma.LZMAError)

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
_SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}
_OPEN: dict[str, Any] = {"": open, "gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}


def compression(head: bytes, path: str) -> str:
    r"""Return the name of a file's compression, by its first bytes or else its suffix; "" for none.

    Examples
    --------
    >>> compression(b"\x1f\x8b\x08", "a.xyz"), compression(b"3\nwater\n", "a.xyz.gz")
    ('gzip', '')
    """
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    # A damaged header must not make a compressed file pass for a bad text.
    suffix = next((name for end, name in _SUFFIXES.items() if path.lower().endswith(end)), "")
    return suffix if suffix and not _is_text(head) else ""


def decompressed(path: str, name: str) -> Any:
    """Open a file for reading, decompressed as `compression` says (not at all for "")."""
    return _OPEN[name](path, "rb")


def _is_text(head: bytes) -> bool:
    return bool(head) and all(c >= 32 or c in b"\t\n\v\f\r" for c in head)


@contextmanager
def opened(path: str, label: str) -> Iterator[io.TextIOBase]:
    """Open a file, plain or compressed, as text; whatever fails is an `InputError`."""
    try:
        with open(path, "rb") as file:
            name = compression(file.read(HEAD), path)
        with decompressed(path, name) as binary:
            head = binary.peek(1024)[:1024]
            if not head:
                raise InputError("the file is empty", label)
            if b"\0" in head:
                raise InputError("this is not a text file, as it should be", label)
            # Comments may be in any encoding; anything odd in the data is found as a wrong word.
            yield io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape")
    except DAMAGED as error:
        raise InputError(f"decompression failed, the file is damaged or cut off: {error}", label) from error
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror or error}", label) from error
