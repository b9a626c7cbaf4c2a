"""Build a store: scan → parse → plan → encode → finalize → publish, each step restartable."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zstruct import parallel
from zstruct.arguments import check, names
from zstruct.building.encode import EncodeTask, encode_shard, encode_tasks, encoded, settle
from zstruct.building.encoding import Encoding
from zstruct.building.filters import Filters, Frame
from zstruct.building.finalize import finalize_store
from zstruct.building.manifest import (
    Manifest,
    check_unchanged,
    fingerprints,
    identity,
    make_manifest,
)
from zstruct.building.parse import ParseTask, parse_job
from zstruct.building.parts import read_summary, release
from zstruct.building.plan import Plan, load_plan, make_plan
from zstruct.building.publication import Target
from zstruct.building.report import BuildReport
from zstruct.disk import writing
from zstruct.errors import InputError
from zstruct.keywords import as_options, keywords
from zstruct.paths_and_urls import check_writable
from zstruct.progress import Runner
from zstruct.sources import Source
from zstruct.sources.inputs import expand
from zstruct.sources.normalize.elements import element_table
from zstruct.sources.normalize.normalize import ReadOptions
from zstruct.store.handles import check_decimals
from zstruct.store.spec import ENCODING_VERSION

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["build"]

#: What to write in place of keywords that there were once.
_MOVED = {**parallel.WORKERS, "seed": "encoding=Encoding(shuffle_seed=...)"}

_PROCESSES_FROM = 8 << 20  # below this much input, starting processes costs more than it gains


@keywords(_MOVED, filters=Filters, encoding=Encoding)
def build(
    paths: Any,
    out: str | os.PathLike[str],
    *,
    reader: str | None = None,
    keys: Mapping[str, str] | None = None,
    units: str | Mapping[str, str] | None = None,
    exclude: Iterable[str] = (),
    elements: Mapping[Any, Any] | Iterable[Any] | None = None,
    filters: Filters | Mapping[str, Any] | Callable[[Frame], Any] | None = None,
    encoding: Encoding | Mapping[str, Any] | Literal["float32", "float64", "decimal"] | None = None,
    overwrite: bool = False,
    on_error: Literal["raise", "skip"] = "raise",
    resume: bool = True,
    workers: int | Client | None = None,
    progress: bool = True,
) -> BuildReport:
    """Build one store from any number of inputs, in parallel.

    Killed at any instant, the same call resumes where it was and makes the same store, byte for
    byte; until the store is complete nothing is at `out` (or what was there before).

    Parameters
    ----------
    paths
        A file, a directory, a glob (``**`` too), a list of these; an `ase.Atoms`, an iterable of
        them; or `zstruct.sources.Source` objects.
    out
        The store to make, a local directory (on a cluster: one that every worker can reach).
    reader
        Name of the reader for all files, where their names don't tell.
    keys
        Which property of the input a field is, where names are unusual or ambiguous. Field first:
        ``{"energy": "REF_energy"}``. A text with ``{}`` is the form of the comment that holds a number,
        ``...`` in it any text: ``{"energy": "energy: {} ..."}``.
    units
        Units of the input, if not the store's (eV, angstrom, e, amu). Of ``"energy"`` and ``"length"``
        (also ``"time"``, ``"charge"`` and ``"mass"``), which forces, stress and all others follow, or of
        single fields: ``{"length": "bohr", "energy": "kcal/mol", "stress": "GPa"}``. Or a system of
        units: ``"atomic"`` (hartree, bohr), ``"ase"``, or ``"metal"`` and ``"real"`` of LAMMPS.
    exclude
        Properties of the input to leave out.
    elements
        Which elements the atom types of the input are, where it names none (LAMMPS). A mapping
        ``{1: "Ti", 2: "O"}``, or the symbols of types 1, 2, ... in a list.
    filters
        Which structures to keep, as `Filters`; or its fields by name, ``{"max_force": 20}``; or a
        function that takes a `Frame`. By default all.
    encoding
        How to store them, as `Encoding`; or its fields by name, ``{"shuffle_seed": 1}``; or the dtype
        of per-atom floats, or ``"decimal"``: text-born float64 numbers in half the bytes, exactly.
    overwrite
        Whether a store at `out` may be replaced; it stays until the new one is complete.
    on_error
        What a bad frame does: end the build, or be left out and reported.
    resume
        Whether to go on with an interrupted build of the same inputs and options.
    workers
        Number of workers of this machine, by default one per processor. Or a `distributed.Client` to
        run on, by default the active one.
    progress
        Whether to show a progress bar.

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
    check(reader=reader, keys=keys, units=units, overwrite=overwrite, on_error=on_error)
    check(resume=resume, progress=progress)
    workers = parallel.chosen_workers(workers)
    kept, stored = as_options(Filters, filters), as_options(Encoding, encoding)
    left_out = frozenset(names("exclude", exclude))
    options = ReadOptions(
        dict(keys or {}), {} if units is None else units, left_out, element_table(elements), stored.precision
    )
    if stored.decimal:
        check_decimals("encoding='decimal'")
    target = Target(check_writable(out, "a store is built"), overwrite=overwrite)
    if not target.work.exists():
        target.check()
    sources, ignored = expand(paths, reader=reader)
    runner = Runner(workers, progress)
    settings = {
        "format": ENCODING_VERSION,
        "keys": dict(options.keys),
        "units": dict(options.choice.said),
        "exclude": sorted(options.exclude),
        "elements": dict(options.elements),
        "leave_out": sorted(kept.leave_out),
        "filters": kept.identity(),
        "dtype": stored.precision,
        "shuffle_seed": stored.shuffle_seed,
        "decimal": stored.decimal,
        "compression": stored.compression,
        "reader": reader,
    }
    with writing(target.work, f"what is whole stays in {target.work}, and {out} is as it was"), target:
        build_id = identity({**settings, "inputs": [source.label for source in sources]})
        if target.published(build_id):  # killed while cleaning up
            target.remove()
            return BuildReport.of(os.fspath(out), time.perf_counter() - began, ignored)
        manifest = _resumed(target, sources, settings, on_error, resume)
        target.check()
        try:
            if manifest is None:
                target.clear()
                target.parts.mkdir()
                target.encoded.mkdir()
                manifest = make_manifest(sources, settings, skip=on_error == "skip", workers=runner.n_workers)
                if manifest.resumable:
                    manifest.save(target.work / "manifest.json")
            parts = _parse(runner, target, manifest, sources, options, kept, on_error)
            plan = _plan(target, manifest, parts, options, stored)
            summaries = _encode(runner, target, plan, manifest.identity)
            now, _ = fingerprints(sources, skip=on_error == "skip")
            check_unchanged(manifest.inputs, now)
            described = {**settings, "filters": kept.describe(), "on_error": on_error}
            finalize_store(target.store, plan, summaries, manifest, parts, described)
            target.publish(build_id if manifest.resumable else uuid.uuid4().hex)
        except InputError:
            target.remove()  # what is wrong will be mended by changing inputs or options
            raise
        finally:
            runner.close()
            load_plan.cache_clear()
            release(target.parts)
        target.remove()
    return BuildReport.of(os.fspath(out), time.perf_counter() - began, ignored)


def _resumed(
    target: Target, sources: list[Source], settings: dict[str, Any], on_error: str, resume: bool
) -> Manifest | None:
    """Return the manifest of an interrupted build that this call continues, if there is one."""
    manifest = Manifest.load(target.work / "manifest.json")
    if manifest is None or not resume or manifest.identity != identity(settings):
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
    options: ReadOptions,
    filters: Filters,
    on_error: Literal["raise", "skip"],
) -> list[Path]:
    """Make the parts that are not there yet; return all of them, in order."""
    parts = [target.parts / f"{k:06d}" for k in range(len(manifest.jobs))]
    there = [_usable(part, on_error) for part in parts]
    total = sum(job.nbytes for job in manifest.jobs)
    runner.begin("parse", total, sum(job.nbytes for job, ok in zip(manifest.jobs, there, strict=True) if ok))
    for runs_in in ("caller", "here", "threads", "processes"):
        todo = [
            k
            for k, job in enumerate(manifest.jobs)
            if not there[k] and sources[job.pieces[0][0]].runs_in == runs_in
        ]
        sizes = [manifest.jobs[k].nbytes for k in todo]
        small = runs_in == "processes" and (sum(sizes) < _PROCESSES_FROM or len(todo) == 1)
        local = runner.n_workers is not None
        place: parallel.RunsIn = "caller" if small and local else runs_in
        tasks = [
            ParseTask(
                parts[k],
                [(sources[i], piece) for i, piece in manifest.jobs[k].pieces],
                options,
                filters,
                on_error,
                durable=manifest.resumable,
                in_memory=local and place != "processes",
            )
            for k in todo
        ]
        for _ in runner.run(parse_job, tasks, sizes, place):
            pass
    return parts


def _usable(part: Path, on_error: str) -> bool:
    if not part.exists():
        return False
    return on_error == "skip" or read_summary(part)["n_skipped"] == 0


def _plan(
    target: Target,
    manifest: Manifest,
    parts: list[Path],
    options: ReadOptions,
    encoding: Encoding,
) -> Plan:
    """Make the plan and a folder for the store, unless an earlier run did."""
    file = target.work / "plan.json"
    if not file.exists():
        plan = make_plan(parts, target.work, options, encoding)
        if target.store.exists():  # killed before there was a plan
            shutil.rmtree(target.store)
        target.store.mkdir()
        plan.save(file)
    return load_plan(file, manifest.identity)


def _encode(
    runner: Runner, target: Target, plan: Plan, build_id: str
) -> dict[tuple[str, int], dict[str, Any]]:
    """Write the shards that are not there yet; return the summaries of all of them."""
    local = runner.n_workers is not None
    tasks = encode_tasks(plan, target.work, build_id, settles=not local)
    summaries: dict[tuple[str, int], dict[str, Any]] = {}
    todo: list[EncodeTask] = []
    for task in tasks:
        summary = encoded(task)
        if summary is None:
            todo.append(task)
        else:
            summaries[task.name, task.shard] = summary
    total, left = sum(task.nbytes for task in tasks), sum(task.nbytes for task in todo)
    runner.begin("encode", total, total - left)
    sizes = [task.nbytes for task in todo]
    for k, summary in runner.run(encode_shard, todo, sizes, settle=settle if local else None):
        summaries[todo[k].name, todo[k].shard] = summary
    return summaries
