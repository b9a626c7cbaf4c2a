"""Rows of a store that lie here and there: read in runs, so that a chunk is decoded once for all of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import atom_rows
from zstruct.store.store import Store

__all__ = ["gathered", "read_scattered", "read_segments"]

_PIECE_ROWS = 1 << 20  # read together

#: Reads rows of an array from the first on, up to the other.
Read = Callable[[int, int], NDArray[Any]]


def read_scattered(store: Store, name: str, chosen: NDArray[np.int64]) -> NDArray[Any]:
    """Return rows of an array of structures, in ascending order; one may be there more than once."""
    return read_segments(store, name, chosen, chosen + 1)


def read_segments(
    store: Store, name: str, starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[Any]:
    """Return ranges of rows of an array, ascending, end to end."""
    return gathered(lambda a, b: store.read(name, a, b), starts, stops, store.grid(name).chunk_rows)


def gathered(
    read: Read,
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    chunk: int,
    together: int = _PIECE_ROWS,
) -> NDArray[Any]:
    """Return ranges of rows, end to end; those that are near each other are read in one go.

    Parameters
    ----------
    read
        Reads them.
    starts, stops
        The ranges, each shape (n,), ascending; one may be there more than once, and in part.
    chunk
        Rows that are decoded together.
    together
        About how many rows are read at a time.
    """
    if len(starts) == 0:
        return read(0, 0)
    grid = max(chunk, together)
    far = (starts[1:] - stops[:-1] > chunk) | (np.diff(starts // grid) > 0)
    edges = [0, *(np.flatnonzero(far) + 1).tolist(), len(starts)]
    parts = []
    for a, b in pairwise(edges):
        first, last = int(starts[a:b].min()), int(stops[a:b].max())
        rows = read(first, last)
        counts = stops[a:b] - starts[a:b]
        whole = int(counts.sum()) == last - first and bool((starts[a + 1 : b] == stops[a : b - 1]).all())
        parts.append(rows if whole else rows[atom_rows(starts[a:b] - first, counts)])
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
