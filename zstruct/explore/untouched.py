"""Which variables of a Dataset are still those of its store, all of them and in its order.

What a store knows of them holds of the Dataset, too. A variable that was loaded into memory, assigned or
selected from is not asked: it may be anything.
"""

from __future__ import annotations

import pandas as pd
import xarray as xr
from xarray.core import indexing

from zstruct.explore.arrays import StoredRows, is_all
from zstruct.explore.chunks import token_of
from zstruct.schema import ATOM, STRUCTURE
from zstruct.store.store import Store

__all__ = ["Untouched"]


class Untouched:
    """The variables of a Dataset that are as they were opened.

    Parameters
    ----------
    dataset
        What `zstruct.open` returned, or any part of it.
    store
        The store that all its structures are of, in their order.
    """

    def __init__(self, dataset: xr.Dataset, store: Store):
        self.store = store
        self._ds, self._token = dataset, token_of(store, store.digest)

    @classmethod
    def of(cls, dataset: xr.Dataset) -> Untouched | None:
        """Return them, or None if the structures, or which atoms are whose, are not those of a store."""
        index, counts = dataset.indexes.get(STRUCTURE), dataset.variables.get("n_atoms")
        rows = None if counts is None else _rows(counts)
        if rows is None or not isinstance(index, pd.RangeIndex):
            return None
        found = cls(dataset, rows.store)
        n = rows.store.n_structures
        whole = (index.start, index.stop, index.step) == (0, n, 1)
        return found if whole and found.has("n_atoms", "offsets") else None

    def has(self, *names: str) -> bool:
        """Return whether variables are those of the store."""
        return all(map(self._is_stored, names))

    def _is_stored(self, name: str) -> bool:
        variable = self._ds.variables.get(name)
        if variable is None or variable.dims[:1] not in ((STRUCTURE,), (ATOM,)):
            return False
        rows = _rows(variable)
        if rows is not None:
            return rows.name == name and rows.store.path == self.store.path
        return getattr(variable._data, "name", None) == f"{name}-{self._token}"


def _rows(variable: xr.Variable) -> StoredRows | None:
    """Return the rows of a store that a variable reads when it is used, all of them; None: it does not."""
    data = variable._data
    if isinstance(data, indexing.CopyOnWriteArray):
        data = data.array
    if isinstance(data, indexing.LazilyIndexedArray):
        if not all(is_all(k, n) for k, n in zip(data.key.tuple, data.array.shape, strict=True)):
            return None
        data = data.array
    return data if isinstance(data, StoredRows) else None
