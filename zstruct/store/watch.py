"""Notice that another store, or another group of it, has taken the place of the one that was opened.

Whoever reads a store block by block would else mix the rows of two. Local stores only: they, and their
groups, are replaced by renaming, so that a directory with another number stands there. This module
knows nothing of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable

from zstruct.store.store import Store

__all__ = ["Watch"]


class Watch:
    """Knows which directories a store and some of its arrays were in.

    Parameters
    ----------
    store
        The store, just opened.
    arrays
        The paths of arrays in it; those in groups are watched, too.
    """

    def __init__(self, store: Store, arrays: Iterable[str]):
        self._store, self._arrays = store, ["", *(array for array in arrays if "/" in array)]

    def check(self) -> None:
        """Raise if something else is there now, or nothing.

        Raises
        ------
        ChangedInputError
            If it is another store or group, or if it is gone.
        """
        for array in self._arrays:
            self._store.check_current(array, "dataset")
