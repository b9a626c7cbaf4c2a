"""Arrays from anywhere in a store as the columns of one: what the cache reads beside plain fields.

Features are one more column over atoms; the pairs of a group are rows of their own, with row edges of their
own. To the cache and the gather, both look like a store.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zstruct.schema import ATOM, STRUCTURE, Level
from zstruct.store.chunks import ChunkGrid
from zstruct.store.digests import combine_digests
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store

__all__ = ["Column", "StoreView"]

_OFFSETS = "offsets"


class Column(NamedTuple):
    """An array of a store.

    Attributes
    ----------
    path
        Where it is in the store.
    level
        ``"structure"`` if it has a row for each structure; ``"atom"`` if it has those rows that
        the row edges of the view count, be they atoms or pairs.
    shape
        Of one row.
    """

    path: str
    level: Level
    shape: tuple[int, ...]


class StoreView:
    """Arrays of a store under other names, as what a `BlockCache` reads.

    Parameters
    ----------
    store
        The store.
    columns
        Name and path of each array; all have the rows that `offsets` counts, except those over structures.
    digest
        Texts that change whenever the contents of arrays outside the store's own digest do.
    offsets
        Path of the row edges of the structures.

    Raises
    ------
    KeyError
        If an array is not there.
    """

    def __init__(
        self,
        store: Store,
        columns: Mapping[str, str],
        digest: Iterable[str] = (),
        offsets: str = _OFFSETS,
    ):
        self.store, self.path, self.n_structures = store, store.path, store.n_structures
        self.columns = {
            name: Column(
                path, STRUCTURE if store.dims(path)[:1] == (STRUCTURE,) else ATOM, store.shape(path)[1:]
            )
            for name, path in columns.items()
        }
        # The rows are those of the arrays: the cache compares the last edge with their number.
        long = [column.path for column in self.columns.values() if column.level == ATOM]
        self.n_atoms = store.n_atoms if offsets == _OFFSETS else store.shape(long[0])[0]
        self.digest = combine_digests([store.digest, *digest])
        self._paths = {_OFFSETS: offsets} | {name: c.path for name, c in self.columns.items()}

    def grid(self, name: str) -> ChunkGrid:
        """Return chunk and shard rows of an array."""
        return self.store.grid(self._paths[name])

    def profile(self, name: str) -> ArraySpec | None:
        """Return how an array lies in files that can be read without zarr, or None if it does not."""
        return self.store.profile(self._paths[name])

    def checksums(self, name: str) -> NDArray[np.uint32] | None:
        """Return the CRC32C of the index of each shard of an array, or None if the store does not say."""
        return self.store.checksums(self._paths[name])

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return self.store.shape(self._paths[name])

    def dtype(self, name: str) -> np.dtype:
        """Return the dtype of an array."""
        return self.store.dtype(self._paths[name])

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start:stop`` of an array, decoded and checked."""
        return self.store.read(self._paths[name], start, stop)

    def nbytes(self, dtypes: Mapping[str, np.dtype]) -> int:
        """Return the bytes of all columns once decoded to some dtypes."""
        return sum(dtype.itemsize * math.prod(self.shape(name)) for name, dtype in dtypes.items())
