"""Read rows of the arrays of a store: from their files if they are as we write them, else through zarr.

What goes wrong is told as what it is: no connection, another store in the same place, or damage.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import CorruptStoreError, StoreAccessError, UnknownNameError, ZstructError
from zstruct.paths_and_urls import is_url, refused
from zstruct.store.catalog import Catalog, Listing, group_of, refuse_changed
from zstruct.store.chunk_reader import ChunkReader
from zstruct.store.files import array_said
from zstruct.store.handles import Handles
from zstruct.store.shard_checks import ShardChecks, rows_of_shards
from zstruct.store.spec import SHARDS, ArraySpec, columns_of, fields_of

if TYPE_CHECKING:
    import zarr

__all__ = ["RowReader"]


class RowReader:
    """Reads the arrays of one store. Cheap to pickle: what is open stays in its process.

    Parameters
    ----------
    path
        Where the store is.
    catalog
        The documents of its arrays.
    handles
        Opens them with zarr.
    """

    def __init__(self, path: str, catalog: Catalog | Listing, handles: Handles):
        self.path, self._catalog, self._handles = path, catalog, handles
        self._checks = ShardChecks(path)
        self._chunks: dict[str, ChunkReader] = {}
        self._forms: dict[str, tuple[Any, ArraySpec | None]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_chunks": {}, "_forms": {}}

    def document(self, name: str) -> dict[str, Any]:
        """Return the document of an array of which no shard is missing.

        Raises
        ------
        UnknownNameError
            If there is no such array; names the fields.
        CorruptStoreError
            If a shard is missing.
        """
        said = self._catalog.documents(group_of(name)).get(name)
        if said is None or said["node_type"] != "array":
            own = self._catalog.documents()
            has = ", ".join(fields_of(columns_of(own), own))
            raise UnknownNameError(f"the store {self.path} has no array {name!r}; it has {has}")
        self._checks.check_whole(name, said, self.opened)
        return said

    def form(self, name: str) -> ArraySpec | None:
        """Return how an array is stored, or None if its files are not as we write them."""
        said, known = self.document(name), self._forms.get(name)
        if known is None or known[0] is not said:
            spec, ours = array_said(name, said)
            known = self._forms[name] = said, spec if ours else None
        return known[1]

    def profile(self, name: str) -> ArraySpec | None:
        """Return how an array lies in files that can be read without zarr, or None if it does not."""
        spec = self.form(name)
        return spec if os.path.isdir(self.path) else None

    def opened(self, name: str) -> zarr.Array[Any]:
        """Return an array as zarr opens it."""
        return self._handles.array(name, self._catalog.documents(group_of(name))[name])

    def rows(self, name: str, start: int, stop: int | None) -> NDArray[Any]:
        """Return rows of an array, decoded and checked, as `Store.read` does."""
        said = self.document(name)
        n_rows = said["shape"][0]
        with self._reading(name, start, stop):
            return self._rows(name, start, n_rows if stop is None else min(stop, n_rows), said)

    def encoded(self, name: str, shard: int) -> list[NDArray[np.uint8]]:
        """Return the chunks of a shard as they are in its file, checked, as `Store.encoded` does."""
        said, spec = self.document(name), self.profile(name)
        assert spec is not None
        start, stop = (min(k * spec.grid.shard_rows, spec.shape[0]) for k in (shard, shard + 1))
        with self._reading(name, start, stop):
            reader = self._chunk_reader(name, spec, said)
            return [reader.encoded(chunk) for chunk in reader.chunks(start, stop)]

    def of_shards(self, name: str, what: str) -> NDArray[Any] | None:
        """Return what a table of shards, ``checksums`` or ``digests``, says of those of an array, or None."""
        group = group_of(name)
        before = f"{group}/" if group else ""
        found = rows_of_shards(name, before, self._catalog.documents(group))
        return None if found is None else self.rows(f"{before}{SHARDS}/{what}", found.start, found.stop)

    @contextmanager
    def _reading(self, name: str, start: int, stop: int | None) -> Iterator[None]:
        """Tell what goes wrong with reading rows as what it is, and whether they are still of this store."""
        try:
            yield
        except Exception as error:  # whatever it is, it is counted
            reason: ZstructError | None = refused(self.path, error)
            if reason is None:
                self._check_current(name)
                if not isinstance(error, ZstructError) and isinstance(
                    error, ValueError | RuntimeError | OSError | TypeError
                ):
                    reason = CorruptStoreError(
                        f"{self.path}: rows {start}:{stop} of {name} can't be decoded ({error}); "
                        "restore the store from a copy or build it again"
                    )
                    if is_url(self.path) and self._handles.files().come_whole("zarr.json"):
                        reason = StoreAccessError(
                            f"can't read {self.path}: its server gives whole files only, and chunks are "
                            "parts of files; download the store, or serve it by a server that knows ranges"
                        )
            raise (reason or error) from error
        self._check_current(name)

    def _check_current(self, name: str) -> None:
        if not self._catalog.is_current(name):
            refuse_changed(self.path, name)

    def _rows(self, name: str, start: int, stop: int, said: Mapping[str, Any]) -> NDArray[Any]:
        spec = self.profile(name)
        if spec is None:
            self._checks.check_built(name, start, stop, said, partial(self.of_shards, what="checksums"))
            self._checks.check_there(name, start, stop, said, self._handles.files)
            return np.asarray(self.opened(name)[start:stop])
        reader = self._chunk_reader(name, spec, said)
        out = np.empty((max(0, stop - start), *spec.shape[1:]), spec.dtype)
        reader.rows(start, stop, out)
        return out

    def _chunk_reader(self, name: str, spec: ArraySpec, said: Mapping[str, Any]) -> ChunkReader:
        reader = self._chunks.get(name)
        if reader is None:
            self._handles.check_document(name, said)
            checksums = partial(self.of_shards, name, "checksums")
            reader = self._chunks[name] = ChunkReader(self.path, spec, checksums)
        return reader
