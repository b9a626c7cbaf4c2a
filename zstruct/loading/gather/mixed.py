"""`MixedGather`: batches of structures of several stores, made by one call of one kernel.

It works as the gather of each part does, over the blocks that these have decoded, and makes the batch that
their union is. Where a block is yet to be decoded it does nothing: others gather part by part then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.origin import Origin
from zstruct.batch.packed import PackedBatch
from zstruct.batch.union import Column, Union, mask_of, missing_in
from zstruct.loading.cache.blocks import Resident, Table
from zstruct.loading.gather import mixed_kernels as words
from zstruct.loading.gather.column_writer import ColumnWriter
from zstruct.loading.gather.field_steps import operation_of, way_to_miss
from zstruct.loading.gather.frame import Frame
from zstruct.loading.gather.gather import Gather
from zstruct.loading.gather.kernels import MISSING, NO_MASK, NOTHING
from zstruct.loading.gather.mixed_kernels import fill_mixed, locate_mixed
from zstruct.loading.indices import out_of_range
from zstruct.schema import ATOM, STRUCTURE, Level

__all__ = ["HEAD", "MixedGather", "Source"]

#: The column that says which head a structure belongs to.
HEAD = "head"

_BOOL, _INT64 = np.dtype(np.bool_), np.dtype(np.int64)
_IN_ORDER = np.empty(0, np.int64)
_STEP = 6  # numbers that say what is done to a field


class Source(NamedTuple):
    """A part of what is gathered.

    Attributes
    ----------
    gather
        Has its blocks, and the columns that its batches would have.
    rows
        Which structures of the store count, shape (n,); None: all.
    first
        The number of the store's first structure among those of all stores.
    head
        What is written into the column ``head``; None: the part has such a field, or there is none.
    """

    gather: Gather
    rows: NDArray[np.int64] | None
    first: int
    head: int | None


class _Steps(NamedTuple):
    """What is done to each field of each part, and the codes that these steps have the addresses of."""

    atom: NDArray[np.int64]
    structure: NDArray[np.int64]
    codes: list[dict[str, NDArray[np.int64]]]


class MixedGather(Frame):
    """Copies structures of several stores out of their caches.

    Parameters
    ----------
    sources
        The parts.
    union
        The columns of batches, in the dtypes in which they are gathered.
    names
        All columns of a batch, masks too, in order.
    origin
        As for `PackedBatch`.
    """

    def __init__(self, sources: Sequence[Source], union: Union, names: Sequence[str], origin: Origin):
        self._sources = [
            source._replace(rows=None if source.rows is None else np.ascontiguousarray(source.rows))
            for source in sources
        ]
        columns = dict(union.columns)
        by_value = {name: mask_of(name) for name in columns if name in union.masked and _shows(columns[name])}
        # Whole numbers and booleans have no missing value: who has them is a column, of each part or of its
        # own.
        others = [name for name in columns if name in union.masked and name not in by_value]
        columns |= {mask_of(name): Column(STRUCTURE, _BOOL, ()) for name in others}
        if sources[0].head is not None:
            columns[HEAD] = Column(STRUCTURE, _INT64, ())
        self._columns, self._union = columns, union
        atom, structure = (
            [(name, column.dtype, column.shape) for name, column in columns.items() if column.level == level]
            for level in (ATOM, STRUCTURE)
        )
        super().__init__(atom, structure, by_value, columns, union.wide, origin)
        self._names = list(names)
        lengths = [
            len(s.rows) if s.rows is not None else s.gather.cache.store.n_structures for s in self._sources
        ]
        self._edges = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        # Seconds that Python takes for a structure, about.
        atoms = [
            s.gather.cache.store.n_atoms / max(1, s.gather.cache.store.n_structures) for s in self._sources
        ]
        self._work = 2e-5 + 5e-6 * len(columns) + 4e-7 * max(atoms)
        self._whole: NDArray[np.int64] | None = None
        self._steps: _Steps | None = None
        self._written: dict[tuple[str, ...], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._compiled: tuple[Any, Any] | None = None

    @classmethod
    def of(
        cls, sources: Sequence[Source], union: Union, names: Sequence[str], origin: Origin
    ) -> MixedGather | None:
        """Return a gather, or None if something has to be done to a field that the kernel does not do."""
        for k, source in enumerate(sources):
            for name in union.there[k]:
                kept, dtype = _kept(source.gather, name), union.columns[name].dtype
                operation = None if kept is None else operation_of(kept, dtype)
                change = union.changes[k].get(name)
                if operation is None or (change is not None and change.codes is None):
                    return None
                if change is not None and dtype != _INT64:
                    return None
        return cls(sources, union, names, origin)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_whole": None, "_steps": None, "_written": {}, "_compiled": None}

    def __call__(
        self,
        indices: NDArray[np.int64],
        order: NDArray[np.int64] | None = None,
        writer: ColumnWriter | None = None,
    ) -> tuple[PackedBatch, NDArray[np.int64], NDArray[np.int64]] | None:
        """Return some structures, packed, the part of each, and its number were all stores one.

        The batch has their numbers in their own stores. None is returned if a block that they need is yet to
        be decoded.

        Parameters
        ----------
        indices
            In ``range(-n, n)``, in the order wanted, shape (n_wanted,).
        order
            What the indices count: places among the structures of all parts, one after the other; None:
            these.
        writer
            Writes some columns in place of a copy; only if there is `everything`.

        Raises
        ------
        IndexError
            If an index is out of range.
        """
        n = len(indices)
        plan = self._plans.get(n) or self._plan(n)
        head, found = np.empty(plan.words, _INT64), np.empty(2 * n, _INT64)
        table, resident = self._whole, None
        if table is None:
            table, resident = self._find_table()
        locate, fill = self._compiled or self._kernels(n)
        edges = self._edges
        rows = locate(indices, _IN_ORDER if order is None else order, edges, table, head, found)
        if rows == MISSING:
            return None
        if rows < MISSING:
            raise out_of_range(int(indices[MISSING - 1 - rows]), int(edges[-1]))
        body, numbered = self._body(rows)
        atom_steps, steps, _ = self._steps or self._find_steps()
        if writer is not None:
            atom_steps, columns = self._written.get(writer.names) or self._without(writer.names, atom_steps)
            writer(n, head, body, columns, found)
        fill(table, atom_steps, steps, found, n, head, body, numbered)
        if resident is not None:  # it has outlived the call, which holds no reference
            self._touch(found[:n], head[:n])
        return self._views(plan, head, body, numbered), found[:n], found[n:]

    @property
    def everything(self) -> bool:
        """Whether everything is decoded and will stay so."""
        if self._whole is None:
            self._find_table()
        return self._whole is not None

    def _without(
        self, names: tuple[str, ...], atom_steps: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the steps that leave out some per-atom fields, and what writers know of those."""
        order = [name for name, *_ in self._atom]
        places = [order.index(name) for name in names]
        columns = np.zeros((len(places), 1 + len(self._sources)), np.int64)
        steps = atom_steps.copy()
        for column, place in zip(columns, places, strict=True):
            column[0] = self._atom[place][3]
            for k, source in enumerate(self._sources):
                if atom_steps[k, place, 0] < words.WORDS:  # it is there
                    addresses = source.gather.cache.resident.addresses[ATOM]
                    column[1 + k] = addresses.item(atom_steps[k, place, 4], 0)
                    steps[k, place, 0] = NOTHING
        self._written[names] = steps, columns
        return self._written[names]

    def _kernels(self, n: int) -> tuple[Any, Any]:
        """Return the two kernels: as Python runs them for the first few structures, then compiled."""
        if fill_mixed.for_work(n * self._work) is fill_mixed:
            self._compiled = locate_mixed.compiled(), fill_mixed.compiled()
            return self._compiled
        return locate_mixed.interpreted, fill_mixed.interpreted

    def _touch(self, whose: NDArray[np.int64], structures: NDArray[np.int64]) -> None:
        """Note which blocks were read, so that they are not the first to go."""
        for k, source in enumerate(self._sources):
            cache = source.gather.cache
            if cache.flat is None:
                mine = structures[whose == k]
                cache.touch(STRUCTURE, mine)
                cache.touch(ATOM, cache.offsets[mine])

    def _find_table(self) -> tuple[NDArray[np.int64], list[Resident]]:
        """Return what is known of the parts now; it stays so once everything is decoded and will stay."""
        residents = [source.gather.cache.resident for source in self._sources]
        table = np.zeros((len(self._sources), words.WORDS_OF_PART), np.int64)
        complete = True
        for line, source, resident in zip(table, self._sources, residents, strict=True):
            cache = source.gather.cache
            line[words.OFFSETS] = cache.offsets.ctypes.data
            line[words.SUBSET] = (
                0 if source.rows is None or len(source.rows) == 0 else source.rows.ctypes.data
            )
            line[words.FIRST] = source.first
            for level, begin in ((ATOM, words.ATOM_ADDRESSES), (STRUCTURE, words.ADDRESSES)):
                if level not in cache.tables:
                    line[begin : begin + 5] = 0, 1, 1, 0, 1
                    continue
                addresses, there = resident.addresses[level], resident.present[level]
                whole = cache.flat is not None and cache.complete(level)
                complete &= whole
                line[begin : begin + 5] = (
                    addresses.ctypes.data,
                    addresses.shape[1],
                    resident.span[level],
                    0 if whole else there.ctypes.data,
                    cache.tables[level].block_rows,
                )
        if complete:
            self._whole = table
        return table, residents

    def _find_steps(self) -> _Steps:
        """Return what is done to each field of each part."""
        codes = [
            {
                name: np.concatenate([change.codes[-1:], change.codes[:-1]])
                for name, change in changes.items()
                if change.codes is not None
            }
            for changes in self._union.changes
        ]
        self._steps = _Steps(self._steps_of(ATOM, codes), self._steps_of(STRUCTURE, codes), codes)
        return self._steps

    def _steps_of(self, level: Level, codes: list[dict[str, NDArray[np.int64]]]) -> NDArray[np.int64]:
        columns = {name: column for name, column in self._columns.items() if column.level == level}
        steps = np.zeros((len(self._sources), len(columns), _STEP), np.int64)
        for k, source in enumerate(self._sources):
            table = source.gather.cache.tables.get(level)
            for f, (name, column) in enumerate(columns.items()):
                size = column.dtype.itemsize * math.prod(column.shape)
                mask = NO_MASK
                if name in self.masks:
                    partly = name in source.gather.masks
                    mask = way_to_miss(column.dtype) if partly else words.MASK_WHOLE
                steps[k, f] = (0, size, 0, mask, 0, 0)
                if table is None or name not in table.names or not self._is_there(k, name):
                    steps[k, f, [0, 5]] = _filling(column.dtype, self._instead(k, name, column))
                    continue
                row = table.names.index(name)
                becomes = codes[k].get(name)
                operation = operation_of(table.dtypes[row], column.dtype)
                assert operation is not None
                steps[k, f, 0] = operation
                steps[k, f, 2] = table.dtypes[row].itemsize * math.prod(column.shape)
                steps[k, f, 4:] = row, 0 if becomes is None else becomes.ctypes.data
        return steps

    def _is_there(self, k: int, name: str) -> bool:
        """Return whether a part has a column, or a mask that is one."""
        return name in self._union.there[k] or (name not in self._union.columns and name != HEAD)

    def _instead(self, k: int, name: str, column: Column) -> Any:
        """Return what stands in place of a column that a part does not have."""
        if name == HEAD and self._sources[k].head is not None:
            return self._sources[k].head
        if name in self._union.columns:
            return missing_in(column)
        return any(mask_of(one) == name for one in self._union.there[k])  # a mask: all have it, or none


def _shows(column: Column) -> bool:
    """Return whether values themselves tell that something is missing."""
    return column.dtype.kind == "f" or (column.field is not None and column.field.kind == "category")


def _kept(gather: Gather, name: str) -> np.dtype | None:
    """Return the dtype in which blocks have a field; None: they don't have it."""
    tables: list[Table] = list(gather.cache.tables.values())
    found = [t.dtypes[t.names.index(name)] for t in tables if name in t.names]
    return found[0] if found else None


def _filling(dtype: np.dtype, value: Any) -> tuple[int, int]:
    """Return the operation that fills a column with a value, and the value as a word."""
    word = np.array(value, dtype)
    if dtype.itemsize == 8:
        return words.WORDS, int(word.view(np.int64))
    if dtype.itemsize == 4:
        return words.SINGLES, int(word.view(np.int32))
    # Of one byte, or of two equal ones: there is nothing but 0 and -1 in them.
    return words.BYTES, int(word.reshape(1).view(np.uint8)[0])
