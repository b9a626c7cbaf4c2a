"""Append structures to a store: the store is the first input of the one that takes its place.

Its full shards are in both, by a clone or a second name; written are the last ones and what is new. Until the
new store is complete nothing changes, and then it changes in one step.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from zstruct import parallel
from zstruct.building.append_report import AppendReport
from zstruct.building.append_request import AppendRequest
from zstruct.building.filters import Filters
from zstruct.building.finalize import Past
from zstruct.building.followed_groups import follow_groups
from zstruct.building.gathered_splits import new_parts
from zstruct.building.making import Job, make
from zstruct.building.plan import Plan
from zstruct.building.publication import Target
from zstruct.building.remote_append import RemoteVersion, is_remote
from zstruct.building.repeats import Repeats
from zstruct.building.selected import check_apart, check_notes, selected, stores_among
from zstruct.building.versions import encoding_of, next_version
from zstruct.errors import InputError
from zstruct.keywords import takes
from zstruct.sources.inputs import expand
from zstruct.sources.store.source import StoreSource
from zstruct.store.handles import check_decimals
from zstruct.store.history import log
from zstruct.store.store import Store

__all__ = ["append"]


@takes(AppendRequest, parallel.WORKERS, filters=Filters)
def append(request: AppendRequest) -> AppendReport:
    """Append structures to a store, which costs what is new and not what is there.

    The result is the store that a build of the old inputs and then the new ones makes. Fields are united:
    what some structures lack is missing there, never zero. Features, labels and other groups of stores that
    are appended join those that the store has, if they were made alike; others stay those of the old
    structures, stale, and whoever makes them again computes what is new. Killed at any instant, the store is
    the old one or the new one, and the same call resumes where it was. Who has the store open goes on with
    the structures that he opened, or is told that it changed.

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
    if is_remote(request):
        version = RemoteVersion(request)
        with version.locked():
            source = version.source()
            return version.send(source.store, _append(request, source, version.target, began))
    place = next_version(request.store, request.out, overwrite=request.overwrite)
    with place as (path, target):
        return _append(request, StoreSource(path), target, began)


def _append(request: AppendRequest, base: StoreSource, target: Target, began: float) -> AppendReport:
    store = base.store
    encoding = encoding_of(store)
    if encoding.decimal:
        check_decimals(store.path)
    reading = request.to_read(encoding.precision)
    added, ignored = expand(request.paths, request.reader, request.opening)
    _refuse_itself(store, added)
    added = selected(added, request.selection)
    check_notes(added, request.kept)
    check_apart([base, *added], target.path)
    known, refuses = log(store), not (request.repeat or request.skip_duplicates)
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
        known=known.contents() if refuses else None,
        skips_duplicates=request.skip_duplicates,
        past=Past("append", store, store.n_structures),
    )
    if target.published(job.identity):  # killed while cleaning up
        said = target.told()
        target.remove()
    else:
        if refuses:
            _refuse_again(added, known.stores())

        def finish(plan: Plan, repeats: Repeats) -> dict[str, Any]:
            groups = follow_groups(plan, target, continues=True, parts=parts)
            return AppendReport.figures(target.store, store, repeats) | {"groups": vars(groups)}

        said = make(job, target, request.runner(), finish)
    return AppendReport.of(os.fspath(target.path), said, time.perf_counter() - began, ignored)


def _refuse_again(added: list[Any], known: Mapping[tuple[str, str | None], str]) -> None:
    """Refuse structures of stores that came in before, and those that are to come in twice."""
    before = dict(known)
    for source in added:
        if not isinstance(source, StoreSource):
            continue
        said = source.fingerprint()
        key = said["digest"], said["chosen"]
        if key in before:
            called = "" if before[key] == source.label else f", as {before[key]}"
            raise InputError(
                f"its content came in before{called}; leave it out, or pass skip_duplicates=True "
                "(--skip-duplicates) to have what is new, or repeat=True (--repeat) to have it twice",
                source.label,
            )
        before[key] = source.label


def _refuse_itself(store: Store, added: list[Any]) -> None:
    """Refuse a store that is appended to itself by its path."""
    for source in added:
        if not isinstance(source, StoreSource):
            continue
        theirs, mine = source.store.path, store.path
        local = os.path.isdir(theirs) and os.path.isdir(mine)
        if os.path.samefile(theirs, mine) if local else theirs == mine:
            raise InputError("this is the store itself, whose structures are there already", source.label)
