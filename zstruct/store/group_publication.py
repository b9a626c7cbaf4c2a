"""Name groups, and rename those that are whole into their store: a reader sees all of one or nothing.

The consolidated metadata shows a new group last. A record of what is on its way is kept until then,
so that whoever comes after a kill can go on; where groups come from is not known here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zstruct.arguments import shown
from zstruct.disk import sync_to_disk
from zstruct.errors import ChangedInputError, InputError
from zstruct.store.store import Store
from zstruct.store.workdir import WorkingDirectory, exchange, read_json, write_json
from zstruct.store.write import consolidate_again, create_parent
from zstruct.store.zarr_check import check_joinable

__all__ = [
    "JOB",
    "LABELLING",
    "SCRATCH",
    "check_distinct",
    "check_name",
    "check_same",
    "find_group",
    "is_publishing",
    "publish",
    "recover",
    "remove_job",
    "working_directory",
]

# A working directory loses its files in the order of their names: no job goes on whose groups have gone.
JOB, _RECORD, _REPLACED = "job.json", "publishing.json", "replaced."
SCRATCH = "keeping"  # where groups that are written at once are made, beside a job that may be interrupted
LABELLING = "labelling"  # where labels are made, each in a folder of its name: it takes days, and others wait
_ATTEMPTS, _PAUSE = 100, 0.02  # seconds; of readers, for the time between two renames


def check_name(name: object, what: str) -> None:
    """Refuse what can't name a group: a directory is called so.

    What can't be published would stand in the way of all that follows.

    Raises
    ------
    InputError
        If it is no text, or has other characters or more of them; `what` is what it should name.
    """
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][\w.+-]{0,127}", name, re.ASCII)):
        raise InputError(f"{shown(name)} can't name {what}: use up to 128 letters, digits and any of _ . + -")


def check_distinct(opened: Store, kind: str, name: str) -> None:
    """Refuse a name that differs in case only from that of another group of its kind.

    File systems and tools exist that can't tell the two apart.

    Raises
    ------
    InputError
        Naming the other group.
    """
    twins = [other for other in opened.group_names(kind) if other.casefold() == name.casefold()]
    if twins and name not in twins:
        raise InputError(
            f"{opened.path} has {kind}/{twins[0]}, which differs from {name!r} in case only; some file "
            "systems can't tell them apart: choose another name"
        )


def working_directory(path: Path) -> WorkingDirectory:
    """Return where groups of a store are made: one process at a time writes groups into it."""
    return WorkingDirectory(path.with_name(path.name + ".featurizing"), f"writing groups into {path}")


def find_group(opened: Store, kind: str, name: Any) -> tuple[Store, dict[str, Any]] | None:
    """Return a store that shows a group as it is now, and the attributes of the group; None if there is none.

    Parameters
    ----------
    opened
        The store; it is opened anew if the group was replaced since.
    kind, name
        The group is ``<kind>/<name>``.
    """
    if not isinstance(name, str):
        return None
    group = f"{kind}/{name}"
    work = working_directory(Path(os.path.realpath(opened.path))).path
    for attempt in range(_ATTEMPTS):
        # Where two names can't be exchanged, the old group goes a moment before the new one comes.
        waiting = any((folder / f"{_REPLACED}{kind}").exists() for folder in (work, *_beside(work)))
        if name in opened.group_names(kind):
            if not opened.is_current(group):
                opened = opened.again()
            try:
                return opened, opened.group_attrs(group)
            except KeyError:  # it has just gone
                pass
        elif not waiting and attempt > 0:
            break
        time.sleep(_PAUSE)
    return None


def publish(path: Path, work: Path, name: str, kinds: Sequence[str], identity: str, digest: str) -> None:
    """Put groups that are whole in place of those of their name.

    Parameters
    ----------
    path
        The store.
    work
        Where the groups are, by kind.
    name
        Of the groups.
    kinds
        The groups.
    identity
        Of the job, for `recover`.
    digest
        Of the content that the groups were computed from.

    Raises
    ------
    ChangedInputError
        If the store has other content by now.
    InputError
        If groups of a kind lie behind a symbolic link.
    CorruptStoreError
        If zarr could not open the store with these groups: then nothing is published.
    """
    check_same(path, digest)
    for kind in kinds:
        if (path / kind).is_symlink():
            raise InputError(
                f"{path / kind} is a symbolic link: groups are written into the store itself only"
            )
    for kind in kinds:
        for folder, _, _ in os.walk(work / kind):
            sync_to_disk(Path(folder))
    check_joinable(path, {f"{kind}/{name}": work / kind for kind in kinds}, work)
    inodes = {kind: (work / kind).stat().st_ino for kind in kinds}
    record = {"identity": identity, "digest": digest, "name": name, "inodes": inodes}
    write_json(work / _RECORD, record)
    _put(path, work, record)


def check_same(path: Path, digest: str) -> None:
    """Raise `ChangedInputError` if a store has another content digest."""
    if Store(path).digest != digest:
        raise ChangedInputError(f"{path} was replaced by another store meanwhile: run the same call again")


def is_publishing(work: Path) -> bool:
    """Return whether groups that were made in a directory are on their way into the store."""
    return (work / _RECORD).exists()


def recover(path: Path, work: Path) -> str | None:
    """Finish what earlier processes were publishing when they were killed; return the identity of the job."""
    identity = None
    for folder in _beside(work):
        finished = _finish(path, folder)
        if finished is not None:
            remove_job(folder)
            identity = finished or identity
    return _finish(path, work) or identity


def _beside(work: Path) -> list[Path]:
    """Return the folders in which groups are made beside the job of a working directory."""
    return [work / SCRATCH, *sorted((work / LABELLING).glob("*"))]


def remove_job(folder: Path) -> None:
    """Remove a folder in which groups were made: what says that work is there goes first."""
    (folder / JOB).unlink(missing_ok=True)
    shutil.rmtree(folder)
    if folder.parent.name == LABELLING:
        with contextlib.suppress(OSError):  # others may be there
            folder.parent.rmdir()


def _finish(path: Path, work: Path) -> str | None:
    record = read_json(work / _RECORD)
    if record is None or Store(path).digest != record["digest"]:
        return None
    _put(path, work, record)
    return str(record["identity"])


def _put(path: Path, work: Path, record: dict[str, Any]) -> None:
    name, inodes = record["name"], record["inodes"]
    # What has changed places already has left another group, or none, where it was.
    todo = [kind for kind in inodes if (work / kind).exists() and (work / kind).stat().st_ino == inodes[kind]]
    replaced = [kind for kind in todo if (path / kind / name).exists()]
    if replaced:  # the metadata of the old group would not fit the files of the new one
        consolidate_again(path, work, [(kind, name) for kind in replaced])
    for kind in todo:
        ours, target = work / kind, path / kind / name
        create_parent(path, kind)
        if kind not in replaced:
            os.rename(ours, target)
        elif not exchange(ours, target):
            os.rename(target, work / f"{_REPLACED}{kind}")
            os.rename(ours, target)
        sync_to_disk(target.parent)
    consolidate_again(path, work)
