"""Files of a store behind a URL, one by one: whether they are there, where nobody lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from zstruct.disk import WAITS
from zstruct.paths_and_urls import refused

__all__ = ["RemoteFiles"]

_PART = 4  # bytes, fewer than any shard has


class RemoteFiles:
    """Files of a store that fsspec reads.

    Parameters
    ----------
    path
        The URL of the store.
    storage_options
        Of its file system.
    """

    def __init__(self, path: str, storage_options: Mapping[str, Any] | None):
        from fsspec.core import url_to_fs

        self.path = path
        self._files, self._root = url_to_fs(path, **(storage_options or {}))

    def absent(self, names: Sequence[str]) -> list[str]:
        """Return which files are not there, given their paths in the store.

        Raises
        ------
        StoreAccessError
            If the server can't be asked.
        """
        with ThreadPoolExecutor(WAITS) as pool:
            there = list(pool.map(self._is_there, names))
        return [name for name, found in zip(names, there, strict=True) if not found]

    def _is_there(self, name: str) -> bool:
        try:
            self._files.info(f"{self._root}/{name}")
        except FileNotFoundError as error:
            # What keeps fsspec from asking is a file that is not there, to it.
            said = refused(self.path, error.__cause__) if error.__cause__ is not None else None
            if said is not None and not _is_absence(error.__cause__):
                raise said from error
            return False
        return True

    def come_whole(self, name: str) -> bool:
        """Return whether the server gives a file whole where a part of it is asked for."""
        try:
            return len(self._files.cat_file(f"{self._root}/{name}", start=0, end=_PART)) > _PART
        except (OSError, ValueError):
            return False


def _is_absence(error: BaseException | None) -> bool:
    return isinstance(error, FileNotFoundError) or getattr(error, "status", None) in (404, 410)
