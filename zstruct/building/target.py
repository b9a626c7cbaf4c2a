"""The target of a build and its working directory: lock, atomic publication, clean-up.

A build of ``X.zarr`` works in ``X.zarr.building`` beside it, under a lock that dies with its
process. The finished store changes places with the target in one rename, so that a reader sees
the old store or the new one, never a part of either.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from zstruct.errors import BuildLockedError, InputError, StoreExistsError
from zstruct.store import ENCODING_TYPE, sync_to_disk

__all__ = ["Target"]

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


class Target:
    """Holds the lock on one target while in use as a context manager.

    Parameters
    ----------
    path
        Where the store will be.
    overwrite
        Whether a zstruct store that is already there may be replaced.

    Raises
    ------
    BuildLockedError
        If another process is building the same target.
    StoreExistsError
        If something is there that may not be replaced.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool):
        self.path = Path(os.path.abspath(os.path.expanduser(path)))
        self.overwrite = overwrite
        self.work = self.path.with_name(self.path.name + ".building")
        self.store = self.work / "store"
        self.parts = self.work / "parts"
        self.encoded = self.work / "encoded"
        self._replaced = self.work / "replaced"
        self._lock_file = self.work / "lock"
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self._acquire()
        if self._replaced.exists() and not self.path.exists():  # killed between two renames
            os.rename(self._replaced, self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _acquire(self) -> None:
        while True:
            try:
                self.work.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"can't write to {self.work.parent}: {error.strerror}") from error
            lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(lock)
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                raise BuildLockedError(
                    f"another process is building {self.path}; wait for it, or choose another target"
                ) from None
            try:  # the holder before us may have removed the directory with this file
                if os.stat(self._lock_file).st_ino == os.fstat(lock).st_ino:
                    self._lock = lock
                    return
            except FileNotFoundError:
                pass
            os.close(lock)

    def check(self) -> None:
        """Refuse a target that exists and may not be replaced."""
        if not os.path.lexists(self.path):
            return
        if not self.overwrite:
            raise StoreExistsError(f"{self.path} exists; pass overwrite=True (--overwrite) to replace it")
        try:
            metadata = json.loads((self.path / "zarr.json").read_text())
            ours = metadata["attributes"]["encoding-type"] == ENCODING_TYPE
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours or self.path.is_symlink():
            raise StoreExistsError(
                f"{self.path} exists and is not a zstruct store: overwrite=True won't replace it; "
                "remove it yourself or choose another target"
            )

    def published(self, build_id: str) -> bool:
        """Return whether an earlier run of the same build was killed after publishing."""
        try:
            record = json.loads(self._lock_file.read_text())
            metadata = json.loads((self.path / "zarr.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(record == [build_id, metadata["attributes"].get("digest")])

    def publish(self, build_id: str, digest: str) -> None:
        """Put the finished store in place of the target."""
        assert self._lock is not None
        for folder, _, _ in os.walk(self.store):
            sync_to_disk(Path(folder))
        # The lock is the last file to go: while there is anything to clean up, this is on record.
        os.pwrite(self._lock, json.dumps([build_id, digest]).encode(), 0)
        os.fsync(self._lock)
        self.check()
        if not self.path.exists():
            os.rename(self.store, self.path)
        elif not _exchange(self.store, self.path):
            os.rename(self.path, self._replaced)
            os.rename(self.store, self.path)
        sync_to_disk(self.path.parent)

    def clear(self) -> None:
        """Remove everything in the working directory but the lock."""
        for entry in self.work.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry != self._lock_file:
                entry.unlink()

    def remove(self) -> None:
        """Remove the working directory, and with it the lock."""
        self.clear()
        self._lock_file.unlink()
        self.work.rmdir()


def _exchange(a: Path, b: Path) -> bool:
    """Swap two paths in one step where the system can (Linux); return whether it was done."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0)
