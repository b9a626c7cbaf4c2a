"""Texts compressed in pieces: each is a whole member, and members in a row are one file.

Gzip, bzip2, xz and zstd all say so, and so pieces are compressed in several threads at a time.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable

from zstruct.errors import MissingExtraError
from zstruct.sources.compression import SUFFIXES

__all__ = ["compressor"]


def compressor(name: str) -> Callable[[bytes], bytes] | None:
    """Return what compresses as the name of a file says, or None.

    Raises
    ------
    MissingExtraError
        If that needs a package that is not installed.

    Examples
    --------
    >>> compressor("a.xyz") is None, compressor("a.xyz.bz2")(b"abc")[:3]
    (True, b'BZh')
    """
    kind = next((kind for end, kind in SUFFIXES.items() if name.lower().endswith(end)), None)
    if kind is None:
        return None
    return _COMPRESS[kind]


def _bzip2(text: bytes) -> bytes:
    return bz2.compress(text)


def _xz(text: bytes) -> bytes:
    return lzma.compress(text)


def _gzip(text: bytes) -> bytes:
    return gzip.compress(text, 6, mtime=0)


def _zstd(text: bytes) -> bytes:
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtraError(
            "files compressed by zstd need a package: pip install 'zstruct[zst]'"
        ) from error
    made: bytes = zstandard.ZstdCompressor().compress(text)
    return made


_COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": _gzip, "bzip2": _bzip2, "xz": _xz, "zstd": _zstd}
