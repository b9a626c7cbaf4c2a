"""What the decimal encoding saves in a store, or would save."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from zstruct.store.store import Store
from zstruct.text import sized

__all__ = ["DecimalSavings"]

_WORTH = 0.3  # of the bytes, from which on it is recommended


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
            files = Path(store.path, name, "c").rglob("*")
            nbytes = sum(file.stat().st_size for file in files if file.is_file())
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
