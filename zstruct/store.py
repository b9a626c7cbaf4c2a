"""The on-disk format: a plain Zarr v3 group that any xarray user can open.

The only module that imports zarr. It knows arrays, shards, attributes and checksums; it knows
nothing of inputs or of how a build is organised. ``docs/format.md`` states the format in prose;
`zstruct.metadata` has its JSON documents.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import google_crc32c
import numpy as np
import zarr  # noqa: TID251
from numcodecs import blosc
from numpy.typing import NDArray

from zstruct.access import check_options, is_url, path_of, refused
from zstruct.catalog import Catalog, Listing, check_name, group_of
from zstruct.declarations import check_contents, check_group
from zstruct.disk import naming
from zstruct.errors import (
    ChangedInputError,
    CorruptStoreError,
    InputError,
    StoreFormatError,
    UnknownNameError,
    ZstructError,
)
from zstruct.metadata import (
    DOCUMENT,
    array_document,
    consolidated,
    documents_digest,
    group_document,
    read_documents,
    sync_to_disk,
    write_document,
)
from zstruct.ragged import counts_to_offsets, segment_reduce
from zstruct.schema import ATOM, FIELDS, STRUCTURE, SYMBOLS, Field, Level
from zstruct.trust import DEEPEST, DTYPES, check_array, read_document

__all__ = [
    "DATASET_TYPE",
    "ENCODING_TYPE",
    "ENCODING_VERSION",
    "FORMULA",
    "GROUP_KINDS",
    "ArraySpec",
    "Layout",
    "Shard",
    "Store",
    "WrittenArray",
    "array_digest",
    "categories_specs",
    "check_joinable",
    "check_readable",
    "check_shards",
    "choose_layout",
    "combine_digests",
    "complete",
    "consolidate_again",
    "create",
    "create_parent",
    "finish",
    "formulas_specs",
    "is_content",
    "rows_digest",
    "seal_of",
    "shard_path",
    "spec_of",
    "sync_to_disk",
    "write_array",
    "write_shard",
]

ENCODING_TYPE = "zstruct"
DATASET_TYPE = "zstruct-dataset"  # what a Dataset of a store says it is, wherever it is written
ENCODING_VERSION = "1.1"
CATEGORIES = "categories"
FORMULA, FORMULAS = "formula", "formulas"
_SHARDS = "shards"
GROUP_KINDS: tuple[Literal["features", "derivatives", "neighbors"], ...] = (
    "features",
    "derivatives",
    "neighbors",
)
# Groups beside the content of a store; the last three are names kept for what comes.
_BESIDE = frozenset({*GROUP_KINDS, "splits", "statistics", "references", "labels", "index", "history"})
# LZ4 decodes fastest; it finds little in single bytes, which are a small part of a store.
_FAST: tuple[Literal["lz4"], int] = ("lz4", 9)
_SMALL: tuple[Literal["zstd"], int] = ("zstd", 1)
_CRC_BYTES = 4
_ABSENT = 2**64 - 1  # index entry of an inner chunk that is not there
# Several compressing threads inside one chunk would write its blocks in any order: stores must be
# byte-identical, and there is a chunk for every thread anyway.
blosc.use_threads = False

# Measured by tests/benchmarks/bench_layout.py; docs/format.md quotes it.
_CHUNK_ROWS = {ATOM: 1 << 16, STRUCTURE: 1 << 14}
_CHUNK_BYTES = 1 << 21
_CHUNKS_PER_SHARD = 16


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows of an inner chunk (the unit of reading) and of a shard (the unit of writing)."""

    chunk_rows: int
    shard_rows: int

    def n_shards(self, n_rows: int) -> int:
        """Return how many shards hold `n_rows` rows."""
        return -(-n_rows // self.shard_rows)


def _power_of_two(x: float) -> int:
    return 1 << max(0, int(x).bit_length() - 1)


def choose_layout(n_rows: int, row_bytes: int, level: Level = STRUCTURE) -> Layout:
    """Return chunk and shard sizes for an array of `n_rows` rows of `row_bytes` bytes.

    An inner chunk has 65,536 rows of atoms or 16,384 of structures, fewer where rows are so wide
    that it would pass two megabytes; a shard has 16 chunks. Arrays of one dimension so share
    their chunk edges. No array gets a chunk or a shard larger than itself.

    Examples
    --------
    >>> choose_layout(10_000_000, 24, "atom")
    Layout(chunk_rows=65536, shard_rows=1048576)
    >>> choose_layout(500, 24)
    Layout(chunk_rows=500, shard_rows=500)
    """
    widest = _power_of_two(_CHUNK_BYTES / max(1, row_bytes))
    chunk = min(_CHUNK_ROWS[level], widest)
    if n_rows <= chunk:
        return Layout(max(1, n_rows), max(1, n_rows))
    return Layout(chunk, chunk * min(_CHUNKS_PER_SHARD, -(-n_rows // chunk)))


@dataclass(frozen=True)
class ArraySpec:
    """An array to create: where, of what shape, and what is said about it."""

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    attrs: Mapping[str, Any]
    fill_value: float | int | bool
    layout: Layout


def spec_of(field: Field, path: str, n_rows: int, attrs: Mapping[str, Any]) -> ArraySpec:
    """Return the array that stores `n_rows` rows of a field, with the attributes its row implies."""
    described: dict[str, Any] = {"long_name": field.description}
    if field.unit:
        described["units"] = field.unit
    described |= {"kind": field.kind, "rotates": field.rotates}
    return ArraySpec(
        path=path,
        dims=field.dims,
        shape=(n_rows, *field.shape),
        dtype=field.dtype,
        attrs=described | dict(attrs),
        fill_value=field.missing,
        layout=choose_layout(n_rows, field.row_bytes, field.level),
    )


def categories_specs(name: str, texts: list[str]) -> list[tuple[ArraySpec, NDArray]]:
    """Return the two arrays of a category table, with their contents: UTF-8 bytes and edges."""
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    edges = counts_to_offsets([len(e) for e in encoded])
    data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    of = f"that the codes of {name} stand for"
    return [
        _table(f"{CATEGORIES}/{name}/offsets", ("text_edge",), edges, f"edges of the texts {of}"),
        _table(f"{CATEGORIES}/{name}/data", ("byte",), data, f"UTF-8 bytes of the texts, end to end, {of}"),
    ]


def formulas_specs(formulas: Sequence[str]) -> list[tuple[ArraySpec, NDArray]]:
    """Return the arrays that say which elements Hill formulas have, with their contents."""
    words = [re.findall(r"([A-Z][a-z]?)([0-9]*)", text) for text in formulas]
    edges = counts_to_offsets([len(w) for w in words])
    number = {symbol: z for z, symbol in enumerate(SYMBOLS)}
    elements = np.array([number[symbol] for w in words for symbol, _ in w], dtype=np.uint8)
    counts = np.array([int(count or 1) for w in words for _, count in w], dtype=np.int32)
    where = "of the formulas that the codes of formula stand for"
    return [
        _table(f"{FORMULAS}/offsets", ("formula_edge",), edges, f"edges {where}"),
        _table(f"{FORMULAS}/numbers", ("formula_element",), elements, f"atomic numbers {where}"),
        _table(f"{FORMULAS}/counts", ("formula_element",), counts, f"atoms of each element {where}"),
    ]


def _table(path: str, dims: tuple[str, ...], values: NDArray, text: str) -> tuple[ArraySpec, NDArray]:
    layout = choose_layout(len(values), values.itemsize * int(np.prod(values.shape[1:], dtype=int)))
    return ArraySpec(path, dims, values.shape, values.dtype.name, {"long_name": text}, 0, layout), values


def is_content(array: str) -> bool:
    """Return whether a store's digest covers an array: it is no part of a group, and not derived.

    Examples
    --------
    >>> [is_content(name) for name in ("energy", "categories/head/data", "formula", "splits/default/codes")]
    [True, True, False, False]
    """
    if "/" in array:
        return array.startswith(f"{CATEGORIES}/") and not array.startswith(f"{CATEGORIES}/{FORMULA}/")
    return array != FORMULA


def create(path: str | os.PathLike[str], specs: Iterable[ArraySpec], attrs: Mapping[str, Any]) -> None:
    """Create a store, or a group that will be part of one, without data.

    Its ``status`` is "building" until `finish` or `complete`; `attrs` say what a group is.
    """
    if Path(path).exists():
        shutil.rmtree(path)
    said = {"encoding-type": ENCODING_TYPE, "encoding-version": ENCODING_VERSION, "status": "building"}
    documents = {"": group_document(said | dict(attrs))}
    for spec in specs:
        documents[spec.path] = _document(spec)
        for parent in Path(spec.path).parents:
            if parent != Path("."):
                documents[str(parent)] = group_document({})
    for inner, document in documents.items():
        write_document(Path(path, inner), document, durable=False)


def _document(spec: ArraySpec) -> dict[str, Any]:
    return array_document(
        spec.shape,
        spec.dtype,
        np.dtype(spec.dtype).itemsize,
        spec.dims,
        spec.layout.chunk_rows,
        spec.layout.shard_rows,
        _compression(spec.dtype),
        spec.fill_value,
        spec.attrs,
    )


class Shard(NamedTuple):
    """What is known of a shard that was written: SHA-256 of its rows, CRC32C as `seal_of` it."""

    digest: str
    checksum: int


@dataclass(frozen=True)
class WrittenArray:
    """An array all of whose shards were written, and what else is to be said about it."""

    spec: ArraySpec
    shards: Sequence[Shard]
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The content digest of the array."""
        digests = [shard.digest for shard in self.shards]
        return array_digest(self.spec.dtype, self.spec.shape, self.spec.layout, digests)


def shard_path(path: str | os.PathLike[str], array: str, shard: int, ndim: int) -> Path:
    """Return the file of one shard."""
    return Path(path, *array.split("/"), "c", str(shard), *["0"] * (ndim - 1))


def write_shard(path: str | os.PathLike[str], spec: ArraySpec, shard: int, rows: NDArray) -> Shard:
    """Write one whole shard durably and atomically; return its digest and checksum.

    The bytes are those of Zarr's sharding codec (inner chunks, then their index with its
    checksum), put together here because zarr-python copies them several times on the way.
    """
    rows = np.ascontiguousarray(rows, dtype=spec.dtype)
    file = shard_path(path, spec.path, shard, len(spec.shape))
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    sums, index = [], b""
    with naming(partial), open(partial, "wb") as out:
        for piece in _encode_shard(spec, rows):
            out.write(piece)
            if len(piece) == _CRC_BYTES:
                sums.append(piece)
            else:
                index = piece  # the last that is no checksum
        out.flush()
        os.fsync(out.fileno())
    os.replace(partial, file)
    return Shard(rows_digest(rows), google_crc32c.value(b"".join(sums[:-1]) + index))


def seal_of(file: int, index: NDArray[np.uint64]) -> int:
    """Return the checksum of a shard: the CRC32C of those of its chunks, then of its index.

    The index alone would not do: chunks of other rows may have the same lengths.

    Parameters
    ----------
    file
        The open file.
    index
        Position and length of each chunk, shape (n_chunks, 2).

    Raises
    ------
    ValueError
        If chunks are where nothing can be.
    """
    sums = []
    for position, nbytes in index.tolist():
        if (position, nbytes) != (_ABSENT, _ABSENT):
            if position + nbytes >= 2**62 or nbytes < _CRC_BYTES:
                raise ValueError("its index is damaged")
            sums.append(os.pread(file, _CRC_BYTES, position + nbytes - _CRC_BYTES))
    return google_crc32c.value(b"".join(sums) + index.tobytes())


def _compression(dtype: str) -> tuple[Literal["lz4", "zstd"], int]:
    """Return the compressor within Blosc, and its level, for arrays of a dtype."""
    return _SMALL if np.dtype(dtype).itemsize == 1 else _FAST


def _encode_shard(spec: ArraySpec, rows: NDArray) -> Iterator[bytes]:
    """Yield the pieces of a shard: chunks and index, each followed by its checksum."""
    codec, level = _compression(spec.dtype)
    chunk_rows = spec.layout.chunk_rows
    index = np.full((spec.layout.shard_rows // chunk_rows, 2), _ABSENT, dtype="<u8")
    position = 0
    for k, start in enumerate(range(0, len(rows), chunk_rows)):
        chunk = rows[start : start + chunk_rows]
        if len(chunk) < chunk_rows:  # the array ends inside this chunk: fill up
            whole = np.full((chunk_rows, *rows.shape[1:]), spec.fill_value, rows.dtype)
            whole[: len(chunk)] = chunk
            chunk = whole
        encoded = blosc.compress(chunk, codec.encode(), level, blosc.SHUFFLE)
        checksum = google_crc32c.value(encoded).to_bytes(4, "little")
        index[k] = position, len(encoded) + 4
        position += len(encoded) + 4
        yield encoded
        yield checksum
    table = index.tobytes()
    yield table
    yield google_crc32c.value(table).to_bytes(4, "little")


def write_array(path: str | os.PathLike[str], spec: ArraySpec, values: NDArray) -> WrittenArray:
    """Write all shards of an array."""
    rows = spec.layout.shard_rows
    shards = [
        write_shard(path, spec, k, values[k * rows : (k + 1) * rows])
        for k in range(spec.layout.n_shards(len(values)))
    ]
    return WrittenArray(spec, shards)


def check_shards(path: str | os.PathLike[str], spec: ArraySpec) -> None:
    """Raise unless exactly the shards that the array should have are there.

    Raises
    ------
    CorruptStoreError
        If one is missing: it would read as fill values.
    """
    _require_shards(path, spec.path, spec.layout.n_shards(spec.shape[0]), len(spec.shape))


def _require_shards(path: str | os.PathLike[str], array: str, n_shards: int, ndim: int) -> None:
    absent = (k for k in range(n_shards) if not shard_path(path, array, k, ndim).is_file())
    missing = list(itertools.islice(absent, 5))  # no more: metadata may claim any number
    if missing:
        raise CorruptStoreError(
            f"{os.fspath(path)}: shards {missing} of {n_shards:,} of {array} are missing; "
            "restore the store from a copy or build it again"
        )


def array_digest(dtype: str, shape: tuple[int, ...], layout: Layout, shards: Iterable[str]) -> str:
    """Return the content digest of an array from those of its shards."""
    return combine_digests([f"{dtype} {tuple(shape)} {layout.shard_rows}", *shards])


def rows_digest(rows: NDArray) -> str:
    """Return the sha256 of rows as they lie in memory, C-ordered and little-endian."""
    return hashlib.sha256(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data).hexdigest()


def combine_digests(parts: Iterable[str]) -> str:
    """Return the digest of a sequence of digests."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def finish(
    path: str | os.PathLike[str], attrs: Mapping[str, Any], arrays: Iterable[WrittenArray] = ()
) -> None:
    """Complete a store, with the consolidated metadata of all that is in it."""
    documents = _completed(path, attrs, arrays)
    write_document(path, consolidated(documents))


def complete(
    path: str | os.PathLike[str], attrs: Mapping[str, Any], arrays: Iterable[WrittenArray] = ()
) -> None:
    """Add digests, the last attributes and ``status = "complete"``; all that a group of a store needs.

    Parameters
    ----------
    path
        What `create` made.
    attrs
        Further attributes of the store or group.
    arrays
        Its arrays as they were written. Their digests go into their attributes, and those of their
        shards into the group ``shards``.

    Raises
    ------
    CorruptStoreError
        If a shard is missing.
    """
    write_document(path, _completed(path, attrs, arrays)[""])


def _completed(
    path: str | os.PathLike[str], attrs: Mapping[str, Any], arrays: Iterable[WrittenArray]
) -> dict[str, dict[str, Any]]:
    """Write all documents but the root's, and return them all, complete."""
    written = list(arrays)
    for left_by_a_kill in Path(path).rglob("*.partial"):
        left_by_a_kill.unlink()
    documents = read_documents(path)
    for array in written:
        check_shards(path, array.spec)
        documents[array.spec.path]["attributes"] |= {**array.attrs, "digest": array.digest}
    if written:
        documents |= _write_shard_table(path, written)
    said = documents[""]["attributes"]
    said |= {**attrs, "status": "complete"}
    said["metadata_digest"] = documents_digest(documents)
    for inner, document in documents.items():
        if inner:
            write_document(Path(path, inner), document)
    return documents


def _write_shard_table(
    path: str | os.PathLike[str], written: Sequence[WrittenArray]
) -> dict[str, dict[str, Any]]:
    """Write digests and checksums of all shards; return the documents of that group."""
    ordered = sorted(written, key=lambda array: array.spec.path)
    shards = [shard for array in ordered for shard in array.shards]
    digests = np.frombuffer(bytes.fromhex("".join(shard.digest for shard in shards)), dtype=np.uint8)
    checksums = np.array([shard.checksum for shard in shards], dtype=np.uint32)
    tables = [
        _table(f"{_SHARDS}/digests", ("shard", "byte"), digests.reshape(-1, 32), "SHA-256 of their rows"),
        _table(
            f"{_SHARDS}/checksums",
            ("shard",),
            checksums,
            "CRC32C of the checksums of their chunks and of their indexes",
        ),
    ]
    documents = {}
    for spec, values in tables:
        digest = write_array(path, spec, values).digest
        documents[spec.path] = _document(replace(spec, attrs={**spec.attrs, "digest": digest}))
    said = {
        "long_name": "shards of the arrays named here, one array after the other",
        "arrays": [array.spec.path for array in ordered],
        "counts": [len(array.shards) for array in ordered],
    }
    return documents | {_SHARDS: group_document(said)}


def check_readable(path: str | os.PathLike[str]) -> None:
    """Open what was finished as a stranger would, through zarr alone; what can't be is not to be published.

    Raises
    ------
    CorruptStoreError
        If zarr does not show every array as it was written.
    """
    name = os.fspath(path)
    try:
        root = zarr.open_group(name, mode="r", zarr_format=3)
        arrays = {inner: node for inner, node in root.members(max_depth=None) if isinstance(node, zarr.Array)}
        documents = read_documents(path)
        for inner, document in documents.items():
            if document["node_type"] == "array":
                node = arrays.pop(inner)
                if list(node.shape) != document["shape"] or dict(node.attrs) != document["attributes"]:
                    raise ValueError(f"zarr shows {inner} otherwise than it was written")
        if arrays:
            raise ValueError(f"zarr shows {', '.join(arrays)}, which were not written")
    except (ArithmeticError, LookupError, ValueError, TypeError, OSError) as error:
        raise CorruptStoreError(
            f"{name} was written, but can't be read again ({type(error).__name__}: {error}); it is not "
            "published, and what was there before stays; please report this"
        ) from error


def check_joinable(path: str | os.PathLike[str], groups: Mapping[str, Path], scratch: Path) -> None:
    """Open a store as it will be with groups that are made elsewhere, and those groups; as `check_readable`.

    Parameters
    ----------
    path
        The store.
    groups
        Where the groups are that will be in it or take the place of others, by their path in it.
    scratch
        A directory that may be written to.

    Raises
    ------
    CorruptStoreError
        If zarr does not show every array as it was written, or can't decode its rows.
    """
    trial = scratch / "trial"
    shutil.rmtree(trial, ignore_errors=True)  # left by a kill
    replaced = tuple(f"{group}/" for group in groups)
    documents = {
        inner: document
        for inner, document in read_documents(path).items()
        if not f"{inner}/".startswith(replaced)
    }
    for group, folder in groups.items():
        documents.setdefault(group.split("/")[0], group_document({}))
        made = read_documents(folder)
        documents |= {f"{group}/{inner}" if inner else group: said for inner, said in made.items()}
        _read_ends(folder, made)
    for inner, document in documents.items():
        if inner:
            write_document(trial / inner, document, durable=False)
    write_document(trial, consolidated(documents), durable=False)
    check_readable(trial)
    shutil.rmtree(trial)


def _read_ends(folder: Path, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Decode the first and the last row of each array of a group through zarr alone."""
    check_readable(folder)
    for inner, said in documents.items():
        if said["node_type"] == "array" and said["shape"][0]:
            try:
                array = zarr.open_array(folder / inner, mode="r", zarr_format=3)
                for row in (0, said["shape"][0] - 1):
                    np.asarray(array[row])
            except (ArithmeticError, LookupError, ValueError, TypeError, RuntimeError, OSError) as error:
                raise refused(os.fspath(folder), error) or CorruptStoreError(
                    f"{folder / inner} was written, but can't be decoded again ({error}); it is not "
                    "published, and what was there before stays; please report this"
                ) from error


def create_parent(path: str | os.PathLike[str], kind: str) -> None:
    """Create the group that groups of a kind lie in, if it is not there."""
    if not Path(path, kind, DOCUMENT).exists():
        write_document(Path(path, kind), group_document({}))


def consolidate_again(
    path: str | os.PathLike[str], scratch: Path, hidden: Iterable[tuple[str, str]] = ()
) -> None:
    """Have the consolidated metadata of a store show the groups that are there now, in one rename.

    Parameters
    ----------
    path
        The store.
    scratch
        A directory on the same file system that may be written to.
    hidden
        Kinds and names of groups that it should not show.
    """
    concealed = tuple(f"{kind}/{name}/" for kind, name in hidden)
    documents = {
        inner: document
        for inner, document in read_documents(path).items()
        if not f"{inner}/".startswith(concealed)
    }
    made = scratch / "metadata"
    shutil.rmtree(made, ignore_errors=True)  # left by a kill
    write_document(made, consolidated(documents))
    os.replace(made / DOCUMENT, Path(path, DOCUMENT))
    sync_to_disk(Path(path))
    made.rmdir()


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
        # Handles of this process: the root group where zarr has to be asked for it, and arrays.
        self._opened: tuple[int, dict[str, Any]] | None = None
        # Arrays of which no shard is missing, and shards that are those that were built.
        self._whole: set[str] = set()
        self._seen: set[tuple[str, int]] = set()
        try:
            self._catalog = Catalog(self.path) if os.path.isdir(self.path) else self._listed()
        except FileNotFoundError as error:
            raise (self._unopened(error) or error) from error
        except ZstructError:
            if os.path.isdir(self.path):
                self._check_type(read_document(Path(self.path, "zarr.json")))
            raise
        attrs = self._catalog.root.get("attributes", {})
        found = attrs.get("encoding-type")
        self._check_type(self._catalog.root)
        if found != ENCODING_TYPE:
            raise StoreFormatError(f"{self.path} is a Zarr group, but not a zstruct store")
        version = str(attrs.get("encoding-version"))
        if version.split(".")[0] != ENCODING_VERSION.split(".")[0]:
            raise StoreFormatError(
                f"{self.path} has format version {version}; this zstruct reads "
                f"{ENCODING_VERSION.split('.')[0]}.x; install a newer zstruct"
            )
        if attrs.get("status") != "complete":
            raise StoreFormatError(f"{self.path} is unfinished: run the build that makes it again")
        check_contents(self.path, attrs, self._catalog.documents())
        self.attrs: dict[str, Any] = dict(attrs)

    def _check_type(self, document: Mapping[str, Any]) -> None:
        """Raise where xarray wrote a Dataset of a store, which may have arrays that no store has."""
        attrs = document.get("attributes")
        if isinstance(attrs, dict) and attrs.get("encoding-type") == DATASET_TYPE:
            raise StoreFormatError(
                f"{self.path} was written by xarray, as a Dataset of structures, and is no zstruct store: "
                "read it with xarray.open_zarr; to have a store of these structures, build one of them: "
                "zstruct.build(ds.zs.to_ase(), path)"
            )

    @classmethod
    def of(cls, given: Any, storage_options: Mapping[str, Any] | None = None) -> Store:
        """Return a store that is given as such, or open the one that a path or a URL is of.

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

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_opened"] = None
        return state

    def _root(self) -> zarr.Group:
        """Return the root group of a store that is not in a local directory."""
        handles = self._handles()
        if "" not in handles:
            try:
                handles[""] = zarr.open_group(
                    self.path, mode="r", zarr_format=3, storage_options=self.storage_options
                )
            except Exception as error:
                raise (self._unopened(error) or error) from error
        group: zarr.Group = handles[""]
        return group

    def _handles(self) -> dict[str, Any]:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), {}
        return self._opened[1]

    def _listed(self) -> Catalog | Listing:
        """Return what is in a store that is not in a local directory, as zarr lists it."""
        root = self._root()
        try:
            said = _plain(root.metadata.to_dict())
            if said.get("consolidated_metadata") is None:
                found = {name: node.metadata.to_dict() for name, node in root.members(max_depth=DEEPEST)}
                said["consolidated_metadata"] = {"metadata": _plain(found)}
        except Exception as error:
            raise (self._unopened(error) or error) from error
        return Listing(self.path, said)

    def _unopened(self, error: Exception) -> ZstructError | None:
        """Return why there is no store to open, if that is what an error says."""
        reason = refused(self.path, error)
        if reason is not None:
            return reason
        if isinstance(error, ValueError) and is_url(self.path):
            return StoreFormatError(f"can't open the store {self.path}: {error}")
        if isinstance(error, FileNotFoundError | ValueError):
            what = "no Zarr group there" if os.path.exists(self.path) else "no such file or directory"
            return StoreFormatError(f"can't open the store {self.path}: {what}")
        if isinstance(error, OSError):
            return StoreFormatError(f"can't open the store {self.path}: {error.strerror or error}")
        if isinstance(error, TypeError) and self.storage_options:
            return InputError(f"{self.path} can't be opened with these storage_options: {error}")
        if isinstance(error, KeyError | TypeError | AttributeError | RecursionError):
            return CorruptStoreError(
                f"{self.path}: its metadata is damaged ({error!r}); restore the store from a copy or build "
                "it again"
            )
        return None

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
        found = {}
        for name, said in self._catalog.documents().items():
            dims = tuple(map(str, said.get("dimension_names") or ()))
            if "/" in name or name in ("offsets", "n_atoms") or not dims or dims[0] not in (ATOM, STRUCTURE):
                continue
            attrs = said["attributes"]
            found[name] = Field(
                name=name,
                dims=dims,
                kind=attrs["kind"],
                dtype=said["data_type"],
                unit=attrs.get("units", ""),
                description=attrs.get("long_name", name),
                rotates=attrs["rotates"],
                shape=tuple(said["shape"][1:]),
            )
        order = {name: i for i, name in enumerate(FIELDS)}
        return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))

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
        """Return which structures have a field.

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
        edges = self.read("offsets", start, stop + 1) if field.level == ATOM else np.array([start, stop])
        rows = self.read(name, int(edges[0]), int(edges[-1]))
        # All values of a structure are missing, or none of them counts as missing.
        given = (rows >= 0) if field.kind == "category" else ~np.isnan(rows)
        there: NDArray[np.bool_] = np.any(given.reshape(len(rows), -1), axis=1)
        if field.level == ATOM:
            there = segment_reduce(there, edges - edges[0], "max")
        return there

    def checksums(self, name: str) -> NDArray[np.uint32] | None:
        """Return the checksum of each shard of an array, as `seal_of` computes it, shape (n_shards,).

        None where the store does not say: format 1.0, or an array without shards of its own.
        """
        return self._of_shards(name, "checksums")

    def shard_digests(self, name: str) -> NDArray[np.uint8] | None:
        """Return the SHA-256 of the rows of each shard of an array, shape (n_shards, 32), or None."""
        return self._of_shards(name, "digests")

    def _of_shards(self, name: str, what: str) -> NDArray | None:
        group = group_of(name)
        before = f"{group}/" if group else ""
        inner, documents = name.removeprefix(before), self._catalog.documents(group)
        said = documents.get(f"{before}{_SHARDS}", {}).get("attributes", {})
        if inner not in said.get("arrays", ()):
            return None
        k = said["arrays"].index(inner)
        first = sum(said["counts"][:k])
        return self.read(f"{before}{_SHARDS}/{what}", first, first + said["counts"][k])

    def shard_checksum(self, name: str, shard: int) -> int | None:
        """Return the checksum of the file of a shard; None if the store is no local directory.

        Raises
        ------
        CorruptStoreError
            If the file is not there or too short.
        """
        if not os.path.isdir(self.path):
            return None
        file, layout = shard_path(self.path, name, shard, len(self.shape(name))), self.layout(name)
        nbytes = 16 * (layout.shard_rows // layout.chunk_rows)
        try:
            with open(file, "rb") as opened:
                opened.seek(-nbytes - _CRC_BYTES, os.SEEK_END)
                index = np.frombuffer(opened.read(nbytes), dtype="<u8").reshape(-1, 2)
                return seal_of(opened.fileno(), index)
        except (OSError, ValueError) as error:
            raise refused(self.path, error) or CorruptStoreError(
                f"{file} is missing or cut off; restore the store from a copy or build it again"
            ) from error

    def layout(self, name: str) -> Layout:
        """Return chunk and shard rows of an array."""
        said = self._said(name)
        outer = said["chunk_grid"]["configuration"]["chunk_shape"][0]
        codec = said["codecs"][0]
        sharded = isinstance(codec, Mapping) and codec["name"] == "sharding_indexed"
        return Layout(codec["configuration"]["chunk_shape"][0] if sharded else outer, outer)

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
            layout=self.layout(name),
        )
        return spec if _is_own_profile(said, spec) else None

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

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray:
        """Return rows ``start:stop`` of an array, decoded and checked.

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
            rows = np.asarray(self._array(name)[start:end])
        except Exception as error:
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
        layout, n_dimensions = self.layout(name), len(self.shape(name))
        shards = range(start // layout.shard_rows, -(-stop // layout.shard_rows))
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

    def refuse_changed(self, name: str) -> NoReturn:
        """Raise, as what an array is in was replaced after it was opened."""
        group = group_of(name)
        what = f"{group} of {self.path}" if group else self.path
        raise ChangedInputError(f"{what} was replaced after it was opened: open the store again")

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
        return [name for name in names if name.partition("/")[0] not in {*_BESIDE, _SHARDS}]

    def shard_tables(self, group: str = "") -> list[str]:
        """Return the paths of the arrays that say what the shards of a group, or of the store, should be."""
        inside = f"{group}/{_SHARDS}/" if group else f"{_SHARDS}/"
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
                _require_shards(self.path, name, n_shards, len(said["shape"]))
            else:
                array = self._array(name)
                if array.store.supports_listing and self._n_there(array) < array.nchunks:
                    raise CorruptStoreError(
                        f"{self.path}: shards of {name} are missing; copy the store again, or build it again"
                    )
            self._whole.add(name)
        return said

    def _array(self, name: str) -> zarr.Array:
        """Return an array as zarr opens it, which must be as its document says."""
        handles = self._handles()
        if name not in handles:
            if os.path.isdir(self.path):
                folder = os.path.join(self.path, name)
                read_document(os.path.join(folder, "zarr.json"))  # zarr would read a device for ever
                node = zarr.open_array(folder, mode="r", zarr_format=3)
            else:
                found = self._root()[name]
                assert isinstance(found, zarr.Array)
                node = found
            said, known = _plain(node.metadata.to_dict()), self._catalog.documents(group_of(name))[name]
            check_array(self.path, name, said)
            if any(said.get(key) != known.get(key) for key in ("shape", "data_type")):
                raise CorruptStoreError(
                    f"{self.path}: {name} has another shape or data type than the store's metadata says; "
                    "restore the store from a copy or build it again"
                )
            handles[name] = node
        array: zarr.Array = handles[name]
        return array

    def _n_there(self, array: zarr.Array) -> int:
        """Return how many chunks of an array a server lists."""
        try:
            return array.nchunks_initialized
        except Exception as error:
            raise (refused(self.path, error) or error) from error


def _plain(said: Any) -> dict[str, Any]:
    """Return a document of zarr's as it is in a file."""
    document: dict[str, Any] = json.loads(json.dumps(said))
    return document


def _is_own_profile(said: Mapping[str, Any], spec: ArraySpec) -> bool:
    """Return whether array metadata, checked, asks for the shards that `write_shard` makes."""
    if len(said["codecs"]) != 1 or isinstance(said["codecs"][0], str):
        return False
    sharding = said["codecs"][0].get("configuration", {})
    if said["codecs"][0]["name"] != "sharding_indexed" or not spec.shape:
        return False
    inner, index = ([_configured(c) for c in sharding[key]] for key in ("codecs", "index_codecs"))
    keys, across = _configured(said["chunk_key_encoding"]), list(spec.shape[1:])
    return (
        spec.dtype in DTYPES
        and said["chunk_grid"]["configuration"]["chunk_shape"] == [spec.layout.shard_rows, *across]
        and sharding["chunk_shape"] == [spec.layout.chunk_rows, *across]
        and keys[0] == "default"
        and keys[1].get("separator", "/") == "/"
        and [codec for codec, _ in inner] == ["bytes", "blosc", "crc32c"]
        and [codec for codec, _ in index] == ["bytes", "crc32c"]
        # Single bytes have no order, and the codec says none.
        and all(codecs[0][1].get("endian", "little") == "little" for codecs in (inner, index))
        and sharding.get("index_location", "end") == "end"
    )


def _configured(codec: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    return (codec, {}) if isinstance(codec, str) else (codec["name"], codec.get("configuration", {}))
