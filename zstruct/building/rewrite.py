"""Rewrite a finished store in another form: look → plan → write → publish, each step restartable.

What is in it stays, bit for bit; how it is stored changes. The new store is made in a working directory
beside its place, as a build makes one.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from zstruct import parallel
from zstruct.arguments import check
from zstruct.building.publication import Target
from zstruct.building.rewrite_plan import ArrayChange, Form, Given, RewritePlan
from zstruct.building.rewrite_tasks import (
    NO_DECIMALS,
    RangeTask,
    ShardTask,
    find_range,
    found,
    marker_of,
    rewrite_shard,
    settle,
)
from zstruct.disk import writing
from zstruct.errors import ChangedInputError, CorruptStoreError, InputError, WriteError
from zstruct.keywords import keywords
from zstruct.paths_and_urls import check_writable
from zstruct.progress import Runner
from zstruct.store.chunk_codec import Compression
from zstruct.store.decimals import Decimal, DecimalRange
from zstruct.store.handles import check_decimals
from zstruct.store.savings import is_decimal
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.workdir import read_json, write_json
from zstruct.store.write import (
    Shard,
    WrittenArray,
    complete,
    consolidate_again,
    content_digest,
    create,
    create_parent,
    finish,
)
from zstruct.store.zarr_check import check_readable
from zstruct.text import sized

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["RewriteReport", "rewrite"]

# What says how far it got, besides the markers of tasks; all of it is of the job that the first one names.
# A working directory loses its files in the order of their names.
_JOB, _PLAN, _WRITTEN = "rewrite.json", "rewrite_plan.json", "written.json"
_RANGES, _GROUPS = "ranges", "groups"


@dataclass(frozen=True)
class RewriteReport:
    """Result of `zstruct.rewrite`; printing it gives a summary.

    Parameters
    ----------
    path
        The new store.
    nbytes
        Bytes of it on disk.
    nbytes_before
        Bytes of the given store, of one that is no directory those of its arrays; None if nothing says so.
    seconds
        How long this call took.
    decimals
        The arrays that are stored as decimals.
    kept
        Arrays that are not, though they were asked for, and why.
    groups
        The groups that came along: features, neighbours, splits and so on.
    left_out
        Groups in the root of the given store that are none of zstruct's, which did not.
    """

    path: str
    nbytes: int
    nbytes_before: int | None
    seconds: float
    decimals: list[str]
    kept: dict[str, str]
    groups: list[str]
    left_out: list[str]

    def __str__(self) -> str:
        before = "" if self.nbytes_before is None else f", {sized(self.nbytes_before)} before"
        lines = [f"{self.path}: {sized(self.nbytes)}{before}, rewritten in {self.seconds:.2f} s"]
        if self.decimals:
            lines.append(f"stored as decimals: {', '.join(self.decimals)}")
        for reason in sorted({*self.kept.values()}):
            names = [name for name, said in self.kept.items() if said == reason]
            lines.append(f"no decimals, as {reason}: {', '.join(names)}")
        if self.groups:
            lines.append(f"with {', '.join(self.groups)}")
        if self.left_out:
            lines.append(f"left out, as no groups of zstruct: {', '.join(self.left_out)}")
        return "\n".join(lines)


@keywords(parallel.WORKERS)
def rewrite(
    store: str | os.PathLike[str] | Store,
    out: str | os.PathLike[str],
    *,
    encoding: Literal["decimal", "plain"] | None = None,
    compression: Compression | None = None,
    chunks: int | Mapping[str, int] | None = None,
    overwrite: bool = False,
    resume: bool = True,
    workers: int | Client | None = None,
    progress: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> RewriteReport:
    """Write a finished store again in another form: what is read from it stays the same, bit for bit.

    All arrays and attributes come along, with features, derivatives, neighbour lists, splits, statistics and
    references. The given store stays as it is. Killed at any instant, the same call resumes where it
    was; until the new store is complete nothing is at `out` (or what was there before).

    Parameters
    ----------
    store
        The store: a directory, a ``.zip`` file, a URL, or one that is open.
    out
        The store to make, a local directory (on a cluster: one that every worker can reach).
    encoding
        ``"decimal"`` stores float64 numbers that were written as decimals as whole numbers, in about half the
        bytes; an array that has others, or -0.0, stays as it is. ``"plain"`` stores all numbers as they
        are, which everything that reads Zarr can read. By default the encoding stays what it is.
    compression
        ``"fast"``, to be read in training, or ``"small"``, to be kept. By default it stays what it is.
    chunks
        Rows of a chunk, the unit of reading, of arrays over atoms or structures: a number for both, or
        ``{"atom": 65536, "structure": 16384}``. By default, and in groups, chunks stay what they are. Digests
        are made of those of pieces, so other chunks give the store another digest.
    overwrite
        Whether a store at `out` may be replaced; it stays until the new one is complete.
    resume
        Whether to go on with an interrupted call for the same store and form.
    workers
        Number of workers of this machine, by default one per processor. Or a `distributed.Client` to
        run on, by default the active one.
    progress
        Whether to show a progress bar.
    storage_options
        Of a URL, for fsspec: keys, endpoints and the like.

    Returns
    -------
    RewriteReport
        Bytes before and after, which arrays are decimals, and why others are not.

    Raises
    ------
    InputError
        If an option can't be used, or the new store would be in the given one.
    StoreFormatError, StoreAccessError
        If there is no finished store, or it can't be reached.
    CorruptStoreError
        If a shard of the given store does not have its checksum or its digest.
    StoreExistsError, BuildLockedError
        If the target may not be replaced, or is being built by another process.
    ChangedInputError
        If the given store changed meanwhile.
    WriteError
        If there is no room on the disk.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> folder = tempfile.mkdtemp()
    >>> report = zstruct.build([ase.build.molecule("H2O")], f"{folder}/water.zarr", progress=False)
    >>> report = zstruct.rewrite(
    ...     f"{folder}/water.zarr", f"{folder}/small.zarr", compression="small", progress=False
    ... )
    >>> zstruct.Store(f"{folder}/small.zarr").digest == zstruct.Store(f"{folder}/water.zarr").digest
    True
    """
    began = time.perf_counter()
    form = Form(encoding, compression, chunks)
    check(overwrite=overwrite, resume=resume, progress=progress)
    workers = parallel.chosen_workers(workers)
    target = Target(check_writable(out, "a store is rewritten"), overwrite=overwrite)
    if form.encoding == "decimal":
        check_decimals("encoding='decimal'")
    given = Given(_opened(Store.of(store, storage_options)))
    _check_apart(given.store, target)
    if not target.work.exists():
        target.check()
    job = given.identity(form)
    report = partial(_report, os.fspath(out), given, began)
    with writing(target.work, f"what is whole stays in {target.work}, and {out} is as it was"), target:
        if target.published(job):  # killed while cleaning up
            said = read_json(target.work / _PLAN)
            target.remove()
            return report({} if said is None else said["kept"])
        resumed = resume and read_json(target.work / _JOB) == job
        target.check()
        runner = Runner(workers, progress)
        try:
            if not resumed:
                target.clear()
                write_json(target.work / _JOB, job)
            plan = _plan(runner, target, given, form)
            _write(runner, target, given, plan)
            _join(target, given)
            if Given(given.store.again()).identity(form) != job:
                raise ChangedInputError(
                    f"{given.store.path} changed while it was rewritten: run the same call again"
                )
            check_readable(target.store)
            target.publish(job)
        except (InputError, WriteError):
            target.remove()  # what is wrong will be mended by changing options, or there is no room to begin
            raise
        finally:
            runner.close()
        target.remove()
    return report(plan.kept)


def _opened(store: Store) -> Store:
    """Return the store opened anew, by a path that workers elsewhere understand."""
    return Store(os.path.abspath(store.path)) if os.path.isdir(store.path) else store.again()


def _check_apart(store: Store, target: Target) -> None:
    """Refuse a target that is the given store, or in it, or around it."""
    if not os.path.isdir(store.path):
        return
    given = os.path.realpath(store.path)
    for place in (target.path, target.work):
        out = os.path.realpath(place)
        if os.path.commonpath([given, out]) in (given, out):
            raise InputError(
                f"{place} is the store {store.path} itself, or in it, or around it: choose a target beside "
                "it, and rename that afterwards"
            )


def _plan(runner: Runner, target: Target, given: Given, form: Form) -> RewritePlan:
    """Return the plan, with the empty store and groups made, unless an earlier run did."""
    file = target.work / _PLAN
    said = read_json(file)
    if said is not None:
        return RewritePlan.from_json(form, said)
    needs = _look(runner, target, given) if form.encoding == "decimal" else {}
    plan = RewritePlan.of(given, form, needs)
    changes = plan.changes(given)
    _check_room(target, given, plan, changes)
    create(target.store, _specs(changes, ""), _unfinished(plan.attributes(given)))
    for group in given.groups:
        create(target.work / _GROUPS / group, _specs(changes, group), _unfinished(given.group_attrs[group]))
    write_json(file, plan.to_json())  # last: where it is, all has been created
    return plan


def _specs(changes: Sequence[ArrayChange], group: str) -> list[ArraySpec]:
    return [change.after for change in changes if change.group == group]


def _unfinished(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attrs.items() if name != "status"}


def _look(runner: Runner, target: Target, given: Given) -> dict[str, Decimal | str]:
    """Find which arrays are decimals: how they are stored, or why they can't be."""
    candidates = given.candidates()
    first: list[RangeTask] = []
    more: list[RangeTask] = []
    for name, spec in candidates.items():
        row = given.store.nbytes(name) // spec.shape[0]
        for k in range(spec.grid.n_shards(spec.shape[0])):
            start, stop = k * spec.grid.shard_rows, min((k + 1) * spec.grid.shard_rows, spec.shape[0])
            task = RangeTask(
                given.store,
                marker_of(target.work / _RANGES, name, k),
                name,
                start,
                stop,
                row * (stop - start),
            )
            (more if k else first).append(task)
    needs: dict[str, DecimalRange | str] = dict.fromkeys(candidates, DecimalRange())
    for step in (first, more):  # most that are no decimals show it in their first shard
        tasks = [task for task in step if isinstance(needs[task.name], DecimalRange)]
        for task, said in zip(tasks, _done(runner, "look", find_range, tasks), strict=True):
            here, before = said.get("reason") or DecimalRange(**said), needs[task.name]
            if isinstance(before, DecimalRange):
                both = before.joined(here) if isinstance(here, DecimalRange) else here
                needs[task.name] = NO_DECIMALS if both is None else both
    return {name: need if isinstance(need, str) else need.decimal for name, need in needs.items()}


def _done(runner: Runner, step: str, function: Any, tasks: Sequence[Any], settle: Any = None) -> list[Any]:
    """Do the tasks that have no marker; return what all of them returned, in order."""
    results = [found(task.marker) for task in tasks]
    todo = [k for k, result in enumerate(results) if result is None]
    sizes = [tasks[k].nbytes for k in todo]
    total = sum(task.nbytes for task in tasks)
    runner.begin(step, total, total - sum(sizes))
    for k, result in runner.run(function, [tasks[k] for k in todo], sizes, settle=settle):
        results[todo[k]] = result
    return results


def _check_room(target: Target, given: Given, plan: RewritePlan, changes: Sequence[ArrayChange]) -> None:
    """Refuse to begin what the disk has no room for, as far as that is known.

    Raises
    ------
    WriteError
        Saying how much is needed, about, and how much there is.
    """
    needed = 0.0
    for change in changes:
        nbytes = given.store.nbytes_of_files(change.name)
        if nbytes is not None:
            decimal = change.before.codec.decimal
            share = given.share(change.name, decimal) if decimal else plan.shares.get(change.name)
            needed += nbytes * change.growth(share)
    free = shutil.disk_usage(target.work).free
    if needed > free:
        raise WriteError(
            f"can't rewrite {given.store.path} as {target.path}: it takes about {sized(needed)}, and "
            f"{sized(free)} are free there; free some space, or choose a target on another disk"
        )


def _write(runner: Runner, target: Target, given: Given, plan: RewritePlan) -> None:
    """Write all shards that are not there yet, and then what is said of them."""
    if (target.work / _WRITTEN).exists():
        return
    changes, local = plan.changes(given), runner.n_workers is not None
    tasks = [
        task for change in changes for task in _shard_tasks(target, given.store, change, settles=not local)
    ]
    tasks.sort(key=lambda task: -task.nbytes)
    shards = _done(runner, "rewrite", rewrite_shard, tasks, settle if local else None)
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
        complete(target.work / _GROUPS / group, {"store_digest": digest} if fresh else {}, written[group])
    finish(target.store, {"digest": digest}, written[""])
    write_json(target.work / _WRITTEN, True)


def _shard_tasks(target: Target, store: Store, change: ArrayChange, *, settles: bool) -> list[ShardTask]:
    """Return a task for each shard of an array."""
    before, after = change.before, change.after
    same, known = before.grid == after.grid, store.profile(change.name)
    digests = store.shard_digests(change.name) if same else None
    as_it_is = same and known is not None and known.codec == after.codec
    folder = target.work / _GROUPS / change.group if change.group else target.store
    n_rows = after.shape[0]
    row = int(np.dtype(after.dtype).itemsize * np.prod(after.shape[1:], dtype=int))
    return [
        ShardTask(
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


def _join(target: Target, given: Given) -> None:
    """Move the groups into the store, which shows them last."""
    for group in given.groups:
        made = target.work / _GROUPS / group
        if made.exists():
            create_parent(target.store, Path(group).parts[0])
            os.rename(made, target.store / group)
    if given.groups:
        consolidate_again(target.store, target.work)


def _report(out: str, given: Given, began: float, kept: dict[str, str]) -> RewriteReport:
    store = Store(out)
    return RewriteReport(
        path=out,
        nbytes=store.nbytes_stored(),
        nbytes_before=_nbytes(given),
        seconds=time.perf_counter() - began,
        decimals=[name for name in store.fields if is_decimal(store, name)],
        kept=kept,
        groups=given.groups,
        left_out=given.left_out,
    )


def _nbytes(given: Given) -> int | None:
    """Return the bytes of a store; of one that is elsewhere those of its arrays, if anything says so."""
    if os.path.isdir(given.store.path):
        return given.store.nbytes_stored()
    sizes = [
        given.store.nbytes_of_files(name) for group in ("", *given.groups) for name in given.arrays(group)
    ]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
