"""Where the random numbers of transforms come from: seeds, and a stream for each structure.

What is drawn is a function of the seed, the epoch, the index of the structure in the store and the place
of the transform among others, so that neither workers, threads, ranks nor the other structures of a batch
matter.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import whole
from zstruct.batch.packed import PackedBatch
from zstruct.keywords import keywords
from zstruct.random import hashes
from zstruct.transforms.kernels import keys_of
from zstruct.transforms.subset import indices

__all__ = ["random_keys", "seed_of", "stream"]


def seed_of(seed: Any) -> int:
    """Return a seed of any kind of integer as Python's.

    Raises
    ------
    TypeError
        If it is anything else, None too.
    """
    if seed is None:
        raise TypeError("seed is a whole number, not None: who gives none gets 0, and the same each time")
    return whole("seed", seed)


@lru_cache(maxsize=1024)
def stream(*parts: int | str) -> np.uint64:
    """Return the number of a random stream: a hash of what it is for."""
    state = 0
    for part in parts:
        state = int(hashes(1, state + (zlib.crc32(part.encode()) if isinstance(part, str) else part))[0])
    return np.uint64(state)


@keywords()
def random_keys(batch: PackedBatch, seed: int, epoch: int = 0) -> NDArray[np.uint64]:
    """Return a random number for each structure of a batch, to seed one's own generators with.

    Parameters
    ----------
    batch
        The structures.
    seed, epoch
        With the index of a structure in the store, they alone determine its number.

    Returns
    -------
    numpy.ndarray
        Shape (n,), uniform on all integers of 64 bits.

    Examples
    --------
    >>> from zstruct.batch.pack import pack
    >>> batch = pack([{"numbers": [8, 1, 1]}, {"numbers": [1]}])
    >>> random_keys(batch, seed=1).dtype, len(random_keys(batch, seed=1))
    (dtype('uint64'), 2)
    """
    keys = np.empty(len(batch), np.uint64)
    keys_of(indices(batch), stream(seed, epoch, "keys"), keys)
    return keys
