"""A table of numbers in a file of text, so many in each line, some lines at a time.

What the numbers mean is not known here.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.sources.lines import table_kernels as kernels
from zstruct.sources.numerals import number

__all__ = ["NumberTable"]

_PIECE = 1 << 20


class _Readable(Protocol):
    """A file that is read into memory which is there."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


class NumberTable:
    """The lines of a file as rows of numbers.

    Empty lines may be at the end. Numbers are spelled as Python or Fortran does it.

    Parameters
    ----------
    file
        The file, at its beginning.
    name, label
        What messages call it, and where it is.
    width
        Numbers of a line.
    """

    def __init__(self, file: _Readable, name: str, label: str, width: int):
        self._file, self._name, self._label, self._width = file, name, label, width
        self._text = np.empty(_PIECE + kernels.PAD, np.uint8)
        self._at = self._stop = 0
        self._lines, self._ended = 0, False
        self._empty: int | None = None  # the first of the empty lines at the end

    def take(self, n: int) -> NDArray[np.float64]:
        """Return the next rows, as many or, at the end, fewer; shape (n, width).

        Raises
        ------
        InputError
            If a line holds anything else: names it.
        """
        rows, done = np.empty((n, self._width)), 0
        while done < n:
            stop = self._last_line()
            if stop == self._at:
                break
            done += self._read(stop, rows[done:])
        return rows[:done]

    def _read(self, stop: int, rows: NDArray[np.float64]) -> int:
        """Read lines that are in memory, up to a position; return how many have numbers."""
        room = min(len(rows), (stop - self._at) // 2 + 1)
        places, odd = np.empty(room + 1, np.int64), np.zeros(room, dtype=bool)
        read = kernels.read_table.for_work(3e-6 * ((stop - self._at) // 8))
        n = read(self._text, self._at, stop, self._width, rows.reshape(-1), places, odd)
        filled = n
        for k in np.flatnonzero(odd[:n]).tolist():
            line = self._text[places[k] : places[k + 1]].tobytes()
            if line.strip():
                rows[k], odd[k] = self._closely(line, self._lines + k + 1), False
            else:
                filled = min(filled, k)
        if filled < n and not odd[filled:n].all():
            self._closely(b"", self._lines + filled + 1)
        if self._empty is not None and filled:
            self._closely(b"", self._empty)
        if filled < n and self._empty is None:
            self._empty = self._lines + filled + 1
        self._at, self._lines = int(places[n]), self._lines + n
        return filled

    def _last_line(self) -> int:
        """Return where the last whole line that is in memory ends; read more if there is none."""
        while True:
            stop = self._stop
            while stop > self._at:
                start = max(self._at, stop - 4096)
                found = self._text[start:stop].tobytes().rfind(b"\n")
                if found >= 0:
                    return start + found + 1
                stop = start
            if self._ended:
                return self._at
            self._more()

    def _more(self) -> None:
        """Read more of the file behind what is left in memory."""
        left = self._stop - self._at
        if left * 2 > len(self._text) - kernels.PAD:
            larger = np.empty(2 * len(self._text), np.uint8)
            larger[:left] = self._text[self._at : self._stop]
            self._text = larger
        else:
            self._text[:left] = self._text[self._at : self._stop].copy()
        self._at = 0
        room = self._text[left : len(self._text) - kernels.PAD].data
        try:
            got = self._file.readinto(room) or 0
        except OSError as error:
            raise InputError(f"{self._name} can't be read: {error.strerror}", self._label) from error
        self._stop = left + got
        if got == 0:
            self._ended = True
            if left and self._text[left - 1] != ord("\n"):
                self._text[left] = ord("\n")
                self._stop += 1
        self._text[self._stop : self._stop + kernels.PAD] = ord("\n")

    def _closely(self, line: bytes, where: int) -> list[float]:
        """Return the numbers of a line that is unusual, or say what is wrong with it."""
        words = line.decode("utf-8", "backslashreplace").split()
        if len(words) != self._width:
            raise InputError(
                f"{self._name}, line {where}: there are {len(words)} numbers, it should be {self._width}",
                self._label,
            )
        values = []
        for word in words:
            try:
                values.append(number(word))
            except ValueError:
                raise InputError(
                    f"{self._name}, line {where}: {word[:40]!r} is not a number", self._label
                ) from None
        return values
