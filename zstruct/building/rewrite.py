"""Rewrite a finished store in another form: look → plan → write → publish, each step restartable.

What is in it stays, bit for bit; how it is stored changes. The new store is made in a working directory
beside its place, as a build makes one.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zstruct import parallel
from zstruct.building.publication import Target
from zstruct.building.rewrite_decimals import find_decimals
from zstruct.building.rewrite_plan import ArrayChange, Form, Given, RewritePlan
from zstruct.building.rewrite_report import RewriteReport
from zstruct.building.rewrite_request import RewriteRequest
from zstruct.building.rewrite_shards import write_shards
from zstruct.disk import writing
from zstruct.errors import ChangedInputError, InputError, WriteError
from zstruct.keywords import takes
from zstruct.paths_and_urls import check_writable
from zstruct.progress import Runner
from zstruct.store.handles import check_decimals
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.workdir import read_json, write_json
from zstruct.store.write import consolidate_again, create, create_parent
from zstruct.store.zarr_check import check_readable
from zstruct.text import sized

__all__ = ["rewrite"]

# What says how far it got, besides the markers of tasks; all of it is of the job that the first one names.
# A working directory loses its files in the order of their names.
_JOB, _PLAN, _WRITTEN = "rewrite.json", "rewrite_plan.json", "written.json"


@takes(RewriteRequest, parallel.WORKERS)
def rewrite(request: RewriteRequest) -> RewriteReport:
    """Write a finished store again in another form: what is read from it stays the same, bit for bit.

    All arrays and attributes come along, with features, derivatives, neighbour lists, splits, statistics and
    references. The given store stays as it is. Killed at any instant, the same call resumes where it
    was; until the new store is complete nothing is at `out` (or what was there before).

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
    form, out = request.form, request.out
    target = Target(check_writable(out, "a store is rewritten"), overwrite=request.overwrite)
    if form.encoding == "decimal":
        check_decimals("encoding='decimal'")
    given = Given(_opened(Store.of(request.store, request.storage_options)))
    _check_apart(given.store, target)
    if not target.work.exists():
        target.check()
    job = given.identity(form)
    with writing(target.work, f"what is whole stays in {target.work}, and {out} is as it was"), target:
        if target.published(job):  # killed while cleaning up
            said = read_json(target.work / _PLAN)
            target.remove()
            kept = {} if said is None else said["kept"]
            return RewriteReport.of(os.fspath(out), given, kept, time.perf_counter() - began)
        resumed = request.resume and read_json(target.work / _JOB) == job
        target.check()
        runner = request.runner()
        try:
            if not resumed:
                target.clear()
                write_json(target.work / _JOB, job)
            plan = _plan(runner, target, given, form)
            if not (target.work / _WRITTEN).exists():
                write_shards(runner, target, given, plan.changes(given), form)
                write_json(target.work / _WRITTEN, True)
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
    return RewriteReport.of(os.fspath(out), given, plan.kept, time.perf_counter() - began)


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
    needs = find_decimals(runner, target.work / "ranges", given) if form.encoding == "decimal" else {}
    plan = RewritePlan.of(given, form, needs)
    changes = plan.changes(given)
    _check_room(target, given, plan, changes)
    create(target.store, _specs(changes, ""), _unfinished(plan.attributes(given)))
    for group in given.groups:
        create(target.groups / group, _specs(changes, group), _unfinished(given.group_attrs[group]))
    write_json(file, plan.to_json())  # last: where it is, all has been created
    return plan


def _specs(changes: Sequence[ArrayChange], group: str) -> list[ArraySpec]:
    return [change.after for change in changes if change.group == group]


def _unfinished(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attrs.items() if name != "status"}


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
            needed += change.nbytes(nbytes, share)
    free = shutil.disk_usage(target.work).free
    if needed > free:
        raise WriteError(
            f"can't rewrite {given.store.path} as {target.path}: it takes about {sized(needed)}, and "
            f"{sized(free)} are free there; free some space, or choose a target on another disk"
        )


def _join(target: Target, given: Given) -> None:
    """Move the groups into the store, which shows them last."""
    for group in given.groups:
        made = target.groups / group
        if made.exists():
            create_parent(target.store, Path(group).parts[0])
            os.rename(made, target.store / group)
    if given.groups:
        consolidate_again(target.store, target.work)
