"""From what users give, a file, a glob, a directory, Atoms, sources, to sources in an order of their own.

The order is the same on every machine. Nothing is opened here.
"""

from __future__ import annotations

import glob
import os
import re
from functools import cache
from typing import Any

from zstruct.errors import InputError
from zstruct.sources.detection import UnreadableSource
from zstruct.sources.files import below, matching, natural
from zstruct.sources.inputs import holds_arrays, items
from zstruct.sources.registry import (
    NAME_IT,
    Factory,
    detect,
    forced,
    reader_of,
)
from zstruct.sources.source import Source

__all__ = ["expand"]


# What one VASP run leaves in its folder, best first: the others repeat the structures without labels.
_VASP_RUN = (r"vasprun\.xml(\.gz|\.bz2|\.xz)?", r"OUTCAR(\.gz|\.bz2|\.xz)?", "XDATCAR", "CONTCAR", "POSCAR")


def expand(paths: Any, reader: str | None = None) -> tuple[list[Source], list[str]]:
    """Return the sources of everything the user gave, and the files left out.

    Parameters
    ----------
    paths
        A file, a directory (read recursively, hidden files left out), a glob (``**`` goes into
        directories), a `Source`, an `ase.Atoms`, a list that mixes these, or any iterable of
        Atoms. Lists keep their order; directories and globs are sorted as people count
        (frame2 before frame10).
    reader
        The reader of every file, instead of the one that its name suggests: a registered name,
        or ``"ase:FORMAT"`` for one of ASE's formats.

    Returns
    -------
    list of Source
        One per input.
    list of str
        What is left out of directories and globs: files that no reader knows, files that repeat
        what a better one has, stores, pipes.

    Raises
    ------
    InputError
        If there is nothing to read, a file is missing or given twice, or no reader knows it.

    Examples
    --------
    >>> expand("nothing-here.xyz")
    Traceback (most recent call last):
    ...
    zstruct.errors.InputError: nothing-here.xyz: there is no such file or directory
    """
    chosen = None if reader is None else forced(reader)
    sources: list[Source] = []
    ignored: list[str] = []
    for item in items(paths):
        if isinstance(item, str):
            found, left = _from_path(item, chosen)
            sources += found
            ignored += left
        else:
            sources.append(item)
    if not sources:
        raise InputError("there is nothing to read: the list of inputs is empty")
    _refuse_twice(sources)
    return sources, ignored


def _from_path(path: str, chosen: Factory | None) -> tuple[list[Source], list[str]]:
    """Return the sources of a file, a directory or a glob, and what is left out."""
    if os.path.exists(path) and holds_arrays(path):
        raise InputError(
            "this is a Zarr store, or the working directory of a build, and stores are made from files and "
            "Atoms: give the structures of a store as zstruct.open(...).zs.to_ase()",
            path,
        )
    if os.path.isfile(path):
        return [(chosen or reader_of(path))(path)], []
    is_folder = os.path.isdir(path)
    if is_folder:
        found = below(path)
    elif glob.has_magic(path):
        found = matching(path)
    elif os.path.lexists(path):
        raise InputError("this is a pipe, a device or a link to nothing; give a file or a directory", path)
    else:
        raise InputError("there is no such file or directory", path)
    lost: list[Source] = [UnreadableSource(name, reason) for name, reason in found.unlisted]
    if chosen is not None:
        return [chosen(name) for name in found.names] + lost, found.left
    # Files of directories are known by name alone, or every log would be taken for a program's output.
    factories = {name: detect(name, by_content=not is_folder) for name in found.names}
    for name in _repeated(found.names):
        factories[name] = None
    sources = [factory(name) for name, factory in factories.items() if factory is not None] + lost
    if not sources:
        raise InputError(f"none of the files here is known by its name; {NAME_IT}", path)
    left = [name for name, factory in factories.items() if factory is None]
    return sources, sorted(left + found.left, key=natural)


def _repeated(names: list[str]) -> list[str]:
    """Return the files of VASP runs that repeat, without labels, what a better one has."""
    best: dict[str, int] = {}
    ranks = {}
    for name in names:
        folder, base = os.path.split(name)
        rank = next((k for k, pattern in enumerate(_VASP_RUN) if re.fullmatch(pattern, base)), None)
        if rank is not None:
            ranks[name] = rank
            best[folder] = min(rank, best.get(folder, rank))
    return [name for name, rank in ranks.items() if rank > best[os.path.dirname(name)]]


def _refuse_twice(sources: list[Source]) -> None:
    seen: dict[str, str] = {}
    real_folder = cache(os.path.realpath)  # there may be many files and few folders
    for source in sources:
        path = getattr(source, "path", None)
        if path is None:
            continue
        folder, base = os.path.split(path)
        true = os.path.realpath(path) if os.path.islink(path) else os.path.join(real_folder(folder), base)
        if true in seen:
            raise InputError(f"the file is given twice, also as {seen[true]!r}; leave one out", source.label)
        seen[true] = source.label
