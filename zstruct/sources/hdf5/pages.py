"""Bytes of a file where kernels look for them: as many as are needed, in blocks, at their place in the file.

A file could be mapped into memory, but if it becomes shorter meanwhile, that kills the process.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from io import FileIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.sources.content import Content, MemoryContent
from zstruct.sources.hdf5.dataset_kernels import copy_values
from zstruct.sources.hdf5.object_kernels import BLOCK, FULL, NEED, NEED_BYTES, STATE

__all__ = ["Pages", "new_state", "plain_file"]

_AT_ONCE = 1 << 18  # bytes that are read where some of them are needed
_LARGE = 1 << 16  # bytes of a row that is read into its place
_MOST = 512 << 20  # bytes in memory
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Where sizes of addresses and the base address are, by the version of what a file begins with.
_HEADS = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}


def plain_file(content: Content, expected: int) -> Pages | None:
    """Return the pages of an HDF5 file, or None if its bytes are not where kernels can look for them.

    Parameters
    ----------
    content
        The file.
    expected
        How many of its bytes will be needed, about.
    """
    try:
        if isinstance(content, MemoryContent):
            pages = Pages(len(content.data), memory=content.data)
        elif content.path is not None:
            pages = Pages(os.path.getsize(content.path), path=content.path, expected=expected)
        else:
            return None
        head = bytes(pages.bytes(0, 48))
    except (OSError, MemoryError, ValueError, OverflowError):
        return None
    if len(head) < 48 or head[:8] != _SIGNATURE or head[8] not in _HEADS:
        return None
    sizes, base = _HEADS[head[8]]
    return pages if head[sizes : sizes + 2] == b"\x08\x08" and head[base : base + 8] == bytes(8) else None


class Pages:
    """The bytes of a file, of which only those that are needed are in memory.

    Parameters
    ----------
    size
        Bytes of the file.
    path
        Where it is.
    memory
        All of its bytes, if they are in memory.
    expected
        How many of them will be needed, about: the more, the more are read at once.

    Raises
    ------
    OSError
        If it can't be read, or if the system has no addresses for a file of that size.
    """

    def __init__(self, size: int, *, path: str = "", memory: bytes | None = None, expected: int = 0):
        self._path, self._expected = path, expected
        self._n_loaded = 0
        self.loaded = np.full((size >> BLOCK) + 1, memory is not None)
        if memory is not None:
            self.data = np.frombuffer(memory, np.uint8).copy()  # one that can be written, as the other is
        elif hasattr(mmap, "MAP_NORESERVE"):
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_NORESERVE
            self.data = np.frombuffer(mmap.mmap(-1, max(1, size), flags=flags), np.uint8)[:size]
        else:
            self.data = np.zeros(size, dtype=np.uint8)

    def bytes(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return some bytes, as many as there are."""
        stop = min(stop, len(self.data))
        self.load(start, stop)
        return self.data[start:stop]

    def load(self, start: int, stop: int) -> None:
        """Have some bytes in memory.

        Raises
        ------
        OSError
            If the file can't be read, or is shorter than it was.
        MemoryError
            If that is too much.
        """
        stop = min(stop, len(self.data))
        first, last = start >> BLOCK, (stop - 1) >> BLOCK
        if stop <= start or self.loaded[first : last + 1].all():
            return
        begin, end = first << BLOCK, min((last + 1) << BLOCK, len(self.data))
        self._n_loaded += end - begin
        if self._n_loaded > _MOST:
            raise MemoryError("what is needed of the file is all over it")
        with open(self._path, "rb", buffering=0) as file:
            _fill(file, begin, self.data[begin:end])
        self.loaded[first : last + 1] = True

    def copy(self, addresses: NDArray[np.int64], rows: NDArray[np.uint8]) -> None:
        """Copy what is at places in the file to rows.

        Raises
        ------
        OSError
            If the file can't be read, or is shorter than it was.
        MemoryError
            If that is too much.
        """
        if not self._path or rows.shape[1] < _LARGE:
            if not self.call(copy_values, addresses, rows, state=new_state()):
                raise OSError("the file ends before its values do")
            return
        with open(self._path, "rb", buffering=0) as file:
            for row, at in zip(rows, addresses.tolist(), strict=True):
                _fill(file, at, row)

    def call(self, kernel: Callable[..., int], *arguments: Any, state: NDArray[np.int64]) -> bool:
        """Call a kernel until it is done, and load what it asks for; return False if that is not enough."""
        while found := kernel(self.data, self.loaded, *arguments, state):
            if found == FULL:
                return False
            start = int(state[NEED])
            ahead = _AT_ONCE if self._n_loaded < 2 * self._expected else 0
            self.load(start, start + max(int(state[NEED_BYTES]), ahead))
        return True


def _fill(file: FileIO, at: int, row: NDArray[np.uint8]) -> None:
    """Read the bytes at a place in a file into a row."""
    file.seek(at)
    done = 0
    while done < len(row):
        n = file.readinto(row[done:].data)
        if not n:
            raise OSError("the file became shorter while it was read")
        done += n


def new_state() -> NDArray[np.int64]:
    """Return what goes along from call to call of a kernel."""
    return np.zeros(STATE, dtype=np.int64)
