"""Read rows of a store's arrays to where they are wanted: from its files if that can be, else through zarr.

`chunk_reader` reads the files of the profile that `zstruct.store.write` writes (`Store.profile` tells which
arrays have it). This says what is wrong with them, in words of the store.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import CorruptStoreError, InputError
from zstruct.paths_and_urls import refused
from zstruct.precision import copied, too_large
from zstruct.schema import ATOM
from zstruct.store.chunk_reader import ChunkReader
from zstruct.store.store import Store
from zstruct.store.view import StoreView

__all__ = ["ArrayReader"]

_OFFSETS = "offsets"


class ArrayReader:
    """Reads rows of one array; straight from the shards if it can, else through `Store.read`.

    Many threads may read at once, and it pickles.

    Parameters
    ----------
    store
        The store, or a view of it.
    name
        The array.
    """

    def __init__(self, store: Store | StoreView, name: str):
        self.store, self.name = store, name
        spec = store.profile(name)
        self._reader = None if spec is None else ChunkReader(store.path, spec, partial(store.checksums, name))

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrayReader, (self.store, self.name)

    @property
    def direct(self) -> bool:
        """Whether the shards are read without zarr."""
        return self._reader is not None

    @property
    def path(self) -> str | None:
        """Where the array is in its store, if its shards are read without zarr."""
        return None if self._reader is None else self._reader.spec.path

    def read_into(self, start: int, stop: int, out: NDArray[Any], *, private: bool = True) -> None:
        """Decode rows ``start:stop`` into an array, cast to its dtype as by `numpy.ndarray.astype`.

        Parameters
        ----------
        start, stop
            Rows, in the range of the array.
        out
            Where they go, shape (stop - start, ...), C-contiguous.
        private
            Whether nobody else reads or writes there meanwhile, be it to decode the same rows.

        Raises
        ------
        CorruptStoreError
            If a checksum, a chunk or a file does not fit; names the array and the chunk.
        InputError
            If a number would become infinite by the cast; names the structure.
        """
        if self._reader is None:
            try:
                values = self.store.read(self.name, start, stop)
                copied(values, out)
            except FloatingPointError:
                self._refuse(start, values)
            return
        for chunk in self._reader.chunks(start, stop):
            try:
                self._reader.copy(chunk, start, stop, out, private=private)
            except FloatingPointError:
                self._refuse(start, self.store.read(self.name, start, stop))
            except (ValueError, RuntimeError, OSError) as error:
                spec = self._reader.spec
                rows = spec.grid.chunk_rows
                raise refused(self.store.path, error) or CorruptStoreError(
                    f"{self.store.path}: chunk {chunk} (rows {chunk * rows}:{(chunk + 1) * rows}) of "
                    f"{spec.path} can't be decoded ({error}); "
                    "restore the store from a copy or build it again"
                ) from error

    def _refuse(self, start: int, values: NDArray[Any]) -> None:
        """Raise, as one of the values, of rows from `start` on, is too large for single precision."""
        row, sentence = too_large(self.name, values)
        row += start
        if self.store.columns[self.name].level == ATOM:
            offsets = self.store.read(_OFFSETS, 0, self.store.n_structures + 1)
            row = int(np.searchsorted(offsets, row, side="right")) - 1
        raise InputError(f"{self.store.path}, structure {row}: {sentence}") from None
