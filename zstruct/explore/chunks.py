"""Variables of a store as dask arrays: chunks of whole shards, names that tell contents apart."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

import numpy as np
import xarray as xr

from zstruct.store.store import Store

__all__ = ["chunked", "token_of"]

_CHUNK_BYTES = 1 << 27  # a dask chunk of wide rows stays below this, if its shards do


def token_of(store: Store, content: str) -> str:
    """Return what names the dask arrays of some content of a store, a text that tells it from others."""
    return hashlib.sha256(
        f"{os.path.abspath(store.path)} {content}".encode("utf-8", "surrogateescape")
    ).hexdigest()[:16]


def chunked(shown: xr.Variable, store: Store, name: str, rows: Mapping[str, int], token: str) -> xr.Variable:
    """Return a variable as a dask array with chunks of whole shards.

    Parameters
    ----------
    shown
        The variable.
    store, name
        Where its rows are.
    rows
        Rows that chunks of all arrays along a dimension should have, by dimension.
    token
        As `token_of` returns it.
    """
    dim, shard = str(shown.dims[0]), store.grid(name).shard_rows
    shard_bytes = shard * shown.dtype.itemsize * int(np.prod(shown.shape[1:], dtype=int))
    n_shards = max(1, min(-(-rows[dim] // shard), _CHUNK_BYTES // max(1, shard_bytes)))
    return shown.chunk({dim: n_shards * shard}, name=f"{name}-{token}", lock=False, inline_array=True)
