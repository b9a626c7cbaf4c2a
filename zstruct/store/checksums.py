"""The checksums of a store: the CRC32C behind each chunk and each index of a shard, and that of a shard."""

from __future__ import annotations

import os
from collections.abc import Iterable

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from zstruct.store.files import ABSENT

__all__ = ["CRC_BYTES", "check", "checked", "checksum_of", "crc", "seal", "seal_of"]

CRC_BYTES = 4
_RESIDUE = 0x48674BC7  # the CRC32C of any bytes with their own behind them


def crc(content: bytes | bytearray | NDArray[np.uint8]) -> bytes:
    """Return the CRC32C of some bytes, as it is written behind them."""
    return google_crc32c.value(content).to_bytes(CRC_BYTES, "little")


def checked(data: bytes, what: str) -> NDArray[np.uint8]:
    """Return bytes without the checksum at their end, which must be theirs.

    Raises
    ------
    ValueError
        If it is not; says of what.
    """
    # Of all bytes as they are: only what can't change is gone through without the GIL.
    if google_crc32c.value(data) != _RESIDUE:
        raise ValueError(f"{what} does not fit its bytes")
    return np.frombuffer(data, np.uint8, len(data) - CRC_BYTES)


def check(parts: Iterable[NDArray[np.uint8]], what: str) -> None:
    """Raise unless bytes, in several pieces, end in the checksum of what is before.

    Raises
    ------
    ValueError
        If they do not; says of what.
    """
    found = 0
    for part in parts:
        found = google_crc32c.extend(found, part)
    if found != _RESIDUE:
        raise ValueError(f"{what} does not fit its bytes")


def seal(sums: Iterable[bytes], index: bytes) -> int:
    """Return the checksum of a shard: the CRC32C of those of its chunks, then of its index.

    The index alone would not do: chunks of other rows may have the same lengths.
    """
    return google_crc32c.value(b"".join([*sums, index]))


def seal_of(file: int, index: NDArray[np.uint64]) -> int:
    """Return the checksum of an open shard; see `seal`.

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
    return seal(sums, index.tobytes())


def checksum_of(file: str | os.PathLike[str], n_chunks: int) -> int:
    """Return the checksum of the file of a shard that has room for so many chunks; see `seal`.

    Raises
    ------
    OSError, ValueError
        If the file is not there or too short.
    """
    nbytes = 16 * n_chunks
    with open(file, "rb") as opened:
        opened.seek(-nbytes - CRC_BYTES, os.SEEK_END)
        index = np.frombuffer(opened.read(nbytes), dtype="<u8").reshape(-1, 2)
        return seal_of(opened.fileno(), index)
