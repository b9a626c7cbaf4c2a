"""The files of a store: where shards lie, and whether all are there.

Files as this package writes them can be read without zarr; the metadata of an array tells.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zstruct.errors import (
    CorruptStoreError,
)
from zstruct.store.chunk_codec import ChunkCodec
from zstruct.store.chunks import ChunkGrid, grid_of
from zstruct.store.metadata_checks import DTYPES
from zstruct.store.spec import (
    ArraySpec,
)

__all__ = [
    "ABSENT",
    "array_said",
    "check_shards",
    "codec_of",
    "require_shards",
    "shard_name",
    "shard_path",
]

_FILLS = {"Infinity": math.inf, "-Infinity": -math.inf}  # and NaN, in several forms

ABSENT = 2**64 - 1  # index entry of an inner chunk that is not there


def shard_name(array: str, shard: int, ndim: int) -> str:
    """Return the name of one shard within a store."""
    return f"{array}/c/{shard}{'/0' * (ndim - 1)}"


def shard_path(path: str | os.PathLike[str], array: str, shard: int, ndim: int) -> Path:
    """Return the file of one shard."""
    return Path(path, shard_name(array, shard, ndim))


def check_shards(path: str | os.PathLike[str], spec: ArraySpec) -> None:
    """Raise unless exactly the shards that the array should have are there.

    Raises
    ------
    CorruptStoreError
        If one is missing: it would read as fill values.
    """
    require_shards(path, spec.path, spec.grid.n_shards(spec.shape[0]), len(spec.shape))


def require_shards(path: str | os.PathLike[str], array: str, n_shards: int, ndim: int) -> None:
    """Raise unless the first `n_shards` shards of an array are there."""
    absent = (
        k for k in range(n_shards) if not os.path.isfile(os.path.join(path, shard_name(array, k, ndim)))
    )
    missing = list(itertools.islice(absent, 5))  # no more: metadata may claim any number
    if missing:
        raise CorruptStoreError(
            f"{os.fspath(path)}: shards {missing} of {n_shards:,} of {array} are missing; "
            "restore the store from a copy or build it again"
        )


def array_said(name: str, said: Mapping[str, Any]) -> tuple[ArraySpec, bool]:
    """Return the array that metadata, checked, describes, and whether its files are as we write them.

    Attributes are left out. The codec of files of others is the default.
    """
    fill, grid = said["fill_value"], grid_of(said)
    codec = codec_of(said, grid)
    spec = ArraySpec(
        path=name,
        dims=tuple(said.get("dimension_names") or [None] * len(said["shape"])),
        shape=tuple(said["shape"]),
        dtype=said["data_type"],
        attrs={},
        fill_value=_FILLS.get(fill, math.nan) if isinstance(fill, str) else fill,
        grid=grid,
        codec=ChunkCodec.chosen(said["data_type"]) if codec is None else codec,
    )
    return spec, codec is not None


def codec_of(said: Mapping[str, Any], grid: ChunkGrid) -> ChunkCodec | None:
    """Return how the chunks are made that array metadata, checked, asks for.

    None where shards or chunks are made otherwise than by `write_shard`.
    """
    if len(said["codecs"]) != 1 or isinstance(said["codecs"][0], str):
        return None
    sharding = said["codecs"][0].get("configuration", {})
    if said["codecs"][0]["name"] != "sharding_indexed" or not said["shape"]:
        return None
    index = [_configured(codec) for codec in sharding["index_codecs"]]
    keys, across = _configured(said["chunk_key_encoding"]), list(said["shape"][1:])
    own = (
        said["data_type"] in DTYPES
        and said["chunk_grid"]["configuration"]["chunk_shape"] == [grid.shard_rows, *across]
        and sharding["chunk_shape"] == [grid.chunk_rows, *across]
        and keys[0] == "default"
        and keys[1].get("separator", "/") == "/"
        and [codec for codec, _ in index] == ["bytes", "crc32c"]
        and index[0][1].get("endian", "little") == "little"
        and sharding.get("index_location", "end") == "end"
    )
    return ChunkCodec.of(said["data_type"], sharding["codecs"]) if own else None


def _configured(codec: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    return (codec, {}) if isinstance(codec, str) else (codec["name"], codec.get("configuration", {}))
