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
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import zarr
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
from zstruct.ragged import segment_ranges, segment_reduce
from zstruct.schema import ATOM, Field
from zstruct.store.attribute_checks import check_contents, check_group, check_no_dataset, check_type
from zstruct.store.catalog import Catalog, Listing, check_name, group_of
from zstruct.store.checksums import checksum_of
from zstruct.store.chunks import ChunkGrid
from zstruct.store.files import (
    is_own_profile,
    require_shards,
    shard_path,
)
from zstruct.store.handles import Handles, chunks_there
from zstruct.store.metadata_checks import read_document
from zstruct.store.spec import BESIDE, CATEGORIES, SHARDS, ArraySpec, columns_of

__all__ = ["Store"]

_PIECE_BYTES = 1 << 25  # of a field, looked at together


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
        # Arrays of which no shard is missing, and shards that are those that were built.
        self._whole: set[str] = set()
        self._seen: set[tuple[str, int]] = set()
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
        field, found = self.fields[name], np.zeros(max(0, stop - start), dtype=bool)
        edges = self.read("offsets", start, stop + 1) if field.level == ATOM else np.arange(start, stop + 1)
        for first, last in segment_ranges(edges, max(1, _PIECE_BYTES // field.row_bytes)):
            given = field.given(self.read(name, int(edges[first]), int(edges[last])))
            rows = edges[first : last + 1] - edges[first]
            found[first:last] = segment_reduce(given, rows, "sum") > 0
        return found

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
        inner, documents = name.removeprefix(before), self._catalog.documents(group)
        said = documents.get(f"{before}{SHARDS}", {}).get("attributes", {})
        if inner not in said.get("arrays", ()):
            return None
        k = said["arrays"].index(inner)
        first = sum(said["counts"][:k])
        return self.read(f"{before}{SHARDS}/{what}", first, first + said["counts"][k])

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
        file, grid = shard_path(self.path, name, shard, len(self.shape(name))), self.grid(name)
        try:
            return checksum_of(file, grid.shard_rows // grid.chunk_rows)
        except (OSError, ValueError) as error:
            raise refused(self.path, error) or CorruptStoreError(
                f"{file} is missing or cut off; restore the store from a copy or build it again"
            ) from error

    def grid(self, name: str) -> ChunkGrid:
        """Return chunk and shard rows of an array."""
        said = self._said(name)
        outer = said["chunk_grid"]["configuration"]["chunk_shape"][0]
        codec = said["codecs"][0]
        sharded = isinstance(codec, Mapping) and codec["name"] == "sharding_indexed"
        return ChunkGrid(codec["configuration"]["chunk_shape"][0] if sharded else outer, outer)

    def profile(self, name: str) -> ArraySpec | None:
        """Return how an array lies in files that can be read without zarr, or None if it does not.

        These are arrays of a store in a local directory with the chunks, shards and codecs that
        `create` asks for; the attributes are left out.
        """
        said = self._said(name)
        if not os.path.isdir(self.path):
            return None
        spec = ArraySpec(
            path=name,
            dims=tuple(map(str, said.get("dimension_names") or ())),
            shape=tuple(said["shape"]),
            dtype=said["data_type"],
            attrs={},
            fill_value=0,
            grid=self.grid(name),
        )
        return spec if is_own_profile(said, spec) else None

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
        rows_there = self.shape(name)[0]
        end = rows_there if stop is None else stop
        try:
            self._check_indexes(name, start, min(end, rows_there))
            rows = np.asarray(self._opened(name)[start:end])
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
        return rows

    def _check_indexes(self, name: str, start: int, stop: int) -> None:
        """Raise if a local shard with some rows is not the one that was written: zarr would believe it.

        Each shard is looked at once.
        """
        if not os.path.isdir(self.path) or stop <= start:
            return
        grid, n_dimensions = self.grid(name), len(self.shape(name))
        shards = range(start // grid.shard_rows, -(-stop // grid.shard_rows))
        new = [k for k in shards if (name, k) not in self._seen]
        if not new:
            return
        sums = self.checksums(name)
        for k in new:
            found = self.shard_checksum(name, k)
            if sums is not None and found != sums[k]:
                raise ValueError(
                    f"{shard_path(self.path, name, k, n_dimensions)} is not the shard that was built"
                )
            self._seen.add((name, k))

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
        documents = self._catalog.documents(group_of(f"{group}/") if group else "")
        names = sorted(name for name, said in documents.items() if said["node_type"] == "array")
        if group:
            inside = (name for name in names if name.startswith(f"{group}/"))
            return [name for name in inside if "/" not in name.removeprefix(f"{group}/")]
        return [name for name in names if name.partition("/")[0] not in {*BESIDE, SHARDS}]

    def shard_tables(self, group: str = "") -> list[str]:
        """Return the paths of the arrays that say what the shards of a group, or of the store, should be."""
        inside = f"{group}/{SHARDS}/" if group else f"{SHARDS}/"
        documents = self._catalog.documents(group_of(f"{group}/") if group else "")
        return sorted(
            name
            for name, said in documents.items()
            if name.startswith(inside) and said["node_type"] == "array"
        )

    def group_names(self, kind: str) -> list[str]:
        """Return the names of the groups of a kind, such as ``features``, ``neighbors`` or ``splits``.

        Of a local store, those that are there now.
        """
        check_name(kind)
        return self._catalog.group_names(kind)

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
        if name not in self._whole:
            if os.path.isdir(self.path):
                rows = said["chunk_grid"]["configuration"]["chunk_shape"][:1]
                n_shards = -(-said["shape"][0] // rows[0]) if rows else 0
                require_shards(self.path, name, n_shards, len(said["shape"]))
            else:
                array = self._opened(name)
                if array.store.supports_listing and chunks_there(self.path, array) < array.nchunks:
                    raise CorruptStoreError(
                        f"{self.path}: shards of {name} are missing; copy the store again, or build it again"
                    )
            self._whole.add(name)
        return said

    def _opened(self, name: str) -> zarr.Array[Any]:
        """Return an array as zarr opens it."""
        return self._handles.array(name, self._catalog.documents(group_of(name))[name])
