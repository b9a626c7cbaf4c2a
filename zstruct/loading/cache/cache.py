"""Decoded blocks of a store: which are there, who decodes the others, and where they are kept.

A block is decoded once, in the dtype that the reader works with. Readers get the addresses of the blocks
they need; what they do with them is theirs.

Where everything fits, each field is one contiguous column of an `Arena`, in private memory or
shared by all processes of the node. Where it does not, blocks are kept one by one and the least
recently used go first. Blocks are never changed once they are decoded, and a reader holds on to
the `Resident` it was given, so dropping a block only drops the cache's own reference: no reader
ever waits for another or sees a block vanish. Threads decode different blocks at the same time,
and never the same one. A forked child goes on with what its parent had; a spawned one attaches to
the shared arena, or starts empty.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import CorruptStoreError
from zstruct.loading.cache.arena import Arena
from zstruct.loading.cache.blocks import Resident, table_of
from zstruct.loading.cache.placement import choose_placement
from zstruct.loading.cache.readahead import ReadAhead
from zstruct.loading.cache.shards_ahead import ShardsAhead
from zstruct.loading.lifetime import renew_after_fork
from zstruct.schema import ATOM, STRUCTURE, Level
from zstruct.store.shards import ArrayReader
from zstruct.store.store import Store
from zstruct.store.view import StoreView
from zstruct.store.watch import Watch

__all__ = ["BlockCache"]

_OFFSETS = "offsets"
_INT64 = np.dtype(np.int64)
_EDGES_AT_ONCE = 1 << 20
_SLACK = 32  # the part of the budget that may be made free at a time


class BlockCache:
    """Decoded blocks of some fields of a store.

    Parameters
    ----------
    store
        The store, or a view of it.
    dtypes
        The fields to keep, and the dtype in which each is kept.
    cache, cache_bytes
        Where to keep them, and at most how many bytes; see
        `zstruct.loading.cache.placement.choose_placement`.
        The blocks of one request are held together even where they alone pass the budget.

    Raises
    ------
    CorruptStoreError
        If the lengths of the store's arrays contradict its counts.
    ValueError
        If `cache` is none of those, or the system can't share memory.
    """

    def __init__(
        self,
        store: Store | StoreView,
        dtypes: Mapping[str, np.dtype],
        cache: str | os.PathLike[str] | None = "auto",
        cache_bytes: float | None = None,
    ):
        self.store = store
        self.tables = {
            level: table
            for level in (ATOM, STRUCTURE)
            if (table := table_of(store, level, dtypes)) is not None
        }
        every = {level: np.arange(table.n_blocks) for level, table in self.tables.items()}
        self.nbytes = sum(table.nbytes(every[level]) for level, table in self.tables.items())
        self._readers = {name: ArrayReader(store, name) for name in (_OFFSETS, *dtypes)}
        direct = [reader.path for reader in self._readers.values() if reader.path is not None]
        self._watch = Watch(store.store if isinstance(store, StoreView) else store, direct)
        self.place = choose_placement(cache, cache_bytes, self.nbytes, 8 * (store.n_structures + 1))
        self._start()

    def _start(self) -> None:
        """Begin with nothing decoded, or with what others have decoded into the shared arena."""
        self._renew()
        self._arena = self._make_arena()
        self.flat: dict[str, NDArray[Any]] | None = None
        if self.place.flat:
            columns = self._arena.arrays
            self.flat = {name: columns[name] for name in self._readers if name != _OFFSETS}
            self._resident = Resident(
                {level: columns[f"present:{level}"] for level in self.tables},
                {
                    level: np.array([[columns[name].ctypes.data] for name in table.names], np.int64)
                    for level, table in self.tables.items()
                },
                {level: max(1, table.n_rows) for level, table in self.tables.items()},
            )
        else:
            shapes = {level: (len(table.names), table.n_blocks) for level, table in self.tables.items()}
            self._resident = Resident(
                {level: np.zeros(n, np.uint8) for level, (_, n) in shapes.items()},
                {level: np.zeros(shape, np.int64) for level, shape in shapes.items()},
                {level: table.block_rows for level, table in self.tables.items()},
            )
        self._last_used = {level: np.zeros(t.n_blocks, np.int64) for level, t in self.tables.items()}
        self._clock = 0
        self._complete = {level: table.n_blocks == 0 for level, table in self.tables.items()}
        renew_after_fork(self)

    def _renew(self) -> None:
        """Forget what threads are doing: after a fork, those of the parent do nothing here."""
        self._lock = threading.Lock()
        self._offsets_lock = threading.Lock()
        self._claims: dict[tuple[Level, int], threading.Event] = {}
        self._ahead = ReadAhead(self._decode_ahead)
        # Of what stays, all will be needed; where little stays, it would be gone before.
        self._shards = ShardsAhead(self.store, self.tables) if self.place.flat else None
        self._asked = {level: np.zeros(t.n_blocks, bool) for level, t in self.tables.items()}
        self._wanted = {level: np.zeros(t.n_blocks, np.int64) for level, t in self.tables.items()}

    def _make_arena(self) -> Arena:
        one = np.dtype(np.uint8)
        arrays: dict[str, tuple[np.dtype, tuple[int, ...]]] = {
            "present:offsets": (one, (1,)),
            _OFFSETS: (_INT64, (self.store.n_structures + 1,)),
        }
        for level, table in self.tables.items() if self.place.flat else ():
            arrays[f"present:{level}"] = (one, (table.n_blocks,))
            for name, dtype, shape in zip(table.names, table.dtypes, table.shapes, strict=True):
                arrays[name] = (dtype, (table.n_rows, *shape))
        blocks = {level: table.block_rows for level, table in self.tables.items()}
        path = os.path.realpath(self.store.path) if os.path.exists(self.store.path) else self.store.path
        key = {"path": path, "digest": self.store.digest, "blocks": blocks}
        return self.place.arena(arrays, key)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("store", "tables", "nbytes", "place", "_readers", "_watch")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def __repr__(self) -> str:
        return f"BlockCache({self.describe()})"

    def describe(self) -> str:
        """Return where blocks are kept and how much of them is decoded."""
        return self.place.describe(self.nbytes, self.decoded_bytes, self._arena.path)

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the blocks that are in memory."""
        resident = self._resident
        return sum(
            self.tables[level].nbytes(np.flatnonzero(flags)) for level, flags in resident.present.items()
        )

    @property
    def cache_bytes(self) -> int:
        """The budget, in bytes."""
        return self.place.budget

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Row edges of the structures, shape (n_structures + 1,); read on first use.

        Raises
        ------
        CorruptStoreError
            If they are no edges: what is read by them would be anyone's atoms.
        ChangedInputError
            If another store is there now.
        """
        arrays = self._arena.arrays
        if not arrays["present:offsets"][0]:
            with self._offsets_lock:
                if not arrays["present:offsets"][0]:
                    self._arena.reserve(_OFFSETS, 0, len(arrays[_OFFSETS]))
                    self._read_offsets(arrays[_OFFSETS])
                    self._arena.reserve("present:offsets", 0, 1)
                    arrays["present:offsets"][0] = 1
        return arrays[_OFFSETS]

    def _read_offsets(self, offsets: NDArray[np.int64]) -> None:
        n, last = len(offsets), 0
        good = self.store.shape(_OFFSETS) == (n,)
        try:
            for start in range(0, n if good else 0, _EDGES_AT_ONCE):
                part = offsets[start : start + _EDGES_AT_ONCE]
                stop, alone = start + len(part), self._arena.path is None
                self._readers[_OFFSETS].read_into(start, stop, part, private=alone)
                good &= (part[0] == 0 if start == 0 else part[0] >= last) and not np.any(part[1:] < part[:-1])
                last = int(part[-1])
        finally:
            self._watch.check()
        if not good or last != self.store.n_atoms:
            raise CorruptStoreError(
                f"{self.store.path}: the offsets are not the edges of {self.store.n_structures:,} "
                f"structures with {self.store.n_atoms:,} atoms; restore the store or build it again"
            )

    def complete(self, level: Level) -> bool:
        """Return whether every block of a dimension is in memory and will stay there."""
        if not self._complete[level] and self.place.flat:  # others may have decoded the rest
            self._complete[level] = bool(self._resident.present[level].all())
        return self._complete[level]

    @property
    def resident(self) -> Resident:
        """What is in memory now."""
        return self._resident

    def hold(self, level: Level, blocks: NDArray[np.int64]) -> Resident:
        """Return a `Resident` that has some blocks, decoding those that are not there yet.

        Parameters
        ----------
        level
            The dimension.
        blocks
            The blocks, each once.
        """
        resident = self._resident
        if self._complete[level]:
            return resident
        if not self.place.flat:
            self._clock += 1
            self._last_used[level][blocks] = self._clock
        if resident.has(level, blocks).all():
            return resident
        # What is wanted now is not dropped, so threads that share a small budget can't take each
        # other's blocks away before either has all of its own.
        with self._lock:
            self._wanted[level][blocks] += 1
        missing = blocks[~resident.has(level, blocks)].tolist()
        if len(missing) > 1:  # this thread begins with the first one
            if self._shards is not None:
                self._shards.want(level, np.array(missing))
            self._ahead.want([(level, block) for block in missing[1:]], first=True)
        try:
            while True:
                mine, others = self._claim(level, blocks)
                for block in mine:
                    self._decode(level, block)
                for event in others:
                    event.wait()
                with self._lock:
                    resident = self._resident
                    if resident.has(level, blocks).all():
                        return resident
        finally:
            with self._lock:
                self._wanted[level][blocks] -= 1

    def touch(self, level: Level, rows: NDArray[np.int64]) -> None:
        """Note that the blocks of some rows were read, so that they are not the first to go."""
        if level in self.tables:
            self._clock += 1
            blocks = np.minimum(rows // self.tables[level].block_rows, self.tables[level].n_blocks - 1)
            self._last_used[level][blocks] = self._clock

    def can_prefetch(self, level: Level) -> bool:
        """Return whether there is any block that is neither decoded nor asked for."""
        return not bool(np.all(self._asked[level] | (self._resident.present[level] != 0)))

    def prefetch(self, level: Level, blocks: NDArray[np.int64]) -> None:
        """Have threads decode some blocks, in this order; return at once.

        Blocks that would take more than a quarter of the budget are left alone: they would drive
        out what is in use.

        Parameters
        ----------
        level
            The dimension.
        blocks
            The blocks, each once.
        """
        missing = blocks[~self._resident.has(level, blocks)]
        if self.place.flat or self.tables[level].nbytes(missing) <= self.place.budget // 4:
            asked = self._asked[level]
            new = missing[~asked[missing]]
            if len(new):
                if self._shards is not None:
                    self._shards.want(level, new)
                asked[new] = True
                self._ahead.want([(level, block) for block in new.tolist()])

    def _decode_ahead(self, job: tuple[Level, int]) -> None:
        """Decode a block, unless it is there or others are at it."""
        level, block = job
        self._asked[level][block] = False
        with self._lock:
            if self._resident.present[level][block] or job in self._claims:
                return
            if not self.place.flat:
                self._make_room(self.tables[level].nbytes(np.array([block])))
                self._last_used[level][block] = self._clock
            self._claims[job] = threading.Event()
        self._decode(level, block)

    def _claim(self, level: Level, blocks: NDArray[np.int64]) -> tuple[list[int], list[threading.Event]]:
        """Return which of the missing blocks this thread decodes, and the ends of others' work."""
        with self._lock:
            missing = blocks[~self._resident.has(level, blocks)].tolist()
            others = [self._claims[level, b] for b in missing if (level, b) in self._claims]
            mine = [block for block in missing if (level, block) not in self._claims]
            if not self.place.flat:
                self._make_room(self.tables[level].nbytes(np.array(mine, np.int64)))
            # One at a time, so that others can take the next ones meanwhile.
            for block in mine[:1]:
                self._claims[level, block] = threading.Event()
            return mine[:1], [] if mine else others

    def _decode(self, level: Level, block: int) -> None:
        """Decode a block that was claimed, unless another process has come first."""
        try:
            if self.flat is None:
                self._decode_alone(level, block)
            else:
                self._arena.reserve(f"present:{level}", block, block + 1)
                with self._arena.alone(f"present:{level}", block):
                    if not self._resident.present[level][block]:
                        self._decode_alone(level, block)
        finally:
            with self._lock:
                self._claims.pop((level, block)).set()

    def _decode_alone(self, level: Level, block: int) -> None:
        table = self.tables[level]
        start, stop = table.rows(block)
        if self.flat is None:
            pieces = [
                np.empty((stop - start, *shape), dtype)
                for dtype, shape in zip(table.dtypes, table.shapes, strict=True)
            ]
        else:
            for name in table.names:
                self._arena.reserve(name, start, stop)
            pieces = [self.flat[name][start:stop] for name in table.names]
        try:
            for name, piece in zip(table.names, pieces, strict=True):
                self._readers[name].read_into(start, stop, piece, private=self._arena.path is None)
        finally:  # also where it can't be read: it may be another store's
            self._watch.check()
        with self._lock:
            if self.flat is None:
                self._resident.arrays[level, block] = pieces
                self._resident.addresses[level][:, block] = [piece.ctypes.data for piece in pieces]
            # Last: it says that all the rest is there.
            self._resident.present[level][block] = 1

    def _make_room(self, nbytes: int) -> None:
        """Drop the blocks used longest ago, none that is wanted now, until `nbytes` fit in."""
        there = {k: np.flatnonzero(flags) for k, flags in self._resident.present.items()}
        excess = sum(self.tables[k].nbytes(b) for k, b in there.items()) + nbytes - self.place.budget
        for level, block in self._claims:
            excess += self.tables[level].nbytes(np.array([block]))
        if excess <= 0:
            return
        free = [(k, b[self._wanted[k][b] == 0]) for k, b in there.items()]
        levels = [k for k, b in free for _ in range(len(b))]
        blocks = np.concatenate([b for _, b in free])
        order = np.argsort(np.concatenate([self._last_used[k][b] for k, b in free]), kind="stable")
        sizes = np.concatenate([self.tables[k].sizes(b) for k, b in free])[order].cumsum()
        # As many as there must be, and where blocks are many, a few more: to look at all of them for each
        # one that goes would take longer than to decode it.
        n = int(np.searchsorted(sizes, excess)) + 1
        n = max(n, int(np.searchsorted(sizes, excess + self.place.budget // _SLACK, side="right")))
        gone = [(levels[i], int(blocks[i])) for i in order[:n].tolist()]
        self._resident = self._resident.without(gone)
