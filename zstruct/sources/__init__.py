"""What users have, behind one protocol: from paths and objects to sources.

Readers register under a name, with the file names they know. `expand` turns whatever the user
gave (a file, a glob, a directory, Atoms objects, sources) into a list of sources, in an order
that is the same on every machine. Nothing is opened here, and readers are imported when first used.
"""

from __future__ import annotations

import glob
import importlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from zstruct.errors import InputError
from zstruct.sources.base import BadFrame, FileSource, Raw, RawColumn, Slice, Source
from zstruct.sources.detection import DetectionError, UnreadableSource, ase_format, ase_format_by_name
from zstruct.sources.files import below, matching, natural
from zstruct.sources.inputs import holds_arrays, items

if TYPE_CHECKING:
    from zstruct.sources.ase import ASEDatabaseSource, ASESource, AtomsSource
    from zstruct.sources.runner import RunnerSource
    from zstruct.sources.xsf import XSFSource
    from zstruct.sources.xyz import XYZSource

__all__ = [
    "ASEDatabaseSource",
    "ASESource",
    "AtomsSource",
    "BadFrame",
    "FileSource",
    "Raw",
    "RawColumn",
    "RunnerSource",
    "Slice",
    "Source",
    "XSFSource",
    "XYZSource",
    "expand",
    "register",
]

_LAZY = {
    "ASEDatabaseSource": "zstruct.sources.ase",
    "ASESource": "zstruct.sources.ase",
    "AtomsSource": "zstruct.sources.ase",
    "RunnerSource": "zstruct.sources.runner",
    "XSFSource": "zstruct.sources.xsf",
    "XYZSource": "zstruct.sources.xyz",
}
# What one VASP run leaves in its folder, best first: the others repeat the structures without labels.
_VASP_RUN = (r"vasprun\.xml(\.gz|\.bz2|\.xz)?", r"OUTCAR(\.gz|\.bz2|\.xz)?", "XDATCAR", "CONTCAR", "POSCAR")
# ASE's formats that a reader of ours reads better: units that a file states, labels that ASE drops.
_BETTER = {
    "xsf": "xsf",
    "extxyz": "xyz",
    "xyz": "xyz",
    "runnerdata": "runner",
    "db": "ase-db",
    "json": "ase-db",
}
_NAME_IT = (
    "name the format with reader='xyz', 'xsf', 'runner', 'ase', 'ase-db', 'ase:FORMAT' (one of ASE's) or one "
    "given to zstruct.sources.register"
)
_Factory = Callable[[str], Source]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True)
class _Reader:
    factory: _Factory
    suffixes: tuple[str, ...]
    matches: Callable[[str], bool] | None

    def knows(self, path: str) -> bool:
        by_name = os.path.basename(path).lower().endswith(self.suffixes) if self.suffixes else False
        return by_name or (self.matches is not None and self.matches(path))


_READERS: dict[str, _Reader] = {}


def register(
    name: str,
    factory: _Factory,
    suffixes: Sequence[str] = (),
    matches: Callable[[str], bool] | None = None,
) -> None:
    """Make a file format known to `zstruct.build`.

    Parameters
    ----------
    name
        What ``reader=`` calls it; a name in use is given to the new reader.
    factory
        Returns the `Source` of a path, for instance a subclass of `FileSource`. Sources are
        sent to worker processes by pickle.
    suffixes
        Ends of file names, in any case, that are this format. Readers registered later
        are asked first.
    matches
        Tells from a path whether the file is of this format, where suffixes don't.

    Raises
    ------
    InputError
        If the name is empty or contains a colon, or suffixes is one text.

    Examples
    --------
    >>> register("my-xyz", lambda path: XYZSource(path), suffixes=[".myxyz"])
    >>> expand("frames.myxyz")  # doctest: +SKIP
    ([XYZSource('frames.myxyz')], [])
    """
    if not name or ":" in name:
        raise InputError(f"a reader can't be called {name!r}; use a name without a colon")
    if isinstance(suffixes, str):
        raise InputError(f"suffixes must be a list of texts, such as [{suffixes!r}]")
    _READERS.pop(name, None)
    _READERS[name] = _Reader(factory, tuple(s.lower() for s in suffixes), matches)


def _by_class(name: str) -> _Factory:
    return lambda path: __getattr__(name)(path)


def _begins_as_runner(path: str) -> bool:
    if not path.lower().endswith(tuple(_compressible(".data"))):
        return False
    from zstruct.sources.runner import is_runner_file

    return is_runner_file(path)


def _compressible(*suffixes: str) -> list[str]:
    return [s + c for s in suffixes for c in ("", ".gz", ".bz2", ".xz")]


register("ase", _by_class("ASESource"), _compressible(".traj", ".cif"))
register("ase-db", _by_class("ASEDatabaseSource"), [".db", ".aselmdb"])
register("runner", _by_class("RunnerSource"), matches=_begins_as_runner)
register("xsf", _by_class("XSFSource"), _compressible(".xsf"))
register("xyz", _by_class("XYZSource"), _compressible(".xyz"))
register("extxyz", _by_class("XYZSource"), _compressible(".extxyz"))


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
    forced = None if reader is None else _forced(reader)
    sources: list[Source] = []
    ignored: list[str] = []
    for item in items(paths):
        if isinstance(item, str):
            found, left = _from_path(item, forced)
            sources += found
            ignored += left
        else:
            sources.append(item)
    if not sources:
        raise InputError("there is nothing to read: the list of inputs is empty")
    _refuse_twice(sources)
    return sources, ignored


def _from_path(path: str, forced: _Factory | None) -> tuple[list[Source], list[str]]:
    """Return the sources of a file, a directory or a glob, and what is left out."""
    if os.path.exists(path) and holds_arrays(path):
        raise InputError(
            "this is a Zarr store, or the working directory of a build, and stores are made from files and "
            "Atoms: give the structures of a store as zstruct.open(...).zs.to_ase()",
            path,
        )
    if os.path.isfile(path):
        return [(forced or _reader_of(path))(path)], []
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
    if forced is not None:
        return [forced(name) for name in found.names] + lost, found.left
    # Files of directories are known by name alone, or every log would be taken for a program's output.
    factories = {name: _detect(name, by_content=not is_folder) for name in found.names}
    for name in _repeated(found.names):
        factories[name] = None
    sources = [factory(name) for name, factory in factories.items() if factory is not None] + lost
    if not sources:
        raise InputError(f"none of the files here is known by its name; {_NAME_IT}", path)
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


def _forced(reader: str) -> _Factory:
    if not isinstance(reader, str):
        raise InputError(f"reader={reader!r}: {_NAME_IT}")
    name, _, format = reader.partition(":")
    if name == "ase" and format:
        from ase.io.formats import ioformats

        if format not in ioformats or not ioformats[format].can_read:
            known = ", ".join(sorted(n for n, f in ioformats.items() if f.can_read))
            raise InputError(f"ASE has no format {format!r} that it can read; it reads {known}")
        return _of_ase(format)
    if reader not in _READERS:
        raise InputError(f"there is no reader {reader!r}; {_NAME_IT}")
    return _READERS[reader].factory


def _of_ase(format: str) -> _Factory:
    """Return the reader of one of ASE's formats: ours, where ours reads it better."""
    if format in _BETTER:
        return _READERS[_BETTER[format]].factory
    source = __getattr__("ASESource")
    return lambda path: source(path, format=format)


def _reader_of(path: str) -> _Factory:
    factory = _detect(path, by_content=True)
    if factory is None:
        raise InputError(f"no reader knows this kind of file; {_NAME_IT}", path)
    return factory


def _detect(path: str, by_content: bool) -> _Factory | None:
    """Return the factory of the reader that knows a file, or None."""
    for known in reversed(_READERS.values()):
        if known.knows(path):
            return known.factory
    try:
        format = ase_format(path) if by_content else ase_format_by_name(path)
    except DetectionError as error:
        reason = str(error)
        return lambda name: UnreadableSource(name, reason)
    return None if format is None else _of_ase(format)


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
