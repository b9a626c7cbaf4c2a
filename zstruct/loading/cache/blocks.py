"""Blocks: how the loaded fields of a store are cut, and which pieces are in memory.

A block is a range of rows of every loaded field of one dimension (atoms or structures). This module only
describes; decoding and keeping blocks is done by `cache`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import CorruptStoreError
from zstruct.schema import ATOM, Level
from zstruct.store.store import Store
from zstruct.store.view import StoreView

__all__ = ["Resident", "Table", "table_of"]


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

    def rows(self, block: int) -> tuple[int, int]:
        """Return the first row of a block and the one after its last."""
        return block * self.block_rows, min((block + 1) * self.block_rows, self.n_rows)

    def sizes(self, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the bytes of each of some blocks."""
        rows = np.minimum((blocks + 1) * self.block_rows, self.n_rows) - blocks * self.block_rows
        return rows * self.row_bytes

    def nbytes(self, blocks: NDArray[np.int64]) -> int:
        """Return the bytes of some blocks together, none of them listed twice."""
        return int(self.sizes(blocks).sum())


@dataclass(frozen=True)
class Resident:
    """The blocks that are in memory: who holds this object may read them all.

    Parameters
    ----------
    present
        By dimension, a byte for every block, shape (blocks,), zero where it is not in memory.
    addresses
        By dimension, where the rows of every field lie: in one column, shape (fields, 1), or in
        one piece for each block, shape (fields, blocks).
    span
        By dimension, the rows that one address stands for.
    arrays
        What keeps separate blocks alive, by dimension and block.
    """

    present: dict[Level, NDArray[np.uint8]]
    addresses: dict[Level, NDArray[np.int64]]
    span: dict[Level, int]
    arrays: dict[tuple[Level, int], list[NDArray[Any]]] = field(default_factory=dict)

    def has(self, level: Level, blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some blocks are in memory."""
        return self.present[level][blocks] != 0

    def without(self, gone: Sequence[tuple[Level, int]]) -> Resident:
        """Return a copy that lacks some blocks; this one stays as it is for its readers."""
        present = {level: flags.copy() for level, flags in self.present.items()}
        addresses = {level: table.copy() for level, table in self.addresses.items()}
        arrays = dict(self.arrays)
        for level, block in gone:
            present[level][block] = 0
            addresses[level][:, block] = 0
            del arrays[level, block]
        return Resident(present, addresses, self.span, arrays)


def table_of(store: Store | StoreView, level: Level, dtypes: Mapping[str, np.dtype]) -> Table | None:
    """Return how the chosen fields of a dimension are cut, or None if none is chosen.

    Raises
    ------
    CorruptStoreError
        If an array is not as long as the store says.
    """
    names = tuple(name for name in dtypes if store.columns[name].level == level)
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
        tuple(store.columns[name].shape for name in names),
        n_rows,
        # Chunks are powers of two or the whole array: the largest is a whole number of the others.
        max(store.grid(name).chunk_rows for name in names),
    )
