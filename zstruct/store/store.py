"""`Store`: a finished store, opened for reading: its fields, rows, attributes and groups.

A store is a plain Zarr v3 group that any xarray user can open; ``docs/format.md`` states the format in
prose, `zstruct.store.metadata` has its JSON documents.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import (
    ChangedInputError,
    CorruptStoreError,
    InputError,
    UnknownNameError,
    ZstructError,
)
from zstruct.keywords import keywords
from zstruct.paths_and_urls import check_options, path_of, refused
from zstruct.schema import ATOM, Field
from zstruct.store.attribute_checks import check_contents, check_group, check_no_dataset, check_type
from zstruct.store.catalog import Catalog, Documents, Listing, array_names, check_name, group_of, shard_tables
from zstruct.store.chunk_reader import ChunkReader
from zstruct.store.chunks import ChunkGrid, grid_of
from zstruct.store.files import array_said
from zstruct.store.handles import Handles, bytes_there
from zstruct.store.metadata_checks import read_document
from zstruct.store.presence import structures_given
from zstruct.store.shard_checks import ShardChecks, rows_of_shards, shard_checksum
from zstruct.store.spec import CATEGORIES, SHARDS, ArraySpec, columns_of

if TYPE_CHECKING:
    import zarr

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

    def __init__(self, path: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None):
        self.path = path_of(path)
        self.storage_options = check_options(self.path, storage_options)
        if self.path.endswith(".zip") and os.path.isfile(self.path):
            self.path = f"zip://::{self.path}"
        self._handles = Handles(self.path, self.storage_options)
        self._shards = ShardChecks(self.path)
        self._readers: dict[str, ChunkReader] = {}
        try:
            local = os.path.isdir(self.path)
            self._catalog = Catalog(self.path) if local else Listing(self.path, self._handles.listing())
        except FileNotFoundError as error:
            raise (self._handles.reason(error) or error) from error
        except ZstructError:
            if os.path.isdir(self.path):
                check_no_dataset(self.path, read_document(Path(self.path, "zarr.json")))
            raise
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

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_readers": {}}

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
        said = {name: self._catalog.documents()[name]["attributes"].get("presence") for name in self.columns}
        return {name: str(array) for name, array in said.items() if array is not None}

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The fields of the store as stored (dims, dtype, unit ...), by array name."""
        masks = set(self.presence.values())
        return {name: field for name, field in self.columns.items() if name not in masks}

    def array_attrs(self, name: str) -> dict[str, Any]:
        """Return the attributes of an array."""
        return dict(self._said(name).get("attributes", {}))

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
        return self._of_shards(name, "checksums")

    def shard_digests(self, name: str) -> NDArray[np.uint8] | None:
        """Return the SHA-256 of the rows of each shard of an array, shape (n_shards, 32), or None."""
        return self._of_shards(name, "digests")

    def _of_shards(self, name: str, what: str) -> NDArray[Any] | None:
        group = group_of(name)
        before = f"{group}/" if group else ""
        found = rows_of_shards(name, before, self._catalog.documents(group))
        return None if found is None else self.read(f"{before}{SHARDS}/{what}", found.start, found.stop)

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
        return shard_checksum(self.path, name, shard, self._said(name))

    def grid(self, name: str) -> ChunkGrid:
        """Return chunk and shard rows of an array."""
        return grid_of(self._said(name))

    def profile(self, name: str) -> ArraySpec | None:
        """Return how an array lies in files that can be read without zarr, or None if it does not.

        These are arrays of a store in a local directory with the chunks, shards and codecs that
        `create` asks for; the attributes are left out.
        """
        said = self._said(name)
        if not os.path.isdir(self.path):
            return None
        spec, ours = array_said(name, said)
        return spec if ours else None

    def nbytes(self, name: str) -> int:
        """Return the bytes of an array once decoded."""
        return math.prod(self.shape(name)) * self.dtype(name).itemsize

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return tuple(self._said(name)["shape"])

    def dtype(self, name: str) -> np.dtype:
        """Return the dtype of an array."""
        return np.dtype(self._said(name)["data_type"])

    def nbytes_stored(self) -> int:
        """Return the bytes of all files of a local store."""
        return sum(f.stat().st_size for f in Path(self.path).rglob("*") if f.is_file())

    def nbytes_of_files(self, name: str) -> int | None:
        """Return the bytes of all files of an array; None if the store is where nothing says so."""
        self._said(name)
        if not os.path.isdir(self.path):
            return bytes_there(self.path, self._opened(name))
        return sum(f.stat().st_size for f in Path(self.path, name).rglob("*") if f.is_file())

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
        said = self._said(name)
        end = said["shape"][0] if stop is None else stop
        with self._reading(name, start, stop):
            return self._rows(name, start, min(end, said["shape"][0]), said)

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
        said, spec = self._said(name), self.profile(name)
        assert spec is not None
        start, stop = (min(k * spec.grid.shard_rows, spec.shape[0]) for k in (shard, shard + 1))
        with self._reading(name, start, stop):
            reader = self._reader(name, spec, said)
            return [reader.encoded(chunk) for chunk in reader.chunks(start, stop)]

    @contextmanager
    def _reading(self, name: str, start: int, stop: int | None) -> Iterator[None]:
        """Tell what goes wrong with reading rows as what it is, and whether they are still of this store."""
        try:
            yield
        except Exception as error:  # whatever it is, it is counted
            reason: ZstructError | None = refused(self.path, error)
            if reason is None:
                self.check_current(name)
                if not isinstance(error, ZstructError) and isinstance(
                    error, ValueError | RuntimeError | OSError | TypeError
                ):
                    reason = CorruptStoreError(
                        f"{self.path}: rows {start}:{stop} of {name} can't be decoded ({error}); "
                        "restore the store from a copy or build it again"
                    )
            raise (reason or error) from error
        self.check_current(name)

    def check_current(self, name: str) -> None:
        """Raise if what an array is in was replaced after it was opened: rows of two would mix.

        Raises
        ------
        ChangedInputError
            If it was.
        """
        if not self.is_current(name):
            self.refuse_changed(name)

    def refuse_changed(self, name: str, opened: str = "store") -> NoReturn:
        """Raise, as what an array, `name`, is in was replaced or deleted after what is `opened` was."""
        group = group_of(name)
        what = f"{group} of {self.path}" if group else self.path
        when = f"after this {opened} was opened"
        if os.path.exists(os.path.join(self.path, group)):
            raise ChangedInputError(f"{what} was replaced {when}: open the {opened} again")
        raise ChangedInputError(f"{what} is gone: it was deleted or moved {when}; open it where it is now")

    def is_current(self, name: str) -> bool:
        """Return whether an array or a group of a local store is what it was when it was opened."""
        return self._catalog.is_current(name)

    def categories(self, name: str) -> list[str]:
        """Return the texts that the codes of a category field stand for."""
        data = self.read(f"{CATEGORIES}/{name}/data").tobytes()
        edges = self.read(f"{CATEGORIES}/{name}/offsets").tolist()
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
            self._said(name)

    def _said(self, name: str) -> dict[str, Any]:
        """Return the document of an array of which no shard is missing."""
        said = self._catalog.documents(group_of(name)).get(name)
        if said is None or said["node_type"] != "array":
            has = ", ".join(self.fields)
            raise UnknownNameError(f"the store {self.path} has no array {name!r}; it has {has}")
        self._shards.check_whole(name, said, self._opened)
        return said

    def _rows(self, name: str, start: int, stop: int, said: Mapping[str, Any]) -> NDArray[Any]:
        """Return rows of an array: from its files if they are as we write them, else through zarr."""
        spec = self.profile(name)
        if spec is None:
            self._shards.check_built(name, start, stop, said, self.checksums)
            return np.asarray(self._opened(name)[start:stop])
        reader = self._reader(name, spec, said)
        out = np.empty((max(0, stop - start), *spec.shape[1:]), spec.dtype)
        for chunk in reader.chunks(start, stop):
            reader.copy(chunk, start, stop, out)
        return out

    def _reader(self, name: str, spec: ArraySpec, said: Mapping[str, Any]) -> ChunkReader:
        reader = self._readers.get(name)
        if reader is None:
            self._handles.check_document(name, said)
            reader = self._readers[name] = ChunkReader(self.path, spec, partial(self.checksums, name))
        return reader

    def _opened(self, name: str) -> zarr.Array[Any]:
        """Return an array as zarr opens it."""
        return self._handles.array(name, self._catalog.documents(group_of(name))[name])
