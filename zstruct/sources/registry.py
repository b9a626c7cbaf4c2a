"""The readers of file formats, by name, and which of them knows a file.

Readers are imported when they are first used.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.sources.ase.detection import DetectionError, UnreadableSource, ase_format, ase_format_by_name
from zstruct.sources.source import Source

__all__ = ["CLASSES", "FORMATS", "NAME_IT", "Factory", "Format", "detect", "forced", "reader_of", "register"]

Factory = Callable[[str], Source]


def _begins_as_runner(path: str) -> bool:
    if not path.lower().endswith(tuple(_compressible(".data"))):
        return False
    from zstruct.sources.runner.source import is_runner_file

    return is_runner_file(path)


def _compressible(*suffixes: str) -> list[str]:
    return [s + c for s in suffixes for c in ("", ".gz", ".bz2", ".xz")]


@dataclass(frozen=True)
class Format:
    """A row of the table of formats.

    Parameters
    ----------
    name
        What ``reader=`` calls it.
    module, source
        Where its source is, and the name of that class.
    suffixes
        Ends of file names, in lower case, that are this format.
    matches
        Tells from a path whether the file is of this format, where suffixes don't.
    ase
        Formats of ASE that this reads better: units that a file states, labels that ASE drops.
    """

    name: str
    module: str
    source: str
    suffixes: Sequence[str] = ()
    matches: Callable[[str], bool] | None = None
    ase: tuple[str, ...] = ()


#: The formats that are built in. Adding one is adding its source and a row.
FORMATS = (
    Format("xyz", "zstruct.sources.xyz.source", "XYZSource", _compressible(".xyz"), ase=("xyz", "extxyz")),
    Format("extxyz", "zstruct.sources.xyz.source", "XYZSource", _compressible(".extxyz")),
    Format("xsf", "zstruct.sources.xsf.source", "XSFSource", _compressible(".xsf"), ase=("xsf",)),
    Format(
        "runner",
        "zstruct.sources.runner.source",
        "RunnerSource",
        matches=_begins_as_runner,
        ase=("runnerdata",),
    ),
    Format("ase", "zstruct.sources.ase.source", "ASESource", _compressible(".traj", ".cif")),
    Format(
        "ase-db", "zstruct.sources.ase.source", "ASEDatabaseSource", (".db", ".aselmdb"), ase=("db", "json")
    ),
)

#: The modules of the classes of sources: of files, and of what is in memory.
CLASSES = {row.source: row.module for row in FORMATS} | {
    "ArraySource": "zstruct.sources.arrays.source",
    "AtomsSource": "zstruct.sources.ase.source",
}

# The reader of ours by ASE's word for the format.
_BETTER = {format: row.name for row in FORMATS for format in row.ase}

NAME_IT = (
    f"name the format with reader={', '.join(repr(row.name) for row in FORMATS)}, 'ase:FORMAT' (one of "
    "ASE's) or one given to zstruct.sources.register"
)


@dataclass(frozen=True)
class _Reader:
    factory: Factory
    suffixes: tuple[str, ...]
    matches: Callable[[str], bool] | None

    def knows(self, path: str) -> bool:
        by_name = os.path.basename(path).lower().endswith(self.suffixes) if self.suffixes else False
        return by_name or (self.matches is not None and self.matches(path))


_READERS: dict[str, _Reader] = {}


@keywords()
def register(
    name: str,
    factory: Factory,
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
    >>> from zstruct.sources import XYZSource, expand
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


def _class(name: str) -> Any:
    return getattr(importlib.import_module(CLASSES[name]), name)


def _by_class(name: str) -> Factory:
    return lambda path: _class(name)(path)


def forced(reader: str) -> Factory:
    """Return the reader that users ask for by name."""
    if not isinstance(reader, str):
        raise InputError(f"reader={reader!r}: {NAME_IT}")
    name, _, format = reader.partition(":")
    if name == "ase" and format:
        from ase.io.formats import ioformats

        if format not in ioformats or not ioformats[format].can_read:
            known = ", ".join(sorted(n for n, f in ioformats.items() if f.can_read))
            raise InputError(f"ASE has no format {format!r} that it can read; it reads {known}")
        return _of_ase(format)
    if reader not in _READERS:
        raise InputError(f"there is no reader {reader!r}; {NAME_IT}")
    return _READERS[reader].factory


def _of_ase(format: str) -> Factory:
    """Return the reader of one of ASE's formats: ours, where ours reads it better."""
    if format in _BETTER:
        return _READERS[_BETTER[format]].factory
    source = _class("ASESource")
    return lambda path: source(path, format=format)


def reader_of(path: str) -> Factory:
    """Return the reader that knows a file, by its name or by how it begins."""
    factory = detect(path, by_content=True)
    if factory is None:
        raise InputError(f"no reader knows this kind of file; {NAME_IT}", path)
    return factory


def detect(path: str, by_content: bool) -> Factory | None:
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


for _row in FORMATS:
    register(_row.name, _by_class(_row.source), _row.suffixes, _row.matches)
