"""Windows on a file of lines: moved along it, they hold whole frames, and say how their lines begin.

Memory is bounded by the size of a slice, or of the largest frame. What lines mean is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np
from numpy.typing import NDArray

from zstruct.sources.lines import kernels
from zstruct.sources.lines.kernels import BEFORE, CODE, LINES, PLACE
from zstruct.sources.lines.streams import fill

__all__ = ["Keys", "Window", "windows"]

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Keys:
    """The words that lines of a format begin with.

    Parameters
    ----------
    words
        The first is code 2, and so on; they have 24 characters at most, and a space follows them.
    alone
        Lines of these are a run each; other lines that begin alike and follow one another are one.
    ignored
        The character of lines that are as good as blank.
    """

    words: tuple[str, ...]
    alone: tuple[str, ...] = ()
    ignored: str = ""
    _table: tuple[NDArray[np.generic], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        heads = [word.encode() for word in self.words]
        keys = np.frombuffer(b"".join(head.ljust(24, b"\0") for head in heads), np.uint64).reshape(-1, 3)
        sizes = np.array([len(head) for head in heads], dtype=np.int64)
        leads, merged = np.zeros(256, dtype=np.uint8), np.ones(len(heads) + 2, dtype=bool)
        leads[[head[0] for head in heads]] = 1
        leads[list(self.ignored.encode())] = 2
        merged[[self.code(word) for word in self.alone]] = False
        object.__setattr__(self, "_table", (keys.copy(), sizes, leads, merged))

    def code(self, word: str) -> int:
        """Return the code of lines that begin with a word."""
        return self.words.index(word) + 2

    def runs(
        self, text: NDArray[np.uint8], start: int, stop: int, final: bool
    ) -> tuple[NDArray[np.int64], int]:
        """Return the runs of a text, see `zstruct.sources.lines.kernels.index_runs`, and where they end."""
        found: list[NDArray[np.int64]] = []
        p, before, room = start, 0, max(64, (stop - start) // 64)
        while True:
            runs = np.empty((room, 4), dtype=np.int64)
            n, p, lines = kernels.index_runs.for_work(2e-8 * (stop - p))(
                text, p, stop, final, *self._table, runs
            )
            runs = runs[:n]
            runs[:, BEFORE] += before
            before += lines
            if found and n and runs[0, CODE] == found[-1][-1, CODE] and self._table[3][runs[0, CODE]]:
                found[-1][-1, LINES] += runs[0, LINES]
                runs = runs[1:]
            found.append(runs)
            if n < room:
                return np.concatenate(found), p


@dataclass(frozen=True)
class Window:
    """A stretch of a file, and the frames in it.

    Parameters
    ----------
    text
        The bytes and some room behind; valid until the next window is asked for.
    stop
        The end of the valid bytes.
    runs
        Code, position, number of lines and lines before of each run of lines, shape (m, 4).
    edges
        Frame k has the runs ``edges[k]:edges[k + 1]``, shape (n + 1,). Those before the first are in none.
    first
        Number of the first frame.
    line
        Lines of the slice before the window.
    last
        Whether no other window follows.
    """

    text: NDArray[np.uint8]
    stop: int
    runs: NDArray[np.int64]
    edges: NDArray[np.int64]
    first: int
    line: int
    last: bool

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def owners(self) -> NDArray[np.int64]:
        """The frame of every run, shape (m,); -1 before the first."""
        return np.searchsorted(self.edges, np.arange(len(self.runs)), side="right") - 1

    def lines(self, frame: int) -> list[str]:
        """Return the lines of a frame, or with -1 those before the first."""
        start, stop = (0, self.edges[0]) if frame < 0 else self.edges[frame : frame + 2]
        begin = self.place(int(start))
        text = self.text[begin : self.place(int(stop))].tobytes().decode("utf-8", "backslashreplace")
        return text.removesuffix("\n").split("\n") if text else []

    def line_of(self, frame: int) -> int:
        """Return how many lines of the slice are before a frame."""
        return self.line + (int(self.runs[self.edges[frame], BEFORE]) if frame >= 0 else 0)

    def place(self, run: int) -> int:
        """Return where a run begins, or where the last one ends."""
        return int(self.runs[run, PLACE]) if run < len(self.runs) else self.stop

    def piece(self, start: int, stop: int) -> bytes:
        """Return some of the bytes."""
        return self.text[start:stop].tobytes()

    def texts(self, runs: NDArray[np.int64]) -> list[bytes]:
        """Return the bytes of some runs, ends of lines included."""
        ends = np.append(self.runs[1:, PLACE], self.stop)
        view = self.text.data  # NumPy's slices take longer than the texts themselves
        pairs = zip(self.runs[runs, PLACE].tolist(), ends[runs].tolist(), strict=True)
        return [bytes(view[i:j]) for i, j in pairs]

    def line_at(self, start: int) -> bytes:
        """Return the line that begins at a place, without its end."""
        size = 256
        while True:
            found = self.text[start : min(start + size, self.stop)].tobytes()
            line, newline, _ = found.partition(b"\n")
            if newline or start + size >= self.stop:
                return line
            size *= 8


def windows(
    stream: IO[bytes],
    keys: Keys,
    starts: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    size: int,
    nbytes: int,
    first: int,
    label: str,
) -> Iterator[Window]:
    """Move a window along a stream, growing it where a frame does not fit.

    Parameters
    ----------
    stream
        Where to read, at its present position.
    keys
        How lines begin.
    starts
        Returns the runs with which frames begin, of all runs of a window.
    size
        Bytes of the window to begin with.
    nbytes
        Bytes to read in all.
    first
        Number of the first frame.
    label
        The source, for messages.
    """
    room = min(size, nbytes + 1)
    text = np.empty(room + kernels.PAD, dtype=np.uint8)
    n = line = 0
    final, beginning = False, True
    while True:
        capacity = len(text) - kernels.PAD
        if not final:
            wanted = min(capacity - n, nbytes)
            got = fill(stream, memoryview(text.data)[n : n + wanted], label)
            n, nbytes = n + got, nbytes - got
            final = got < wanted or nbytes == 0
        text[n : n + kernels.PAD] = 10
        start = len(_BOM) if beginning and first == 0 and text[:3].tobytes() == _BOM else 0
        runs, stop = keys.runs(text, start, n, final)
        begins = starts(runs)
        if not final and len(begins) > 1:  # the last one may go on
            edges, begins = begins, begins[:-1]
        elif final:
            edges = np.append(begins, len(runs))
        else:
            text = np.concatenate([text, np.empty_like(text)])
            continue
        end = stop if final else int(runs[edges[-1], PLACE])
        before = 0 if final else int(runs[edges[-1], BEFORE])
        yield Window(text, end, runs[: edges[-1]], edges.astype(np.int64), first, line, final)
        if final:
            return
        first, line, beginning = first + len(begins), line + before, False
        rest = n - end
        text[:rest] = text[end:n].copy()
        n = rest
