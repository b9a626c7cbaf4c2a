"""Notice that another store, or another group of it, has taken the place of the one that was opened.

Whoever reads a store block by block would else mix the rows of two. Local stores only: they, and their
groups, are replaced by renaming, so that a directory with another number stands there. This module
knows nothing of blocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from zstruct.errors import ChangedInputError
from zstruct.store import Store

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
        self._path, self._digest = store.path, store.digest
        groups = sorted(os.path.join(store.path, array) for array in arrays if "/" in array)
        self._groups = {group: _identity(group) for group in groups}
        self._store = _identity(store.path)

    def check(self) -> None:
        """Raise if something else is there now.

        Raises
        ------
        ChangedInputError
            If it is another store or group.
        """
        now = _identity(self._path)
        if now != self._store:
            # File systems that number files anew, and copies that were moved there, are put up with.
            if now is None or Store(self._path).digest != self._digest:
                self._refuse(self._path)
            self._store = now
            self._groups = {group: _identity(group) for group in self._groups}
        for group, identity in self._groups.items():
            if _identity(group) != identity:
                self._refuse(group)

    def _refuse(self, what: str) -> None:
        raise ChangedInputError(f"{what} was replaced after this dataset was opened: open the dataset again")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:  # not local, or gone
        return None
    return status.st_dev, status.st_ino
