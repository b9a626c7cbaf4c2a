"""What sources of the outputs of programs share: frames become blocks, and did the run end.

A program that is killed leaves an output that breaks off. Structures in it that are whole are kept, and noted
as "cut"; the one that was being written is a bad frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from zstruct.errors import InputError
from zstruct.sources.compression import HEAD, compression, opened_bytes
from zstruct.sources.lines.frames import Frame, joined
from zstruct.sources.source import BadFrame, FileSource, Raw, Slice

__all__ = ["CUT", "Found", "OutputError", "OutputSource"]

#: A structure, or why it can't be used.
Found = Frame | str

CUT = "the file ends inside of this structure: the calculation was stopped, or the file is cut off"

_FIRST_FRAMES, _BLOCK_FRAMES, _BLOCK_ATOMS = 32, 1 << 10, 1 << 17
_TAIL = 1 << 18


class OutputError(Exception):
    """Why an output can't be read at all, as a sentence."""


class OutputSource(FileSource):
    """The output of a program, plain or compressed.

    Parameters
    ----------
    path
        The file.
    """

    runs_in = "processes"
    #: What every output of a run that ended has near its end.
    end: ClassVar[bytes]
    #: What is said of an output without any.
    nothing: ClassVar[str] = "there is no structure with an energy in it"

    def found(self, stream: Any) -> Iterator[Found]:
        """Yield the structures of a stream of bytes.

        Raises
        ------
        OutputError
            If it can't be read at all.
        """
        raise NotImplementedError

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures of the file in blocks; those that can't be used are listed in `Raw.bad`.

        Raises
        ------
        InputError
            If the file can't be opened or decompressed, has no structure, or can't be read at all.
        """
        cut = not self._ends()
        frames: list[Frame] = []
        bad: list[BadFrame] = []
        n = n_atoms = 0
        size = _FIRST_FRAMES
        with opened_bytes(self.content) as stream:
            try:
                for one in self.found(stream):
                    if isinstance(one, Frame):
                        one.number = n
                        frames.append(one)
                        n_atoms += len(one.atom["positions"])
                    else:
                        bad.append(BadFrame(n, one))
                    n += 1
                    if n_atoms >= _BLOCK_ATOMS or len(frames) + len(bad) >= size:
                        yield _block(frames, bad, cut=cut)
                        frames, bad, n_atoms, size = [], [], 0, _BLOCK_FRAMES
            except OutputError as error:
                raise InputError(str(error), self.label) from error
        if not n:
            why = ": the calculation was stopped before, or the file is cut off" if cut else ""
            raise InputError(f"{self.nothing}{why}", self.label)
        if frames or bad:
            yield _block(frames, bad, cut=cut)

    def _ends(self) -> bool:
        """Tell whether the file ends as that of a run that ended."""
        with self.content.open() as file:
            if not compression(file.read(HEAD), self.content.name):
                file.seek(max(0, file.seek(0, 2) - _TAIL))
                return self.end in file.read()
        last = before = b""
        with opened_bytes(self.content) as stream:
            while block := stream.read(_TAIL):
                before, last = last, block
        return self.end in before + last


def _block(frames: list[Frame], bad: list[BadFrame], *, cut: bool) -> Raw:
    if not frames:
        empty = np.zeros(0, dtype=np.int64)
        return Raw(empty, empty, bad=bad)
    raw = joined(frames)
    raw.bad = bad
    if cut:
        raw.notes["cut"] = np.ones(len(frames), dtype=bool)
    return raw
