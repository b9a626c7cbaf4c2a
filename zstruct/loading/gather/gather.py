"""Gather structures from decoded blocks: any list of them, all fields, without the GIL.

Two kernels make a batch: `locate` checks the indices and finds out how large the batch is, then
`fill` copies everything in one pass. Here is what they need to know, and what their memory becomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.origin import Origin
from zstruct.batch.packed import PackedBatch
from zstruct.loading.cache.blocks import Resident
from zstruct.loading.cache.cache import BlockCache
from zstruct.loading.gather import kernels
from zstruct.loading.gather.block_groups import block_groups, mark_blocks
from zstruct.loading.gather.column_writer import ColumnWriter
from zstruct.loading.gather.field_steps import field_steps
from zstruct.loading.gather.frame import Frame
from zstruct.loading.gather.kernels import COPY, MISSING, NOTHING
from zstruct.loading.indices import out_of_range
from zstruct.schema import ATOM, STRUCTURE
from zstruct.store.view import StoreView

__all__ = ["Gather"]

_INT64 = np.dtype(np.int64)
_ALL = np.empty(0, dtype=np.int64)
# What a dimension without fields has: its one block is always there.
_THERE = np.ones(1, dtype=np.uint8)
_NOWHERE = np.empty((0, 1), dtype=np.int64)
_NO_BLOCKS = np.empty(0, dtype=np.uint8)


class _Whole(NamedTuple):
    """Everything decoded: row edges, columns with their kind, and what `fill` takes."""

    offsets: NDArray[np.int64]
    columns: list[tuple[str, NDArray[Any], bool, np.dtype]]
    sources: tuple[Any, ...]


class Gather(Frame):
    """Copies structures out of a cache; what it can know beforehand, it works out once.

    What it returns is packed end to end, contiguous and new, and knows its structures; those of
    the atoms only if batches were asked for them lately.

    Parameters
    ----------
    cache
        The blocks to read; may keep fields in `kept_dtype` of what is wanted.
    dtypes
        The fields wanted, all those of the cache, and the dtype of each.
    masks
        Names of the columns, shape (n,), that say for which structures a field is given: not all
        of its values are missing (NaN in floats, negative in integers).
    wide
        As for `PackedBatch`.
    """

    def __init__(
        self,
        cache: BlockCache,
        dtypes: Mapping[str, np.dtype],
        masks: Mapping[str, str] | None = None,
        wide: frozenset[str] = frozenset(),
    ):
        self.cache, self.dtypes = cache, dict(dtypes)
        atom, structure = (
            [(name, self.dtypes[name], shape) for name, shape in zip(table.names, table.shapes, strict=True)]
            if (table := cache.tables.get(level))
            else []
            for level in (ATOM, STRUCTURE)
        )
        store = cache.store.store if isinstance(cache.store, StoreView) else cache.store
        super().__init__(atom, structure, masks or {}, dtypes, wide, Origin(store))
        self._steps = {
            level: field_steps(cache.tables.get(level), self.dtypes, self.masks)
            for level in (ATOM, STRUCTURE)
        }
        self._block_rows = {
            level: cache.tables[level].block_rows if level in cache.tables else 1 << 62
            for level in (ATOM, STRUCTURE)
        }
        # What everything decoded has in common.
        self._whole: _Whole | None = None
        self._written: dict[tuple[str, ...], tuple[tuple[Any, ...], NDArray[np.int64]]] = {}
        self._plain = [(name, cache.store.columns[name].level == ATOM, self.dtypes[name]) for name in dtypes]
        self._compiled: tuple[Any, Any, Any, Any] | None = None
        # Seconds that Python takes for a structure, by measurement.
        rows_each = cache.store.n_atoms / max(1, cache.store.n_structures)
        self._work = 1e-5 + 3e-6 * (len(atom) + len(structure)) + 2e-7 * rows_each

    def __call__(
        self,
        indices: NDArray[np.int64],
        subset: NDArray[np.int64] | None = None,
        writer: ColumnWriter | None = None,
    ) -> PackedBatch:
        """Return some structures, packed.

        Parameters
        ----------
        indices
            Structures in the order wanted, shape (n,); negative ones count from the end, repeats
            are fine.
        subset
            What the indices count: structures of the store, each in ``range(n_structures)``; by
            default all.
        writer
            Writes some columns in place of a copy; only if there is `everything`.

        Raises
        ------
        IndexError
            If an index is out of range.
        """
        n = len(indices)
        plan = self._plans.get(n) or self._plan(n)
        head = np.empty(plan.words, _INT64)
        whole = self._whole or self._find_whole()
        if whole is None:
            return self._views(plan, head, *self._gather_some(n, indices, subset, head))
        locate, fill, *_ = self._compiled or self._kernels(n)
        rows = locate(
            indices, _ALL if subset is None else subset, subset is None, whole.offsets,
            False, _THERE, 1, _THERE, 1, head,
        )  # fmt: skip
        if rows < MISSING:
            raise self._out_of_range(indices, subset, rows)
        body, numbered = self._body(rows)
        sources = whole.sources
        if writer is not None:
            sources, columns = self._written.get(writer.names) or self._without(writer.names, whole)
            writer(n, head, body, columns, _ALL)
        arguments = (*sources, n, head, body, numbered)
        fill(*arguments)
        return self._views(plan, head, body, numbered)

    def _kernels(self, n: int) -> tuple[Any, Any, Any, Any]:
        """Return the four kernels: as Python runs them for the first few structures, then compiled."""
        four = (kernels.locate, kernels.fill, kernels.fill_some, kernels.number)
        if kernels.fill.for_work(n * self._work) is kernels.fill:
            locate, fill, fill_some, number = (kernel.compiled() for kernel in four)
            self._compiled = locate, fill, fill_some, number
            return self._compiled
        locate, fill, fill_some, number = (kernel.interpreted for kernel in four)
        return locate, fill, fill_some, number

    @property
    def everything(self) -> bool:
        """Whether everything is decoded and will stay so."""
        return (self._whole or self._find_whole()) is not None

    def copies(self, name: str) -> bool:
        """Return whether a field is per atom and copied as it is kept."""
        table = self.cache.tables.get(ATOM)
        if table is None or name not in table.names:
            return False
        return bool(self._steps[ATOM][table.names.index(name), 0] == COPY)

    def _without(self, names: tuple[str, ...], whole: _Whole) -> tuple[tuple[Any, ...], NDArray[np.int64]]:
        """Return what `fill` takes to leave out some per-atom fields, and what writers know of those."""
        order = [name for name, *_ in self._atom]
        places = [order.index(name) for name in names]
        steps = self._steps[ATOM].copy()
        steps[places, 0] = NOTHING
        addresses, span, _, *of_structures = whole.sources
        found = [(self._atom[place][3], addresses.item(place, 0)) for place in places]
        columns = np.array(found, np.int64).reshape(len(found), 2)
        self._written[names] = (addresses, span, steps, *of_structures), columns
        return self._written[names]

    def _gather_some(
        self,
        n: int,
        indices: NDArray[np.int64],
        subset: NDArray[np.int64] | None,
        head: NDArray[np.int64],
    ) -> tuple[NDArray[np.uint8], bool]:
        """Fill in a batch some of whose blocks may have to be decoded; return what `_body` does."""
        cache = self.cache
        offsets, resident = cache.offsets, cache.resident
        locate, fill, *_ = self._compiled or self._kernels(n)
        rows = locate(
            indices, _ALL if subset is None else subset, subset is None, offsets, True,
            resident.present.get(ATOM, _THERE), self._block_rows[ATOM],
            resident.present.get(STRUCTURE, _THERE), self._block_rows[STRUCTURE], head,
        )  # fmt: skip
        if rows < MISSING:
            raise self._out_of_range(indices, subset, rows)
        body, numbered = self._body(head.item(2 * n))
        if rows == MISSING:
            self._fill_by_parts(n, head, body, numbered)
        else:
            arguments = (*self._sources(resident), n, head, body, numbered)
            fill(*arguments)
            if cache.flat is None:
                cache.touch(STRUCTURE, head[:n])
                cache.touch(ATOM, offsets[head[:n]])
        return body, numbered

    def _sources(self, resident: Resident) -> tuple[Any, ...]:
        """Return what `fill` has to know of where the fields lie."""
        return (
            resident.addresses.get(ATOM, _NOWHERE), resident.span.get(ATOM, 1), self._steps[ATOM],
            resident.addresses.get(STRUCTURE, _NOWHERE), resident.span.get(STRUCTURE, 1),
            self._steps[STRUCTURE],
        )  # fmt: skip

    def _out_of_range(
        self, indices: NDArray[np.int64], subset: NDArray[np.int64] | None, found: int
    ) -> IndexError:
        size = self.cache.store.n_structures if subset is None else len(subset)
        return out_of_range(int(indices[MISSING - 1 - found]), size)

    def one(self, structure: int) -> tuple[int, dict[str, NDArray[Any]], int] | None:
        """Return the index, columns and atoms of one structure, if all its rows are decoded.

        Slices of whole columns take less time than two kernels. None asks for the kernels.

        Parameters
        ----------
        structure
            In ``range(-n_structures, n_structures)``.
        """
        whole = self._whole or self._find_whole()
        if whole is None:
            return None
        offsets = whole.offsets
        if structure < 0:
            structure += len(offsets) - 1
        start, stop = offsets.item(structure), offsets.item(structure + 1)
        found: dict[str, NDArray[Any]] = {}
        for name, column, per_atom, dtype in whole.columns:
            # The ellipsis keeps a scalar an array.
            found[name] = (column[start:stop] if per_atom else column[structure, ...]).astype(dtype)
        for name, mask in self.masks.items():
            found[mask] = _has(found[name])
        return structure, found, stop - start

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_whole": None, "_written": {}, "_compiled": None}

    def _find_whole(self) -> _Whole | None:
        """Return what everything decoded has in common, once it is decoded and will stay."""
        cache = self.cache
        if cache.flat is not None and all(map(cache.complete, cache.tables)):
            columns = [(name, cache.flat[name], per_atom, dtype) for name, per_atom, dtype in self._plain]
            self._whole = _Whole(cache.offsets, columns, self._sources(cache.resident))
        return self._whole

    def _fill_by_parts(
        self, n: int, head: NDArray[np.int64], body: NDArray[np.uint8], numbered: bool
    ) -> None:
        """Fill in a batch some of whose blocks are yet to be decoded."""
        structures, counts, rows = head[:n], head[2 * n + 1 : 3 * n + 1], head[3 * n + 1 : 4 * n + 1]
        *_, fill_some, number = self._compiled or self._kernels(n)
        for level, table in self.cache.tables.items():
            starts, lengths = (rows, counts) if level == ATOM else (structures, 1)
            for members, blocks in block_groups(self.cache, table, starts, lengths):
                # The kernel holds no reference: `resident` must outlive the call.
                resident = self.cache.hold(level, blocks)
                fill_some(
                    resident.addresses[level], resident.span[level], self._steps[level], members,
                    len(members) == n,
                    level == ATOM, self._n_atom_masks, n, head, body,
                )  # fmt: skip
        if numbered:
            number(self._steps[ATOM], n, head, body)

    def prefetch(self, structures: NDArray[np.int64]) -> None:
        """Have the blocks of some structures decoded by threads; return at once."""
        if (self._whole or self._find_whole()) is not None:
            return
        cache, marks = self.cache, {}
        for level, table in cache.tables.items():
            if cache.can_prefetch(level):
                marks[level] = np.zeros(table.n_blocks, np.uint8)
        if not marks:
            return
        mark_blocks(
            structures, cache.offsets, self._block_rows[ATOM], self._block_rows[STRUCTURE],
            marks.get(ATOM, _NO_BLOCKS), marks.get(STRUCTURE, _NO_BLOCKS),
        )  # fmt: skip
        for level, marked in marks.items():
            cache.prefetch(level, np.flatnonzero(marked))


def _has(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return, as an array without axes, whether any value is not missing."""
    there = values >= 0 if values.dtype.kind == "i" else values == values
    return np.array(there.any())
