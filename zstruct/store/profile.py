"""Whether an array lies in files as this package writes them, so that it can be read without zarr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zstruct.store.checks import DTYPES
from zstruct.store.spec import (
    ArraySpec,
)

__all__ = []


def is_own_profile(said: Mapping[str, Any], spec: ArraySpec) -> bool:
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
