"""What sources of formats of lines share: slices, windows, and frames that need a closer look.

A format says with which words lines begin (`Keys`) and which of them begin a frame. It reads the usual
frames of a window all together; what is unusual about the others, or wrong with them, is found by reading
them one by one. Both ways give the same numbers.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.sources.compression import HEAD, compression, decompressed
from zstruct.sources.content import Content
from zstruct.sources.lines.frames import FaultError, Frame, joined, part
from zstruct.sources.lines.streams import fill
from zstruct.sources.lines.windows import Keys, Window, windows
from zstruct.sources.source import SLICE_BYTES, BadFrame, FileSource, Raw, Slice

__all__ = ["LineSource"]

#: Bytes that the window of a scan begins with.
_SCAN_BYTES = 4 << 20
_ANYWHERE = 1 << 62
_HEAD_BYTES = 1024


@keywords()
class LineSource(FileSource):
    """A text file of frames that begin with a known line.

    Parameters
    ----------
    path
        The file, perhaps compressed.
    """

    runs_in = "threads"
    one_pass = True
    #: The words that lines begin with.
    keys: ClassVar[Keys]
    #: What a frame begins with, for messages.
    begins: ClassVar[str]

    def __init__(self, path: str | os.PathLike[str] | Content):
        super().__init__(path)
        self._counted: dict[int, int] = {}

    def starts(self, runs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the runs with which frames begin."""
        return np.flatnonzero(runs[:, 0] == 2)

    def usual(self, window: Window) -> list[Raw]:
        """Return the usual frames of a window, in their order, in as many blocks as it takes."""
        raise NotImplementedError

    def closely(self, lines: list[str], at: int, number: int, last: bool) -> Frame:
        """Return one frame.

        Parameters
        ----------
        lines
            Its lines, up to the next frame.
        at
            How many lines are before it.
        number
            Of the frame in the file.
        last
            Whether the file ends with it.

        Raises
        ------
        FaultError
            With what is wrong.
        """
        raise NotImplementedError

    def before(self, lines: list[str]) -> str:
        """Return what is wrong with what precedes all frames; nothing if it may be there."""
        return ""

    def check(self, window: Window) -> None:
        """Raise an `InputError` if the file can't be read any further."""

    def scan(self) -> list[Slice]:
        """Return slices of about `SLICE_BYTES` cut where frames begin; a compressed file is one slice.

        Raises
        ------
        InputError
            If the file can't be opened, is empty, or is no text.
        """
        size = int(self.fingerprint()["size"])
        self._check()
        if size <= SLICE_BYTES or self._compression():
            return [Slice(0, size, 0, size)]
        slices: list[Slice] = []
        start = first = base = 0
        with self.content.open() as file:
            for window in windows(file, self.keys, self.starts, _SCAN_BYTES, size, 0, self.label):
                places = base + window.runs[window.edges[:-1], 1]
                while True:
                    k = int(np.searchsorted(places, start + SLICE_BYTES))
                    if k >= len(places) or window.first + k == first:
                        break
                    cut = int(places[k])
                    slices.append(Slice(start, cut, first, cut - start))
                    start, first = cut, window.first + k
                base += window.stop
        return [*slices, Slice(start, size, first, size - start)]

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the frames of a slice; frames that can't be read are listed in `Raw.bad`.

        Raises
        ------
        InputError
            If the file can't be opened or decompressed, is empty or no text, or is shorter than it was.
        """
        self._check()
        compressed = self._compression()
        with decompressed(self.content) if compressed else self.content.open() as stream:
            nbytes = _ANYWHERE if compressed else piece.stop - piece.start
            size = SLICE_BYTES if compressed else min(nbytes, 2 * SLICE_BYTES)
            ends = True
            if not compressed:
                length = stream.seek(0, 2)
                if length < piece.stop:
                    raise InputError("the file has become shorter since it was scanned", self.label)
                ends = length == piece.stop
                stream.seek(piece.start)
            for window in windows(
                stream, self.keys, self.starts, size, nbytes, piece.first_frame, self.label
            ):
                yield from self._blocks(window, piece.start, ends)

    def _blocks(self, window: Window, start: int, ends: bool) -> Iterator[Raw]:
        """Yield the frames of a window in their order."""
        self.check(window)
        bad: list[BadFrame] = []
        if window.first == 0 and start == 0 and window.line == 0:
            lines = window.lines(-1)
            if window.last and not len(window):
                bad.append(BadFrame(0, f"the file ends before any structure begins (a line {self.begins!r})"))
            elif lines and (why := self.before(lines)):
                bad.append(BadFrame(None, why))
        usual = [raw for raw in self.usual(window) if len(raw.frames)]
        odd = np.ones(len(window), dtype=bool)
        for raw in usual:
            odd[raw.frames - window.first] = False
        found: list[Frame] = []
        for k in np.flatnonzero(odd).tolist():
            number = window.first + k
            last = window.last and ends and k == len(window) - 1
            try:
                at = window.line_of(k) + self._lines_before(start)
                found.append(self.closely(window.lines(k), at, number, last))
            except FaultError as error:
                bad.append(BadFrame(number, str(error)))
        blocks = list(_in_order(usual, found))
        if not blocks and bad:
            empty = np.zeros(0, dtype=np.int64)
            yield Raw(empty, empty, bad=bad)
        for raw in blocks:
            yield replace(raw, bad=bad)
            bad = []

    def _lines_before(self, start: int) -> int:
        """Return how many lines are before a slice."""
        if start not in self._counted:
            with self.content.open() as file:
                n, room = 0, bytearray(1 << 20)
                while start > n:
                    got = fill(file, memoryview(room)[: start - n], self.label)
                    self._counted[start] = self._counted.get(start, 0) + room[:got].count(b"\n")
                    n += got or start
            self._counted.setdefault(start, 0)
        return self._counted[start]

    def _check(self) -> None:
        """Refuse what is empty or no text."""
        with decompressed(self.content) if self._compression() else self.content.open() as stream:
            room = bytearray(_HEAD_BYTES)
            head = bytes(room[: fill(stream, memoryview(room), self.label)])
        if not head:
            raise InputError("the file is empty", self.label)
        if b"\0" in head:
            raise InputError("this is not a text file, as it should be", self.label)

    def _compression(self) -> str:
        with self.content.open() as file:
            room = bytearray(HEAD)
            return compression(bytes(room[: fill(file, memoryview(room), self.label)]), self.content.name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_counted": {}}


def _in_order(usual: list[Raw], found: list[Frame]) -> Iterator[Raw]:
    """Yield blocks of frames in the order of their numbers."""
    rest = found[::-1]

    def before(number: int) -> list[Frame]:
        taken = []
        while rest and rest[-1].number < number:
            taken.append(rest.pop())
        return taken

    for raw in usual:
        start = 0
        while start < len(raw.frames):
            yield from _blocks_of(before(int(raw.frames[start])))
            stop = int(np.searchsorted(raw.frames, rest[-1].number)) if rest else len(raw.frames)
            yield part(raw, start, stop)
            start = stop
    yield from _blocks_of(rest[::-1])


def _blocks_of(frames: list[Frame]) -> Iterator[Raw]:
    """Yield blocks of frames: those with elements, with numbers for types, and with names for them apart."""
    for _, few in itertools.groupby(frames, key=lambda f: "" if f.types is None else f.types.dtype.kind):
        yield joined(list(few))
