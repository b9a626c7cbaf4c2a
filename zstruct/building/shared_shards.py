"""Shards of a store that begins with all of another one: those that are the same are not written again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from zstruct.errors import CorruptStoreError
from zstruct.store.files import shard_path
from zstruct.store.sharing import share
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.write import Shard, write_chunks

__all__ = ["SharedShard", "put_shard", "shared_shards"]


@dataclass(frozen=True)
class SharedShard:
    """A shard of another store that becomes one of the new store, as it is.

    Parameters
    ----------
    store, array, shard
        Where it is.
    known
        Digest and checksum that it has.
    """

    store: Store
    array: str
    shard: int
    known: Shard


def shared_shards(store: Store, array: str, spec: ArraySpec) -> list[SharedShard]:
    """Return the first shards of an array that are the same in a new one, which begins with its rows.

    Parameters
    ----------
    store, array
        The array that there is.
    spec
        The new one.
    """
    there = store.profile(array)
    if there is None or (there.grid, there.codec, there.dtype) != (spec.grid, spec.codec, spec.dtype):
        return []
    if there.shape[1:] != spec.shape[1:] or repr(there.fill_value) != repr(spec.fill_value):  # NaN is another
        return []
    digests, checksums = store.shard_digests(array), store.checksums(array)
    if digests is None or checksums is None:
        return []
    n = there.shape[0] // there.grid.shard_rows if there.shape[0] < spec.shape[0] else len(digests)
    return [
        SharedShard(store, array, k, Shard(digests[k].tobytes().hex(), int(checksums[k]))) for k in range(n)
    ]


def put_shard(
    shared: SharedShard, folder: str | os.PathLike[str], spec: ArraySpec, *, links: bool, durable: bool
) -> str:
    """Put a shard into a new store: as a clone, by a second name, or as a copy that is checked.

    Parameters
    ----------
    shared
        The shard.
    folder, spec
        The new store, and the array in it.
    links
        Whether the file may have a name in both stores.
    durable
        Whether a copy has to be on the disk when it is there.

    Returns
    -------
    str
        How: ``"clone"``, ``"link"`` or ``"copy"``.

    Raises
    ------
    CorruptStoreError
        If it is not what the store says.
    """
    store, k = shared.store, shared.shard
    if store.shard_checksum(shared.array, k) != shared.known.checksum:
        raise CorruptStoreError(
            f"{store.path}: shard {k} of {shared.array} is not the one that was built; restore it from "
            "a copy or build it again"
        )
    n_dimensions = len(spec.shape)
    target = shard_path(folder, spec.path, k, n_dimensions)
    target.parent.mkdir(parents=True, exist_ok=True)
    how = share(Path(shard_path(store.path, shared.array, k, n_dimensions)), target, links=links)
    if how is None:
        write_chunks(folder, spec, k, store.encoded(shared.array, k), durable=durable)
    store.check_current(shared.array)
    return how or "copy"
