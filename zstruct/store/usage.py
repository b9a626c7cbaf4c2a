"""What a store on this machine takes on the disk: of its own, and together with other versions of it.

Versions share shards as one file with two names, or as clones. Of the first the file system counts the names;
of clones Linux says which extents are shared, where the file system has any.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage"]

_FIEMAP = 0xC020660B  # what maps a file to extents on the disk
_HEAD, _EXTENT = struct.Struct("=QQLLLL"), struct.Struct("=QQQQQLLLL")
_LAST, _SHARED = 0x1, 0x2000  # flags of extents
_EXTENTS = 128  # that are asked for at once


@dataclass(frozen=True)
class Usage:
    """Bytes of the files of a store.

    Parameters
    ----------
    nbytes
        Of all files.
    nbytes_shared
        Of those that are on the disk once for this store and others. The rest is what removing it frees.
    shared_with
        Stores beside it that share bytes with it, and how many.

    Examples
    --------
    >>> Usage(100, 60, {"/data/train-1.zarr": 60}).nbytes_freed
    40
    """

    nbytes: int
    nbytes_shared: int
    shared_with: dict[str, int]

    @property
    def nbytes_freed(self) -> int:
        """What removing the store frees."""
        return self.nbytes - self.nbytes_shared

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Usage:
        """Look at the files of a store, and at those of the same names in stores beside it.

        Parameters
        ----------
        path
            A local directory.
        """
        place = Path(os.path.realpath(path))
        nbytes = nbytes_shared = 0
        shared: dict[Path, int] = {}
        for folder, _, files in os.walk(place):
            for name in files:
                file = Path(folder, name)
                status = file.stat()
                nbytes += status.st_size
                here = status.st_size if status.st_nlink > 1 else _cloned(file, status.st_size)
                if here:
                    shared[file.relative_to(place)] = here
                    nbytes_shared += here
        found = {}
        for other in _beside(place) if shared else ():
            common = sum(_common(place / file, other / file, here) for file, here in shared.items())
            if common:
                found[os.fspath(other)] = common
        return cls(nbytes, nbytes_shared, found)


def _beside(place: Path) -> Iterator[Path]:
    """Yield the directories beside a store that may be versions of it."""
    with os.scandir(place.parent) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    for name in names:
        if name != place.name and (place.parent / name / "zarr.json").is_file():
            yield place.parent / name


def _common(file: Path, other: Path, most: int) -> int:
    """Return how many bytes two files have in the same place on the disk."""
    try:
        if os.path.samefile(file, other):
            return most
    except OSError:
        return 0
    there = {where for where, _, _ in _extents(other)}
    return min(most, sum(length for where, length, _ in _extents(file) if where in there))


def _cloned(file: Path, size: int) -> int:
    """Return how many bytes of a file are those of others, too."""
    return min(size, sum(length for _, length, flags in _extents(file) if flags & _SHARED))


def _extents(file: Path) -> list[tuple[int, int, int]]:
    """Return where the extents of a file begin on the disk, their bytes and flags; none where nobody says."""
    found: list[tuple[int, int, int]] = []
    start = 0
    with open(file, "rb") as opened:
        while True:
            asked = bytearray(_HEAD.pack(start, 2**64 - 1 - start, 0, 0, _EXTENTS, 0))
            asked += bytes(_EXTENTS * _EXTENT.size)
            try:
                fcntl.ioctl(opened, _FIEMAP, asked)
            except OSError:
                return []
            n = _HEAD.unpack_from(asked)[3]
            for k in range(n):
                logical, physical, length, _, _, flags, *_ = _EXTENT.unpack_from(
                    asked, _HEAD.size + k * _EXTENT.size
                )
                found.append((physical, length, flags))
                start = logical + length
            if n == 0 or found[-1][2] & _LAST:
                return found
