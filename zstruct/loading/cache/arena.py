"""Memory for decoded fields: one contiguous column each, private or shared by all processes of a node.

An `Arena` has a column for every field, the offsets table, and one byte for every block that says
whether its rows are there. A shared one lies in a file that is memory-mapped by its users. This
module knows nothing of stores or of decoding; it gives and takes back memory.

Shared files obey four rules. They are made complete under a private name and then linked to their
own, so nobody sees half of one, and who comes second takes the first one's. Every user holds a
shared lock (flock) on the file, which the kernel drops when the process ends, however it ends. Who
leaves removes the file if nobody else holds the lock; who comes removes those that were left by
processes that were killed. And the name is a digest of all that the content depends on, this boot
of the machine included, so what a crash of the machine left half-written is never used again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import mmap
import os
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    import fcntl
except ImportError:  # not on Windows: nothing is shared there
    fcntl = None  # type: ignore[assignment]

__all__ = ["SHARED_MEMORY", "Arena", "arena_name", "can_share", "free_bytes"]

#: Where the files of processes' shared memory are, on Linux.
SHARED_MEMORY = Path("/dev/shm")

_MAGIC = b"zstruct arena 1\n"
_PAGE, _LARGE_PAGE = 4096, 1 << 21
_PATIENCE, _PAUSE = 10.0, 0.0005  # seconds to wait for other processes in all, and between two looks


class Arena:
    """Named arrays, zero at first, in private memory or in a file shared with other processes.

    Parameters
    ----------
    arrays
        Dtype and shape by name.
    directory
        Where the shared file is or is to be made; None for private memory, whose pages only
        appear when they are written to.
    key
        All that the content depends on, as what JSON can hold: arenas of one directory with equal
        arrays and key are one.

    Raises
    ------
    OSError
        If the file can't be made.
    """

    def __init__(
        self,
        arrays: Mapping[str, tuple[np.dtype, Sequence[int]]],
        directory: str | None = None,
        key: Mapping[str, Any] | None = None,
    ):
        header = _header(arrays, key or {})
        positions, nbytes = _positions(arrays, len(header))
        self.nbytes = nbytes
        self.path: str | None = None
        self._fd = -1
        self._locks = directory is not None  # whether rows can be locked
        if directory is None:
            # A structure on more cache lines than need be is slow, and so is one on small pages where NumPy
            # asks for large ones: these have to begin where they may, and the last one to end.
            page = _LARGE_PAGE if nbytes >= 2 * _LARGE_PAGE else _PAGE
            memory: Any = np.zeros(nbytes + 2 * page, np.uint8)
            memory = memory[-memory.ctypes.data % page :]
        else:
            name = _name(header)
            self.path = os.path.join(directory, name)
            _sweep(directory, name)
            self._fd = _attach(self.path, header, nbytes)
            memory = mmap.mmap(self._fd, nbytes)
            weakref.finalize(self, _leave, self._fd, self.path, os.getpid())
        self._positions = positions
        self.arrays: dict[str, NDArray[Any]] = {
            name: np.ndarray(tuple(shape), dtype, buffer=memory, offset=positions[name])
            for name, (dtype, shape) in arrays.items()
        }

    @contextlib.contextmanager
    def alone(self, name: str, row: int) -> Iterator[None]:
        """Wait until no other process is at a row, and keep others away from it meanwhile.

        Only as long as all ask for it. It goes with its process, and does nothing where memory is private.
        """
        if not self._locks:
            yield
            return
        array = self.arrays[name]
        place = (array.itemsize * math.prod(array.shape[1:]), self._positions[name] + row * array.strides[0])
        end = time.monotonic() + _PATIENCE
        # Asked again and again: the kernel takes threads of two processes that wait for a row each for a
        # deadlock. Where locks can't be had, or one does not come, work is done twice from then on.
        held = False
        while self._locks and not held:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, *place)
                held = True
            except OSError as error:
                # Network file systems may take the lock on the whole file for one on each row.
                self._locks = error.errno in (errno.EAGAIN, errno.EACCES) and time.monotonic() < end
                time.sleep(_PAUSE)
        try:
            yield
        finally:
            if held:
                with contextlib.suppress(OSError):
                    fcntl.lockf(self._fd, fcntl.LOCK_UN, *place)

    def reserve(self, name: str, start: int, stop: int) -> None:
        """Make sure that rows of an array can be written.

        Writing to a page for which its file system has no room would kill the process.

        Raises
        ------
        OSError
            If there is no room.
        """
        array = self.arrays[name]
        if self._fd < 0 or stop <= start:
            return
        row = array.itemsize * math.prod(array.shape[1:])
        try:
            os.posix_fallocate(self._fd, self._positions[name] + start * row, (stop - start) * row)
        except OSError as error:
            raise OSError(
                error.errno,
                f"no room for decoded blocks ({error.strerror}); make some, or choose another place with "
                "cache=DIRECTORY, or cache='memory'",
                self.path,
            ) from error


def arena_name(arrays: Mapping[str, tuple[np.dtype, Sequence[int]]], key: Mapping[str, Any]) -> str:
    """Return the name of the file of a shared arena."""
    return _name(_header(arrays, key))


def can_share() -> bool:
    """Return whether arenas can be shared on this system."""
    return fcntl is not None


def free_bytes(directory: Path) -> int:
    """Return the bytes free in a directory that can be written to, else 0."""
    if not can_share() or not os.access(directory, os.W_OK | os.X_OK):
        return 0
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize


def _name(header: bytes) -> str:
    return f"zstruct-{os.getuid()}-{hashlib.sha256(header).hexdigest()[:32]}.arena"


def _header(arrays: Mapping[str, tuple[np.dtype, Sequence[int]]], key: Mapping[str, Any]) -> bytes:
    """Return the first bytes of an arena's file."""
    described = {name: [dtype.str, *map(int, shape)] for name, (dtype, shape) in arrays.items()}
    said = json.dumps({"arrays": described, "key": dict(key), "boot": _boot()}).encode()
    content = _MAGIC + hashlib.sha256(said).hexdigest().encode() + b"\n" + said
    return content.ljust(-(-len(content) // _PAGE) * _PAGE, b"\n")


def _boot() -> str:
    """Return what tells this boot of the machine from others, where the system says so."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _positions(
    arrays: Mapping[str, tuple[np.dtype, Sequence[int]]], position: int
) -> tuple[dict[str, int], int]:
    """Return where each array begins, on a page of its own, and where the last one ends."""
    positions = {}
    for name, (dtype, shape) in arrays.items():
        positions[name] = position
        position += -(-dtype.itemsize * math.prod(shape) // _PAGE) * _PAGE
    return positions, position


def _attach(path: str, header: bytes, nbytes: int) -> int:
    """Return an open, locked file with an arena, new or there already."""
    while True:
        fd = _open(path)
        if fd is not None:
            if os.fstat(fd).st_size == nbytes and os.pread(fd, len(header), 0) == header:
                return fd
            os.close(fd)
            if not _remove_unused(path):
                raise OSError(f"{path} is in use, but not by this version of zstruct; remove it")
            continue
        fd, private = tempfile.mkstemp(".part", os.path.basename(path), os.path.dirname(path))
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            os.truncate(fd, nbytes)
            os.posix_fallocate(fd, 0, len(header))
            os.pwrite(fd, header, 0)
            os.link(private, path)
            return fd
        except (FileExistsError, FileNotFoundError):  # another came first, or took this for a leftover
            os.close(fd)
        except BaseException:
            os.close(fd)
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(private)


def _open(path: str) -> int | None:
    """Open a file with a shared lock; None if there is none by the time the lock is held."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        if _is_at(fd, path):
            if os.fstat(fd).st_uid != os.getuid():
                raise PermissionError(f"{path} belongs to another user; choose another place for the cache")
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _is_at(fd: int, path: str) -> bool:
    """Return whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _leave(fd: int, path: str, opener: int) -> None:
    """Give up an arena, and remove its file if nobody else uses it.

    A forked child shares the lock of its parent and leaves it alone. Children that outlive their
    parent keep the memory, only not its name.
    """
    if os.getpid() == opener:
        fcntl.flock(fd, fcntl.LOCK_UN)  # closing is not enough: the map has a copy of the descriptor
        _remove_unused(path)
    os.close(fd)


def _remove_unused(path: str) -> bool:
    """Remove a file that nobody holds a lock on; return whether it is gone."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(fd, path):
            os.unlink(path)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def _sweep(directory: str, mine: str) -> None:
    """Remove the arenas of this user that were left by processes that were killed."""
    prefix = f"zstruct-{os.getuid()}-"
    for name in os.listdir(directory):
        if name.startswith(prefix) and name.endswith((".arena", ".part")) and name != mine:
            _remove_unused(os.path.join(directory, name))
