"""What an exporter is: it is told what will come, takes blocks of structures in order, and leaves a file.

An exporter knows one format and nothing of stores: where structures come from, which of them, and that its
file gets its name only when it is whole is the business of `zstruct.exporters.export`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.compression import compressor
from zstruct.exporters.limits import Limits

__all__ = ["Exporter", "TextExporter"]


class Exporter:
    """Writes structures in one format; a subclass for each.

    `begin` is called once, then `write` for each block in order, then `end`. If anything fails, `abort` is
    called in place of `end`.
    """

    #: Whether it makes a directory, not a file.
    makes_folder = False
    #: Patterns of names of files that such a directory may have, where others of its kind lack them.
    file_names: Sequence[str] = ()
    #: What the format can't carry: what is lost is said, and what it has no place for is refused.
    limits: ClassVar[Limits] = Limits()

    def lost(self, contents: Contents) -> dict[str, str]:
        """Return what the format can't carry: fields, or other things, and why, in a few words each."""
        return self.limits.lost(contents)

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file or directory `target`, which is not there yet, for the `contents` to come.

        Raises
        ------
        InputError
            If the format can't hold such structures at all.
        MissingExtraError
            If a package is needed that is not installed.
        """
        raise NotImplementedError

    def write(self, block: Block) -> None:
        """Append some structures.

        Raises
        ------
        InputError
            If one of them has no place in the format.
        """
        raise NotImplementedError

    def end(self) -> None:
        """Complete and close what was begun."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close what was begun; it will be removed."""
        self.end()


class TextExporter(Exporter):
    """Writes blocks as text that is appended to a file; texts of several blocks are made at a time.

    A file whose name ends in ``.gz``, ``.bz2``, ``.xz`` or ``.zst`` is compressed.
    """

    _file: BinaryIO
    _compress: Callable[[bytes], bytes] | None
    contents: Contents

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file."""
        self.contents = contents
        self._compress = compressor(target.name)
        self._file = open(target, "wb")  # noqa: SIM115 (closed by end)
        self.append(self.packed(self.head()))

    def head(self) -> bytes:
        """Return what the file begins with."""
        return b""

    def text(self, block: Block) -> bytes | NDArray[np.uint8]:
        """Return the text of some structures; called in several threads."""
        raise NotImplementedError

    def made(self, block: Block) -> bytes | NDArray[np.uint8]:
        """Return the text of some structures, compressed if the file is to be; called in several threads."""
        return self.packed(self.text(block))

    def packed(self, text: bytes | NDArray[np.uint8]) -> bytes | NDArray[np.uint8]:
        """Return text compressed, if the file is to be."""
        if self._compress is None or len(text) == 0:
            return text
        return self._compress(text if isinstance(text, bytes) else text.tobytes())

    def append(self, text: bytes | NDArray[np.uint8]) -> None:
        """Write what `made` has made; called in order."""
        self._file.write(text if isinstance(text, bytes) else text.data)

    def write(self, block: Block) -> None:
        """Append some structures."""
        self.append(self.made(block))

    def end(self) -> None:
        """Close the file."""
        self._file.close()
