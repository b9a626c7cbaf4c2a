"""The target of a build and its working directory: lock, atomic publication, clean-up.

A build of ``X.zarr`` works in ``X.zarr.building`` beside it, under a lock that dies with its
process. The finished store changes places with the target in one rename, so that a reader sees
the old store or the new one, never a part of either. What is replaced is removed: only a directory
that holds nothing but a store is.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from zstruct.disk import sync_to_disk, sync_tree
from zstruct.errors import StoreExistsError
from zstruct.store.spec import ENCODING_TYPE
from zstruct.store.workdir import WorkingDirectory, exchange

__all__ = ["Target"]

_CHUNKS = re.compile(r".+/c(/\d+)*")
_CHUNK = re.compile(r"(c|\d+)([./]\d+)*(\.partial)?")
_LEFT_BY_SYSTEMS = (".DS_Store", ".nfs")  # files that come by themselves


class Target:
    """Holds the lock on one target while in use as a context manager.

    Parameters
    ----------
    path
        Where the store will be; of a symbolic link, what it points to.
    overwrite
        Whether a zstruct store that is already there may be replaced.

    Raises
    ------
    BuildLockedError
        If another process is building the same target.
    StoreExistsError
        If something is there that may not be replaced.
    InputError
        If a directory of the working directory's name is there that zstruct did not make.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool):
        self.path = Path(os.path.abspath(os.path.expanduser(path)))
        if self.path.is_symlink():  # the link stays, and the work is done beside the store itself
            self.path = Path(os.path.realpath(self.path))
        self.overwrite = overwrite
        self.work = self.path.with_name(self.path.name + ".building")
        self.store = self.work / "store"
        self.parts = self.work / "parts"
        self.cut = self.work / "cut"
        self.groups = self.work / "groups"
        self.encoded = self.work / "encoded"
        self._replaced = self.work / "replaced"
        self._directory = WorkingDirectory(self.work, f"building {self.path}")

    def __enter__(self) -> Self:
        self._directory.__enter__()
        if self._replaced.exists() and not self.path.exists():  # killed between two renames
            os.rename(self._replaced, self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._directory.__exit__(kind, error, trace)

    def check(self) -> None:
        """Refuse a target that exists and may not be replaced."""
        if not os.path.lexists(self.path):
            return
        if not self.overwrite:
            raise StoreExistsError(f"{self.path} exists; pass overwrite=True (--overwrite) to replace it")
        try:
            metadata = json.loads((self.path / "zarr.json").read_text())
            ours = metadata["attributes"]["encoding-type"] == ENCODING_TYPE
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            ours = False
        if not ours:
            raise StoreExistsError(
                f"{self.path} exists and is not a zstruct store: overwrite=True won't replace it; "
                "remove it yourself or choose another target"
            )
        strange = _strange(self.path)
        if strange is not None:
            raise StoreExistsError(
                f"{self.path} holds {strange}, which is no part of a store and would be lost: move it away, "
                "or choose another target"
            )

    def published(self, build_id: str) -> bool:
        """Return whether an earlier run of the same build was killed after publishing."""
        try:
            recorded = self._directory.recorded()
            return isinstance(recorded, list) and recorded[:2] == [build_id, os.stat(self.path).st_ino]
        except OSError:
            return False

    def told(self) -> Any:
        """Return what was said of the store that was published, as JSON."""
        return self._directory.recorded()[2]

    def publish(self, build_id: str, told: Any = None) -> None:
        """Put the finished store in place of the target, when all of it is on the disk.

        Parameters
        ----------
        build_id
            What tells this build from others.
        told
            What to say of it, as JSON, to who finds it published.
        """
        sync_tree(self.store)
        # The lock is the last file to go: while there is anything to clean up, this is on record. The number
        # of its directory tells which store is in place, of two that are there at once.
        self._directory.record([build_id, os.stat(self.store).st_ino, told])
        self.check()
        if not self.path.exists():
            os.rename(self.store, self.path)
        elif not exchange(self.store, self.path):
            os.rename(self.path, self._replaced)
            os.rename(self.store, self.path)
        sync_to_disk(self.path.parent)

    def clear(self) -> None:
        """Remove everything in the working directory but the lock."""
        self._directory.clear()

    def remove(self) -> None:
        """Remove the working directory, and with it the lock."""
        self._directory.remove()

    def remove_if_empty(self) -> None:
        """Remove the working directory if nothing was done there, or nothing is left of it."""
        if self.work.exists() and [entry.name for entry in self.work.iterdir()] == ["lock"]:
            self._directory.remove()


def _strange(store: Path) -> str | None:
    """Return a file in the directory of a store that is none of its own, if there is one."""
    for folder, _, files in os.walk(store):
        inside = os.path.relpath(folder, store)
        for name in files:
            if name == "zarr.json" or name.startswith(_LEFT_BY_SYSTEMS):
                continue
            of_array = "zarr.json" in files or _CHUNKS.fullmatch(inside)
            if not (of_array and _CHUNK.fullmatch(name)):
                return os.path.normpath(os.path.join(inside, name))
    return None
