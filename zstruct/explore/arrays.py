"""Arrays of a store as xarray indexes them: rows are read when they are asked for, and only those.

They hold a store and a name, so they pickle, fork and go to other machines as paths do, and what is damaged
is reported by the store itself.
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

from zstruct.explore.composition import composition, distinct_formulas
from zstruct.explore.selection import rows_of
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM
from zstruct.store.store import Store

__all__ = ["StoredFormulas", "StoredRows", "StoredTexts", "is_all", "lazy"]

_MANY = 0.1  # from this fraction of formulas on, all are computed
_HELD_BYTES = 1 << 30
_READ_BYTES = 1 << 27  # what is read at a time where only columns of it are kept


class _Stored(BackendArray):
    """An array that never changes, so that copies of what refers to it share it.

    Xarray compares coordinates in every operation, by value unless they are one object, and does not let
    copies share what it has cached. So these arrays hold their values themselves where `hold` says so.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        # Xarray's own decomposition fails on empty slices that step backwards.
        plain = tuple(
            slice(0, 0) if isinstance(k, slice) and not range(*k.indices(n)) else k
            for k, n in zip(key.tuple, self.shape, strict=True)
        )
        support = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(type(key)(plain), self.shape, support, self.read)

    def __copy__(self) -> _Stored:
        return self

    def __deepcopy__(self, memo: Any) -> _Stored:
        return self

    def read(self, key: tuple[Any, ...]) -> Any:
        """Return what a slice, an integer or rising integers for each dimension pick, each on its own."""
        raise NotImplementedError


class StoredRows(_Stored):
    """The rows of an array of a store.

    Parameters
    ----------
    store, name
        Where it is.
    n_rows
        How many of them, if not all.
    hold
        Whether to keep the values, of up to a gigabyte, from when all of them are read, or so many here and
        there that it comes to the same, as for each group of a ``groupby``.
    """

    def __init__(self, store: Store, name: str, n_rows: int | None = None, hold: bool = False):
        shape = store.shape(name)
        self.shape = shape if n_rows is None else (n_rows, *shape[1:])
        self.dtype = store.dtype(name)
        nbytes = self.dtype.itemsize * int(np.prod(self.shape, dtype=int))
        self._store, self._name, self._hold = store, name, hold and nbytes <= _HELD_BYTES
        self._held: NDArray[Any] | None = None
        self._decoded = 0  # rows, in reads of scattered ones

    @property
    def store(self) -> Store:
        """The store."""
        return self._store

    @property
    def name(self) -> str:
        """The array."""
        return self._name

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_held": None, "_decoded": 0}

    def read(self, key: tuple[Any, ...]) -> Any:
        """Return what is picked, in an array of its own."""
        if self._held is None and self._hold and self._is_enough(key):
            self._held = self._fetch((slice(None),) * len(self.shape))
        if self._held is None:
            return self._fetch(key)
        return np.array(_columns(self._held, key, 0))

    def _is_enough(self, key: tuple[Any, ...]) -> bool:
        """Return whether to read everything now."""
        if isinstance(key[0], np.ndarray) and len(key[0]):
            chunk = self._store.grid(self._name).chunk_rows
            self._decoded += chunk * (int(np.count_nonzero(np.diff(key[0] // chunk))) + 1)
        return self._decoded > self.shape[0] or all(map(is_all, key, self.shape))

    def _fetch(self, key: tuple[Any, ...]) -> Any:
        first, rest = key[0], key[1:]
        if not isinstance(first, slice | np.ndarray):
            return _columns(self._store.read(self._name, int(first), int(first) + 1)[0], rest, 0)
        narrow = not all(map(is_all, rest, self.shape[1:]))
        parts = [
            _columns(self._store.read(self._name, start, stop)[local], rest, 1)
            for start, stop, local in self._runs(first, narrow)
        ]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return _columns(np.empty((0, *self.shape[1:]), self.dtype), rest, 1)
        return np.concatenate(parts)

    def _runs(self, which: slice | NDArray[Any], narrow: bool) -> Iterator[tuple[int, int, Any]]:
        """Yield what to read and which rows of it are wanted: chunks side by side in one go."""
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=int))
        chunk = self._store.grid(self._name).chunk_rows
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


def _columns(rows: NDArray[Any], rest: tuple[Any, ...], axis: int) -> Any:
    """Index the axes from `axis` on, each on its own."""
    for k in reversed(range(len(rest))):
        rows = rows[(slice(None),) * (axis + k) + (rest[k],)]
    return rows


class StoredTexts(_Stored):
    """The texts of a category field of a store or a group, looked up by their codes; a missing one is NaN."""

    dtype = np.dtype(object)

    def __init__(self, store: Store, name: str, hold: bool = False, group: str = ""):
        self._codes = StoredRows(store, f"{group}/{name}" if group else name, hold=hold)
        self.shape = self._codes.shape
        self._store, self._name, self._group = store, name, group
        self._table: NDArray[np.object_] | None = None

    def read(self, key: tuple[Any, ...]) -> Any:
        """Return texts."""
        if self._table is None:
            texts = [*self._store.categories(self._name, self._group), np.nan]  # code -1 finds the last
            self._table = np.array(texts, dtype=object)
        return self._table[self._codes.read(key)]


class StoredFormulas(_Stored):
    """Hill formulas of the structures of a store that does not keep them, computed from its atoms."""

    dtype = np.dtype(object)

    def __init__(self, store: Store):
        self.shape = (store.n_structures,)
        self._numbers = StoredRows(store, "numbers")
        self._starts = StoredRows(store, "offsets", store.n_structures)
        self._counts = StoredRows(store, "n_atoms")
        self._known: tuple[NDArray[np.object_], NDArray[np.int32]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_known": None}

    def read(self, key: tuple[Any, ...]) -> Any:
        """Return formulas. Those of all structures are computed once, as soon as many are wanted."""
        wanted = key[0] if isinstance(key[0], slice | np.ndarray) else slice(key[0], key[0] + 1)
        n = len(range(*wanted.indices(self.shape[0]))) if isinstance(wanted, slice) else len(wanted)
        if self._known is None and n > _MANY * self.shape[0]:
            self._known = self._computed((slice(None),))
        if self._known is not None:
            table, codes = self._known
            return table[codes[key[0]]]
        table, codes = self._computed((wanted,))
        return table[codes if wanted is key[0] else codes[0]]

    def _computed(self, key: tuple[Any, ...]) -> tuple[NDArray[np.object_], NDArray[np.int32]]:
        starts, counts = self._starts.read(key), self._counts.read(key).astype(np.int64)
        numbers = lazy((ATOM,), self._numbers, {}).isel({ATOM: rows_of(starts, counts)})
        return distinct_formulas(*composition(numbers, counts_to_offsets(counts)))


def is_all(key: Any, length: int) -> bool:
    """Return whether a key of a dimension of some length picks all of it, in its order."""
    return isinstance(key, slice) and key.indices(length) == (0, length, 1)


def lazy(dims: tuple[str, ...], array: _Stored, attrs: Mapping[str, Any]) -> xr.Variable:
    """Return a variable that reads rows of a store when they are used."""
    data: Any = indexing.LazilyIndexedArray(array)
    return xr.Variable(dims, indexing.CopyOnWriteArray(data), dict(attrs))
