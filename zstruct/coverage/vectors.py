"""Structures as vectors, made of stored features: in memory, or in a file where there are too many."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.disk import writing
from zstruct.errors import InputError
from zstruct.features.groups import FeatureGroup, open_group
from zstruct.progress import Runner
from zstruct.ragged import counts_to_offsets, segment_ranges, segment_reduce
from zstruct.schema import ATOM, STRUCTURE
from zstruct.store.scattered import read_scattered, read_segments
from zstruct.store.store import Store
from zstruct.text import counted

__all__ = ["Vectors", "vectors_of"]

_MEMORY = 1 << 30  # bytes of vectors that are kept in memory
_PIECE_BYTES = 1 << 25  # of features that one task reads
_BLOCK_BYTES = 1 << 21  # of vectors that are worked on together
_LARGEST = 1e150  # a number whose square is still one


class Vectors:
    """Vectors of structures, which are written once, piece by piece, and read block by block.

    As a context manager, they are gone in the end.

    Parameters
    ----------
    n, width
        How many there are, and of how many numbers.
    dtype
        In which they are kept; what is read is float64.
    """

    def __init__(self, n: int, width: int, dtype: np.dtype):
        self.shape = (n, width)
        self._dtype = dtype
        self._row_bytes = max(1, width * dtype.itemsize)
        self._values: NDArray[Any] | None = None
        self._file: int | None = None
        if n * self._row_bytes <= _MEMORY:
            self._values = np.empty((n, width), dtype)
        else:
            self._file, path = tempfile.mkstemp(prefix="zstruct-vectors-")
            os.unlink(path)  # it is there until it is closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._values = None

    def __len__(self) -> int:
        return self.shape[0]

    def put(self, start: int, values: NDArray[Any]) -> None:
        """Write rows from the given one on.

        Raises
        ------
        WriteError
            If there is no room for them.
        """
        if self._values is not None:
            self._values[start : start + len(values)] = values
            return
        assert self._file is not None
        left = np.ascontiguousarray(values, self._dtype).data.cast("B")
        place = start * self._row_bytes
        with writing(tempfile.gettempdir(), "the store is as it was"):
            while left:
                written = os.pwrite(self._file, left, place)
                left, place = left[written:], place + written

    def block(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return rows ``start:stop``, an array of their own or one that is not to be changed."""
        if self._values is not None:
            return self._values[start:stop].astype(np.float64, copy=False)
        assert self._file is not None
        values = np.empty((stop - start, self.shape[1]), self._dtype)
        left, place = values.data.cast("B"), start * self._row_bytes
        while left:
            n = os.preadv(self._file, [left], place)
            if n == 0:
                raise OSError("a temporary file of zstruct was cut short")
            left, place = left[n:], place + n
        return values.astype(np.float64, copy=False)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return some rows, in ascending order."""
        if self._values is not None:
            return self._values[rows].astype(np.float64, copy=False)
        found = np.empty((len(rows), self.shape[1]))
        for start, stop in self.blocks():
            a, b = np.searchsorted(rows, [start, stop])
            if a < b:
                found[a:b] = self.block(start, stop)[rows[a:b] - start]
        return found

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of rows to be worked on together."""
        step = max(64, _BLOCK_BYTES // max(1, 8 * self.shape[1]))
        for start in range(0, len(self), step):
            yield start, min(start + step, len(self))


@dataclass(frozen=True, eq=False)
class _Piece:
    """Structures whose vectors one task makes, and what to do with the features.

    Parameters
    ----------
    group
        The features.
    rows
        Which structures, ascending, shape (n,).
    starts, stops
        Their rows in the features, each shape (n,).
    columns
        Which features, shape (width,).
    mean, scale
        What is taken off of each, and what it is divided by then, each shape (width,).
    """

    group: FeatureGroup
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    columns: NDArray[np.int64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]


def vectors_of(
    store: Store, features: str, rows: NDArray[np.int64] | None = None, *, standardise: bool = True
) -> Vectors:
    """Return a vector of each of some structures: the mean of the features of its atoms.

    Parameters
    ----------
    store
        The store.
    features
        Name of the features: of atoms, of structures, or rows of each structure's own.
    rows
        Which structures, ascending, each once, shape (n,); None: all.
    standardise
        Whether features have the mean of all rows in the store taken off, and are divided by their standard
        deviation. Those that are the same everywhere are left out then.

    Raises
    ------
    InputError
        If there are no such features, they are the same everywhere, or one that is needed is missing.
    StaleGroupError
        If they were made for other content than the store has now.
    WriteError
        If there is no room for a temporary file.
    """
    group = open_group(store, "features", features)
    chosen = np.arange(store.n_structures) if rows is None else rows
    columns, mean, scale = _frame(group, standardise)
    edges = _edges(group, chosen)
    dtype = store.dtype(group.array("values"))
    kept = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    made = Vectors(len(chosen), len(columns), kept)
    row_bytes = max(1, store.shape(group.array("values"))[1] * dtype.itemsize)
    ends = list(segment_ranges(counts_to_offsets(edges[1] - edges[0]), max(1, _PIECE_BYTES // row_bytes)))
    tasks = [_Piece(group, chosen[a:b], edges[0][a:b], edges[1][a:b], columns, mean, scale) for a, b in ends]
    runner = Runner(parallel.chosen_workers(None), False)
    missing = []
    try:
        for k, values in runner.run(_vectors, tasks, [0] * len(tasks)):
            lost = ~(np.abs(values) < _LARGEST).all(axis=1)
            if lost.any():
                missing.append(tasks[k].rows[lost])
            made.put(ends[k][0], values)
        if missing:
            _refuse(group, np.sort(np.concatenate(missing)))
    except BaseException:
        made.__exit__(None, None, None)
        raise
    return made


def _refuse(group: FeatureGroup, lost: NDArray[np.int64]) -> None:
    """Raise for structures that have no place among the others."""
    raise InputError(
        f"features {group.name!r} are missing or too large in {counted(len(lost), 'structure')} of "
        f"{group.store.path}, the first is {lost[0]}: select the others first, by where= or by positions"
    )


def _frame(
    group: FeatureGroup, standardise: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return which features make a vector, what is taken off them and what they are divided by."""
    width = group.store.shape(group.array("values"))[1]
    if not standardise:
        return np.arange(width), np.zeros(width), np.ones(width)
    said = group.attrs["statistics"]["all"]
    mean, std, low, high = (
        np.array([math.nan if x is None else x for x in said[name]], np.float64)
        for name in ("mean", "std", "min", "max")
    )
    large = np.flatnonzero(np.isfinite(low) & np.isfinite(high) & ~np.isfinite(std))
    if len(large):
        k = large[0]
        raise InputError(
            f"features {group.name!r} of {group.store.path} are too large to be compared: "
            f"{group.feature_names[k]} goes from {low[k]:.3g} to {high[k]:.3g}"
        )
    dtype = group.store.dtype(group.array("values"))
    least = np.finfo(dtype if dtype.kind == "f" else np.float64).eps
    # What differs by rounding alone is one value.
    varied = (high - low > 4 * least * np.maximum(np.abs(low), np.abs(high))) & (std > 0)
    columns = np.flatnonzero(varied | np.isnan(std))
    if not len(columns):
        raise InputError(
            f"the features {group.name!r} of {group.store.path} are the same everywhere: there is nothing "
            "that tells structures apart"
        )
    return columns, mean[columns], std[columns]


def _edges(group: FeatureGroup, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of features of each structure, and the one after its last."""
    if group.level == STRUCTURE:
        return rows, rows + 1
    name = "offsets" if group.level == ATOM else group.array("offsets")
    return read_scattered(group.store, name, rows), read_scattered(group.store, name, rows + 1)


def _vectors(piece: _Piece) -> NDArray[np.float64]:
    """Return the vectors of some structures."""
    values = read_segments(piece.group.store, piece.group.array("values"), piece.starts, piece.stops)
    chosen = values if len(piece.columns) == values.shape[1] else values[:, piece.columns]
    with np.errstate(over="ignore", invalid="ignore"):
        offsets = counts_to_offsets(piece.stops - piece.starts)
        means = segment_reduce(chosen.astype(np.float64, copy=False), offsets, "mean")
        return (means - piece.mean) / piece.scale
