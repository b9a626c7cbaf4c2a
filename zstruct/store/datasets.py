"""What may be given in place of a store: whatever has one, and says which of its structures it holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import InputError
from zstruct.store.store import Store

__all__ = ["Dataset", "is_dataset", "store_and_rows", "structures_once"]


class Dataset(Protocol):
    """What has a store and says which of its structures it holds, as `ZarrStructureDataset` does."""

    store: Store

    @property
    def structures(self) -> NDArray[np.int64]:
        """Which structures of the store these are, shape (n,)."""
        ...


def is_dataset(given: Any) -> bool:
    """Return whether something is a `Dataset`."""
    return isinstance(getattr(given, "store", None), Store) and hasattr(given, "structures")


def store_and_rows(
    given: str | os.PathLike[str] | Store | Dataset, storage_options: Mapping[str, Any] | None = None
) -> tuple[Store, NDArray[np.int64] | None]:
    """Return the store of what is given, and the rows of a dataset, in its order; None if a store is given.

    Parameters
    ----------
    given
        A store, its path, or a dataset.
    storage_options
        Of a store that is given as a URL.

    Raises
    ------
    InputError
        If it is something else.
    """
    if isinstance(given, str | os.PathLike | Store):
        return Store.of(given, storage_options), None
    if not is_dataset(given):
        path = getattr(given, "encoding", None)  # what zstruct.open returns has it there
        path = path.get("source") if isinstance(path, Mapping) else None
        instead = (
            "" if path is None else f"; its path is {path!r}, and what ds.zs has is of what was selected"
        )
        raise InputError(f"a store, its path or a dataset of it is needed, not {shown(given)}{instead}")
    return given.store, np.asarray(given.structures, dtype=np.int64)


def structures_once(store: Store, rows: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """Return rows of a store in ascending order, each once, shape (n,); None if they are all."""
    if rows is None:
        return None
    once = np.unique(rows)
    return None if len(once) == store.n_structures else once
