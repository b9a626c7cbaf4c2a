"""Build a store: scan → parse → plan → encode → finalize → publish, each step restartable."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.building.build_request import BuildRequest
from zstruct.building.encoding import Encoding
from zstruct.building.filters import Filters
from zstruct.building.finalize import finalize_store
from zstruct.building.manifest import (
    Manifest,
    check_unchanged,
    fingerprints,
    identity,
    make_manifest,
)
from zstruct.building.markers import results, settle
from zstruct.building.parse import ParseTask, parse_job
from zstruct.building.parts import read_summary, release
from zstruct.building.plan import Plan, forget_plans, load_plan, make_plan
from zstruct.building.publication import Target
from zstruct.building.report import BuildReport
from zstruct.building.selected import check_apart, check_notes, selected, stores_among
from zstruct.building.shards import encode_shard, encode_tasks
from zstruct.building.stored_blocks import StoredInput
from zstruct.disk import writing
from zstruct.errors import InputError
from zstruct.keywords import takes
from zstruct.paths_and_urls import check_writable
from zstruct.progress import Runner
from zstruct.sources import Source
from zstruct.sources.inputs import expand
from zstruct.store.handles import check_decimals

__all__ = ["build"]

#: What to write in place of keywords that there were once.
_MOVED = {**parallel.WORKERS, "seed": "encoding=Encoding(shuffle_seed=...)"}

_PROCESSES_FROM = 8 << 20  # below this much input, starting processes costs more than it gains


@takes(BuildRequest, _MOVED, filters=Filters, encoding=Encoding)
def build(request: BuildRequest) -> BuildReport:
    """Build one store from any number of inputs, in parallel.

    Killed at any instant, the same call resumes where it was and makes the same store, byte for
    byte; until the store is complete nothing is at `out` (or what was there before).

    Returns
    -------
    BuildReport
        Counts, species, coverage of fields, and what was left out and why.

    Raises
    ------
    InputError
        If an input or an option can't be used; names the file and frame.
    StoreExistsError, BuildLockedError
        If the target may not be replaced, or is being built by another process.
    ChangedInputError
        If an input changed during the build or since it was interrupted.
    """
    began = time.perf_counter()
    if request.stored.decimal:
        check_decimals("encoding='decimal'")
    out = request.out
    target = Target(check_writable(out, "a store is built"), overwrite=request.overwrite)
    if not target.work.exists():
        target.check()
    sources, ignored = expand(request.paths, request.reader, request.opening)
    sources = selected(sources, request.selection)
    check_notes(sources, request.kept)
    check_apart(sources, out)
    inputs, wanted, sources = stores_among(sources, request.reading)
    runner, settings, skip = request.runner(), request.settings(), request.on_error == "skip"
    with writing(target.work, f"what is whole stays in {target.work}, and {out} is as it was"), target:
        build_id = identity({**settings, "inputs": [source.label for source in sources]})
        if target.published(build_id):  # killed while cleaning up
            target.remove()
            return BuildReport.of(os.fspath(out), time.perf_counter() - began, ignored)
        manifest = _resumed(target, sources, settings, request.on_error) if request.resume else None
        target.check()
        try:
            if manifest is None:
                target.clear()
                target.parts.mkdir()
                target.encoded.mkdir()
                manifest = make_manifest(sources, settings, skip=skip, workers=runner.n_workers)
                if manifest.resumable:
                    manifest.save(target.work / "manifest.json")
            copies = bool(wanted) or request.stored.shuffle_seed is not None
            parts = _parse(runner, target, manifest, sources, request, copies)
            plan = _plan(target, manifest, parts, request, inputs, wanted)
            summaries = _encode(runner, target, plan, manifest.identity)
            now, _ = fingerprints(sources, skip=skip)
            check_unchanged(manifest.inputs, now)
            described = {**settings, "filters": request.kept.describe(), "on_error": request.on_error}
            finalize_store(target.store, plan, summaries, manifest, parts, described)
            target.publish(build_id if manifest.resumable else uuid.uuid4().hex)
        except InputError:
            target.remove()  # what is wrong will be mended by changing inputs or options
            raise
        finally:
            runner.close()
            forget_plans()
            release(target.parts)
        target.remove()
    return BuildReport.of(os.fspath(out), time.perf_counter() - began, ignored)


def _resumed(
    target: Target, sources: list[Source], settings: dict[str, Any], on_error: Literal["raise", "skip"]
) -> Manifest | None:
    """Return the manifest of an interrupted build that this call continues, if there is one."""
    manifest = Manifest.load(target.work / "manifest.json")
    if manifest is None or manifest.identity != identity(settings):
        return None
    if on_error == "raise" and manifest.unreadable:
        return None
    now, _ = fingerprints(sources, skip=on_error == "skip")
    check_unchanged(manifest.inputs, now)
    return manifest


def _parse(
    runner: Runner,
    target: Target,
    manifest: Manifest,
    sources: list[Source],
    request: BuildRequest,
    copies: bool,
) -> list[Path]:
    """Make the parts that are not there yet; return all of them, in order.

    With `copies`, structures of stores are copied to parts, too.
    """
    parts = [target.parts / f"{k:06d}" for k in range(len(manifest.jobs))]
    there = [_usable(part, request.on_error) for part in parts]
    total = sum(job.nbytes for job in manifest.jobs)
    runner.begin("parse", total, sum(job.nbytes for job, ok in zip(manifest.jobs, there, strict=True) if ok))
    orders: tuple[parallel.RunsIn, ...] = ("caller", "here", "threads", "processes")
    for runs_in in orders:
        todo = [
            k
            for k, job in enumerate(manifest.jobs)
            if not there[k] and sources[job.pieces[0][0]].runs_in == runs_in
        ]
        sizes = [manifest.jobs[k].nbytes for k in todo]
        local = runner.n_workers is not None
        place = _place(runs_in, [sources[i] for k in todo for i, _ in manifest.jobs[k].pieces], sizes)
        place = place if local else runs_in
        tasks = [
            ParseTask(
                parts[k],
                [(sources[i], i, piece) for i, piece in manifest.jobs[k].pieces],
                request.reading,
                request.kept,
                request.on_error,
                durable=manifest.resumable,
                in_memory=local and place != "processes",
                copies=copies,
            )
            for k in todo
        ]
        for _ in runner.run(parse_job, tasks, sizes, place):
            pass
    return parts


def _place(runs_in: parallel.RunsIn, sources: Sequence[Source], sizes: Sequence[int]) -> parallel.RunsIn:
    """Return where jobs of so many bytes run best on this machine, of sources that run alike."""
    if runs_in != "processes" or not sizes:
        return runs_in
    if all(sum(sizes) <= getattr(source, "threads_up_to", 0) for source in sources):
        return "threads"
    return "caller" if sum(sizes) < _PROCESSES_FROM or len(sizes) == 1 else "processes"


def _usable(part: Path, on_error: str) -> bool:
    if not part.exists():
        return False
    return on_error == "skip" or read_summary(part)["n_skipped"] == 0


def _plan(
    target: Target,
    manifest: Manifest,
    parts: list[Path],
    request: BuildRequest,
    inputs: Mapping[int, StoredInput],
    wanted: Mapping[int, NDArray[np.int64]],
) -> Plan:
    """Make the plan and a folder for the store, unless an earlier run did."""
    file = target.work / "plan.json"
    if not file.exists():
        plan = make_plan(parts, target.work, request.reading, request.stored, inputs, wanted)
        if target.store.exists():  # killed before there was a plan
            shutil.rmtree(target.store)
        target.store.mkdir()
        plan.save(file)
    return load_plan(file, manifest.identity, inputs)


def _encode(
    runner: Runner, target: Target, plan: Plan, build_id: str
) -> dict[tuple[str, int], dict[str, Any]]:
    """Write the shards that are not there yet; return the summaries of all of them."""
    local = runner.n_workers is not None
    tasks = encode_tasks(plan, target, build_id, settles=not local)
    summaries = results(runner, "encode", encode_shard, tasks, settle if local else None)
    return {(task.name, task.shard): summary for task, summary in zip(tasks, summaries, strict=True)}
