"""How rows of an array are cut: chunks, which are read whole, and shards of chunks, which are files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zstruct.schema import ATOM, STRUCTURE, Level

__all__ = ["ChunkGrid", "choose_grid", "grid_of", "grid_with"]

# Measured by tests/benchmarks/bench_layout.py; docs/format.md quotes it.
_CHUNK_ROWS = {ATOM: 1 << 16, STRUCTURE: 1 << 14}
_CHUNK_BYTES = 1 << 21
_CHUNKS_PER_SHARD = 16


@dataclass(frozen=True, slots=True)
class ChunkGrid:
    """Rows of an inner chunk (the unit of reading) and of a shard (the unit of writing)."""

    chunk_rows: int
    shard_rows: int

    def n_shards(self, n_rows: int) -> int:
        """Return how many shards hold `n_rows` rows."""
        return -(-n_rows // self.shard_rows)


def _power_of_two(x: float) -> int:
    return 1 << max(0, int(x).bit_length() - 1)


def choose_grid(n_rows: int, row_bytes: int, level: Level = STRUCTURE) -> ChunkGrid:
    """Return chunk and shard sizes for an array of `n_rows` rows of `row_bytes` bytes.

    An inner chunk has 65,536 rows of atoms or 16,384 of structures, fewer where rows are so wide
    that it would pass two megabytes; a shard has 16 chunks. Arrays of one dimension so share
    their chunk edges. No array gets a chunk or a shard larger than itself.

    Examples
    --------
    >>> choose_grid(10_000_000, 24, "atom")
    ChunkGrid(chunk_rows=65536, shard_rows=1048576)
    >>> choose_grid(500, 24)
    ChunkGrid(chunk_rows=500, shard_rows=500)
    """
    widest = _power_of_two(_CHUNK_BYTES / max(1, row_bytes))
    return grid_with(n_rows, min(_CHUNK_ROWS[level], widest))


def grid_with(n_rows: int, chunk_rows: int) -> ChunkGrid:
    """Return chunk and shard sizes for an array of `n_rows` rows with chunks of so many, if it has as many.

    Examples
    --------
    >>> grid_with(10_000, 1000), grid_with(10_000, 20_000)
    (ChunkGrid(chunk_rows=1000, shard_rows=10000), ChunkGrid(chunk_rows=10000, shard_rows=10000))
    """
    if n_rows <= chunk_rows:
        return ChunkGrid(max(1, n_rows), max(1, n_rows))
    return ChunkGrid(chunk_rows, chunk_rows * min(_CHUNKS_PER_SHARD, -(-n_rows // chunk_rows)))


def grid_of(said: Mapping[str, Any]) -> ChunkGrid:
    """Return chunk and shard rows of an array, given its document; without shards, a chunk is one."""
    outer = said["chunk_grid"]["configuration"]["chunk_shape"][0]
    codec = said["codecs"][0]
    sharded = isinstance(codec, Mapping) and codec["name"] == "sharding_indexed"
    return ChunkGrid(codec["configuration"]["chunk_shape"][0] if sharded else outer, outer)
