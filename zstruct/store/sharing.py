"""Have one file in two places without its bytes being written again: as a clone, or by a second name.

A clone (reflink) is another file that shares what is on the disk until one of the two changes; few file
systems have it. A second name (hard link) is the same file: it is made read-only before, and must never be
written to.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Literal

__all__ = ["clone", "link", "share"]

_FICLONE = 0x40049409  # of Linux, for any file system that can do it
#: What says that something can't be had here, and not that it went wrong.
_NOT_HERE = frozenset(
    {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM, errno.EACCES}
    | {errno.EMLINK, errno.ETXTBSY, errno.EBADF, errno.EROFS}
)


def share(file: Path, target: Path, *, links: bool) -> Literal["clone", "link"] | None:
    """Put a file in a second place, where there is none of that name; return how it was done.

    Parameters
    ----------
    file
        The file.
    target
        The other place; its directory is there. What is there of an interrupted call is replaced.
    links
        Whether the two may be one file.

    Returns
    -------
    str or None
        None: it can't be done here, and the file has to be copied.

    Raises
    ------
    OSError
        If there is no such file, or the disk is full.
    """
    target.unlink(missing_ok=True)  # a link to the same file would be left as it is
    if clone(file, target):
        return "clone"
    return "link" if links and link(file, target) else None


def clone(file: Path, target: Path) -> bool:
    """Make a clone of a file; return whether the file system can do that."""
    with open(file, "rb") as source:
        made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            fcntl.ioctl(made, _FICLONE, source.fileno())
            return True
        except OSError as error:
            target.unlink()
            if error.errno not in _NOT_HERE:
                raise
            return False
        finally:
            os.close(made)


def link(file: Path, target: Path) -> bool:
    """Give a file a second name, and make it read-only; return whether that can be done."""
    try:
        mode = stat.S_IMODE(os.stat(file).st_mode)
        writing = mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
        if writing:
            os.chmod(file, mode & ~writing)
        os.link(file, target)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        with contextlib.suppress(OSError):
            target.unlink()
        return False
    return True
