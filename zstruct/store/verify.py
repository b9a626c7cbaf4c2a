"""Check a finished store: every invariant of the format and every checksum."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import ChangedInputError, CorruptStoreError
from zstruct.keywords import keywords
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, STRUCTURE
from zstruct.store.digests import combine_digests, rows_digest
from zstruct.store.history import log
from zstruct.store.labels import Labels
from zstruct.store.spec import FAILURE, GROUP_KINDS, HISTORY, KINDS, LABELS, OWN, array_digest, is_content
from zstruct.store.store import Store
from zstruct.store.verify_metadata import check_group_metadata, check_metadata

__all__ = ["verify"]

_ATTEMPTS = 20  # of a group that is replaced while it is read


@keywords()
def verify(path: str | os.PathLike[str] | Store, *, storage_options: Mapping[str, Any] | None = None) -> None:
    """Read a store from end to end and raise if anything is wrong with it.

    Checks that offsets, counts and array lengths agree, that every chunk passes its checksum and
    that contents still have the digests recorded when the store was built; and the same of features,
    derivatives, neighbours, labels and splits, unless they are stale: of those, only the contents, as of
    references and statistics. Attributes and array metadata, of the store and of its groups, must have
    their digests, and the consolidated metadata must repeat them.

    Parameters
    ----------
    path
        A finished store.
    storage_options
        Of a URL, for fsspec: keys, endpoints and the like.

    Raises
    ------
    StoreFormatError
        If it is no finished zstruct store.
    CorruptStoreError
        At the first fault; names the array.
    """
    store = Store.of(path, storage_options).again()
    check_metadata(store)
    offsets, counts = store.read("offsets"), store.read("n_atoms")
    _require(len(counts) == store.n_structures, store, "n_atoms", "has the wrong length")
    _require(len(offsets) == store.n_structures + 1, store, "offsets", "has the wrong length")
    agree = offsets[0] == 0 and np.array_equal(np.diff(offsets), counts)
    _require(bool(agree), store, "offsets", "does not agree with n_atoms")
    _require(int(offsets[-1]) == store.n_atoms, store, "offsets", "does not end at the number of atoms")
    for name, field in store.fields.items():
        n = store.n_atoms if field.level == ATOM else store.n_structures
        _require(store.shape(name)[0] == n, store, name, f"should have {n} rows")
    for name in store.shard_tables():
        _check_content(store, name)
    digests = {name: _check_content(store, name) for name in store.array_names()}
    lines = [f"{name} {digest}" for name, digest in digests.items() if is_content(name)]
    _require(combine_digests(lines) == store.digest, store, "", "the digests don't add up")
    for kind in (*KINDS, HISTORY):
        for name in store.group_names(kind):
            _check_as_it_is(store, f"{kind}/{name}", offsets)


def _check_as_it_is(store: Store, group: str, offsets: NDArray[np.int64]) -> None:
    """Check a group; anew if it is replaced meanwhile."""
    for attempt in range(_ATTEMPTS):
        try:
            check_group_metadata(store, group)
            if group.startswith("splits/"):
                _check_split(store, group)
            elif group.startswith(f"{LABELS}/"):
                _check_labels(store, group)
            elif group.split("/")[0] in GROUP_KINDS:
                _check_group(store, group, offsets)
            else:
                _check_arrays(store, group)
            if group.startswith(f"{HISTORY}/"):
                _require(log(store)[-1].digest == store.digest, store, group, "is that of another store")
            return
        except ChangedInputError:
            there = store.again()
            if there.digest != store.digest or attempt == _ATTEMPTS - 1:
                raise
            kind, name = group.split("/")
            if name not in there.group_names(kind):
                return
            store = there


def _check_content(store: Store, name: str) -> str:
    """Raise unless an array has its digest; return that."""
    grid, shape = store.grid(name), store.shape(name)
    shards = []
    for k in range(grid.n_shards(shape[0])):
        start = k * grid.shard_rows
        rows = store.read(name, start, min(start + grid.shard_rows, shape[0]))
        shards.append(rows_digest(rows))
    expected, sums = store.shard_digests(name), store.checksums(name)
    if expected is not None and sums is not None:
        same = expected.tobytes().hex() == "".join(shards)
        _require(same, store, name, "does not have the content it was built with")
        there = [store.shard_checksum(name, k) for k in range(len(shards))]
        _require(None in there or there == sums.tolist(), store, name, "has shards that were written again")
    recorded = str(store.array_attrs(name)["digest"])
    found = array_digest(store.dtype(name).name, shape, grid, shards)
    _require(found == recorded, store, name, "does not have the content it was built with")
    return recorded


def _check_group(store: Store, group: str, atom_offsets: NDArray[np.int64]) -> None:
    attrs, arrays = store.group_attrs(group), _check_arrays(store, group)
    if attrs["store_digest"] != store.digest:
        return
    if group.startswith("features/"):
        _check_features(store, group, attrs.get("level", ATOM))
        return
    offsets, counts = store.read(f"{group}/offsets"), store.read(f"{group}/counts")
    edges = counts_to_offsets(counts)
    agree = len(counts) == store.n_atoms and np.array_equal(edges[atom_offsets], offsets)
    _require(agree, store, f"{group}/offsets", "does not agree with its counts")
    n_pairs, indices = int(edges[-1]), f"{group}/indices"
    for name in arrays:
        per_pair = name not in (f"{group}/offsets", f"{group}/counts")
        _require(not per_pair or store.shape(name)[0] == n_pairs, store, name, f"should have {n_pairs} rows")
    step = store.grid(indices).shard_rows
    n_atoms = np.diff(atom_offsets)
    for start in range(0, n_pairs, step):
        stop = min(start + step, n_pairs)
        first = int(np.searchsorted(offsets, start, side="right")) - 1
        last = int(np.searchsorted(offsets, stop, side="left"))
        limits = np.repeat(n_atoms[first:last], np.diff(np.clip(offsets[first : last + 1], start, stop)))
        rows = store.read(indices, start, stop)
        inside = bool(np.all((rows >= 0) & (rows < limits)))
        _require(inside, store, indices, "has neighbours outside their structures")


def _check_features(store: Store, group: str, level: str) -> None:
    values, edges = f"{group}/values", f"{group}/offsets"
    n_rows = store.n_structures if level == STRUCTURE else store.n_atoms
    if level == OWN:
        offsets = store.read(edges)
        ascend = len(offsets) == store.n_structures + 1 and offsets[0] == 0 and (np.diff(offsets) >= 0).all()
        _require(bool(ascend), store, edges, "are no edges of structures")
        n_rows = int(offsets[-1])
    _require(store.shape(values)[0] == n_rows, store, values, f"should have {n_rows} rows")


def _check_arrays(store: Store, group: str) -> list[str]:
    """Raise unless a group is finished and its arrays have their digests; return their names."""
    _require(store.group_attrs(group).get("status") == "complete", store, group, "is unfinished")
    names = store.array_names(group)
    for name in [*store.shard_tables(group), *names]:
        _check_content(store, name)
    return names


def _check_split(store: Store, group: str) -> None:
    attrs, codes = store.group_attrs(group), f"{group}/codes"
    _check_arrays(store, group)
    if attrs["store_digest"] != store.digest:
        return
    values = store.read(codes)
    _require(len(values) == store.n_structures, store, codes, "has the wrong length")
    inside = bool(np.all((values >= -1) & (values < len(attrs["labels"]))))
    _require(inside, store, codes, "has codes that stand for no label")


def _check_labels(store: Store, group: str) -> None:
    attrs, arrays = store.group_attrs(group), _check_arrays(store, group)
    if attrs["store_digest"] != store.digest:
        return
    labels = Labels(store, group.removeprefix(f"{LABELS}/"), attrs)
    for column in labels.columns.values():
        n = store.n_atoms if column.level == ATOM else store.n_structures
        path = labels.array(column.name)
        _require(store.shape(path)[0] == n, store, path, f"should have {n} rows")
    for name in labels.fields:
        given = int(labels.present(name).sum())
        _require(
            given == labels.coverage(name), store, labels.array(name), "has not the coverage that it says"
        )
    failure = f"{group}/{FAILURE}"
    if failure in arrays:
        codes, n = store.read(failure), len(store.categories(FAILURE, group))
        inside = len(codes) == store.n_structures and bool(np.all((codes >= -1) & (codes < n)))
        _require(inside, store, failure, "has codes that stand for no reason")


def _require(holds: bool, store: Store, array: str, fault: str) -> None:
    if not holds:
        what = f"{array} {fault}" if array else fault
        raise CorruptStoreError(f"{store.path}: {what}; restore the store from a copy or build it again")
