"""Which of ASE's formats a file is in, found by its name or by how it begins.

Files that can't be opened, or whose compression is damaged before their format can be told, become
sources that say so when they are read: one of them must not end a build that skips bad inputs.
"""

from __future__ import annotations

import fnmatch
import io
import os
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from lzma import LZMAError
from typing import Any

from zstruct.errors import InputError
from zstruct.sources.compression import begins, stem
from zstruct.sources.content import Content
from zstruct.sources.source import FileSource, Raw, Slice

__all__ = ["DetectionError", "UnreadableSource", "ase_format", "ase_format_by_name"]

_HEAD_BYTES = 1 << 16


class DetectionError(Exception):
    """Why the beginning of a file can't be read."""


class UnreadableSource(FileSource):
    """A file of which nothing can be read, and why."""

    def __init__(self, path: str | os.PathLike[str] | Content, reason: str):
        super().__init__(path)
        self.reason = reason

    def fingerprint(self) -> dict[str, Any]:
        """Raise `InputError` with the reason."""
        raise InputError(self.reason, self.label)

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Raise `InputError` with the reason."""
        raise InputError(self.reason, self.label)


def ase_format_by_name(name: str) -> str | None:
    """Return the ASE format whose pattern a file name matches, such as ``*OUTCAR*``, or None."""
    from ase.io.formats import ioformats

    base = os.path.normcase(stem(name))
    return next((known for matches, known in _patterns(len(ioformats)) if matches(base)), None)


@cache
def _patterns(_n: int) -> list[tuple[Callable[[str], object], str]]:
    """Return the patterns of names that ASE knows, as long as it has so many formats, and their formats."""
    from ase.io.formats import ioformats

    readable = [format for format in ioformats.values() if format.can_read]
    return [
        (re.compile(fnmatch.translate(os.path.normcase(glob))).match, format.name)
        for format in readable
        for glob in format.globs
    ]


def ase_format(content: Content) -> str | None:
    """Return the ASE format of a file, by its name and then by its content, or None.

    Raises
    ------
    DetectionError
        If it can't be opened, or its compressed data is damaged where it begins.
    """
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    if content.path is None and (known := ase_format_by_name(content.name)) is not None:
        return known
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Paths are absolute: names such as mysql.out would be taken for servers.
            format = filetype(content.path or io.BytesIO(begins(content, _HEAD_BYTES)), guess=False)
    except UnknownFileTypeError:
        return None
    except (OSError, EOFError, zlib.error, LZMAError) as error:
        raise DetectionError(_reason(content, error)) from error
    return format if format in ioformats and ioformats[format].can_read else None


def _reason(content: Content, error: BaseException) -> str:
    said = getattr(error, "strerror", None)
    if said:
        return f"can't be opened: {said}"
    packed = stem(content.name) != content.name
    what = "the compressed data is damaged" if packed else "can't be read"
    return f"{what}, so its format can't be told ({error}); mend the file, or leave it out"
