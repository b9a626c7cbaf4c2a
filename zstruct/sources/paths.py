"""The files below a directory, and those that match a pattern: each once, stores and pipes left out.

Links to directories are followed, also those that lead back to where they are; a directory entry that
is reached by several ways counts once. What is in the files is not looked at.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from zstruct.errors import InputError

__all__ = [
    "STORE_FILES",
    "Found",
    "below",
    "holds_arrays",
    "is_of_run",
    "is_working_directory",
    "matching",
    "names_stores",
    "natural",
    "repeated",
]

# What one VASP run leaves in its folder, best first: the others repeat the structures without labels.
_VASP_RUN = (r"vasprun\.xml(\.gz|\.bz2|\.xz)?", r"OUTCAR(\.gz|\.bz2|\.xz)?", "XDATCAR", "CONTCAR", "POSCAR")
# Forces and velocities, which are read with the positions beside them.
_CP2K = re.compile(r"-(?:frc|vel)(-\d+\.xyz(?:\.gz|\.bz2|\.xz|\.zst)?)$")
_INITIALS = {pattern[0] for pattern in _VASP_RUN}


@dataclass
class Found:
    """What was found in one place.

    Parameters
    ----------
    names
        Files, in the order in which people count.
    left
        What is no file to read: stores, pipes, directories that a pattern names.
    unlisted
        Directories that can't be listed, and why.
    stores
        Stores that a pattern names: it says more of them than that they may have any name.
    """

    names: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unlisted: list[tuple[str, str]] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)

    def take(self, path: str) -> None:
        """Take what is not a directory: a file, or a link that may lead to nothing."""
        regular = os.path.isfile(path) or (os.path.islink(path) and not os.path.exists(path))
        (self.names if regular else self.left).append(path)


def _never(folder: str) -> bool:
    return False


def below(folder: str, whole: Callable[[str], bool] = _never) -> Found:
    """Return the files below a directory; hidden ones are left out.

    Parameters
    ----------
    folder
        The directory.
    whole
        Tells which directories are an input as they are, like a file.
    """
    found = Found()
    entered: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        entries, folders = _listed(waiting.pop(0), entered, found)
        for path in entries:
            found.take(path)
        inputs = [path for path in folders if whole(path)]
        found.names += inputs
        here = [path for path in folders if path not in inputs and not holds_arrays(path)]
        found.left += [path for path in folders if path not in here and path not in inputs]
        links = [path for path in here if os.path.islink(path)]
        waiting = [path for path in here if path not in links] + waiting + links  # real ones first
    found.names.sort(key=natural)
    return found


def _listed(folder: str, entered: set[tuple[int, int]], found: Found) -> tuple[list[str], list[str]]:
    """Return the entries of a directory that are no directories, and those that are."""
    try:
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in entered:
            return [], []
        entered.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            there = [(e.path, os.path.isdir(e.path)) for e in entries if not e.name.startswith(".")]
    except OSError as error:
        found.unlisted.append((folder, f"can't be listed: {error.strerror}"))
        return [], []
    return [path for path, is_dir in there if not is_dir], sorted(path for path, is_dir in there if is_dir)


def matching(pattern: str, whole: Callable[[str], bool] = _never) -> Found:
    """Return the files that match a pattern; ``**`` goes into directories, also through links.

    `glob.glob` would walk in circles where links do, once for every way round.

    Parameters
    ----------
    pattern
        The pattern.
    whole
        Tells which directories are an input as they are, like a file.

    Raises
    ------
    InputError
        If there are none.
    """
    found = Found()
    drive = os.sep if pattern.startswith(os.sep) else ""
    parts = [part for part in pattern.split(os.sep) if part]
    seen: set[tuple[int, int, int]] = set()
    direct, linked = [(drive, 0)], list[tuple[str, int]]()
    while direct or linked:
        folder, k = (direct or linked).pop(0)
        try:
            status = os.stat(folder or ".")
        except OSError:
            continue
        if (status.st_dev, status.st_ino, k) in seen:
            continue
        seen.add((status.st_dev, status.st_ino, k))
        if folder and holds_arrays(folder):
            found.left.append(folder)
            continue
        for path, is_folder in _entries(folder, parts[k], found):
            last = k == len(parts) - 1
            if last and names_stores(parts[k]) and holds_arrays(path) and not is_working_directory(path):
                found.stores.append(path)
            elif is_folder and (last or parts[k] == "**") and whole(path):
                found.names.append(path)
            elif is_folder and (parts[k] == "**" or not last):
                through = (path, k if parts[k] == "**" else k + 1)
                (linked if os.path.islink(path) else direct).append(through)
            elif is_folder:
                found.left += [] if "**" in parts else [path]
            elif last:
                found.take(path)
        if parts[k] == "**" and k < len(parts) - 1:
            direct.insert(0, (folder, k + 1))
    if not found.names and not found.stores:
        raise InputError("no file matches this pattern", pattern)
    found.stores = sorted(set(found.stores), key=natural)
    found.names = sorted(set(found.names), key=natural)
    found.left = sorted(set(found.left), key=natural)
    return found


def names_stores(part: str) -> bool:
    """Return whether the last part of a pattern is one of stores, too: not if it may be any name.

    Examples
    --------
    >>> names_stores("*.zarr"), names_stores("*"), names_stores("**")
    (True, False, False)
    """
    return part.strip("*") != ""


def _entries(folder: str, part: str, found: Found) -> Iterator[tuple[str, bool]]:
    """Yield what a directory has that one part of a pattern matches, and whether it is a directory."""
    if not glob.has_magic(part):
        path = os.path.join(folder, part)
        if os.path.lexists(path):
            yield path, os.path.isdir(path)
        return
    try:
        names = sorted(os.listdir(folder or "."))
    except NotADirectoryError:
        return
    except OSError as error:
        found.unlisted.append((folder or ".", f"can't be listed: {error.strerror}"))
        return
    for name in names:
        hidden = name.startswith(".") and not part.startswith(".")
        if not hidden and (part == "**" or fnmatch.fnmatchcase(name, part)):
            path = os.path.join(folder, name)
            yield path, os.path.isdir(path)


def natural(path: str) -> tuple[list[list[tuple[int, str]]], str]:
    """Return a sorting key that counts: frame2 before frame10."""
    return [_counted(part) for part in path.split(os.sep)], path


@lru_cache(maxsize=1 << 10)
def _counted(part: str) -> list[tuple[int, str]]:
    """Return a part of a path as numbers and texts; most paths are of few folders."""
    pieces = re.split(r"([0-9]+)", part)
    return [(int(t), "") if t.isdecimal() and t.isascii() else (-1, t) for t in pieces]


#: What zstruct and zarr leave in a directory of theirs.
STORE_FILES = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


_WORK = (".building", ".featurizing")


def holds_arrays(path: str) -> bool:
    """Tell whether a directory or zip file is a Zarr store, or the working directory of a build."""
    if path.lower().endswith(".zip"):
        try:
            with zipfile.ZipFile(path) as archive:
                return any(name in archive.NameToInfo for name in STORE_FILES)
        except Exception:  # noqa: BLE001 - whatever a damaged table raises, its reader says
            return False
    return is_working_directory(path) or any(os.path.isfile(os.path.join(path, name)) for name in STORE_FILES)


def is_working_directory(path: str) -> bool:
    """Tell whether a directory is one in which a build, or what writes groups into a store, works."""
    return path.rstrip(os.sep).endswith(_WORK) and os.path.isfile(os.path.join(path, "lock"))


def is_of_run(name: str) -> bool:
    """Tell whether a file is one of several that a VASP run leaves."""
    return _rank(os.path.basename(name)) is not None


def repeated(names: Sequence[str]) -> list[str]:
    """Return the files that another one has or reads.

    They are those of VASP's runs but the best, forces beside positions of CP2K, and what fairchem keeps
    beside databases of the sizes of their structures.
    """
    best: dict[str, int] = {}
    ranks = {}
    for name in names:
        folder, base = os.path.split(name)
        rank = _rank(base)
        if rank is not None:
            ranks[name] = rank
            best[folder] = min(rank, best.get(folder, rank))
    there = set(names)
    beside = [name for name in names if _CP2K.search(name) and _CP2K.sub(r"-pos\1", name) in there]
    folders = {os.path.dirname(name) for name in names if name.endswith(".aselmdb")}
    beside += [os.path.join(folder, "metadata.npz") for folder in folders]
    beside = [name for name in beside if name in there]
    return beside + [name for name, rank in ranks.items() if rank > best[os.path.dirname(name)]]


def _rank(base: str) -> int | None:
    if base[:1] not in _INITIALS:  # there may be many
        return None
    return next((k for k, pattern in enumerate(_VASP_RUN) if re.fullmatch(pattern, base)), None)
