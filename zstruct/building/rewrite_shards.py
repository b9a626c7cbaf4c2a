"""The shards of a store that is rewritten: each is written anew, and is as it was but for its form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from zstruct.building.markers import marker_of, results, settle
from zstruct.building.publication import Target
from zstruct.building.rewrite_plan import ArrayChange, Form, Given
from zstruct.errors import CorruptStoreError
from zstruct.progress import Runner
from zstruct.store.files import shard_path
from zstruct.store.history import Step, log, write_history
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.write import (
    Shard,
    WrittenArray,
    complete,
    content_digest,
    finish,
    write_chunks,
    write_shard,
)

__all__ = ["write_shards"]


def write_shards(
    runner: Runner, target: Target, given: Given, changes: Sequence[ArrayChange], form: Form
) -> None:
    """Write all shards that are not there yet, and then what the new store and its groups say of them.

    Parameters
    ----------
    runner
        Where they are written.
    target
        Where the new store is made, and its groups; both are there, without shards.
    given
        The store that is rewritten.
    changes
        All its arrays.
    form
        What was asked for.

    Raises
    ------
    CorruptStoreError
        If it does not have the content that it was built with.
    """
    local = runner.n_workers is not None
    tasks = [task for change in changes for task in _tasks(target, given.store, change, settles=not local)]
    tasks.sort(key=lambda task: -task.nbytes)
    shards = results(runner, "rewrite", rewrite_shard, tasks, settle if local else None)
    by_array: dict[str, dict[int, Shard]] = {change.name: {} for change in changes}
    for task, shard in zip(tasks, shards, strict=True):
        by_array[task.name][task.shard] = Shard(*shard)
    written: dict[str, list[WrittenArray]] = {"": [], **{group: [] for group in given.groups}}
    for change in changes:
        mine = by_array[change.name]
        array = WrittenArray(change.after, [mine[k] for k in sorted(mine)])
        same = change.after.grid == change.before.grid
        if same and array.digest != change.before.attrs.get("digest", array.digest):
            _refuse(given.store, f"{change.name} does not have the content it was built with")
        written[change.group].append(array)
    digest = content_digest(written[""])
    if all(change.after.grid == change.before.grid for change in changes) and digest != given.store.digest:
        _refuse(given.store, "the digests don't add up")
    for group in given.groups:
        fresh = given.group_attrs[group]["store_digest"] == given.store.digest
        complete(target.groups / group, {"store_digest": digest} if fresh else {}, written[group])
    n, n_atoms, steps = given.store.n_structures, given.store.n_atoms, [*log(given.store)]
    if form != Form():  # else it is a copy
        steps.append(Step("rewrite", digest, n, n_atoms, given.store.digest, n, options=asdict(form)))
    write_history(target.store, steps)
    finish(target.store, {"digest": digest}, written[""])


def _tasks(target: Target, store: Store, change: ArrayChange, *, settles: bool) -> list[RewriteTask]:
    """Return a task for each shard of an array."""
    before, after = change.before, change.after
    same, known = before.grid == after.grid, store.profile(change.name)
    digests = store.shard_digests(change.name) if same else None
    as_it_is = same and known is not None and known.codec == after.codec
    folder = target.groups / change.group if change.group else target.store
    n_rows = after.shape[0]
    row = int(np.dtype(after.dtype).itemsize * np.prod(after.shape[1:], dtype=int))
    return [
        RewriteTask(
            store,
            change.name,
            marker_of(target.encoded, change.name, k),
            folder,
            after,
            k,
            None if digests is None else digests[k].tobytes().hex(),
            as_it_is,
            settles,
            row * min(after.grid.shard_rows, n_rows - k * after.grid.shard_rows),
        )
        for k in range(after.grid.n_shards(n_rows))
    ]


def _refuse(store: Store, fault: str) -> None:
    raise CorruptStoreError(f"{store.path}: {fault}; restore the store from a copy or build it again")


@dataclass(frozen=True)
class RewriteTask:
    """Everything a worker needs to write one shard of the new store; a `ShardTask`.

    Parameters
    ----------
    store, name
        The given store, and the path of the array in it.
    marker
        The file that says that it is done.
    folder, spec
        Where the new store or group is made, and the array in it.
    shard
        Its number.
    digest
        Of its rows, if the given store says so of a shard with the same rows.
    as_it_is
        Whether its chunks stay what they are.
    settles
        Whether the worker settles it.
    nbytes
        Of its rows.
    """

    store: Store
    name: str
    marker: Path
    folder: Path
    spec: ArraySpec
    shard: int
    digest: str | None
    as_it_is: bool
    settles: bool
    nbytes: int

    @property
    def file(self) -> Path:
        """The file of the shard."""
        return shard_path(self.folder, self.spec.path, self.shard, len(self.spec.shape))


def rewrite_shard(task: RewriteTask) -> Shard:
    """Write one shard and return its digest and checksum.

    Raises
    ------
    CorruptStoreError
        If it does not have the rows that the given store says.
    """
    spec, k = task.spec, task.shard
    if task.as_it_is and task.digest is not None:
        chunks = task.store.encoded(task.name, k)
        shard = Shard(task.digest, write_chunks(task.folder, spec, k, chunks, durable=task.settles))
    else:
        start, stop = k * spec.grid.shard_rows, min((k + 1) * spec.grid.shard_rows, spec.shape[0])
        rows = task.store.read(task.name, start, stop)
        shard = write_shard(task.folder, spec, k, rows, durable=task.settles)
    if task.digest not in (None, shard.digest):
        raise CorruptStoreError(
            f"{task.store.path}: shard {k} of {task.name} does not have the content it was built with; "
            "restore the store from a copy or build it again"
        )
    if task.settles:
        settle(task, shard)
    return shard
