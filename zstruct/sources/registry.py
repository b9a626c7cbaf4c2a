"""Which reader a file goes to: by its name, by how it begins, or by what the user says.

Readers are imported when they are first used. Those that are built in are rows of `zstruct.sources.formats`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.sources.ase.detection import DetectionError, UnreadableSource, ase_format, ase_format_by_name
from zstruct.sources.compression import stem
from zstruct.sources.content import Content
from zstruct.sources.formats import CLASSES, FORMATS, UNREAD
from zstruct.sources.options import SourceOptions
from zstruct.sources.source import Source

__all__ = [
    "NAME_IT",
    "Factory",
    "added",
    "detect",
    "folder_reader",
    "forced",
    "is_archive",
    "is_input",
    "reader_name",
    "reader_of",
    "register",
]

Factory = Callable[..., Source]
_DEFAULTS = SourceOptions()

# The reader of ours by ASE's word for the format.
_BETTER = {format: row.name for row in FORMATS for format in row.ase}
_ARCHIVES = next(tuple(row.suffixes) for row in FORMATS if row.name == "archive")

NAME_IT = (
    f"name the format with reader={', '.join(repr(row.name) for row in FORMATS)}, 'ase:FORMAT' (one of "
    "ASE's) or one given to zstruct.sources.register"
)


@dataclass(frozen=True)
class _Reader:
    name: str
    factory: Factory
    suffixes: tuple[str, ...]
    matches: Callable[[Content], bool] | None
    options: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()
    begins: Callable[[Content], bool] | None = None
    seeks: bool = False

    def with_options(self, given: SourceOptions) -> Factory:
        """Return what makes a source with the options that it takes."""
        if given.places and "places" not in self.options:
            name = next(iter(given.places))
            raise InputError(
                f"keys={{{name!r}: ...}}: the reader {self.name!r} knows where {name} are by itself"
            )
        made = partial(self.factory, **given.of(self.options))
        return partial(_unless_packed, made, self.name) if self.seeks else made

    def knows(self, content: Content, name: str) -> bool:
        """Tell whether content is of this format, given with its name in lower case, without compression."""
        return name.endswith(self.suffixes) or (self.matches is not None and self.matches(content))


def _unless_packed(factory: Factory, name: str, content: Content) -> Source:
    """Return the source of content that is read here and there, and can't be if it is packed as a whole."""
    if stem(content.name) == content.name:
        return factory(content)
    reason = f"{name} is read in many places, and this file is compressed as a whole: unpack it"
    return UnreadableSource(content, reason)


_READERS: dict[str, _Reader] = {}


def is_archive(name: str) -> bool:
    """Tell whether a file of this name holds others.

    Examples
    --------
    >>> is_archive("a.tar.bz2"), is_archive("a.xyz.bz2")
    (True, False)
    """
    return stem(name).lower().endswith(_ARCHIVES)


def added() -> tuple[_Reader, ...]:
    """Return the readers that are not built in: what workers have to be told of."""
    return tuple(reader for name, reader in _READERS.items() if _BUILT_IN.get(name) is not reader)


@keywords()
def register(
    name: str,
    factory: Factory,
    suffixes: Sequence[str] = (),
    matches: Callable[[Content], bool] | None = None,
) -> None:
    """Make a file format known to `zstruct.build`.

    Parameters
    ----------
    name
        What ``reader=`` calls it; a name in use is given to the new reader.
    factory
        Returns the `Source` of a `Content`, for instance a subclass of `FileSource`. Sources are
        sent to worker processes by pickle.
    suffixes
        Ends of file names, in any case, that are this format; that of a compression, such as ``.gz``,
        may follow. Readers registered later are asked first.
    matches
        Tells of a `Content` whether it is of this format, where suffixes don't.

    Raises
    ------
    InputError
        If the name is empty or contains a colon, or suffixes is one text.

    Examples
    --------
    >>> from zstruct.sources import XYZSource, expand
    >>> register("my-xyz", lambda content: XYZSource(content), suffixes=[".myxyz"])
    >>> expand("frames.myxyz")  # doctest: +SKIP
    ([XYZSource('frames.myxyz')], [])
    """
    if not name or ":" in name:
        raise InputError(f"a reader can't be called {name!r}; use a name without a colon")
    if isinstance(suffixes, str):
        raise InputError(f"suffixes must be a list of texts, such as [{suffixes!r}]")
    _READERS.pop(name, None)
    _READERS[name] = _Reader(name, factory, tuple(s.lower() for s in suffixes), matches)


def _class(name: str) -> Any:
    return getattr(importlib.import_module(CLASSES[name]), name)


def _by_class(name: str) -> Factory:
    return lambda content, **options: _class(name)(content, **options)


def forced(reader: str, options: SourceOptions = _DEFAULTS) -> Factory:
    """Return the reader that users ask for by name.

    Raises
    ------
    InputError
        If there is none of that name, or if it does not take what is said.
    """
    if not isinstance(reader, str):
        raise InputError(f"reader={reader!r}: {NAME_IT}")
    name, _, format = reader.partition(":")
    if reader == "archive":
        return _READERS[reader].with_options(options)
    if name == "ase" and format:
        from ase.io.formats import ioformats

        if format not in ioformats or not ioformats[format].can_read:
            known = ", ".join(sorted(n for n, f in ioformats.items() if f.can_read))
            raise InputError(f"ASE has no format {format!r} that it can read; it reads {known}")
        return _of_members(_of_ase(format, options))
    if reader not in _READERS:
        raise InputError(f"there is no reader {reader!r}; {NAME_IT}")
    asked = _READERS[reader]
    return _of_members(asked.with_options(options), asked)


def _of_members(factory: Factory, known: _Reader | None = None) -> Factory:
    """Return what reads files, and the members of archives unless the reader knows these as a whole."""

    def made(content: Content) -> Source:
        name = stem(content.name).lower()
        if is_archive(content.name) and not (known is not None and known.knows(content, name)):
            source: Source = _class("ArchiveSource")(content, reader=factory)
            return source
        return factory(content)

    return made


def _of_ase(format: str, options: SourceOptions) -> Factory:
    """Return the reader of one of ASE's formats: ours, where ours reads it better."""
    if format in _BETTER:
        return _READERS[_BETTER[format]].with_options(options)
    source = _class("ASESource")
    return lambda content: source(content, format=format)


def reader_name(source: Source) -> str:
    """Return what ``reader=`` calls the reader of a source; the name of its class if that is none of ours.

    Nothing of what has no reader.
    """
    if isinstance(source, UnreadableSource):
        return ""
    kind = type(source).__name__
    format = getattr(source, "format", None)
    if kind == "ASESource" and format:
        return f"ase:{format}"
    return next((row.name for row in FORMATS if row.source == kind), kind)


def _unread(content: Content) -> str:
    """Return what is said of content that no reader knows."""
    name = stem(content.name).lower()
    found = next((sentence for ends, sentence in UNREAD.items() if name.endswith(ends)), "")
    return f"{found}; or {NAME_IT}" if found else f"no reader knows this kind of file; {NAME_IT}"


def reader_of(content: Content, options: SourceOptions = _DEFAULTS) -> Factory:
    """Return the reader that knows content, by its name or by how it begins.

    Raises
    ------
    InputError
        If there is none.
    """
    factory = detect(content, by_content=True, options=options)
    if factory is None:
        raise InputError(_unread(content), content.label)
    return factory


def detect(
    content: Content,
    by_content: bool,
    options: SourceOptions = _DEFAULTS,
    more: Sequence[_Reader] = (),
) -> Factory | None:
    """Return the factory of the reader that knows content, or None; `more` readers are asked first."""
    if content.path is not None and os.path.isdir(content.path):
        return folder_reader(content.path, options)
    name = stem(content.name).lower()
    for known in (*reversed(more), *reversed(_READERS.values())):
        if known.knows(content, name):
            return known.with_options(options)
    for known in _READERS.values() if by_content else ():
        if known.begins is not None and known.begins(content):
            return known.with_options(options)
    try:
        format = ase_format(content) if by_content else ase_format_by_name(content.name)
    except DetectionError as error:
        reason = str(error)
        return lambda content: UnreadableSource(content, reason)
    return None if format is None else _of_ase(format, options)


def is_input(folder: str) -> bool:
    """Tell whether a directory is an input as a whole."""
    return folder_reader(folder) is not None


def folder_reader(folder: str, options: SourceOptions = _DEFAULTS) -> Factory | None:
    """Return the factory of the reader that reads a directory as a whole, or None."""
    for known in reversed(_READERS.values()):
        if known.folder and all(os.path.isfile(os.path.join(folder, name)) for name in known.folder):
            return known.with_options(options)
    return None


for _row in FORMATS:
    _READERS[_row.name] = _Reader(
        _row.name,
        _by_class(_row.source),
        tuple(_row.suffixes),
        _row.matches,
        _row.options,
        _row.folder,
        _row.begins,
        _row.seeks,
    )
_BUILT_IN = dict(_READERS)
