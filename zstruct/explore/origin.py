"""Where a Dataset comes from: its store, and which structures of that it has."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.schema import STRUCTURE
from zstruct.store.store import Store

__all__ = ["rows_of_store", "store_of"]

_KEEP_SPLIT = "keep the labels in it: ds = ds.assign_coords(split=ds.zs.split())"


def rows_of_store(dataset: xr.Dataset, instead: str = _KEEP_SPLIT) -> tuple[Store, NDArray[np.int64]]:
    """Return the store of a Dataset, and which of its structures the Dataset has.

    Parameters
    ----------
    dataset, instead
        As for `store_of`.

    Raises
    ------
    InputError
        If the Dataset does not know it, or if the store has other content by now.
    """
    store = store_of(dataset, instead)
    index = dataset.indexes.get(STRUCTURE)
    if index is None:
        raise InputError(
            f"this Dataset has no coordinate structure, which says what rows of {store.path} it has"
        )
    return store, index.to_numpy()


def store_of(dataset: xr.Dataset, instead: str) -> Store:
    """Return the store that a Dataset came from, as it was.

    Parameters
    ----------
    dataset
        What `open` returned, or a part of it.
    instead
        What to do where it does not know its store, for the message.

    Raises
    ------
    InputError
        If it does not know it, or the store has other content by now.
    """
    path = dataset.encoding.get("source")
    if path is None:
        raise InputError(
            "this Dataset no longer knows its store; go back to the one that zstruct.open returned, "
            f"{instead}"
        )
    store = Store(path, dataset.encoding.get("storage_options"))
    if store.digest != dataset.encoding.get("digest"):
        raise InputError(f"{path} has other content than when it was opened; open it again")
    return store
