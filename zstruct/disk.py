"""What is said when a file can't be written: which one, why, what is safe, and what to do.

The system says it in an error number, often without the name of the file. What is written is not known
here.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import WriteError, ZstructError

__all__ = ["allocate", "is_full", "naming", "save_array", "sync_to_disk", "writing"]

_DO = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some of your quota there, or ask for more",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f), or write to another file system",
    errno.EROFS: "mount the file system for writing, or write to another one",
    errno.EIO: "check the disk",
}


def is_full(error: OSError) -> bool:
    """Return whether an error says that nothing more can be written, which trying again won't change."""
    return error.errno in _DO


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the name of a file into errors of the system that have none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)
        raise


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


def sync_to_disk(path: Path) -> None:
    """Wait until a file, or the entries of a directory, are on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def save_array(path: Path, array: NDArray) -> None:
    """Write an array as `numpy.save` does, to a file that appears only when it is whole.

    NumPy itself does not say why it could not write.
    """
    partial = path.with_name(path.name + ".partial")
    rows = np.ascontiguousarray(array)
    with naming(partial), open(partial, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(rows))
        file.write(rows.reshape(-1).view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
