"""The files of a store: where shards lie, whether all are there, and the checksum that seals each."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from zstruct.errors import (
    CorruptStoreError,
)
from zstruct.store.spec import (
    ArraySpec,
)

__all__ = ["ABSENT", "CRC_BYTES", "check_shards", "require_shards", "seal_of", "shard_path"]


CRC_BYTES = 4
ABSENT = 2**64 - 1  # index entry of an inner chunk that is not there


def shard_path(path: str | os.PathLike[str], array: str, shard: int, ndim: int) -> Path:
    """Return the file of one shard."""
    return Path(path, *array.split("/"), "c", str(shard), *["0"] * (ndim - 1))


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
        if (position, nbytes) != (ABSENT, ABSENT):
            if position + nbytes >= 2**62 or nbytes < CRC_BYTES:
                raise ValueError("its index is damaged")
            sums.append(os.pread(file, CRC_BYTES, position + nbytes - CRC_BYTES))
    return google_crc32c.value(b"".join(sums) + index.tobytes())


def check_shards(path: str | os.PathLike[str], spec: ArraySpec) -> None:
    """Raise unless exactly the shards that the array should have are there.

    Raises
    ------
    CorruptStoreError
        If one is missing: it would read as fill values.
    """
    require_shards(path, spec.path, spec.layout.n_shards(spec.shape[0]), len(spec.shape))


def require_shards(path: str | os.PathLike[str], array: str, n_shards: int, ndim: int) -> None:
    """Raise unless the first `n_shards` shards of an array are there."""
    absent = (k for k in range(n_shards) if not shard_path(path, array, k, ndim).is_file())
    missing = list(itertools.islice(absent, 5))  # no more: metadata may claim any number
    if missing:
        raise CorruptStoreError(
            f"{os.fspath(path)}: shards {missing} of {n_shards:,} of {array} are missing; "
            "restore the store from a copy or build it again"
        )
