"""What the decimal encoding saves in an array or a store, or would save."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from zstruct.disk import bytes_within
from zstruct.store.chunk_codec import ChunkCodec
from zstruct.store.decimals import Decimal
from zstruct.store.store import Store
from zstruct.text import sized

__all__ = ["SAMPLE_ROWS", "DecimalSavings", "decimal_share"]

#: The first rows of an array, which are compressed to learn what decimals save.
SAMPLE_ROWS = 1 << 13

_WORTH = 0.3  # of the bytes, from which on it is recommended
_WORTH_BYTES = 2048  # to be saved; to say that an array is one of decimals takes some


def decimal_share(
    sample: NDArray[np.float64], n_rows: int, codec: ChunkCodec, decimal: Decimal
) -> float | None:
    """Return the share of its bytes that an array takes as decimals; None if they save next to nothing.

    Parameters
    ----------
    sample
        Its first rows.
    n_rows
        How many it has.
    codec
        How its chunks are compressed.
    decimal
        How its numbers are stored as whole ones.
    """
    plain, whole = (len(replace(codec, decimal=one).encode(sample)) for one in (None, decimal))
    if (plain - whole) / len(sample) * n_rows < _WORTH_BYTES:
        return None
    return round(whole / plain, 3)


@dataclass(frozen=True)
class DecimalSavings:
    """What the decimal encoding saves in a local store.

    Parameters
    ----------
    stored
        Arrays that are stored as decimals.
    possible
        Those that could be, and are not.
    nbytes
        Bytes of the store.
    saved, left
        Bytes that those that are stored so save, and that the others would: estimated from the first rows of
        each, which the build compresses both ways.
    """

    stored: list[str]
    possible: list[str]
    nbytes: int
    saved: float
    left: float

    @classmethod
    def of(cls, store: Store) -> Self | None:
        """Return what it saves in a store; None if that is not in a local directory."""
        if not os.path.isdir(store.path):
            return None
        known = {
            n: said
            for n, said in store.attrs.get("build", {}).get("decimals", {}).items()
            if n in store.fields
        }
        stored, possible, saved, left = [], [], 0.0, 0.0
        for name, said in known.items():
            share = said["share_of_bytes"]
            nbytes = bytes_within(os.path.join(store.path, name, "c"))
            if is_decimal(store, name):
                stored.append(name)
                saved += nbytes * (1 / share - 1)
            else:
                possible.append(name)
                left += nbytes * (1 - share)
        return cls(stored, possible, store.nbytes_stored(), saved, left)

    def __str__(self) -> str:
        said = []
        if self.stored:
            share = self.saved / (self.nbytes + self.saved)
            said.append(f"stored as decimals, {share:.0%} smaller: {', '.join(self.stored)}")
        if self.possible and self.left > _WORTH * self.nbytes:
            said.append(
                f'encoding="decimal" would store {", ".join(self.possible)} exactly, in '
                f"{sized(round(self.left))} less ({self.left / self.nbytes:.0%} of all)"
            )
        return "; ".join(said)


def is_decimal(store: Store, name: str) -> bool:
    """Return whether an array of a local store is stored as decimals."""
    spec = store.profile(name)
    return spec is not None and spec.codec.decimal is not None
