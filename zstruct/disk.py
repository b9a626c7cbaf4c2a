"""Files that appear only when they are whole, and what is said when one can't be written.

The system says that in an error number, often without the name of the file; here it is which one, why, what
is safe, and what to do. What is written is not known here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import WriteError, ZstructError

__all__ = [
    "PARTIAL",
    "WAITS",
    "WholeFile",
    "allocate",
    "bytes_within",
    "is_full",
    "load",
    "naming",
    "save_array",
    "sync_to_disk",
    "sync_tree",
    "writing",
]

#: How many files are waited for at once.
WAITS = 8

#: What the names of files end in that are not whole.
PARTIAL = ".partial"

_DO = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some of your quota there, or ask for more",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f), or write to another file system",
    errno.EROFS: "mount the file system for writing, or write to another one",
    errno.EIO: "check the disk",
}


def load(path: str | os.PathLike[str]) -> None:
    """Have a file read into the memory of the system, where that is possible.

    Raises
    ------
    OSError
        If it can't be read.
    """
    with open(path, "rb", buffering=0) as file, open(os.devnull, "wb", buffering=0) as nowhere:
        # In sequence, which the system reads ahead of by itself, and without a copy. Others send no files
        # to files.
        place, size = 0, os.fstat(file.fileno()).st_size if sys.platform == "linux" else 0
        while place < size and (n := os.sendfile(nowhere.fileno(), file.fileno(), place, size - place)):
            place += n


def bytes_within(folder: str | os.PathLike[str]) -> int:
    """Return the bytes of all files in a folder and below it; 0 if there is none."""
    found = 0
    # What can't be looked into counts as empty, as for `Path.rglob`, which takes three times as long.
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError),
        os.scandir(folder) as entries,
    ):
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found += bytes_within(entry.path)
            elif entry.is_file():
                found += entry.stat().st_size
    return found


def is_full(error: OSError) -> bool:
    """Return whether an error says that nothing more can be written, which trying again won't change."""
    return error.errno in _DO


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the name of a file into errors of the system that have none."""
    try:
        yield
    except OSError as error:
        _name(error, path)
        raise


def _name(error: OSError, path: str | os.PathLike[str]) -> None:
    if error.errno is not None and error.filename is None:
        error.filename = os.fspath(path)


@contextlib.contextmanager
def writing(where: str | os.PathLike[str], safe: str) -> Iterator[None]:
    """Have errors of a disk that is full, or the like, say what is safe and what to do.

    Parameters
    ----------
    where
        A directory, for errors that name no file.
    safe
        What is not lost: "nothing was lost".

    Raises
    ------
    WriteError
        If a file can't be written.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, ZstructError) or error.errno not in _DO:
            raise
        file = error.filename if isinstance(error.filename, str) else os.fspath(where)
        raise WriteError(
            f"can't write {file}: {os.strerror(error.errno).lower()}; {_DO[error.errno]}, and run the same "
            f"call again; {safe}"
        ) from error


def allocate(path: str | os.PathLike[str]) -> None:
    """Have room on the disk for all of a file; writing to a mapped one where there is none kills the process.

    Raises
    ------
    OSError
        If there is no room.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with naming(path), open(path, "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))


def sync_to_disk(path: str | os.PathLike[str]) -> None:
    """Wait until a file, or the entries of a directory, are on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_tree(folder: Path) -> None:
    """Wait until a folder and all that is in it is on the disk.

    Many files are waited for at once, which takes little longer than one: the system writes down for all of
    them together what it has to.
    """
    folders, files = [], []
    for inner, _, names in os.walk(folder):
        folders.append(inner)
        files += [os.path.join(inner, name) for name in names]
    with ThreadPoolExecutor(WAITS) as pool:
        for paths in (files, folders):
            for _ in pool.map(_sync_all, [paths[k::WAITS] for k in range(WAITS)]):
                pass


def _sync_all(paths: Iterable[str]) -> None:
    for path in paths:
        sync_to_disk(path)


class WholeFile:
    """A new file that has another name until it is whole, and then replaces what had its name.

    As a context manager it is kept when the block ends, and discarded when the block raises. Only a kill
    leaves a part of it, whose name ends in `PARTIAL`.

    Parameters
    ----------
    path
        Where it will be; its directory is there.
    durable
        Whether to wait until it is on the disk before it gets its name, so that it survives a power failure.
    shared
        Whether others may be writing the same file at the same time.

    Attributes
    ----------
    file
        What is written to.
    partial
        What it is called until it is whole.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.txt")
    >>> with WholeFile(path) as whole:
    ...     _ = whole.file.write(b"whole")
    ...     path.exists()
    False
    >>> path.read_text()
    'whole'
    """

    file: BinaryIO

    def __init__(self, path: Path, *, durable: bool = True, shared: bool = False):
        own = f".{uuid.uuid4().hex}" if shared else ""
        self._path, self._durable = path, durable
        self.partial = path.with_name(f"{path.name}{own}{PARTIAL}")
        self.file = open(self.partial, "wb")  # noqa: SIM115 (closed by keep and discard)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.keep()
            return
        if isinstance(error, OSError):
            _name(error, self.partial)
        self.discard()

    def keep(self) -> None:
        """Give it its name.

        Raises
        ------
        OSError
            If the rest of it can't be written; it is discarded then.
        """
        try:
            with naming(self.partial):
                self.file.flush()
                if self._durable:
                    os.fsync(self.file.fileno())
                self.file.close()
            os.replace(self.partial, self._path)
        except OSError:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove what was written of it."""
        with contextlib.suppress(OSError):  # of a disk that is full: what is in the buffer is lost anyway
            self.file.close()
        with contextlib.suppress(OSError):
            self.partial.unlink()


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `numpy.save` does, to a file that appears only when it is whole.

    NumPy itself does not say why it could not write.
    """
    rows = np.ascontiguousarray(array)
    with WholeFile(path) as whole:
        np.lib.format.write_array_header_1_0(whole.file, np.lib.format.header_data_from_array_1_0(rows))
        whole.file.write(rows.reshape(-1).view(np.uint8).data)
