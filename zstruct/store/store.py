"""`Store`: a finished store, opened for reading: its fields, rows, attributes and groups.

A store is a plain Zarr v3 group that any xarray user can open; ``docs/format.md`` states the format in
prose, `zstruct.store.metadata` has its JSON documents.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.disk import bytes_within
from zstruct.errors import InputError, UnknownNameError
from zstruct.keywords import keywords
from zstruct.paths_and_urls import check_options, path_of
from zstruct.schema import ATOM, Field
from zstruct.store.attribute_checks import check_contents, check_group, check_type
from zstruct.store.catalog import (
    Documents,
    array_names,
    catalog_of,
    check_name,
    group_of,
    refuse_changed,
    shard_tables,
)
from zstruct.store.chunks import ChunkGrid, grid_of
from zstruct.store.handles import Handles, bytes_there
from zstruct.store.presence import structures_given
from zstruct.store.row_reader import RowReader
from zstruct.store.shard_checks import shard_checksum
from zstruct.store.spec import CATEGORIES, ArraySpec, columns_of, fields_of, presence_of

__all__ = ["Store"]


@keywords()
class Store:
    """A finished store, opened for reading.

    Cheap to make and to pickle: handles are opened on first use in each process, so a forked
    child never inherits one.

    Parameters
    ----------
    path
        A directory, a ``.zip`` file of one, or any URL that zarr can open.
    storage_options
        Of a URL, for fsspec's file system: keys, endpoints and the like.

    Raises
    ------
    StoreFormatError
        If there is no zstruct store at `path`, if it is unfinished, or if its version is newer.
    StoreAccessError
        If it can't be reached: no connection, no permission, no credentials.
    MissingExtraError
        If the URL needs a package that is not installed.
    TypeError
        If `path` is no path, or `storage_options` no mapping.
    """

    #: What tells fields from groups beside the content apart; see `zstruct.store.labelled`.
    contents: tuple[str, ...] = ()

    def __init__(self, path: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None):
        self.path = path_of(path)
        self.storage_options = check_options(self.path, storage_options)
        if self.path.endswith(".zip") and os.path.isfile(self.path):
            self.path = f"zip://::{self.path}"
        handles = Handles(self.path, self.storage_options)
        self._catalog = catalog_of(self.path, handles)
        self._reader = RowReader(self.path, self._catalog, handles)
        check_type(self.path, self._catalog.root)
        attrs = self._catalog.root["attributes"]
        check_contents(self.path, attrs, self._catalog.documents())
        self.attrs: dict[str, Any] = dict(attrs)

    @classmethod
    def of(cls, given: Any, storage_options: Mapping[str, Any] | None = None) -> Store:
        """Return a store that is given as such, or open the one that a path or a URL is of.

        Parameters
        ----------
        given
            A store, a path or a URL.
        storage_options
            Of a URL, for fsspec.

        Raises
        ------
        InputError
            If there are storage options beside a store that is open.
        TypeError
            If it is neither.
        """
        if not isinstance(given, Store):
            return cls(given, storage_options)
        if storage_options:
            raise InputError(
                f"{given.path} is open already: pass storage_options where it is opened, to zstruct.Store"
            )
        return given

    def again(self) -> Store:
        """Return the store opened anew, which shows the groups that are new."""
        return Store(self.path, self.storage_options)

    def __repr__(self) -> str:
        return f"Store({self.path!r}, {self.n_structures:,} structures, {self.n_atoms:,} atoms)"

    @property
    def root_document(self) -> dict[str, Any]:
        """The ``zarr.json`` of the root group."""
        return self._catalog.root

    def documents(self, group: str = "") -> dict[str, dict[str, Any]]:
        """Return the ``zarr.json`` of a group and of all in it, by path; without a group, of the content."""
        return self._catalog.documents(group)

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return int(self.attrs["n_structures"])

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all structures together."""
        return int(self.attrs["n_atoms"])

    @property
    def digest(self) -> str:
        """Content digest: equal for equal content, whatever the compression."""
        return str(self.attrs["digest"])

    @cached_property
    def columns(self) -> dict[str, Field]:
        """The arrays over structures or atoms as stored: the fields, then who has which of them."""
        return columns_of(self._catalog.documents())

    @cached_property
    def presence(self) -> dict[str, str]:
        """The array that says which structures have a field, for fields without a missing value."""
        return presence_of(self.columns, self._catalog.documents())

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The fields of the store as stored (dims, dtype, unit ...), by array name."""
        return fields_of(self.columns, self._catalog.documents())

    def array_attrs(self, name: str) -> dict[str, Any]:
        """Return the attributes of an array."""
        return dict(self._reader.document(name).get("attributes", {}))

    def coverage(self, name: str) -> int:
        """Return how many structures have the field."""
        return int(self.array_attrs(name).get("coverage", self.n_structures))

    def present(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[np.bool_]:
        """Return which structures have a field; reads it, some megabytes at a time, if nothing else says so.

        A structure has a field if any of its values is not missing: builds see to it that all are, or none.

        Parameters
        ----------
        name
            The field.
        start, stop
            The structures to look at.

        Returns
        -------
        NDArray
            Shape (stop - start,).
        """
        stop = self.n_structures if stop is None else stop
        if self.coverage(name) == self.n_structures:
            return np.ones(max(0, stop - start), dtype=bool)
        if name in self.presence:
            return self.read(self.presence[name], start, stop).astype(bool, copy=False)
        field = self.fields[name]
        edges = self.read("offsets", start, stop + 1) if field.level == ATOM else np.arange(start, stop + 1)
        return structures_given(field, edges, lambda first, last: self.read(name, first, last))

    def checksums(self, name: str) -> NDArray[np.uint32] | None:
        """Return the checksum of each shard of an array, as `checksums.seal` computes it, shape (n_shards,).

        None where the store does not say: format 1.0, or an array without shards of its own.
        """
        return self._reader.of_shards(name, "checksums")

    def shard_digests(self, name: str) -> NDArray[np.uint8] | None:
        """Return the SHA-256 of the rows of each shard of an array, shape (n_shards, 32), or None."""
        return self._reader.of_shards(name, "digests")

    def shard_checksum(self, name: str, shard: int) -> int | None:
        """Return the checksum of the file of a shard; None if the store is no local directory.

        Parameters
        ----------
        name
            Path of the array in the store.
        shard
            Number of the shard.

        Raises
        ------
        CorruptStoreError
            If the file is not there or too short.
        """
        if not os.path.isdir(self.path):
            return None
        return shard_checksum(self.path, name, shard, self._reader.document(name))

    def grid(self, name: str) -> ChunkGrid:
        """Return chunk and shard rows of an array."""
        return grid_of(self._reader.document(name))

    def form(self, name: str) -> ArraySpec | None:
        """Return how an array is stored, wherever it is; None if its files are not as we write them."""
        return self._reader.form(name)

    def profile(self, name: str) -> ArraySpec | None:
        """Return how an array lies in files that can be read without zarr, or None if it does not.

        These are arrays of a store in a local directory with the chunks, shards and codecs that
        `create` asks for; the attributes are left out.
        """
        return self._reader.profile(name)

    def nbytes(self, name: str) -> int:
        """Return the bytes of an array once decoded."""
        return math.prod(self.shape(name)) * self.dtype(name).itemsize

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return tuple(self._reader.document(name)["shape"])

    def dims(self, name: str) -> tuple[str, ...]:
        """Return the names of the dimensions of an array, of those that have names."""
        return tuple(map(str, self._reader.document(name).get("dimension_names") or ()))

    def dtype(self, name: str) -> np.dtype:
        """Return the dtype of an array."""
        return np.dtype(self._reader.document(name)["data_type"])

    def nbytes_stored(self) -> int:
        """Return the bytes of all files of a local store."""
        return bytes_within(self.path)

    def nbytes_of_files(self, name: str) -> int | None:
        """Return the bytes of all files of an array; None if the store is where nothing says so."""
        self._reader.document(name)
        if not os.path.isdir(self.path):
            return bytes_there(self.path, self._reader.opened(name))
        return bytes_within(os.path.join(self.path, name))

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return rows of an array, decoded and checked.

        Parameters
        ----------
        name
            Path of the array in the store: ``"forces"``, ``"features/cheb/values"``.
        start, stop
            The rows from the first on, up to the other; by default all.

        Raises
        ------
        CorruptStoreError
            If a checksum or a chunk does not fit; names the array.
        StoreAccessError
            If the store can't be reached.
        """
        return self._reader.rows(name, start, stop)

    def encoded(self, name: str, shard: int) -> list[NDArray[np.uint8]]:
        """Return the chunks of a shard as they are in its file, checked.

        Parameters
        ----------
        name
            Path of an array that has a `profile`.
        shard
            Number of the shard.

        Raises
        ------
        CorruptStoreError
            If a checksum or the file does not fit; names the array.
        """
        return self._reader.encoded(name, shard)

    def check_current(self, name: str, opened: str = "store") -> None:
        """Raise if what the array `name` is in was replaced after `opened` was: rows of two would mix.

        Raises
        ------
        ChangedInputError
            If it was.
        """
        if not self.is_current(name):
            refuse_changed(self.path, name, opened)

    def is_current(self, name: str) -> bool:
        """Return whether an array or a group of a local store is what it was when it was opened."""
        return self._catalog.is_current(name)

    def categories(self, name: str, group: str = "") -> list[str]:
        """Return the texts that the codes of a category field stand for.

        Parameters
        ----------
        name
            The field.
        group
            Path of the group that it is in; of the store's own fields, "".
        """
        table = f"{group}/{CATEGORIES}/{name}" if group else f"{CATEGORIES}/{name}"
        data = self.read(f"{table}/data").tobytes()
        edges = self.read(f"{table}/offsets").tolist()
        return [data[a:b].decode("utf-8", "surrogateescape") for a, b in itertools.pairwise(edges)]

    def array_names(self, group: str = "") -> list[str]:
        """Return the paths of the arrays of a group, without those that say what its shards should be.

        Without a group, of those that are the store's own: root arrays and their tables.
        """
        check_name(group)
        return array_names(group, self._documents_of(group))

    def shard_tables(self, group: str = "") -> list[str]:
        """Return the paths of the arrays that say what the shards of a group, or of the store, should be."""
        return shard_tables(group, self._documents_of(group))

    def _documents_of(self, group: str) -> Documents:
        return self._catalog.documents(group_of(f"{group}/") if group else "")

    def group_names(self, kind: str) -> list[str]:
        """Return the names of the groups of a kind, such as ``features``, ``neighbors`` or ``splits``.

        Of a local store, those that are there now.
        """
        check_name(kind)
        return self._catalog.group_names(kind)

    def kinds(self) -> list[str]:
        """Return the names of what groups beside the content are in: ``features``, ``splits`` and so on."""
        return self._catalog.kinds()

    def group_attrs(self, group: str) -> dict[str, Any]:
        """Return the attributes of a group, given its path.

        Raises
        ------
        KeyError
            If it is not there.
        CorruptStoreError
            If it lacks what groups of its kind have.
        """
        documents = self._catalog.documents(group_of(group))
        if group not in documents:
            raise UnknownNameError(f"the store {self.path} has no group {group!r}")
        check_group(self.path, group, documents)
        return dict(documents[group].get("attributes", {}))

    def check_complete(self) -> None:
        """Raise if a shard of a local store is missing, say after half a copy.

        Raises
        ------
        CorruptStoreError
            Naming the array: what is missing would read as fill values.
        """
        for name in self.array_names():
            self._reader.document(name)
