"""Decoded blocks of a store, kept in memory up to a budget.

A block is a range of rows of every loaded field of one dimension (atoms or structures), decoded
once in the dtype that the reader works with. Readers get the addresses of the blocks they need;
what they do with them is theirs. This module knows nothing of batches, of torch or of Numba.

Blocks are never changed once they are decoded, and a reader holds on to the `Resident` it was
given, so evicting a block only drops the cache's own reference: no reader ever waits for another
or sees a block vanish. A forked child goes on with the blocks its parent had decoded (the pages
stay shared until someone writes to them, and nobody does); a spawned one starts empty.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import CorruptStoreError
from zstruct.schema import ATOM, STRUCTURE, Level
from zstruct.store import Store

__all__ = ["CACHE_BYTES", "BlockCache", "Resident", "Table"]

#: Default budget of decoded blocks, in bytes.
CACHE_BYTES = 2 << 30


@dataclass(frozen=True)
class Table:
    """The loaded fields of one dimension and how their rows are cut into blocks.

    Parameters
    ----------
    level
        The dimension.
    names, dtypes, shapes
        For each field its name, its dtype in a block, and the shape of one row.
    n_rows
        Rows of the dimension.
    block_rows
        Rows of a block; the last block may be shorter.
    """

    level: Level
    names: tuple[str, ...]
    dtypes: tuple[np.dtype, ...]
    shapes: tuple[tuple[int, ...], ...]
    n_rows: int
    block_rows: int

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return -(-self.n_rows // self.block_rows)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of all fields together."""
        pairs = zip(self.dtypes, self.shapes, strict=True)
        return sum(dtype.itemsize * math.prod(shape) for dtype, shape in pairs)

    def nbytes(self, blocks: NDArray[np.int64]) -> int:
        """Return the bytes of some blocks, none of them listed twice."""
        rows = np.minimum((blocks + 1) * self.block_rows, self.n_rows) - blocks * self.block_rows
        return int(rows.sum()) * self.row_bytes


@dataclass(frozen=True)
class Resident:
    """The blocks that are in memory: who holds this object may read them all.

    Parameters
    ----------
    addresses
        By dimension, the address of every field's block, shape (fields, blocks), zero where the
        block is not in memory.
    arrays
        What keeps the memory behind the addresses alive, by dimension and block.
    """

    addresses: dict[Level, NDArray[np.int64]]
    arrays: dict[tuple[Level, int], list[NDArray]] = field(default_factory=dict)

    def has(self, level: Level, blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some blocks are in memory."""
        return self.addresses[level][0, blocks] != 0

    def without(self, gone: Sequence[tuple[Level, int]]) -> Resident:
        """Return a copy that lacks some blocks; this one stays as it is for its readers."""
        addresses = {level: table.copy() for level, table in self.addresses.items()}
        arrays = dict(self.arrays)
        for level, block in gone:
            addresses[level][:, block] = 0
            del arrays[level, block]
        return Resident(addresses, arrays)


class BlockCache:
    """Decoded blocks of some fields of a store, the least recently used dropped first.

    Parameters
    ----------
    store
        The store.
    dtypes
        The fields to keep, and the dtype in which each is kept.
    cache_bytes
        Bytes of decoded blocks to keep in this process. The blocks of one request are held
        together even where they alone pass it.

    Raises
    ------
    CorruptStoreError
        If the lengths of the store's arrays contradict its counts.
    """

    def __init__(self, store: Store, dtypes: Mapping[str, np.dtype], cache_bytes: int = CACHE_BYTES):
        self.store = store
        self.cache_bytes = cache_bytes
        self.tables = {
            level: table for level in (ATOM, STRUCTURE) if (table := _table(store, level, dtypes)) is not None
        }
        every = {level: np.arange(table.n_blocks) for level, table in self.tables.items()}
        self.nbytes = sum(table.nbytes(every[level]) for level, table in self.tables.items())
        self._start()

    def _start(self) -> None:
        """Begin with nothing decoded."""
        shapes = {level: (len(table.names), table.n_blocks) for level, table in self.tables.items()}
        self._resident = Resident({level: np.zeros(shape, np.int64) for level, shape in shapes.items()})
        self._last_used = {level: np.zeros(shape[1], np.int64) for level, shape in shapes.items()}
        self._clock = 0
        self._complete = {level: shape[1] == 0 for level, shape in shapes.items()}
        self._offsets: NDArray[np.int64] | None = None
        self._lock = threading.Lock()
        _caches.add(self)

    def __getstate__(self) -> dict[str, Any]:
        return {k: getattr(self, k) for k in ("store", "cache_bytes", "tables", "nbytes")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    @property
    def fits(self) -> bool:
        """Whether all blocks together stay within the budget, so that none is ever dropped."""
        return self.nbytes <= self.cache_bytes

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Row edges of the structures, shape (n_structures + 1,); read on first use.

        Raises
        ------
        CorruptStoreError
            If they are no edges: what is read by them would be anyone's atoms.
        """
        if self._offsets is None:
            offsets = np.ascontiguousarray(self.store.read("offsets"), dtype=np.int64)
            expected = (self.store.n_structures + 1,)
            if (
                offsets.shape != expected
                or offsets[0] != 0
                or offsets[-1] != self.store.n_atoms
                or np.any(offsets[1:] < offsets[:-1])
            ):
                raise CorruptStoreError(
                    f"{self.store.path}: the offsets are not the edges of {self.store.n_structures:,} "
                    f"structures with {self.store.n_atoms:,} atoms; restore the store or build it again"
                )
            self._offsets = offsets
        return self._offsets

    def hold(self, level: Level, blocks: NDArray[np.int64] | None) -> Resident:
        """Return a `Resident` that has some blocks, decoding those that are not there yet.

        Parameters
        ----------
        level
            The dimension.
        blocks
            The blocks, each once; not needed (None) once `complete`.
        """
        resident = self._resident
        if blocks is None or self._complete[level]:
            return resident
        if not self.fits:
            self._clock += 1
            self._last_used[level][blocks] = self._clock
        if resident.has(level, blocks).all():
            return resident
        # One decoder at a time: two threads that miss the same block must not both decode it.
        with self._lock:
            missing = blocks[~self._resident.has(level, blocks)]
            self._make_room(level, blocks, self.tables[level].nbytes(missing))
            resident = self._resident
            for block in missing.tolist():
                self._decode(resident, level, block)
            if self.fits:
                self._complete[level] = bool(resident.addresses[level][0].all())
        return resident

    def complete(self, level: Level) -> bool:
        """Return whether every block of a dimension is in memory and will stay there."""
        return self._complete[level]

    def _decode(self, resident: Resident, level: Level, block: int) -> None:
        table = self.tables[level]
        start = block * table.block_rows
        stop = min(start + table.block_rows, table.n_rows)
        arrays = [
            np.ascontiguousarray(self.store.read(name, start, stop), dtype=dtype)
            for name, dtype in zip(table.names, table.dtypes, strict=True)
        ]
        # The arrays come first: an address says that its block is there.
        resident.arrays[level, block] = arrays
        resident.addresses[level][:, block] = [array.ctypes.data for array in arrays]

    def _make_room(self, level: Level, wanted: NDArray[np.int64], nbytes: int) -> None:
        """Drop the blocks used longest ago, none of those wanted now, until `nbytes` fit in."""
        there = {k: np.flatnonzero(table[0]) for k, table in self._resident.addresses.items()}
        excess = sum(self.tables[k].nbytes(b) for k, b in there.items()) + nbytes - self.cache_bytes
        if excess <= 0:
            return
        there[level] = np.setdiff1d(there[level], wanted)
        oldest = sorted((int(self._last_used[k][b]), k, int(b)) for k, found in there.items() for b in found)
        gone: list[tuple[Level, int]] = []
        for _, k, block in oldest:
            if excess <= 0:
                break
            gone.append((k, block))
            excess -= self.tables[k].nbytes(np.array([block]))
        self._resident = self._resident.without(gone)


def _table(store: Store, level: Level, dtypes: Mapping[str, np.dtype]) -> Table | None:
    names = tuple(name for name in dtypes if store.fields[name].level == level)
    if not names:
        return None
    n_rows = store.n_atoms if level == ATOM else store.n_structures
    for name in names:
        if store.shape(name)[0] != n_rows:
            raise CorruptStoreError(
                f"{store.path}: {name} has {store.shape(name)[0]:,} rows where the store counts {n_rows:,} "
                f"{level}s; restore the store or build it again"
            )
    return Table(
        level,
        names,
        tuple(np.dtype(dtypes[name]) for name in names),
        tuple(store.fields[name].shape for name in names),
        n_rows,
        # Chunks are powers of two or the whole array: the largest is a whole number of the others.
        max(store.layout(name).chunk_rows for name in names),
    )


_caches: weakref.WeakSet[BlockCache] = weakref.WeakSet()


def _renew_locks() -> None:
    """Give a forked child locks of its own: a thread that no longer exists may have held them."""
    for cache in _caches:
        cache._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
