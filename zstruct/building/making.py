"""Make a store of sources: scan → parse → plan → encode → finalize → publish, each step restartable.

What is made, and why, is said by a `Job`; who asks for it is not known here.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.building.copied_groups import without_groups
from zstruct.building.duplicates import find_duplicates
from zstruct.building.encoding import Encoding
from zstruct.building.filters import Filters
from zstruct.building.finalize import Past, finalize_store
from zstruct.building.indexed import put_index
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
from zstruct.building.repeats import (
    Masks,
    Repeats,
    continued_masks,
    find_continued,
    read_inputs,
    write_without,
)
from zstruct.building.shards import encode_shard, encode_tasks
from zstruct.building.stored_blocks import StoredInput
from zstruct.errors import InputError
from zstruct.progress import Runner
from zstruct.sources import Source
from zstruct.sources.normalize.normalize import ReadOptions

__all__ = ["Job", "job_identity", "make"]

_PROCESSES_FROM = 8 << 20  # below this much input, starting processes costs more than it gains


#: What is known of shards, by array and number.
Summaries = dict[tuple[str, int], dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """What is made of which sources.

    Parameters
    ----------
    sources
        The sources, in order.
    inputs, wanted
        The stores among them, as `stores_among` returns them.
    reading, filters, encoding, on_error, resume
        What the user said.
    settings
        What tells this job from others for the same target, as JSON.
    described
        What the store says of how it was made.
    grows
        Whether the first source is a store that is extended: nothing is left out of it, and its shards may be
        the same files.
    keeps
        Whether its arrays keep the form that they have.
    known
        The labels of what came in before and must not again, by number of structures and hash; None: it may.
    skips_duplicates
        Whether structures that are there already are left out.
    past
        The version before, if there is one.
    """

    sources: Sequence[Source]
    inputs: Mapping[int, StoredInput]
    wanted: Mapping[int, NDArray[np.int64]]
    reading: ReadOptions
    filters: Filters
    encoding: Encoding
    on_error: Literal["raise", "skip"]
    resume: bool
    settings: Mapping[str, Any]
    described: Mapping[str, Any]
    grows: bool = False
    keeps: bool = False
    known: Mapping[tuple[int, str], str] | None = None
    skips_duplicates: bool = False
    past: Past = field(default_factory=Past)

    @property
    def links(self) -> bool:
        """Whether it is the next version of a store, with which it may have files in common."""
        return self.past.before is not None

    @property
    def skip(self) -> bool:
        """Whether what is bad is left out."""
        return self.on_error == "skip"

    @property
    def identity(self) -> str:
        """What tells a finished job from others for the same target."""
        return job_identity(self.settings, [source.label for source in self.sources])


def job_identity(settings: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Return what tells a finished job from others for the same target."""
    return identity({**settings, "inputs": [*labels]})


def make(
    job: Job,
    target: Target,
    runner: Runner,
    finish: Callable[[Plan, Repeats], Any] = lambda plan, repeats: None,
) -> Any:
    """Make a store and put it in its place; go on with what an earlier call was interrupted in.

    Parameters
    ----------
    job
        What to make.
    target
        Where; its lock is held.
    runner
        Where tasks run.
    finish
        Called when the store is whole, before it is published, with its plan and what was left out as
        repeated; returns what is told of it, as JSON.

    Returns
    -------
    Any
        What is told.

    Raises
    ------
    InputError
        If an input can't be used; names the file and frame.
    ChangedInputError
        If an input changed meanwhile.
    """
    manifest = _resumed(target, job) if job.resume else None
    target.check()
    try:
        if manifest is None:
            target.clear()
            target.parts.mkdir()
            target.encoded.mkdir()
            manifest = make_manifest(job.sources, job.settings, skip=job.skip, workers=runner.n_workers)
            if manifest.resumable:
                manifest.save(target.work / "manifest.json")
        parts, repeats = _without_repeats(target, _parse(runner, target, manifest, job), job, runner)
        plan = _plan(target, manifest, parts, job)
        summaries = _encode(runner, target, plan, manifest.identity, links=job.links)
        now, _ = fingerprints(job.sources, skip=job.skip)
        check_unchanged(manifest.inputs, now)
        without_groups(target.store)
        finalize_store(
            target.store,
            plan,
            summaries,
            manifest,
            parts,
            repeats,
            dict(job.described),
            job.past,
            links=job.links,
        )
        put_index(target, plan, runner)
        told = finish(plan, repeats)
        target.publish(job.identity if manifest.resumable else uuid.uuid4().hex, told)
    except InputError:
        target.remove()  # what is wrong will be mended by changing inputs or options
        raise
    finally:
        runner.close()
        forget_plans()
        for folder in (target.parts, target.cut):
            release(folder)
    target.remove()
    return told


def _resumed(target: Target, job: Job) -> Manifest | None:
    """Return the manifest of an interrupted job that this one continues, if there is one."""
    manifest = Manifest.load(target.work / "manifest.json")
    if manifest is None or manifest.identity != identity(job.settings):
        return None
    if not job.skip and manifest.unreadable:
        return None
    now, _ = fingerprints(job.sources, skip=job.skip)
    check_unchanged(manifest.inputs, now)
    return manifest


def _parse(runner: Runner, target: Target, manifest: Manifest, job: Job) -> list[Path]:
    """Make the parts that are not there yet; return all of them, in order."""
    sources, copies = job.sources, bool(job.wanted) or job.encoding.shuffle_seed is not None
    parts = [target.parts / f"{k:06d}" for k in range(len(manifest.jobs))]
    there = [_usable(part, job.on_error) for part in parts]
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
                job.reading,
                job.filters,
                job.on_error,
                durable=manifest.resumable,
                in_memory=local and place != "processes",
                copies=copies,
                grows=job.grows,
            )
            for k in todo
        ]
        for _ in runner.run(parse_job, tasks, sizes, place):
            pass
    return parts


def _without_repeats(
    target: Target, parts: list[Path], job: Job, runner: Runner
) -> tuple[list[Path], Repeats]:
    """Return the parts without what came in before, and without duplicates, as far as that is asked for."""
    contents = {label: (n, hashes[n]) for label, (n, hashes) in read_inputs(parts).items()}
    masks: Masks
    if job.skips_duplicates:
        masks, repeats = find_duplicates(parts, job.sources, job.encoding.precision, grows=job.grows)
    else:
        continued = {} if job.known is None else find_continued(parts, job.known)
        masks, repeats = continued_masks(parts, continued), Repeats(continued)
    repeats = replace(repeats, contents=contents)
    if repeats.continued or repeats.n_duplicates:
        local = runner.n_workers is not None
        parts = write_without(parts, masks, target.cut, job.sources, job.reading, in_memory=local)
    return parts, repeats


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


def _plan(target: Target, manifest: Manifest, parts: list[Path], job: Job) -> Plan:
    """Make the plan and a folder for the store, unless an earlier run did."""
    file = target.work / "plan.json"
    if not file.exists():
        plan = make_plan(
            parts,
            target.work,
            job.reading,
            job.encoding,
            job.inputs,
            job.wanted,
            grows=job.grows,
            keeps=job.keeps,
        )
        if target.store.exists():  # killed before there was a plan
            shutil.rmtree(target.store)
        target.store.mkdir()
        plan.save(file)
    return load_plan(file, manifest.identity, job.inputs)


def _encode(runner: Runner, target: Target, plan: Plan, build_id: str, *, links: bool) -> Summaries:
    """Write the shards that are not there yet; return the summaries of all of them."""
    local = runner.n_workers is not None
    tasks = encode_tasks(plan, target, build_id, settles=not local, links=links)
    summaries = results(runner, "encode", encode_shard, tasks, settle if local else None)
    return {(task.name, task.shard): summary for task, summary in zip(tasks, summaries, strict=True)}
