"""Check a finished store: every invariant of the format and every checksum."""

from __future__ import annotations

import os

import numpy as np

from zstruct import store as _store
from zstruct.errors import CorruptStoreError
from zstruct.schema import ATOM

__all__ = ["verify"]


def verify(path: str | os.PathLike[str]) -> None:
    """Read a store from end to end and raise if anything is wrong with it.

    Checks that offsets, counts and array lengths agree, that every chunk passes its checksum and
    that contents still have the digests recorded when the store was built.

    Parameters
    ----------
    path
        A finished store.

    Raises
    ------
    StoreFormatError
        If it is no finished zstruct store.
    CorruptStoreError
        At the first fault; names the array.
    """
    store = _store.Store(path)
    offsets, counts = store.read("offsets"), store.read("n_atoms")
    _require(len(counts) == store.n_structures, store, "n_atoms", "has the wrong length")
    _require(len(offsets) == store.n_structures + 1, store, "offsets", "has the wrong length")
    agree = offsets[0] == 0 and np.array_equal(np.diff(offsets), counts)
    _require(bool(agree), store, "offsets", "does not agree with n_atoms")
    _require(int(offsets[-1]) == store.n_atoms, store, "offsets", "does not end at the number of atoms")
    for name, field in store.fields.items():
        n = store.n_atoms if field.level == ATOM else store.n_structures
        _require(store.shape(name)[0] == n, store, name, f"should have {n} rows")
    digests = []
    for name in store.array_names():
        layout, shape = store.layout(name), store.shape(name)
        shards = []
        for k in range(layout.n_shards(shape[0])):
            start = k * layout.shard_rows
            rows = store.read(name, start, min(start + layout.shard_rows, shape[0]))
            shards.append(_store.rows_digest(rows))
        recorded = store.array_attrs(name)["digest"]
        found = _store.array_digest(store.dtype(name).name, shape, layout, shards)
        _require(found == recorded, store, name, "does not have the content it was built with")
        digests.append(f"{name} {recorded}")
    _require(_store.combine_digests(digests) == store.digest, store, "", "the digests don't add up")


def _require(holds: bool, store: _store.Store, array: str, fault: str) -> None:
    if not holds:
        what = f"{array} {fault}" if array else fault
        raise CorruptStoreError(f"{store.path}: {what}; restore the store from a copy or build it again")
