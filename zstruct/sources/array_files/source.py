"""Structures in a file of named arrays: what all formats of that kind share.

A format opens its file and says what it knows of it; which array is what is found in
`zstruct.sources.array_files.recognition`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal

from zstruct.errors import InputError
from zstruct.sources.array_files.recognition import table_of
from zstruct.sources.array_files.stored import Dialect, StoredArray
from zstruct.sources.array_files.table import Table
from zstruct.sources.content import Content
from zstruct.sources.source import SLICE_BYTES, FileSource, Raw, Slice

__all__ = ["BLOCK_BYTES", "ArrayFileSource"]

#: Bytes of a block in double precision: blocks of half of this are parts as they are.
BLOCK_BYTES = 16 << 20


class ArrayFileSource(FileSource):
    """The part that sources of named arrays share; a subclass for each format.

    Parameters
    ----------
    path
        The file.
    places
        Where what makes a structure is, as the user says it: the array's name by that of `PLACES`.
    """

    runs_in: Literal["threads", "processes", "here", "caller"] = "threads"

    def __init__(self, path: str | os.PathLike[str] | Content, *, places: Mapping[str, str] | None = None):
        super().__init__(path)
        self.places = dict(places or {})
        self._known: Table | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def arrays(self) -> AbstractContextManager[Mapping[str, StoredArray]]:
        """Open the file for a while, and have its arrays by name.

        Raises
        ------
        InputError
            If it is damaged; what is raised while they are read, too.
        """
        raise NotImplementedError

    def dialect(self, arrays: Mapping[str, StoredArray]) -> Dialect:
        """Return what the format says of these arrays."""
        return Dialect()

    def said(self, arrays: Mapping[str, StoredArray]) -> Mapping[str, str]:
        """Return where the user says that what makes a structure is, by the names of these arrays."""
        return self.places

    def table(self, arrays: Mapping[str, StoredArray]) -> Table:
        """Return what the arrays are, found out once."""
        with self._lock:
            if self._known is None:
                self._known = table_of(arrays, self.said(arrays), self.dialect(arrays), self.label)
            return self._known

    def scan(self) -> list[Slice]:
        """Return ranges of structures of about `SLICE_BYTES`; one if they can be read in order only.

        Raises
        ------
        InputError
            If the arrays don't make structures, or there are none.
        """
        with self.arrays() as arrays:
            table = self.table(arrays)
            if table.n == 0:
                raise InputError("there are no structures: the arrays are empty", self.label)
            if table.in_order:
                return [Slice(0, table.n, 0, table.nbytes(0, table.n))]
            ranges = table.ranges(0, table.n, SLICE_BYTES)
            return [Slice(first, last, first, table.nbytes(first, last)) for first, last in ranges]

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures of a slice in blocks."""
        with self.arrays() as arrays:
            table = self.table(arrays)
            for first, last in table.ranges(piece.start, piece.stop, BLOCK_BYTES):
                yield table.block(arrays, first, last)
