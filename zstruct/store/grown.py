"""A store that is made here of one that is elsewhere, before the server has copied what the two share.

Files of shards that are to be copied there are empty here (see `put_shard`): their rows are read from the
store that they come from, under the same names.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.store.files import shard_path
from zstruct.store.store import Store

__all__ = ["GrownStore"]


class GrownStore(Store):
    """A store whose first shards may be elsewhere.

    Parameters
    ----------
    path
        Where it is made, a local directory.
    before
        The store that has the others.
    """

    def __init__(self, path: str | os.PathLike[str], before: Store):
        super().__init__(path)
        self._before = before
        self._elsewhere: dict[str, int] = {}

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return rows of an array, as `Store.read`, wherever they are.

        Parameters
        ----------
        name
            Path of the array in the store.
        start, stop
            The rows from the first on, up to the other; by default all.
        """
        n, stop = self._rows_elsewhere(name), self.shape(name)[0] if stop is None else stop
        if start >= n:
            return super().read(name, start, stop)
        there = self._before.read(name, start, min(stop, n))
        return there if stop <= n else np.concatenate([there, super().read(name, n, stop)])

    def _rows_elsewhere(self, name: str) -> int:
        """Return how many of the first rows of an array are in shards that are not here."""
        if name not in self._elsewhere:
            grid, shape = self.grid(name), self.shape(name)
            files = (shard_path(self.path, name, k, len(shape)) for k in range(grid.n_shards(shape[0])))
            here = next((k for k, file in enumerate(files) if file.stat().st_size), None)
            self._elsewhere[name] = shape[0] if here is None else here * grid.shard_rows
        return self._elsewhere[name]
