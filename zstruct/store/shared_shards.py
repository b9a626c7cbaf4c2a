"""Shards of a store that begins with all of another one: those that are the same are not written again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from zstruct.errors import CorruptStoreError
from zstruct.store.files import shard_path
from zstruct.store.sharing import share
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.write import Shard, WrittenArray, write_chunks, write_shard

__all__ = ["SharedShard", "put_shard", "shared_shards", "write_growing"]


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


def shared_shards(
    store: Store, array: str, spec: ArraySpec, n_rows: int | None = None, *, anywhere: bool = False
) -> list[SharedShard]:
    """Return the first shards of an array that are the same in a new one, which begins with its rows.

    Parameters
    ----------
    store, array
        The array that there is.
    spec
        The new one.
    n_rows
        How many rows they have in common; by default all that there are.
    anywhere
        Whether the store may be elsewhere, where a server copies files.
    """
    there = store.form(array) if anywhere else store.profile(array)
    if there is None or (there.grid, there.codec, there.dtype) != (spec.grid, spec.codec, spec.dtype):
        return []
    if there.shape[1:] != spec.shape[1:] or repr(there.fill_value) != repr(spec.fill_value):  # NaN is another
        return []
    digests, checksums = store.shard_digests(array), store.checksums(array)
    if digests is None or checksums is None:
        return []
    same = there.shape[0] if n_rows is None else n_rows
    n = len(digests) if same == there.shape[0] == spec.shape[0] else same // there.grid.shard_rows
    return [
        SharedShard(store, there.path, k, Shard(digests[k].tobytes().hex(), int(checksums[k])))
        for k in range(n)
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
        How: ``"clone"``, ``"link"`` or ``"copy"``. ``"remote"`` where the store is elsewhere: the file is
        empty, and stands for one that is to be copied there.

    Raises
    ------
    CorruptStoreError
        If it is not what the store says.
    """
    store, k = shared.store, shared.shard
    if not os.path.isdir(store.path):
        target = shard_path(folder, spec.path, k, len(spec.shape))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"")
        return "remote"
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


def write_growing(
    folder: str | os.PathLike[str],
    spec: ArraySpec,
    shared: Sequence[SharedShard],
    read: Callable[[int, int], NDArray[Any]],
    *,
    links: bool,
    durable: bool,
) -> WrittenArray:
    """Write an array, of which some shards, the first ones, are there already.

    Parameters
    ----------
    folder, spec
        The new store, and the array in it.
    shared
        The shards that are there.
    read
        Returns rows, from the first to before the second, of the others.
    links, durable
        As for `put_shard`.
    """
    for one in shared:
        put_shard(one, folder, spec, links=links, durable=durable)
    shards, rows, n = [one.known for one in shared], spec.grid.shard_rows, spec.shape[0]
    for k in range(len(shared), spec.grid.n_shards(n)):
        values = read(k * rows, min((k + 1) * rows, n))
        shards.append(write_shard(folder, spec, k, values, durable=durable))
    return WrittenArray(spec, shards)
