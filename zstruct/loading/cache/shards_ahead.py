"""Have shards in the memory of the system before their chunks are decoded: whole, in the order of the disk.

Blocks are decoded in the order in which an epoch needs them, which is random, and each is read when it is
decoded; a disk is faster in sequence. Nothing is decoded here, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zstruct.disk import load
from zstruct.loading.cache.blocks import Table
from zstruct.loading.cache.readahead import ReadAhead
from zstruct.schema import Level
from zstruct.store.files import shard_path
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.view import StoreView

__all__ = ["ShardsAhead"]

_THREADS = 2  # by measurement: as many as keep a disk busy


class ShardsAhead:
    """Reads shards that have some blocks, each once; those of local stores only.

    Parameters
    ----------
    store
        The store, or a view of it.
    tables
        The fields that are decoded, and how their rows are cut into blocks.
    """

    def __init__(self, store: Store | StoreView, tables: Mapping[Level, Table]):
        self._store, self._path, self._tables = store, store.path, tables
        self._asked: dict[tuple[Level, int], set[int]] = {}
        self._ahead = ReadAhead(self._load, _THREADS)

    @cached_property
    def _specs(self) -> dict[Level, list[ArraySpec]]:
        return {
            level: [spec for name in table.names if (spec := self._store.profile(name)) is not None]
            for level, table in self._tables.items()
        }

    def want(self, level: Level, blocks: NDArray[np.int64]) -> None:
        """Have the shards of some blocks read by threads; return at once."""
        edges = [self._tables[level].rows(block) for block in blocks.tolist()]
        new = []
        for k, spec in enumerate(self._specs[level]):
            rows, asked = spec.grid.shard_rows, self._asked.setdefault((level, k), set())
            found = {shard for start, stop in edges for shard in range(start // rows, -(-stop // rows))}
            for shard in found - asked:
                path = shard_path(self._path, spec.path, shard, len(spec.shape))
                new.append((shard * rows, path))
            asked |= found
        self._ahead.want([path for _, path in sorted(new)])

    def _load(self, path: Path) -> None:
        load(path)
