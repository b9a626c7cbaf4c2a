"""A store and its next version, which takes its place in one step, or stands beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zstruct.building.encoding import Encoding
from zstruct.building.publication import Target
from zstruct.disk import writing
from zstruct.paths_and_urls import check_writable
from zstruct.store.group_publication import recover, working_directory
from zstruct.store.store import Store

__all__ = ["encoding_of", "next_version"]


@contextmanager
def next_version(store: Any, out: Any, *, overwrite: bool) -> Iterator[tuple[str, Target]]:
    """Hold the locks that it takes to make the next version of a store.

    Parameters
    ----------
    store
        The store, as the user gave it.
    out
        Where its next version goes; None: in its place.
    overwrite
        Whether a store that is at `out` may be replaced.

    Yields
    ------
    tuple
        Its path, and where the next version is made.

    Raises
    ------
    InputError
        If one of the two can't be written.
    StoreFormatError
        If there is no finished store.
    StoreExistsError
        If there is something at `out` that may not be replaced.
    BuildLockedError
        If another process makes a version of it, or writes groups into it.
    """
    path = check_writable(store, "the next version of a store is written")
    place = path if out is None else check_writable(out, "a store is written")
    in_place = os.path.realpath(place) == os.path.realpath(path)
    target = Target(place, overwrite=in_place or overwrite)
    if not target.work.exists():
        Store(path)
        if not in_place:
            target.check()
    safe = f"what is whole stays in {target.work}, and {path} is as it was"
    with writing(target.work, safe), target:
        try:
            with _alone(target.path if in_place else None):
                yield path, target
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


def encoding_of(store: Store) -> Encoding:
    """Return how a build would store structures as those of a store are."""
    options = store.attrs.get("build", {}).get("options", {})
    spec = store.form("offsets")
    compression = "fast" if spec is None else spec.codec.compression(spec.dtype)
    return Encoding(
        options.get("dtype"), decimal=bool(options.get("decimal")), compression=compression or "fast"
    )
