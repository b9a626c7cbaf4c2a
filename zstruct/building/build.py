"""Build a store of files, Atoms and other stores."""

from __future__ import annotations

import os
import time
from typing import Any

from zstruct import parallel
from zstruct.building.build_request import BuildRequest
from zstruct.building.encoding import Encoding
from zstruct.building.filters import Filters
from zstruct.building.followed_groups import Followed, follow_groups
from zstruct.building.making import Job, make
from zstruct.building.plan import Plan
from zstruct.building.publication import Target
from zstruct.building.repeats import Repeats
from zstruct.building.report import BuildReport
from zstruct.building.selected import check_apart, check_notes, selected, stores_among
from zstruct.disk import writing
from zstruct.keywords import takes
from zstruct.paths_and_urls import check_writable
from zstruct.sources.inputs import expand
from zstruct.store.handles import check_decimals

__all__ = ["build"]

#: What to write in place of keywords that there were once.
_MOVED = {**parallel.WORKERS, "seed": "encoding=Encoding(shuffle_seed=...)"}


@takes(BuildRequest, _MOVED, filters=Filters, encoding=Encoding)
def build(request: BuildRequest) -> BuildReport:
    """Build one store from any number of inputs, in parallel.

    Killed at any instant, the same call resumes where it was and makes the same store, byte for
    byte; until the store is complete nothing is at `out` (or what was there before). Features, labels, splits
    and other groups of stores among the inputs follow their structures; what does not is in the report.

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
    settings = request.settings()
    job = Job(
        sources,
        inputs,
        wanted,
        request.reading,
        request.kept,
        request.stored,
        request.on_error,
        request.resume,
        settings,
        {**settings, "filters": request.kept.describe(), "on_error": request.on_error},
        skips_duplicates=request.skip_duplicates,
    )
    with writing(target.work, f"what is whole stays in {target.work}, and {out} is as it was"), target:
        if target.published(job.identity):  # killed while cleaning up
            said = target.told()
            target.remove()
        else:

            def finish(plan: Plan, _: Repeats) -> dict[str, Any]:
                return vars(follow_groups(plan, target))

            said = make(job, target, request.runner(), finish)
    return BuildReport.of(os.fspath(out), time.perf_counter() - began, ignored, Followed(**(said or {})))
