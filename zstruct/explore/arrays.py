"""Arrays of a store as xarray indexes them: rows are read when they are asked for, and only those.

They hold a store and a name, so they pickle, fork and go to other machines as paths do, and what is
damaged is reported by the store itself. They know nothing of Datasets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from zstruct.explore.composition import composition, formulas
from zstruct.explore.selecting import rows_of
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM
from zstruct.store import Store

__all__ = ["StoredFormulas", "StoredRows", "StoredTexts", "lazy"]

_READ_BYTES = 1 << 27  # what is read at a time where only columns of it are kept


class _Stored(BackendArray):
    """An array that never changes, so that copies of what refers to it share it."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def __copy__(self) -> _Stored:
        return self

    def __deepcopy__(self, memo: Any) -> _Stored:
        return self

    def _read(self, key: tuple[Any, ...]) -> Any:
        raise NotImplementedError


class StoredRows(_Stored):
    """The rows of an array of a store."""

    def __init__(self, store: Store, name: str, n_rows: int | None = None):
        shape = store.shape(name)
        self.shape = shape if n_rows is None else (n_rows, *shape[1:])
        self.dtype = store.dtype(name)
        self._store, self._name = store, name

    def _read(self, key: tuple[Any, ...]) -> Any:
        first, rest = key[0], key[1:]
        if not isinstance(first, slice | np.ndarray):
            return _columns(self._store.read(self._name, int(first), int(first) + 1)[0], rest, 0)
        narrow = not all(_is_whole(k, n) for k, n in zip(rest, self.shape[1:], strict=True))
        parts = [
            _columns(self._store.read(self._name, start, stop)[local], rest, 1)
            for start, stop, local in self._runs(first, narrow)
        ]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return _columns(np.empty((0, *self.shape[1:]), self.dtype), rest, 1)
        return np.concatenate(parts)

    def _runs(self, which: slice | NDArray, narrow: bool) -> Iterator[tuple[int, int, Any]]:
        """Yield what to read and which rows of it are wanted: chunks side by side in one go."""
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=int))
        chunk = self._store.layout(self._name).chunk_rows
        most = max(chunk, _READ_BYTES // max(1, row_bytes) // chunk * chunk)
        if isinstance(which, slice):
            start, stop, step = which.indices(self.shape[0])
            if step == 1:
                size = most if narrow else max(1, stop - start)
                edges = [start, *range(start - start % size + size, stop, size), stop]
                yield from ((a, b, slice(None)) for a, b in pairwise(edges) if a < b)
                return
            rows = np.arange(start, stop, step)
        else:
            rows = which
        if len(rows) == 0:
            return
        chunks = rows // chunk
        breaks = np.flatnonzero((np.diff(chunks) > 1) | (np.diff(rows // most) > 0)) + 1
        for part in np.split(rows, breaks):
            first, last = int(part[0]), int(part[-1]) + 1
            yield first, last, slice(None) if len(part) == last - first else part - first


def _columns(rows: NDArray, rest: tuple[Any, ...], axis: int) -> Any:
    """Index the axes from `axis` on, each on its own."""
    for k in reversed(range(len(rest))):
        rows = rows[(slice(None),) * (axis + k) + (rest[k],)]
    return rows


class StoredTexts(_Stored):
    """The texts of a category field, looked up by their codes; a missing one is NaN."""

    dtype = np.dtype(object)

    def __init__(self, store: Store, name: str):
        self._codes = StoredRows(store, name)
        self.shape = self._codes.shape
        self._store, self._name = store, name
        self._table: NDArray[np.object_] | None = None

    def _read(self, key: tuple[Any, ...]) -> Any:
        if self._table is None:
            texts = [*self._store.categories(self._name), np.nan]  # code -1 finds the last
            self._table = np.array(texts, dtype=object)
        return self._table[self._codes._read(key)]


class StoredFormulas(_Stored):
    """Hill formulas of the structures of a store that does not keep them, computed from its atoms."""

    dtype = np.dtype(object)

    def __init__(self, store: Store):
        self.shape = (store.n_structures,)
        self._numbers = StoredRows(store, "numbers")
        self._starts = StoredRows(store, "offsets", store.n_structures)
        self._counts = StoredRows(store, "n_atoms")

    def _read(self, key: tuple[Any, ...]) -> Any:
        single = not isinstance(key[0], slice | np.ndarray)
        wanted = (np.array([key[0]]),) if single else key
        starts = self._starts._read(wanted)
        counts = self._counts._read(wanted).astype(np.int64)
        numbers = lazy((ATOM,), self._numbers, {}).isel({ATOM: rows_of(starts, counts)})
        texts = formulas(*composition(numbers, counts_to_offsets(counts)))
        return texts[0] if single else texts


def _is_whole(key: Any, length: int) -> bool:
    return isinstance(key, slice) and key.indices(length) == (0, length, 1)


def lazy(
    dims: tuple[str, ...], array: _Stored, attrs: Mapping[str, Any], cached: bool = False
) -> xr.Variable:
    """Return a variable that reads rows of a store when they are used.

    Parameters
    ----------
    dims, array, attrs
        What it has.
    cached
        Whether it holds on to its values once all of them were read, as what `xarray.open_dataset`
        returns does; a part of it that is read is not held.
    """
    data: Any = indexing.LazilyIndexedArray(array)
    data = indexing.CopyOnWriteArray(data)
    return xr.Variable(dims, indexing.MemoryCachedArray(data) if cached else data, dict(attrs))
