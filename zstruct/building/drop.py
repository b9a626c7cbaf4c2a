"""Drop structures of a store: a store without them is made, and takes its place in one step."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from zstruct import parallel
from zstruct.building.drop_report import DropReport
from zstruct.building.drop_request import DropRequest
from zstruct.building.filters import Filters
from zstruct.building.finalize import Past
from zstruct.building.followed_groups import follow_groups
from zstruct.building.making import Job, job_identity, make
from zstruct.building.plan import Plan
from zstruct.building.publication import Target
from zstruct.building.repeats import Repeats
from zstruct.building.selected import check_apart, stores_among
from zstruct.building.versions import encoding_of, next_version
from zstruct.errors import InputError
from zstruct.keywords import takes
from zstruct.sources.normalize.normalize import ReadOptions
from zstruct.sources.store.source import StoreSource
from zstruct.store.handles import check_decimals
from zstruct.store.usage import Usage
from zstruct.text import counted

__all__ = ["drop"]


@takes(DropRequest, parallel.WORKERS)
def drop(request: DropRequest) -> DropReport:
    """Drop structures of a store.

    The result is the store that a build of the others makes, in the form that arrays have. Its full shards
    of what stands before the first structure that goes are those of the version before, as for `append`.
    Features, labels, splits and other groups follow the structures. Killed at any instant, the store is the
    old one or the new one, and the same call resumes where it was. Who has the store open goes on with the
    structures that he opened, or is told that it changed.

    Returns
    -------
    DropReport
        What was left out, and what became of groups.

    Raises
    ------
    InputError
        If an option can't be used, or no structure is selected, or all are.
    StoreFormatError
        If there is no finished store.
    StoreExistsError
        If there is something at `out` that may not be replaced.
    BuildLockedError
        If another process extends the store, or writes groups into it.
    ChangedInputError
        If the store changed meanwhile.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> frames = [ase.build.molecule(name) for name in ("H2O", "CO2", "CH4")]
    >>> report = zstruct.build(frames, path, progress=False)
    >>> report = zstruct.drop(path, "O", progress=False)
    >>> report.n_dropped, report.n_structures
    (2, 1)
    """
    began = time.perf_counter()
    place = next_version(request.store, request.out, overwrite=request.overwrite)
    with place as (path, target):
        return _drop(request, path, target, began)


def _drop(request: DropRequest, path: str, target: Target, began: float) -> DropReport:
    source, settings = StoreSource(path), request.settings()
    if target.published(job_identity(settings, [source.label])):  # killed while cleaning up
        said = target.told()
        target.remove()
        return DropReport.of(os.fspath(target.path), said, time.perf_counter() - began)
    store = source.store
    encoding = encoding_of(store)
    if encoding.decimal:
        check_decimals(store.path)
    stays = np.ones(store.n_structures, dtype=bool)
    stays[request.selection.structures(store)] = False
    n_kept = int(np.argmin(stays))  # up to the first that goes
    if stays.all():
        raise InputError(f"no structure is selected, so none is dropped: {request.selection}", path)
    if not stays.any():
        n = counted(len(stays), "structure")
        raise InputError(f"all of its {n} are selected, and a store has at least one", path)
    check_apart([source], target.path)
    reading = ReadOptions(dtype=encoding.precision)
    inputs, wanted, sources = stores_among([source.taking(np.flatnonzero(stays))], reading)
    filters = Filters()
    job = Job(
        sources,
        inputs,
        wanted,
        reading,
        filters,
        encoding,
        "raise",
        request.resume,
        settings,
        settings | {"filters": filters.describe()},
        keeps=True,
        past=Past("drop", store, n_kept),
    )

    def finish(plan: Plan, repeats: Repeats) -> dict[str, Any]:
        groups = follow_groups(plan, target, continues=True)
        return {
            "n_dropped": int(np.count_nonzero(~stays)),
            "n_atoms_dropped": store.n_atoms - int(plan.offsets[-1]),
            "nbytes_shared": Usage.of(target.store).nbytes_shared,
            "groups": vars(groups),
        }

    said = make(job, target, request.runner(), finish)
    return DropReport.of(os.fspath(target.path), said, time.perf_counter() - began)
