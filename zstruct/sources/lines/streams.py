"""Bytes of a stream into memory; whatever fails is an `InputError`."""

from __future__ import annotations

import io
from typing import IO

from zstruct.errors import InputError, StoreAccessError
from zstruct.sources.compression import DAMAGED

__all__ = ["fill"]

#: Bytes that a compressed file is asked for at once.
_READ_BYTES = 1 << 20


def fill(stream: IO[bytes], room: memoryview, label: str) -> int:
    """Fill `room` from a stream; return how much there was.

    Raises
    ------
    InputError
        If it can't be read, or is damaged.
    """
    n = 0
    plain = isinstance(stream, io.RawIOBase)
    try:
        while n < len(room):
            got = stream.readinto(room[n:] if plain else room[n : n + _READ_BYTES])  # type: ignore[attr-defined]
            if not got:
                break
            n += got
    except DAMAGED as error:
        raise InputError(f"decompression failed, the file is damaged or cut off: {error}", label) from error
    except StoreAccessError:
        raise  # of a server, which says what it is
    except OSError as error:
        what = "can't be read" if plain else "decompression failed, the file is damaged"
        raise InputError(f"{what}: {error.strerror or error}", label) from error
    return n
