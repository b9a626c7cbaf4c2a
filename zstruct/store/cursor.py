"""Read an array from front to back, in pieces that end inside of chunks: each chunk is decoded once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.store.shards import ArrayReader
from zstruct.store.store import Store

__all__ = ["RowCursor"]


class RowCursor:
    """Reads rows of one array, in one thread; keeps the chunk in which the last piece ended.

    Parameters
    ----------
    store
        The store.
    name
        Path of the array.
    """

    def __init__(self, store: Store, name: str):
        self._reader = ArrayReader(store, name)
        self._shape, self._dtype = store.shape(name), store.dtype(name)
        self._size = store.grid(name).chunk_rows
        self._first = -1  # row of the chunk that is kept
        self._kept: NDArray[Any] | None = None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start:stop``, decoded and checked.

        Raises
        ------
        CorruptStoreError
            If a checksum or a chunk does not fit; names the array.
        """
        out = np.empty((stop - start, *self._shape[1:]), self._dtype)
        at = start
        while at < stop:
            first = at - at % self._size
            last = min(first + self._size, self._shape[0])
            end = min(last, stop)
            here = out[at - start : end - start]
            if at == first and end == last:
                self._reader.read_into(first, last, here)
            else:
                here[...] = self._chunk(first, last)[at - first : end - first]
            at = end
        return out

    def _chunk(self, first: int, last: int) -> NDArray[Any]:
        if self._kept is None or self._first != first:
            self._kept = np.empty((last - first, *self._shape[1:]), self._dtype)
            self._first = -1
            self._reader.read_into(first, last, self._kept)
            self._first = first
        return self._kept
