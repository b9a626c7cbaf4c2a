"""Structures of a store as a packed block, of the fields that a build knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import Packed, counts_to_offsets, segment_ranges, segment_reduce
from zstruct.schema import ATOM, Field
from zstruct.sources.store.columns import StoredColumn
from zstruct.store.scattered import read_scattered, read_segments
from zstruct.store.store import Store

__all__ = ["read_packed", "structures_with"]

_PIECE_ROWS = 1 << 20


def read_packed(store: Store, columns: Mapping[str, StoredColumn], rows: NDArray[np.int64]) -> Packed:
    """Return some structures of a store.

    Parameters
    ----------
    store
        The store.
    columns
        What to read of it, as `stored_columns` returns it.
    rows
        Positions of the structures, ascending; one may be there more than once.
    """
    counts = read_scattered(store, "n_atoms", rows).astype(np.int64)
    starts = read_scattered(store, "offsets", rows)
    packed = Packed(counts)
    for name, column in columns.items():
        field, array = column.field, column.array
        if field.level == ATOM:
            values = read_segments(store, array, starts, starts + counts)
        else:
            values = read_scattered(store, array, rows)
        present = None
        if store.coverage(array) < store.n_structures:
            if column.presence is not None:
                present = read_scattered(store, column.presence, rows).astype(bool, copy=False)
            else:
                present = _given(field, values, packed.offsets)
        if column.floats:
            values = np.nan_to_num(values).astype(field.dtype)
        packed.add(field, values, present)
        if field.kind == "category":
            packed.categories[name] = store.categories(array)
    return packed


def structures_with(store: Store, column: StoredColumn, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of some structures of a store have a field; reads it if nothing else says so.

    Parameters
    ----------
    store, rows
        As for `read_packed`.
    column
        The field.
    """
    field = column.field
    if column.presence is not None:
        return read_scattered(store, column.presence, rows).astype(bool, copy=False)
    if field.level != ATOM:
        return field.given(read_scattered(store, column.array, rows))
    counts = read_scattered(store, "n_atoms", rows).astype(np.int64)
    starts, offsets = read_scattered(store, "offsets", rows), counts_to_offsets(counts)
    found = np.zeros(len(rows), dtype=bool)
    for a, b in segment_ranges(offsets, _PIECE_ROWS):
        values = read_segments(store, column.array, starts[a:b], starts[a:b] + counts[a:b])
        found[a:b] = _given(field, values, offsets[a : b + 1] - offsets[a])
    return found


def _given(field: Field, values: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which structures have any value that is not missing."""
    given = field.given(values)
    if field.level != ATOM:
        return given
    found: NDArray[np.bool_] = segment_reduce(given, offsets, "sum") > 0
    return found
