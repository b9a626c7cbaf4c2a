"""Compressed inputs: known by their first bytes, read as streams, and what reading a damaged one raises."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from typing import Any

__all__ = ["DAMAGED", "HEAD", "compression", "decompressed"]

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
