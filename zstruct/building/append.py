"""Append structures to a store: the store is the first input of the one that takes its place.

Its full shards are in both, by a clone or a second name; written are the last ones and what is new. Until the
new store is complete nothing changes, and then it changes in one step.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zstruct import parallel
from zstruct.building.append_report import AppendReport
from zstruct.building.append_request import AppendRequest
from zstruct.building.carried_groups import carry_groups, new_parts
from zstruct.building.encoding import Encoding
from zstruct.building.filters import Filters
from zstruct.building.making import Job, Summaries, make
from zstruct.building.plan import Plan
from zstruct.building.publication import Target
from zstruct.building.selected import check_apart, check_notes, selected, stores_among
from zstruct.disk import writing
from zstruct.errors import InputError
from zstruct.keywords import takes
from zstruct.paths_and_urls import check_writable
from zstruct.sources.inputs import expand
from zstruct.sources.store.source import StoreSource
from zstruct.store.group_publication import recover, working_directory
from zstruct.store.handles import check_decimals
from zstruct.store.store import Store

__all__ = ["append"]


@takes(AppendRequest, parallel.WORKERS, filters=Filters)
def append(request: AppendRequest) -> AppendReport:
    """Append structures to a store, which costs what is new and not what is there.

    The result is the store that a build of the old inputs and then the new ones makes. Fields are united:
    what some structures lack is missing there, never zero. Killed at any instant, the store is the old one or
    the new one, and the same call resumes where it was. Who has the store open goes on with the structures
    that he opened, or is told that it changed.

    Returns
    -------
    AppendReport
        What was added, what was left out and why, and how many bytes are shared with the old version.

    Raises
    ------
    InputError
        If an input or an option can't be used, or a value does not fit into an array; names field, file and
        frame.
    StoreFormatError
        If there is no finished store.
    StoreExistsError
        If there is something at `out` that may not be replaced.
    BuildLockedError
        If another process appends to the store, or writes groups into it.
    ChangedInputError
        If an input or the store changed meanwhile.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")], path, progress=False)
    >>> report = zstruct.append(path, [ase.build.molecule("CO2")], progress=False)
    >>> report.n_added, report.n_structures
    (1, 2)
    """
    began = time.perf_counter()
    path = check_writable(request.store, "structures are appended to stores that are")
    out = path if request.out is None else check_writable(request.out, "a store is made")
    in_place = os.path.realpath(out) == os.path.realpath(path)
    target = Target(out, overwrite=in_place or request.overwrite)
    if not target.work.exists():
        Store(path)
        if not in_place:
            target.check()
    safe = f"what is whole stays in {target.work}, and {path} is as it was"
    with writing(target.work, safe), target:
        try:
            with _alone(target.path if in_place else None):
                return _append(request, path, target, began)
        finally:
            target.remove_if_empty()


@contextmanager
def _alone(path: Path | None) -> Iterator[None]:
    """Hold the lock on the groups of a store that will be replaced, and finish what was being published."""
    if path is None or not path.exists():
        yield
        return
    work = working_directory(path)
    with work:
        try:
            recover(path, work.path)
            yield
        finally:
            if [entry.name for entry in work.path.iterdir()] == ["lock"]:
                work.remove()  # else what was interrupted there is found out by who made it


def _append(request: AppendRequest, path: str, target: Target, began: float) -> AppendReport:
    base = StoreSource(path)
    store = base.store
    encoding = _encoding(store)
    if encoding.decimal:
        check_decimals(store.path)
    reading = request.to_read(encoding.precision)
    added, ignored = expand(request.paths, request.reader, request.opening)
    _refuse_itself(store, added)
    added = selected(added, request.selection)
    check_notes(added, request.kept)
    check_apart([base, *added], target.path)
    inputs, wanted, sources = stores_among([base, *added], reading, grows=True)
    parts = new_parts(store, request.split)
    settings = request.settings(reading, [source.label for source in added])
    job = Job(
        sources,
        inputs,
        wanted,
        reading,
        request.kept,
        encoding,
        request.on_error,
        request.resume,
        settings,
        settings | {"filters": request.kept.describe(), "on_error": request.on_error},
        grows=True,
        keeps=not request.reencode,
    )
    if target.published(job.identity):  # killed while cleaning up
        said = target.told()
        target.remove()
    else:

        def finish(plan: Plan, summaries: Summaries) -> dict[str, Any]:
            others = [source for place, source in plan.inputs.items() if place]
            carried = carry_groups(store, target, parts, others, links=True)
            return AppendReport.figures(target.store, store, summaries) | vars(carried)

        said = make(job, target, request.runner(), finish)
    return AppendReport.of(os.fspath(target.path), said, time.perf_counter() - began, ignored)


def _encoding(store: Store) -> Encoding:
    """Return how a build would store what is new, to be as what is there."""
    options = store.attrs.get("build", {}).get("options", {})
    spec = store.profile("offsets")
    small = spec is not None and spec.codec == spec.with_codec("small").codec
    return Encoding(
        options.get("dtype"), decimal=bool(options.get("decimal")), compression="small" if small else "fast"
    )


def _refuse_itself(store: Store, added: list[Any]) -> None:
    """Refuse a store that is appended to itself by its path."""
    for source in added:
        local = isinstance(source, StoreSource) and os.path.isdir(source.store.path)
        if local and os.path.samefile(source.store.path, store.path):
            raise InputError("this is the store itself, whose structures are there already", source.label)
