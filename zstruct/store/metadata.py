"""The metadata of a store: one JSON document for each group and array, as Zarr v3 specifies them.

Documents are written here, whole or not at all, and not by zarr-python: a store has dozens of them,
and each call there takes milliseconds. Whoever publishes a store opens it through zarr first.
Nothing is known here of data, or of what attributes mean.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any

from zstruct.disk import WholeFile
from zstruct.store.metadata_checks import documents_within, read_document

__all__ = [
    "CONSOLIDATED",
    "DOCUMENT",
    "array_document",
    "consolidated",
    "documents_digest",
    "group_document",
    "read_documents",
    "write_document",
]

DOCUMENT = "zarr.json"
Document = dict[str, Any]

#: What repeats, in the root's document, those of all that is in it.
CONSOLIDATED = "consolidated_metadata"
_DIGEST = "metadata_digest"
_INDEX_CODECS: list[Document] = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


def group_document(attrs: Mapping[str, Any]) -> Document:
    """Return the document of a group."""
    return {"attributes": dict(attrs), "zarr_format": 3, "node_type": "group"}


def array_document(
    shape: tuple[int, ...],
    dtype: str,
    dims: tuple[str, ...],
    chunk_rows: int,
    shard_rows: int,
    codecs: list[Document],
    fill_value: float | int | bool,
    attrs: Mapping[str, Any],
) -> Document:
    """Return the document of an array in shards of chunks.

    Parameters
    ----------
    shape, dtype, dims
        Of the array.
    chunk_rows, shard_rows
        Rows of an inner chunk and of a shard.
    codecs
        How a chunk becomes bytes.
    fill_value
        What is missing reads as.
    attrs
        What is said about it.
    """
    across = list(shape[1:])
    sharding = {
        "chunk_shape": [chunk_rows, *across],
        "codecs": codecs,
        "index_codecs": _INDEX_CODECS,
        "index_location": "end",
    }
    is_nan = isinstance(fill_value, float) and fill_value != fill_value
    return {
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [shard_rows, *across]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if is_nan else fill_value,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": dict(attrs),
        "dimension_names": list(dims),
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def write_document(path: str | os.PathLike[str], document: Document, *, durable: bool = True) -> None:
    """Write the document of the group or array at `path`; it appears whole or not at all.

    Parameters
    ----------
    path
        The directory of the group or array, made if it is not there.
    document
        What to write; an older document is replaced.
    durable
        Whether to wait until it is on the disk.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    with WholeFile(folder / DOCUMENT, durable=durable) as whole:
        whole.file.write(_laid_out(document).encode())


def _laid_out(document: Document) -> str:
    """Return what ``json.dumps(document, indent=2)`` does, which takes many times as long.

    Documents are repeated by that of the root, and parts of them are much alike: they are laid out once.
    """
    repeated = document.get(CONSOLIDATED)
    if repeated is None:
        return _document(json.dumps(document))
    parts = {key: "" if key == CONSOLIDATED else _part(json.dumps(one)) for key, one in document.items()}
    said = {key: "" if key == "metadata" else _part(json.dumps(one)) for key, one in repeated.items()}
    said["metadata"] = _object({path: _laid_out(one) for path, one in repeated["metadata"].items()})
    return _object({**parts, CONSOLIDATED: _object(said)})


@functools.lru_cache(1 << 9)
def _document(compact: str) -> str:
    return _object({key: _part(json.dumps(one)) for key, one in json.loads(compact).items()})


@functools.lru_cache(1 << 10)
def _part(compact: str) -> str:
    return _indented(json.loads(compact), "\n")


def _object(values: Mapping[str, str]) -> str:
    """Return a JSON object whose values are laid out."""
    items = [f"\n{encode_basestring_ascii(key)}: {value}" for key, value in values.items()]
    inside = ",".join(items).replace("\n", "\n  ")
    return f"{{{inside}\n}}" if values else "{}"


def _indented(value: Any, margin: str) -> str:
    """Return what ``json.dumps(value, indent=2)`` does of a value that JSON gave: with keys that are text."""
    # Types are compared, and texts are not passed on: there are thousands of values in a store.
    kind, text = type(value), encode_basestring_ascii
    if kind is int:
        return repr(value)
    inner = margin + "  "
    if kind is dict and value:
        items = [
            f"{inner}{text(key)}: {text(one) if type(one) is str else _indented(one, inner)}"
            for key, one in value.items()
        ]
        return f"{{{','.join(items)}{margin}}}"
    if kind is list and value:
        parts = [text(one) if type(one) is str else _indented(one, inner) for one in value]
        return f"[{inner}{f',{inner}'.join(parts)}{margin}]"
    return text(value) if kind is str else json.dumps(value)


def read_documents(path: str | os.PathLike[str], but: Iterable[str] = ()) -> dict[str, Document]:
    """Return the documents of a group and of all that is in it, by path within it; its own is ``""``.

    Directories without a document are passed over: they are in no way part of the group.

    Parameters
    ----------
    path
        The group.
    but
        Paths of groups in it to leave out, with all that is in them.

    Raises
    ------
    CorruptStoreError
        If a document is damaged.
    """
    try:
        root = read_document(Path(path, DOCUMENT))
    except FileNotFoundError:
        return {}
    left_out = tuple(f"{group}/" for group in but)
    found = sorted([("", root), *documents_within(Path(path), root)])
    return {inner: document for inner, document in found if not f"{inner}/".startswith(left_out)}


def consolidated(documents: Mapping[str, Document]) -> Document:
    """Return the root's document with those of all that is in it, as zarr-python keeps them.

    Parameters
    ----------
    documents
        By path; that of the root is ``""``.
    """
    inside = sorted((path for path in documents if path), key=lambda path: (path.count("/"), path))
    metadata = {}
    for path in inside:
        document = dict(documents[path])
        if document["node_type"] == "group":
            document[CONSOLIDATED] = _inline({})
        metadata[path] = document
    return {**documents[""], CONSOLIDATED: _inline(metadata)}


def _inline(metadata: Document) -> Document:
    return {"kind": "inline", "must_understand": False, "metadata": metadata}


def documents_digest(documents: Mapping[str, Document]) -> str:
    """Return the SHA-256 of what some documents say, whatever their layout.

    The consolidated metadata repeats what is said elsewhere, and is left out; so is the digest itself,
    which stands among the attributes of the root as ``metadata_digest``.

    Parameters
    ----------
    documents
        By path; that of the root is ``""``.

    Examples
    --------
    >>> root = group_document({"n": 1})
    >>> digest = documents_digest({"": root})
    >>> digest == documents_digest({"": group_document({"n": 1, "metadata_digest": digest})})
    True
    >>> digest == documents_digest({"": group_document({"n": 2})})
    False
    """
    return hashlib.sha256("\n".join(_lines(documents)).encode()).hexdigest()


def _lines(documents: Mapping[str, Document]) -> Iterable[str]:
    for path in sorted(documents):
        document = {key: value for key, value in documents[path].items() if key != CONSOLIDATED}
        if not path and isinstance(document.get("attributes"), dict):
            document["attributes"] = {k: v for k, v in document["attributes"].items() if k != _DIGEST}
        yield f"{json.dumps(path)} {json.dumps(document, sort_keys=True, separators=(',', ':'))}"
