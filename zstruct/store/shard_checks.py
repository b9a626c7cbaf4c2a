"""Shards of a store that is read: whether all are there, and whether they are those that were built.

A missing shard would read as fill values, and zarr believes the index of any file. Tables in the store say
what its shards should be; they are read elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import CorruptStoreError
from zstruct.paths_and_urls import refused
from zstruct.store.checksums import checksum_of
from zstruct.store.chunks import grid_of
from zstruct.store.files import require_shards, shard_name, shard_path
from zstruct.store.handles import bytes_there, chunks_there
from zstruct.store.spec import SHARDS

if TYPE_CHECKING:
    import zarr

    from zstruct.store.remote_files import RemoteFiles

__all__ = ["ShardChecks", "rows_of_shards", "shard_checksum"]


class ShardChecks:
    """Looks at the shards of the arrays of a store, at each once.

    Parameters
    ----------
    path
        Where the store is.
    """

    def __init__(self, path: str):
        self.path = path
        # Arrays of which no shard is missing, and shards that are those that were built.
        self._whole: set[str] = set()
        self._built: set[tuple[str, int]] = set()
        # Arrays whose files nobody lists: each shard is asked for before it is read.
        self._unlisted: set[str] = set()

    def check_whole(
        self, name: str, said: Mapping[str, Any], opened: Callable[[str], zarr.Array[Any]]
    ) -> None:
        """Raise if a shard of an array is missing, say after half a copy.

        Parameters
        ----------
        name
            Path of the array in the store.
        said
            Its document.
        opened
            Returns the array as zarr opens it; asked where the store is no local directory.

        Raises
        ------
        CorruptStoreError
            Naming the array.
        """
        if name in self._whole:
            return
        if os.path.isdir(self.path):
            rows = said["chunk_grid"]["configuration"]["chunk_shape"][:1]
            n_shards = -(-said["shape"][0] // rows[0]) if rows else 0
            require_shards(self.path, name, n_shards, len(said["shape"]))
        else:
            array = opened(name)
            n = chunks_there(self.path, array) if array.store.supports_listing else 0
            if n < array.nchunks:
                if n or bytes_there(self.path, array):
                    raise self._missing(name)
                self._unlisted.add(name)  # not even what has been opened
        self._whole.add(name)

    def _missing(self, name: str) -> CorruptStoreError:
        return CorruptStoreError(
            f"{self.path}: shards of {name} are missing; copy the store again, or build it again"
        )

    def check_there(
        self, name: str, start: int, stop: int, said: Mapping[str, Any], files: Callable[[], RemoteFiles]
    ) -> None:
        """Raise if a shard with some rows is missing from a server that lists nothing.

        Parameters
        ----------
        name
            Path of the array in the store.
        start, stop
            The rows.
        said
            Its document.
        files
            Returns those of the store.

        Raises
        ------
        CorruptStoreError
            If it is.
        """
        if name not in self._unlisted or stop <= start:
            return
        rows, n_dimensions = grid_of(said).shard_rows, len(said["shape"])
        new = [k for k in range(start // rows, -(-stop // rows)) if (name, k) not in self._built]
        if not new:
            return
        if files().absent([shard_name(name, k, n_dimensions) for k in new]):
            raise self._missing(name)
        self._built.update((name, k) for k in new)

    def check_built(
        self,
        name: str,
        start: int,
        stop: int,
        said: Mapping[str, Any],
        checksums: Callable[[str], NDArray[np.uint32] | None],
    ) -> None:
        """Raise if a local shard with some rows is not the one that was written.

        Parameters
        ----------
        name
            Path of the array in the store.
        start, stop
            The rows.
        said
            Its document.
        checksums
            Returns those that the shards of an array should have, if the store says so.

        Raises
        ------
        CorruptStoreError, ValueError
            If it is not there, or another one.
        """
        if not os.path.isdir(self.path) or stop <= start:
            return
        grid, n_dimensions = grid_of(said), len(said["shape"])
        shards = range(start // grid.shard_rows, -(-stop // grid.shard_rows))
        new = [k for k in shards if (name, k) not in self._built]
        if not new:
            return
        sums = checksums(name)
        for k in new:
            found = shard_checksum(self.path, name, k, said)
            if sums is not None and found != sums[k]:
                raise ValueError(
                    f"{shard_path(self.path, name, k, n_dimensions)} is not the shard that was built"
                )
            self._built.add((name, k))


def shard_checksum(path: str, name: str, shard: int, said: Mapping[str, Any]) -> int:
    """Return the checksum of the file of a shard of a local store, given the document of the array.

    Raises
    ------
    CorruptStoreError
        If the file is not there or too short.
    """
    file, grid = shard_path(path, name, shard, len(said["shape"])), grid_of(said)
    try:
        return checksum_of(file, grid.shard_rows // grid.chunk_rows)
    except (OSError, ValueError) as error:
        raise refused(path, error) or CorruptStoreError(
            f"{file} is missing or cut off; restore the store from a copy or build it again"
        ) from error


def rows_of_shards(name: str, before: str, documents: Mapping[str, Mapping[str, Any]]) -> slice | None:
    """Return the rows that tables of shards have for the shards of an array; None if they have none.

    Parameters
    ----------
    name
        Path of the array in the store.
    before
        What paths in its group begin with; of the store's own content, "".
    documents
        Those of the group, by path.
    """
    inner = name.removeprefix(before)
    said = documents.get(f"{before}{SHARDS}", {}).get("attributes", {})
    if inner not in said.get("arrays", ()):
        return None
    k = said["arrays"].index(inner)
    first = sum(said["counts"][:k])
    return slice(first, first + said["counts"][k])
