"""What a store may say of itself: its metadata is checked before anything of it is decoded.

A store may come from anywhere. Its metadata decides which code runs, how much memory is asked for and
which files are opened, so only what the format knows is let through: Zarr v3, numbers, the codecs that
zstruct writes and the common ones of other tools, chunks of bounded size, and names that stay inside the
store. Damage is told by the same checks. Plain documents (what is in a ``zarr.json``) are looked at;
this module knows nothing of how they are read or of what arrays mean.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zstruct.errors import CorruptStoreError, StoreFormatError

__all__ = [
    "DEEPEST",
    "DTYPES",
    "LARGEST_CHUNK",
    "check_array",
    "check_documents",
    "documents_within",
    "read_document",
]

# What NumPy holds in memory just as it is stored.
DTYPES = frozenset(
    ["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "float32", "float64"]
)
DEEPEST = 6  # nodes above an array: labels/<name>/categories/<field>/data has four
_BYTES_TO_BYTES = {"blosc", "crc32c", "gzip", "zstd"}
_ARRAY_TO_ARRAY = {"cast_value", "scale_offset", "transpose"}
_KNOWN = _BYTES_TO_BYTES | _ARRAY_TO_ARRAY | {"bytes"}
# What is asked for most often: `isinstance` takes half as long for a pair as for a union that is made for it.
_OBJECT, _LIST, _FLAG = (dict, Mapping), (list, tuple), (bool, np.bool_)
_LARGEST_DOCUMENT = 1 << 26  # bytes
LARGEST_CHUNK = 1 << 30  # bytes once decoded; zstruct writes 2 MiB, or one row
_MOST_CHUNKS = 1 << 20  # of a shard; zstruct writes 16
_MOST_DIMENSIONS = 8
_MEND = "restore the store from a copy or build it again"


def read_document(file: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what is in a ``zarr.json`` on this machine.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    CorruptStoreError
        If it is no regular file, too large, or no JSON object.
    """
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would make us wait for ever
    with open(fd, "rb") as opened:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise CorruptStoreError(f"{os.fspath(file)} is no file; {_MEND}")
        if status.st_size > _LARGEST_DOCUMENT:
            raise CorruptStoreError(
                f"{os.fspath(file)} has {status.st_size:,} bytes, more than metadata can have "
                f"({_LARGEST_DOCUMENT:,}); {_MEND}"
            )
        content = opened.read(status.st_size)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorruptStoreError(f"{os.fspath(file)} is damaged: it is no JSON ({error}); {_MEND}") from error
    if not isinstance(document, dict):
        raise CorruptStoreError(f"{os.fspath(file)} is damaged: it is no JSON object; {_MEND}")
    return document


def documents_within(path: Path, own: dict[str, Any] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path within a local group, and the document, of every node in it; links are not entered.

    Parameters
    ----------
    path
        The group.
    own
        Its own document, where that has been read.

    Raises
    ------
    CorruptStoreError
        If a document is damaged, or groups lie too deep.
    """
    top = os.fspath(path)
    for folder, inside, files in os.walk(top):
        name = folder[len(top) :].strip(os.sep).replace(os.sep, "/")
        inside.sort()
        if "zarr.json" not in files:
            inside.clear()
            continue
        if name.count("/") >= DEEPEST:
            raise CorruptStoreError(f"{path}: groups lie too deep: {name}; {_MEND}")
        known = None if name else own
        document = read_document(os.path.join(folder, "zarr.json")) if known is None else known
        if document.get("node_type") == "array":
            inside.clear()
        if name:
            yield name, document


def check_documents(path: str, documents: Mapping[str, Any]) -> None:
    """Raise unless all nodes of a store may be opened.

    Parameters
    ----------
    path
        The store, for the sentence.
    documents
        By path within the store.

    Raises
    ------
    StoreFormatError
        If something is none of the format's, such as a codec or a data type.
    CorruptStoreError
        If something can't be.
    """
    for name, document in documents.items():
        _check_name(path, name)
        check_node(path, name, document)
        if document["node_type"] == "array":
            check_array(path, name, document)


def check_node(path: str, name: str, document: Any) -> None:
    """Raise unless a document is that of a Zarr v3 group or array with attributes."""
    what = name or "the root group"
    if not isinstance(document, Mapping):
        raise CorruptStoreError(f"{path}: the metadata of {what} is damaged: it is no JSON object; {_MEND}")
    if document.get("zarr_format") != 3 or isinstance(document["zarr_format"], bool):
        raise StoreFormatError(
            f"{path}: {what} has Zarr format {document.get('zarr_format')!r}; zstruct reads Zarr v3 only"
        )
    if document.get("node_type") not in ("array", "group"):
        _damaged(path, what, f"node_type is {_shown(document.get('node_type'))}")
    if not isinstance(document.get("attributes", {}), Mapping):
        _damaged(path, what, f"attributes are {_shown(document['attributes'])}")


def check_array(path: str, name: str, said: Mapping[str, Any]) -> None:
    """Raise unless an array may be decoded.

    Parameters
    ----------
    path, name
        The store and the array in it, for the sentence.
    said
        Its document, as in ``zarr.json``.

    Raises
    ------
    StoreFormatError
        If it has a data type, a codec or anything else that zstruct does not read.
    CorruptStoreError
        If its metadata can't be.
    """
    dtype = said.get("data_type")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise StoreFormatError(
            f"{path}: {name} has the data type {_shown(dtype)}; zstruct reads {', '.join(sorted(DTYPES))}"
        )
    shape = _lengths(path, name, "shape", said.get("shape"), 0)
    names = said.get("dimension_names")
    if names is not None and not (
        isinstance(names, _LIST)
        and len(names) == len(shape)
        and all(dim is None or isinstance(dim, str) for dim in names)
    ):
        _damaged(path, name, f"dimension_names are {_shown(names)}, for {len(shape)} dimensions")
    fill = said.get("fill_value")
    if not _is_value(fill, np.dtype(dtype)):
        _damaged(path, name, f"the fill value is {_shown(fill)}, which is no {dtype}")
    if said.get("storage_transformers"):
        raise StoreFormatError(f"{path}: {name} has storage transformers, which zstruct does not read")
    grid, keys = (_configured(path, name, key, said.get(key)) for key in ("chunk_grid", "chunk_key_encoding"))
    if grid[0] != "regular" or keys[0] not in ("default", "v2"):
        raise StoreFormatError(
            f"{path}: {name} has a chunk grid {grid[0]!r} with keys {keys[0]!r}, which zstruct does not read"
        )
    if keys[1].get("separator", "/") not in ("/", "."):
        _damaged(path, name, f"the keys of its chunks have the separator {_shown(keys[1]['separator'])}")
    outer = _lengths(path, name, "chunk_shape", grid[1].get("chunk_shape"), 1, len(shape))
    inner = _check_codecs(path, name, said.get("codecs"), outer)
    nbytes = math.prod(inner) * np.dtype(dtype).itemsize
    if nbytes > LARGEST_CHUNK:
        raise StoreFormatError(
            f"{path}: {name} has chunks of {nbytes:,} bytes; zstruct reads up to {LARGEST_CHUNK:,}"
        )


def _is_value(value: Any, dtype: np.dtype) -> bool:
    """Return whether metadata can give a value for an array of a dtype; of floats some are texts ("NaN")."""
    if dtype.kind == "f" and isinstance(value, str):
        return True
    if dtype.kind == "b" or isinstance(value, _FLAG):
        return dtype.kind == "b" and isinstance(value, _FLAG)
    if dtype.kind == "f":
        return isinstance(value, float | np.floating) or (isinstance(value, int) and abs(value) < 2**1023)
    limits = np.iinfo(dtype)
    return isinstance(value, int | np.integer) and int(limits.min) <= int(value) <= int(limits.max)


def _check_codecs(path: str, name: str, codecs: Any, outer: tuple[int, ...]) -> tuple[int, ...]:
    """Raise unless all codecs are known; return the shape of what is decoded at once."""
    found = _named(path, name, "codecs", codecs)
    if [codec for codec, _ in found] != ["sharding_indexed"]:
        _check_chain(path, name, found)
        return outer
    said = found[0][1]
    inner = _lengths(path, name, "chunk_shape of its shards", said.get("chunk_shape"), 1, len(outer))
    if any(a % b for a, b in zip(outer, inner, strict=True)):
        _damaged(path, name, f"shards of {list(outer)} are not made of chunks of {list(inner)}")
    n_chunks = math.prod(a // b for a, b in zip(outer, inner, strict=True))
    if n_chunks > _MOST_CHUNKS:
        raise StoreFormatError(
            f"{path}: {name} has {n_chunks:,} chunks in a shard; zstruct reads up to {_MOST_CHUNKS:,}"
        )
    _check_chain(path, name, _named(path, name, "codecs of its chunks", said.get("codecs")))
    index = [codec for codec, _ in _named(path, name, "index_codecs", said.get("index_codecs"))]
    if index not in (["bytes"], ["bytes", "crc32c"]):
        raise StoreFormatError(f"{path}: {name} has shard indexes encoded by {', '.join(index)}")
    if said.get("index_location", "end") not in ("start", "end"):
        _damaged(path, name, f"shard indexes are at {_shown(said['index_location'])}")
    return inner


def _check_chain(path: str, name: str, codecs: list[tuple[str, Mapping[str, Any]]]) -> None:
    for codec, said in codecs:
        if codec not in _KNOWN:
            known = ", ".join(sorted({*_KNOWN, "sharding_indexed"}))
            raise StoreFormatError(f"{path}: {name} is encoded by {codec!r}; zstruct decodes {known}")
        if codec == "blosc" and not isinstance(said.get("clevel", 5), int):
            _damaged(path, name, f"clevel of its blosc is {_shown(said['clevel'])}")
    names = [codec for codec, _ in codecs]
    at = names.index("bytes") if "bytes" in names else -1
    before, after = set(names[:at]), set(names[at + 1 :])
    if at < 0 or not (before <= _ARRAY_TO_ARRAY and after <= _BYTES_TO_BYTES):
        _damaged(path, name, f"its codecs are in no order that can be: {', '.join(names) or 'none'}")


def _named(path: str, name: str, what: str, codecs: Any) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(codecs, _LIST) or len(codecs) > 16:
        _damaged(path, name, f"{what} are {_shown(codecs)}")
    return [_configured(path, name, what, codec) for codec in codecs]


def _configured(path: str, name: str, what: str, said: Any) -> tuple[str, Mapping[str, Any]]:
    """Return name and configuration of a codec or the like."""
    if isinstance(said, str):
        return said, {}
    if isinstance(said, _OBJECT) and isinstance(said.get("name"), str):
        configuration = said.get("configuration", {})
        if isinstance(configuration, _OBJECT):
            return said["name"], configuration
    _damaged(path, name, f"{what} is {_shown(said)}")
    raise AssertionError


def _lengths(
    path: str, name: str, what: str, found: Any, least: int, n_dimensions: int | None = None
) -> tuple[int, ...]:
    """Return lengths, if that is what they are."""
    good = (
        isinstance(found, _LIST)
        and all(type(n) is int and least <= n < 2**62 for n in found)
        and len(found) <= _MOST_DIMENSIONS
        and n_dimensions in (None, len(found))
    )
    if not good:
        _damaged(path, name, f"{what} is {_shown(found)}")
    return tuple(found)


def _check_name(path: str, name: Any) -> None:
    parts = name.split("/") if isinstance(name, str) else [""]
    good = all(part and part.strip(".") and not re.search(r"[\\\x00-\x1f]", part) for part in parts)
    if not good or len(parts) > DEEPEST:
        raise CorruptStoreError(
            f"{path}: its metadata names {_shown(name)}, which is no place in a store; {_MEND}"
        )


def _damaged(path: str, name: str, fault: str) -> None:
    raise CorruptStoreError(f"{path}: the metadata of {name} is damaged: {fault}; {_MEND}")


def _shown(value: Any) -> str:
    """Return a value for a sentence, cut short."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # integers of more digits than Python prints
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
