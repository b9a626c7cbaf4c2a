"""A working directory beside a target: a lock that dies with its process, and what is renamed away.

Work that may be interrupted is kept there until it is whole. All of it is removed in the end, so only a
directory that holds a lock of ours is taken for one, and no link is followed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from zstruct.disk import WholeFile
from zstruct.errors import BuildLockedError, InputError

__all__ = ["WorkingDirectory", "exchange", "read_json", "write_json"]

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_LOCK = "lock"
_MARK = b"A working directory of zstruct; it is removed when the work is done.\n"


class WorkingDirectory:
    """Holds the lock on a directory while in use as a context manager.

    Parameters
    ----------
    path
        The directory; made when the lock is taken.
    doing
        What another process is doing that holds the lock: "building /data/train.zarr".

    Raises
    ------
    BuildLockedError
        If another process holds the lock.
    InputError
        If the directory can't be made, or is there and was not made by zstruct.
    """

    def __init__(self, path: Path, doing: str):
        self.path = path
        self._doing = doing
        self._lock_file = path / _LOCK
        self._lock: int | None = None

    def __enter__(self) -> Self:
        while self._lock is None:
            try:
                with contextlib.suppress(FileExistsError):  # told with the lock, by what it is
                    self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"can't write to {self.path.parent}: {error.strerror}") from error
            try:
                lock = self._open()
            except FileNotFoundError:  # the holder before us has just removed the directory
                continue
            except OSError as error:
                raise InputError(f"can't write to {self.path.parent}: {error.strerror}") from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(lock)
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                raise BuildLockedError(
                    f"another process is {self._doing}; wait until it has finished"
                ) from None
            try:  # the holder before us may have removed the directory with this file
                if os.stat(self._lock_file).st_ino == os.fstat(lock).st_ino:
                    if not os.fstat(lock).st_size:
                        os.pwrite(lock, _MARK, 0)
                        os.fsync(lock)
                    self._lock = lock
                    continue
            except FileNotFoundError:
                pass
            os.close(lock)
        return self

    def _open(self) -> int:
        """Return the open lock, which is made if nothing is in the directory, and must be ours if not."""
        if not stat.S_ISDIR(os.lstat(self.path).st_mode):
            what = "a symbolic link" if self.path.is_symlink() else "no directory"
            self._refuse(f"is {what}")
        alone = set(os.listdir(self.path)) <= {_LOCK}
        try:
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if alone else 0)
            lock = os.open(self._lock_file, flags, 0o666)
        except FileNotFoundError:
            left = os.listdir(self.path)  # nothing, if the holder before us is just removing the directory
            if left and _LOCK not in left:
                self._refuse("holds files, but no lock of zstruct")
            raise
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                self._refuse("holds a lock that zstruct did not make")
            raise
        found = os.fstat(lock)
        mark = os.pread(lock, len(_MARK), 0) if stat.S_ISREG(found.st_mode) else None
        # Whoever makes a lock marks it before anything else is there.
        if mark == _MARK or (mark == b"" and set(os.listdir(self.path)) <= {_LOCK}):
            return lock
        os.close(lock)
        self._refuse("holds a lock that zstruct did not make")

    def _refuse(self, found: str) -> NoReturn:
        raise InputError(
            f"{self.path} {found}: zstruct works in a directory of this name and removes it when done; "
            "move what is there away, or choose another target"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def record(self, value: Any) -> None:
        """Write JSON into the lock's file, which is the last to go when the directory is removed."""
        assert self._lock is not None
        content = json.dumps(value).encode()
        os.pwrite(self._lock, content, len(_MARK))
        os.ftruncate(self._lock, len(_MARK) + len(content))
        os.fsync(self._lock)

    def recorded(self) -> Any:
        """Return what was last recorded, by this process or one before it; None if nothing was."""
        try:
            return json.loads(self._lock_file.read_bytes()[len(_MARK) :])
        except (OSError, ValueError):
            return None

    def clear(self, keep: Collection[str] = ()) -> None:
        """Remove everything in the directory but the lock; of links, what they point to stays.

        Files go first, in the order of their names: what says that work is there goes before the work.

        Parameters
        ----------
        keep
            Names in the directory of what stays, too.
        """

        def is_folder(entry: Path) -> bool:
            return entry.is_dir() and not entry.is_symlink()

        for entry in sorted(self.path.iterdir(), key=lambda entry: (is_folder(entry), entry.name)):
            if entry.name in keep:
                continue
            if is_folder(entry):
                shutil.rmtree(entry)
            elif entry != self._lock_file:
                entry.unlink()

    def remove(self, keep: Collection[str] = ()) -> None:
        """Remove the directory, and with it the lock; unless something is in it that stays.

        Parameters
        ----------
        keep
            As for `clear`.
        """
        self.clear(keep)
        if keep and any((self.path / name).exists() for name in keep):
            return
        self._lock_file.unlink()
        with contextlib.suppress(OSError):  # the next holder may have begun already
            self.path.rmdir()


def exchange(a: Path, b: Path) -> bool:
    """Swap two paths in one step where the system can (Linux); return whether it was done."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0)


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote, or None if it did not."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write JSON to a file that appears only when it is whole; `durable` as for `WholeFile`."""
    with WholeFile(path, durable=durable) as whole:
        whole.file.write(json.dumps(value).encode())
