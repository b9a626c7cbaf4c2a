"""Write stores and groups: arrays shard by shard, then digests and metadata, ``status`` last."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zstruct.disk import PARTIAL, WholeFile, sync_to_disk
from zstruct.store.checksums import CRC_BYTES, crc, seal
from zstruct.store.digests import combine_digests
from zstruct.store.files import (
    ABSENT,
    check_shards,
    shard_path,
)
from zstruct.store.metadata import (
    CONSOLIDATED,
    DOCUMENT,
    array_document,
    consolidated,
    documents_digest,
    group_document,
    read_documents,
    write_document,
)
from zstruct.store.metadata_checks import read_document
from zstruct.store.spec import (
    ENCODING_TYPE,
    ENCODING_VERSION,
    HISTORY,
    SHARDS,
    ArraySpec,
    array_digest,
    is_content,
    table_spec,
)

__all__ = [
    "Shard",
    "WrittenArray",
    "complete",
    "consolidate_again",
    "content_digest",
    "create",
    "create_parent",
    "finish",
    "show_groups",
    "write_array",
    "write_chunks",
    "write_pieces",
    "write_shard",
]


def create(path: str | os.PathLike[str], specs: Iterable[ArraySpec], attrs: Mapping[str, Any]) -> None:
    """Create a store, or a group that will be part of one, without data.

    Its ``status`` is "building" until `finish` or `complete`; `attrs` say what a group is.
    """
    if Path(path).exists():
        shutil.rmtree(path)
    for inner, document in _new_documents(specs, attrs).items():
        write_document(Path(path, inner), document, durable=False)


def _new_documents(specs: Iterable[ArraySpec], attrs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    said = {"encoding-type": ENCODING_TYPE, "encoding-version": ENCODING_VERSION, "status": "building"}
    documents = {"": group_document(said | dict(attrs))}
    for spec in specs:
        documents[spec.path] = _document(spec)
        for parent in Path(spec.path).parents:
            if parent != Path("."):
                documents[str(parent)] = group_document({})
    return documents


def _document(spec: ArraySpec) -> dict[str, Any]:
    return array_document(
        spec.shape,
        spec.dtype,
        spec.dims,
        spec.grid.chunk_rows,
        spec.grid.shard_rows,
        spec.codec.documents(spec.dtype),
        spec.fill_value,
        spec.attrs,
    )


class Shard(NamedTuple):
    """What is known of a shard that was written: SHA-256 of its rows, CRC32C as `seal` computes it."""

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
        return array_digest(self.spec.dtype, self.spec.shape, self.spec.grid, digests)


def write_shard(
    path: str | os.PathLike[str], spec: ArraySpec, shard: int, rows: NDArray[Any], *, durable: bool = True
) -> Shard:
    """Write one whole shard atomically, and durably unless told otherwise; return its digest and checksum.

    The bytes are those of Zarr's sharding codec (inner chunks, then their index with its
    checksum), put together here because zarr-python copies them several times on the way.
    """
    size = spec.grid.chunk_rows
    pieces = (rows[start : start + size] for start in range(0, len(rows), size))
    return write_pieces(path, spec, shard, pieces, durable=durable)


def write_pieces(
    path: str | os.PathLike[str],
    spec: ArraySpec,
    shard: int,
    pieces: Iterable[NDArray[Any]],
    *,
    durable: bool = True,
) -> Shard:
    """Write one whole shard, as `write_shard` does, of rows that come a chunk at a time, the last maybe less.

    A chunk is in the processor's cache when it is hashed and encoded; nobody need hold the shard. A piece may
    be overwritten when the next one is asked for.
    """
    digest = hashlib.sha256()
    checksum = write_chunks(path, spec, shard, _encoded(spec, pieces, digest), durable=durable)
    return Shard(digest.hexdigest(), checksum)


def write_chunks(
    path: str | os.PathLike[str],
    spec: ArraySpec,
    shard: int,
    chunks: Iterable[bytes | NDArray[np.uint8]],
    *,
    durable: bool = True,
) -> int:
    """Write one whole shard, as `write_shard` does, of chunks that are encoded; return its checksum."""
    file = shard_path(path, spec.path, shard, len(spec.shape))
    file.parent.mkdir(parents=True, exist_ok=True)
    index = np.full((spec.grid.shard_rows // spec.grid.chunk_rows, 2), ABSENT, dtype="<u8")
    sums, position = [], 0
    with WholeFile(file, durable=durable) as whole:
        for k, encoded in enumerate(chunks):
            sums.append(crc(encoded))
            whole.file.write(encoded if isinstance(encoded, bytes) else encoded.data)
            whole.file.write(sums[-1])
            index[k] = position, len(encoded) + CRC_BYTES
            position += len(encoded) + CRC_BYTES
        table = index.tobytes()
        whole.file.write(table)
        whole.file.write(crc(table))
    return seal(sums, table)


def _encoded(spec: ArraySpec, pieces: Iterable[NDArray[Any]], digest: hashlib._Hash) -> Iterator[bytes]:
    """Yield the chunks of the rows of a shard, and hash the rows."""
    for piece in pieces:
        rows = np.ascontiguousarray(piece, dtype=spec.dtype)
        digest.update(rows.reshape(-1).view(np.uint8).data)
        yield spec.codec.encode(_filled(spec, rows))


def _filled(spec: ArraySpec, rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows as a whole chunk: where the array ends inside of it, it is filled up."""
    missing = spec.grid.chunk_rows - len(rows)
    if not missing:
        return rows
    return np.concatenate([rows, np.full((missing, *rows.shape[1:]), spec.fill_value, rows.dtype)])


def write_array(
    path: str | os.PathLike[str], spec: ArraySpec, values: NDArray[Any], *, durable: bool = True
) -> WrittenArray:
    """Write all shards of an array, as `write_shard` does."""
    rows = spec.grid.shard_rows
    shards = [
        write_shard(path, spec, k, values[k * rows : (k + 1) * rows], durable=durable)
        for k in range(spec.grid.n_shards(len(values)))
    ]
    return WrittenArray(spec, shards)


def content_digest(arrays: Iterable[WrittenArray]) -> str:
    """Return the digest of the content of a store that has these arrays."""
    contents = {array.spec.path: array.digest for array in arrays if is_content(array.spec.path)}
    return combine_digests(f"{name} {contents[name]}" for name in sorted(contents))


def finish(
    path: str | os.PathLike[str], attrs: Mapping[str, Any], arrays: Iterable[WrittenArray] = ()
) -> None:
    """Complete a store, with the consolidated metadata of all that is in it, its history among that.

    The parameters are those of `complete`. A store that nobody created is created here, of its arrays.
    Whoever publishes it waits for the disk.
    """
    documents = _completed(path, attrs, arrays, durable=False, but=[HISTORY])
    write_document(path, consolidated(documents | _within(path, HISTORY)), durable=False)


def show_groups(path: str | os.PathLike[str], kind: str) -> None:
    """Have the consolidated metadata of a store, which nobody sees yet, show groups that it does not show."""
    root = read_document(Path(path, DOCUMENT))
    documents = {"": root, **root.pop(CONSOLIDATED)["metadata"], **_within(path, kind)}
    write_document(path, consolidated(documents), durable=False)


def _within(path: str | os.PathLike[str], kind: str) -> dict[str, dict[str, Any]]:
    """Return the documents of all groups of a kind, by path in the store."""
    beside = read_documents(Path(path, kind))
    return {f"{kind}/{inner}" if inner else kind: said for inner, said in beside.items()}


def complete(
    path: str | os.PathLike[str],
    attrs: Mapping[str, Any],
    arrays: Iterable[WrittenArray] = (),
    *,
    durable: bool = True,
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
    durable
        Whether to wait until it is on the disk.

    Raises
    ------
    CorruptStoreError
        If a shard is missing.
    """
    write_document(path, _completed(path, attrs, arrays, durable=durable)[""], durable=durable)


def _completed(
    path: str | os.PathLike[str],
    attrs: Mapping[str, Any],
    arrays: Iterable[WrittenArray],
    *,
    durable: bool,
    but: Iterable[str] = (),
) -> dict[str, dict[str, Any]]:
    """Write all documents but the root's, and return them all, complete; `but` are none of its own."""
    written = list(arrays)
    for folder, _, files in os.walk(path):
        for left_by_a_kill in (name for name in files if name.endswith(PARTIAL)):
            os.unlink(os.path.join(folder, left_by_a_kill))
    documents = read_documents(path, but) or _new_documents([array.spec for array in written], attrs)
    for array in written:
        check_shards(path, array.spec)
        documents[array.spec.path]["attributes"] |= {**array.attrs, "digest": array.digest}
    if written:
        documents |= _write_shard_table(path, written, durable=durable)
    said = documents[""]["attributes"]
    said |= {**attrs, "status": "complete"}
    said["metadata_digest"] = documents_digest(documents)
    for inner, document in documents.items():
        if inner:
            write_document(Path(path, inner), document, durable=durable)
    return documents


def _write_shard_table(
    path: str | os.PathLike[str], written: Sequence[WrittenArray], *, durable: bool
) -> dict[str, dict[str, Any]]:
    """Write digests and checksums of all shards; return the documents of that group."""
    ordered = sorted(written, key=lambda array: array.spec.path)
    shards = [shard for array in ordered for shard in array.shards]
    digests = np.frombuffer(bytes.fromhex("".join(shard.digest for shard in shards)), dtype=np.uint8)
    checksums = np.array([shard.checksum for shard in shards], dtype=np.uint32)
    tables = [
        table_spec(f"{SHARDS}/digests", ("shard", "byte"), digests.reshape(-1, 32), "SHA-256 of their rows"),
        table_spec(
            f"{SHARDS}/checksums",
            ("shard",),
            checksums,
            "CRC32C of the checksums of their chunks and of their indexes",
        ),
    ]
    documents = {}
    for spec, values in tables:
        digest = write_array(path, spec, values, durable=durable).digest
        documents[spec.path] = _document(replace(spec, attrs={**spec.attrs, "digest": digest}))
    said = {
        "long_name": "shards of the arrays named here, one array after the other",
        "arrays": [array.spec.path for array in ordered],
        "counts": [len(array.shards) for array in ordered],
    }
    return documents | {SHARDS: group_document(said)}


def create_parent(path: str | os.PathLike[str], kind: str, *, durable: bool = True) -> None:
    """Create the group that groups of a kind lie in, if it is not there."""
    if not Path(path, kind, DOCUMENT).exists():
        write_document(Path(path, kind), group_document({}), durable=durable)


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
    documents = read_documents(path, but=[f"{kind}/{name}" for kind, name in hidden])
    made = scratch / "metadata"
    shutil.rmtree(made, ignore_errors=True)  # left by a kill
    write_document(made, consolidated(documents))
    os.replace(made / DOCUMENT, Path(path, DOCUMENT))
    sync_to_disk(Path(path))
    made.rmdir()
