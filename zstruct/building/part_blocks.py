"""The blocks of parts: what a part holds of structures, or says of those that stay in their store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import Packed
from zstruct.schema import Field
from zstruct.store.decimals import DecimalRange

__all__ = ["Content", "PartBlock", "StoredEntry", "array_of"]


@dataclass(frozen=True, eq=False)
class Content:
    """What tells structures that were read from others.

    Parameters
    ----------
    labels
        The inputs that they are from.
    codes
        Which of these each is from, shape (n,).
    hashes
        Of all that is known of each, shape (n, 2).
    """

    labels: list[str]
    codes: NDArray[np.int64]
    hashes: NDArray[np.uint64]


@dataclass(frozen=True)
class StoredEntry:
    """What a part says of structures that stay in their store.

    Parameters
    ----------
    input
        The place of the store among the inputs.
    start, stop
        Those of its structures, if they are all that this part looked at and all of them are taken.
    chosen
        The positions of its structures in the store, shape (n_structures,), if these are others.
    n_atoms
        Of all of them; of `chosen` ones only.
    coverage, used
        As of a `StoredBlock`; of `chosen` ones only.
    added
        What the store lacks, by field: its row of the table, rows and texts.
    """

    input: int
    start: int
    stop: int
    chosen: NDArray[np.int64] | None = None
    n_atoms: int = 0
    coverage: Mapping[str, int] = field(default_factory=dict)
    used: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    added: Mapping[str, tuple[Field, NDArray[Any], list[str] | None]] = field(default_factory=dict)

    def rows(self) -> NDArray[np.int64]:
        """Return the positions of its structures in the store."""
        return np.arange(self.start, self.stop) if self.chosen is None else self.chosen


@dataclass(frozen=True)
class PartBlock:
    """One block of a part: what it holds, and its arrays on demand."""

    path: Path
    n_structures: int
    n_atoms: int
    fields: dict[str, Field]
    coverage: dict[str, int]
    categories: dict[str, list[str]]
    decimals: dict[str, DecimalRange]
    _counts: Any
    _columns: dict[str, dict[str, Any]]
    input: int | None = None
    """Of structures of a store, its place among the inputs."""
    _places: Any = None
    _ranks: Any = None

    @property
    def label(self) -> str:
        """What messages call the input, the first of several."""
        return self.categories["source"][0]

    def counts(self) -> NDArray[np.int64]:
        """Return the atoms of each structure."""
        return self._read(self._counts)

    def places(self) -> NDArray[np.int64]:
        """Return where structures of a store are in it."""
        return self._read(self._places)

    def ranks(self) -> NDArray[np.int64] | None:
        """Return the places of structures among those whose content the part has; None if it has it not."""
        return None if self._ranks is None else self._read(self._ranks)

    def says_missing(self, name: str) -> bool:
        """Return whether rows say by themselves what is missing; what stands there may be anything."""
        return False

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start:stop`` of a column."""
        return self._read(self._columns[name]["values"], start, stop)

    def column(self, name: str) -> NDArray[Any]:
        """Return a column, of a file as a memory map, for scattered access."""
        entry = self._columns[name]["values"]
        if isinstance(entry, np.ndarray):
            return entry
        shape = tuple(entry["shape"])
        if 0 in shape:
            return np.empty(shape, entry["dtype"])
        return np.memmap(self.path, entry["dtype"], "r", offset=entry["start"], shape=shape)

    def packed(self, names: Iterable[str] | None = None) -> Packed:
        """Return the block in memory, by default all columns of it."""
        packed = Packed(self.counts())
        for name in self.fields if names is None else names:
            packed.add(self.fields[name], self.column(name), self.present(name))
            if name in self.categories:
                packed.categories[name] = self.categories[name]
        return packed

    def present(self, name: str) -> NDArray[np.bool_]:
        """Return which structures have the column's property."""
        entry = self._columns[name]["present"]
        return np.ones(self.n_structures, dtype=bool) if entry is None else self._read(entry)

    def _read(self, entry: Any, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        return array_of(self.path, entry, start, stop)


def array_of(path: Path, entry: Any, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """Return rows of an array of a part, which is in memory or has a place in its file."""
    if isinstance(entry, np.ndarray):
        return entry[start:stop]
    # Reading instead of mapping keeps the memory of a build bounded by what it asks for.
    n, *rest = entry["shape"]
    dtype, row = np.dtype(entry["dtype"]), int(np.prod(rest, dtype=int))
    last = n if stop is None else stop
    offset = entry["start"] + start * row * dtype.itemsize
    values = np.fromfile(path, dtype, (last - start) * row, offset=offset)
    return values.reshape(last - start, *rest)
