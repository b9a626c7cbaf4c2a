"""Blocks of structures that stay where they are: in a store among the inputs, until shards are made of them.

To `plan` and `shards` they are as the blocks of a part; here they are read from the store when they are asked
for, chunk by chunk. A part names the store by its place among the inputs, and says which structures it takes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, Field
from zstruct.sources.store.columns import StoredColumn, stored_columns
from zstruct.store.cursor import RowCursor
from zstruct.store.decimals import Decimal, DecimalRange
from zstruct.store.scattered import gathered
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store

__all__ = ["StoredBlock", "StoredInput"]

_LOOKED_ROWS = 1 << 18


class StoredInput:
    """A store among the inputs, with what is read of it once.

    Parameters
    ----------
    store
        The store.
    keys, exclude
        As for `stored_columns`.
    label
        What messages call it.
    """

    def __init__(self, store: Store, keys: Mapping[str, str], exclude: frozenset[str], label: str):
        self.store, self.label, self._keys, self._exclude = store, label, keys, exclude
        self._texts: dict[str, list[str]] = {}
        self._present: dict[str, NDArray[np.bool_]] = {}
        self._local = threading.local()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredInput, (self.store, self._keys, self._exclude, self.label)

    @cached_property
    def columns(self) -> dict[str, StoredColumn]:
        """Its columns, by the names of their fields."""
        return stored_columns(self.store, self._keys, self._exclude)

    def texts(self, name: str) -> list[str]:
        """Return the texts of a category."""
        with self._lock:
            if name not in self._texts:
                self._texts[name] = self.store.categories(self.columns[name].array)
            return self._texts[name]

    def present(self, name: str) -> NDArray[np.bool_]:
        """Return which of all structures have a field."""
        with self._lock:
            if name not in self._present:
                self._present[name] = self.store.present(self.columns[name].array)
            return self._present[name]

    def cursor(self, array: str) -> RowCursor:
        """Return what reads an array in this thread, which reads one array after the other."""
        kept: tuple[str, RowCursor] | None = getattr(self._local, "kept", None)
        if kept is None or kept[0] != array:
            kept = self._local.kept = (array, RowCursor(self.store, array))
        return kept[1]

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Row edges of all structures."""
        offsets: NDArray[np.int64] = self.store.read("offsets")
        return offsets

    def spec(self, name: str) -> ArraySpec | None:
        """Return how the array of a field is stored, if its files are as we write them."""
        return self.store.form(self.columns[name].array)

    def stored_decimal(self, name: str) -> Decimal | None:
        """Return how a field is stored as decimals; None if it is not."""
        spec = self.spec(name)
        return None if spec is None else spec.codec.decimal

    def decimal_range(self, name: str) -> DecimalRange | None:
        """Return what its numbers need to be stored as decimals; None if the store does not say."""
        array = self.columns[name].array
        attrs = self.store.array_attrs(array)
        spec = self.spec(name)  # other labels are kept elsewhere, and nothing is said of them
        said = self.store.attrs.get("build", {}).get("decimals", {}).get(array if spec is None else spec.path)
        decimal, known = self.stored_decimal(name), attrs.get("actual_range")
        if known is None or (decimal is None and said is None):
            return None
        digits = said["digits"] if decimal is None else decimal.digits
        largest = round(max(map(abs, known)) * 10.0**digits)
        return DecimalRange(digits, largest) if decimal is None or largest <= decimal.most else None


class _Categories(Mapping[str, list[str]]):
    """The texts of the categories of a block, read when they are asked for."""

    def __init__(self, block: StoredBlock):
        self._block = block

    def __getitem__(self, name: str) -> list[str]:
        if name not in self._names():
            raise KeyError(name)
        return self._block.texts(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        return [name for name, spec in self._block.fields.items() if spec.kind == "category"]


class _Decimals(Mapping[str, DecimalRange]):
    """What the numbers of a block need to be stored as decimals, as far as its store says so."""

    def __init__(self, block: StoredBlock):
        self._block = block

    def __getitem__(self, name: str) -> DecimalRange:
        found = self._block.source.decimal_range(name) if name in self._block.source.columns else None
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._block.source.columns if self.get(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True)
class StoredBlock:
    """Structures of a store; as a `PartBlock`.

    Parameters
    ----------
    source
        The store.
    n_structures, n_atoms
        How many they are.
    chosen
        Their positions in the store, ascending, shape (n_structures,); None: all of it.
    coverage
        How many of them have each field.
    used
        Of categories, the codes that they have, as they first occur; the texts of the others are not theirs.
    added
        What the store lacks and every structure of a build has, by field: its rows and texts.
    """

    source: StoredInput
    n_structures: int
    n_atoms: int
    coverage: Mapping[str, int]
    chosen: NDArray[np.int64] | None = None
    used: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    added: Mapping[str, tuple[Field, NDArray[Any], list[str] | None]] = field(default_factory=dict)

    @classmethod
    def of_all(cls, source: StoredInput) -> StoredBlock:
        """Return the block of all structures of a store."""
        store = source.store
        coverage = {name: store.coverage(column.array) for name, column in source.columns.items()}
        return cls(source, store.n_structures, store.n_atoms, coverage)

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The fields, by name."""
        own = {name: column.field for name, column in self.source.columns.items()}
        return own | {name: spec for name, (spec, _, _) in self.added.items()}

    @property
    def label(self) -> str:
        """What messages call the input."""
        return self.source.label

    @property
    def categories(self) -> Mapping[str, list[str]]:
        """The texts of categories."""
        return _Categories(self)

    @property
    def decimals(self) -> Mapping[str, DecimalRange]:
        """What numbers need to be stored as decimals, where that is known."""
        return _Decimals(self)

    def looked_at(self, name: str) -> DecimalRange | None:
        """Return what the numbers of a column need to be stored as decimals; None if they are none."""
        n = self.n_atoms if self.fields[name].level == ATOM else self.n_structures
        found: DecimalRange | None = DecimalRange()
        for start in range(0, n, _LOOKED_ROWS):
            here = DecimalRange.of(
                self.rows(name, start, min(start + _LOOKED_ROWS, n)).astype(np.float64) + 0.0
            )
            found = None if here is None or found is None else found.joined(here)
            if found is None:
                break
        return found

    def texts(self, name: str) -> list[str]:
        """Return the texts that the codes of a category stand for."""
        if name in self.added:
            texts = self.added[name][2]
            assert texts is not None
            return texts
        texts = self.source.texts(name)
        return texts if name not in self.used else [texts[code] for code in self.used[name].tolist()]

    @cached_property
    def _offsets(self) -> NDArray[np.int64]:
        return counts_to_offsets(self.counts())

    def counts(self) -> NDArray[np.int64]:
        """Return the atoms of each structure."""
        counts = np.diff(self.source.offsets)
        return counts if self.chosen is None else counts[self.chosen]

    def says_missing(self, name: str) -> bool:
        """Return whether rows say by themselves what is missing."""
        return self.fields[name].kind in ("float", "category")

    def present(self, name: str) -> NDArray[np.bool_]:
        """Return which structures have a field."""
        if self.coverage[name] == self.n_structures:
            return np.ones(self.n_structures, dtype=bool)
        found = self.source.present(name)
        return found if self.chosen is None else found[self.chosen]

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start:stop`` of a column."""
        if name in self.added:
            return self.added[name][1][start:stop]
        column = self.source.columns[name]
        values = self._read(column, start, stop)
        if column.floats:
            return np.nan_to_num(values).astype(column.field.dtype)
        if name in self.used:
            table = np.full(len(self.source.texts(name)) + 1, -1, dtype=np.int32)
            table[self.used[name]] = np.arange(len(self.used[name]), dtype=np.int32)
            return table[values]
        return values

    def column(self, name: str) -> NDArray[Any]:
        """Return all rows of a column; builds that scatter structures have parts of their own."""
        n = self.n_atoms if self.fields[name].level == ATOM else self.n_structures
        return self.rows(name, 0, n)

    def _read(self, column: StoredColumn, start: int, stop: int) -> NDArray[Any]:
        cursor = self.source.cursor(column.array)
        if self.chosen is None:
            return cursor.read(start, stop)
        if column.field.level != ATOM:
            first = self.chosen[start:stop]
            last = first + 1
        else:
            a = int(np.searchsorted(self._offsets, start, side="right")) - 1
            b = int(np.searchsorted(self._offsets, stop, side="left"))
            first = self.source.offsets[self.chosen[a:b]]
            last = self.source.offsets[self.chosen[a:b] + 1]
            if len(first):  # the range begins and ends inside of structures
                first = first + np.maximum(0, start - self._offsets[a:b])
                last = last - np.maximum(0, self._offsets[a + 1 : b + 1] - stop)
        chunk = self.source.store.grid(column.array).chunk_rows
        return gathered(cursor.read, first, last, chunk)
