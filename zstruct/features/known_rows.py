"""Rows of a group that are right of the first structures of its store, and need not be computed again.

A store that was extended has the group of what it was before: the same descriptor would compute the same. Its
full shards become those of the new group; of the others rows are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.features.statistics import FirstMoments
from zstruct.store.history import log
from zstruct.store.shared_shards import SharedShard, shared_shards
from zstruct.store.spec import ArraySpec, GroupKind
from zstruct.store.store import Store

__all__ = ["NOTHING", "KnownRows"]


@dataclass(frozen=True)
class KnownRows:
    """Rows of a group that a new one begins with.

    Parameters
    ----------
    group
        Its path in the store.
    digest
        What tells it from others of this name.
    n_structures, n_atoms, n_pairs
        Of which structures they are, the first ones.
    """

    group: str
    digest: str
    n_structures: int
    n_atoms: int
    n_pairs: int

    @classmethod
    def of(cls, store: Store, kind: GroupKind, name: str, attrs: Mapping[str, Any]) -> KnownRows | None:
        """Return what a group has of structures that the store still begins with; None if that is unknown.

        Parameters
        ----------
        store
            The store.
        kind, name
            The group.
        attrs
            Its attributes.
        """
        group = f"{kind}/{name}"
        n = log(store).rows_kept(attrs["store_digest"])
        if n is None:
            return None
        n_atoms, n_pairs = int(store.read("offsets", n, n + 1)[0]), 0
        if kind != "features":
            n_pairs = int(store.read(f"{group}/offsets", n, n + 1)[0])
        return cls(group, attrs["metadata_digest"], n, n_atoms, n_pairs)

    def shared(self, store: Store, spec: ArraySpec, rows: int) -> list[SharedShard]:
        """Return the first shards of an array of the new group that are as they are, all of known rows.

        Parameters
        ----------
        store
            The store.
        spec
            The array.
        rows
            How many of its rows are known.
        """
        return shared_shards(store, f"{self.group}/{spec.path}", spec, rows) if rows else []

    def read(self, store: Store, array: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows of an array."""
        return store.read(f"{self.group}/{array}", start, stop)

    def largest_shift(self, store: Store) -> int:
        """Return a shift that needs the dtype in which all of them are stored."""
        dtype = store.dtype(f"{self.group}/shifts")
        smaller = [np.iinfo(d).max for d in ("int8", "int16") if np.dtype(d).itemsize < dtype.itemsize]
        return max(smaller, default=-1) + 1

    def moments(self, store: Store, n_shards: int) -> FirstMoments:
        """Return the moments of the first shards, of which so many are known; of none if it does not say."""
        return FirstMoments.known(store.group_attrs(self.group), n_shards) if n_shards else FirstMoments()


#: Where there is no group to begin with.
NOTHING = KnownRows("", "", 0, 0, 0)
