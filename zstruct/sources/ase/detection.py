"""Which of ASE's formats a file is in, found by its name or by how it begins.

Files that can't be opened, or whose compression is damaged before their format can be told, become
sources that say so when they are read: one of them must not end a build that skips bad inputs.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from typing import Any

from zstruct.errors import InputError
from zstruct.sources.source import FileSource, Raw, Slice

__all__ = ["DetectionError", "UnreadableSource", "ase_format", "ase_format_by_name"]

_COMPRESSED = (".gz", ".bz2", ".xz")


class DetectionError(Exception):
    """Why the beginning of a file can't be read."""


class UnreadableSource(FileSource):
    """A file of which nothing can be read, and why."""

    def __init__(self, path: str | os.PathLike[str], reason: str):
        super().__init__(path)
        self.reason = reason

    def fingerprint(self) -> dict[str, Any]:
        """Raise `InputError` with the reason."""
        raise InputError(self.reason, self.label)

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Raise `InputError` with the reason."""
        raise InputError(self.reason, self.label)


def ase_format_by_name(path: str) -> str | None:
    """Return the ASE format whose pattern a file name matches, such as ``*OUTCAR*``, or None."""
    from ase.io.formats import ioformats

    base = os.path.basename(path)
    root, suffix = os.path.splitext(base)
    base = root if suffix in _COMPRESSED else base
    return next((f.name for f in ioformats.values() if f.can_read and f.match_name(base)), None)


def ase_format(path: str) -> str | None:
    """Return the ASE format of a file, by its name and then by its content, or None.

    Raises
    ------
    DetectionError
        If it can't be opened, or its compressed data is damaged where it begins.
    """
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Names such as mysql.out would be taken for servers if they were not absolute.
            format = filetype(os.path.abspath(path), guess=False)
    except UnknownFileTypeError:
        return None
    except (OSError, EOFError, zlib.error, LZMAError) as error:
        raise DetectionError(_reason(path, error)) from error
    return format if format in ioformats and ioformats[format].can_read else None


def _reason(path: str, error: BaseException) -> str:
    said = getattr(error, "strerror", None)
    if said:
        return f"can't be opened: {said}"
    packed = path.endswith(_COMPRESSED)
    what = "the compressed data is damaged" if packed else "can't be read"
    return f"{what}, so its format can't be told ({error}); mend the file, or leave it out"
