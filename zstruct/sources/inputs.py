"""From what users give, a file, a glob, a directory, Atoms, sources, to sources in an order of their own.

A list may mix all of these and keeps its order; what is none of them is refused with a sentence. The order
of files is the same on every machine. Nothing is opened here.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.paths_and_urls import is_url
from zstruct.sources.ase.detection import UnreadableSource
from zstruct.sources.content import RemoteContent, content_of
from zstruct.sources.frames import SlicedSource, frames_of, split_name
from zstruct.sources.items import items_of
from zstruct.sources.options import SourceOptions
from zstruct.sources.paths import (
    STORE_FILES,
    Found,
    below,
    holds_arrays,
    is_working_directory,
    matching,
    natural,
    repeated,
)
from zstruct.sources.registry import (
    NAME_IT,
    Factory,
    detect,
    folder_reader,
    forced,
    is_archive,
    is_input,
    reader_of,
)
from zstruct.sources.remote import RemoteFile, is_pattern, told
from zstruct.sources.source import Source

__all__ = ["expand"]

_WORK = "this is the working directory of what is under way or was interrupted; give the store itself"


@keywords()
def expand(
    paths: Any, reader: str | None = None, options: SourceOptions | None = None
) -> tuple[list[Source], list[str]]:
    """Return the sources of everything the user gave, and the files left out.

    Parameters
    ----------
    paths
        A file, a URL, a directory (read recursively, hidden files left out), a glob (``**`` goes into
        directories), each with ``@0:1000:10`` behind it for some of the frames, a `Source`, an
        `ase.Atoms`, a store or a view of one, a list that mixes these, or any iterable of Atoms. Lists keep
        their order; directories and globs are sorted as people count (frame2 before frame10).
    reader
        The reader of every file, instead of the one that its name suggests: a registered name,
        or ``"ase:FORMAT"`` for one of ASE's formats.
    options
        What else is said of how files are read.

    Returns
    -------
    list of Source
        One per input.
    list of str
        What is left out of directories and globs: files that no reader knows, files that repeat
        what a better one has, stores that are not named (``data/*.zarr`` does), pipes.

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
    options = options or SourceOptions()
    chosen = None if reader is None else forced(reader, options)
    sources: list[Source] = []
    ignored: list[str] = []
    for item in items_of(paths):
        if isinstance(item, str):
            found, left = _from_path(item, chosen, options)
            sources += found
            ignored += left
        else:
            if options.places:
                name = next(iter(options.places))
                raise InputError(
                    f"keys={{{name!r}: ...}} is for files of named arrays, and this is none", item.label
                )
            sources.append(item)
    if not sources:
        raise InputError("there is nothing to read: the list of inputs is empty")
    if options.storage_options and not any(is_url(source.label) for source in sources):
        raise InputError("storage_options are for URLs, and there is none among the inputs: leave them out")
    _refuse_twice(sources)
    return sources, ignored


def _from_path(path: str, chosen: Factory | None, options: SourceOptions) -> tuple[list[Source], list[str]]:
    """Return the sources of a file, a directory or a glob, and what is left out."""
    name, frames = split_name(path)
    if frames is not None and not os.path.lexists(path) and not _is_there(path, options):
        try:
            frames_of(frames)
        except InputError as error:
            if not os.path.exists(name):
                raise InputError("there is no such file or directory", path) from None
            raise InputError(error.reason, name) from None
        whole, left = _from_path(name, chosen, options)
        if any(getattr(source, "holds_inputs", False) for source in whole):
            raise InputError(f"{'@' + frames!r}: each member of an archive counts its own frames", name)
        return [_sliced(source, frames) for source in whole], left
    if os.path.exists(path) and holds_arrays(path):
        return [_store(path)], []
    if os.path.isfile(path):
        content = content_of(path)
        return [(chosen or reader_of(content, options))(content)], []
    is_folder = os.path.isdir(path)
    if is_folder and (known := folder_reader(path, options)) is not None:
        return [(chosen or known)(content_of(path))], []
    if is_folder:
        found = below(path, is_input)
    elif is_url(path):
        return _from_url(path, chosen, options)
    elif glob.has_magic(path):
        found = matching(path, is_input)
    elif os.path.lexists(path):
        raise InputError("this is a pipe, a device or a link to nothing; give a file or a directory", path)
    else:
        raise InputError("there is no such file or directory", path)
    return _of_found(path, found, chosen, options, by_content=not is_folder)


def _sliced(source: Source, frames: str) -> Source:
    """Return some frames of a source; of a store, the structures at these positions."""
    if not _is_of_store(source):
        return SlicedSource(source, frames)
    taken: Source = source.frames(frames)  # type: ignore[attr-defined]
    return taken


def _is_of_store(source: Any) -> bool:
    loaded = sys.modules.get("zstruct.sources.store.source")  # whoever made one has imported it
    return loaded is not None and isinstance(source, loaded.StoreSource)


def _store(path: str, storage_options: Mapping[str, Any] | None = None) -> Source:
    """Return the source of a store."""
    if is_working_directory(path):
        raise InputError(_WORK, path)
    from zstruct.sources.store.source import StoreSource

    return StoreSource(path, storage_options)


def _is_remote_store(url: str, options: SourceOptions) -> bool:
    """Return whether a URL is that of a store: its metadata are below it."""
    return "::" not in url and _is_there(f"{url.rstrip('/')}/{STORE_FILES[0]}", options)


def _is_there(path: str, options: SourceOptions) -> bool:
    """Return whether there is something behind a URL with an ``@`` in its name."""
    try:
        return is_url(path) and bool(content_of(path, options.storage_options).fingerprint())
    except InputError:
        return False


def _from_url(url: str, chosen: Factory | None, options: SourceOptions) -> tuple[list[Source], list[str]]:
    """Return the sources of a URL, of a pattern or of what is below one, and what is left out."""
    there = RemoteFile(url, options.storage_options or {})
    if is_pattern(url):
        return _of_found(told(url), there.matching(), chosen, options, by_content=True)
    content = content_of(url, options.storage_options)
    known = None if url.endswith("/") else detect(content, False, options)
    is_place = url.endswith("/") or there.is_folder()
    maybe = known is None and chosen is None and (is_place or url.endswith(".zarr"))
    if maybe and _is_remote_store(url, options):
        return [_store(url.rstrip("/"), options.storage_options)], []
    if known is None and is_place:
        found = there.below()
        return _of_found(told(url), found, chosen, options, by_content=False)
    if known is None and chosen is None:
        content.fingerprint()  # what can't be reached is of no known kind, either
    return [(chosen or known or reader_of(content, options))(content)], []


def _of_found(
    place: str, found: Found, chosen: Factory | None, options: SourceOptions, *, by_content: bool
) -> tuple[list[Source], list[str]]:
    """Return the sources of the files of one place, and what is left out."""
    stores = {name: _store(name, options.storage_options) for name in found.stores}
    contents = {name: content_of(name, options.storage_options) for name in found.names}
    archives = [] if by_content else [name for name, content in contents.items() if is_archive(content.name)]
    # What is in archives of a directory is there unpacked as well, more often than not.
    left = [
        f"{contents.pop(name).label} (an archive in a directory; name it to have it read)"
        for name in archives
    ]
    lost: list[Source] = [UnreadableSource(name, reason) for name, reason in found.unlisted]
    if chosen is not None:
        made = {name: chosen(content) for name, content in contents.items()} | stores
        return [made[name] for name in sorted(made, key=natural)] + lost, sorted(
            left + found.left, key=natural
        )
    # Files of directories are known by name alone, or every log would be taken for a program's output.
    factories = {name: detect(content, by_content, options) for name, content in contents.items()}
    for name in repeated(list(contents)):
        factories[name] = None
    made = {n: factory(contents[n]) for n, factory in factories.items() if factory is not None} | stores
    sources = [made[name] for name in sorted(made, key=natural)] + lost
    if not sources:
        hint = "archives are read if they are named, or by a pattern such as *.tar; " if archives else ""
        raise InputError(f"none of the files here is known by its name; {hint}{NAME_IT}", place)
    left += [contents[name].label for name, factory in factories.items() if factory is None]
    return sources, sorted(left + found.left, key=natural)


def _refuse_twice(sources: list[Source]) -> None:
    seen: dict[str, dict[str, str]] = {}  # other frames of one file are another input
    real_folder = cache(os.path.realpath)  # there may be many files and few folders
    for source in sources:
        content = getattr(source, "content", None)
        path = getattr(content, "path", None)
        if path is None:
            if not isinstance(content, RemoteContent):
                continue
            true = content.url
        else:
            folder, base = os.path.split(path)
            true = os.path.realpath(path) if os.path.islink(path) else os.path.join(real_folder(folder), base)
        frames = (
            getattr(source, "text", "") if isinstance(source, SlicedSource) or _is_of_store(source) else ""
        )
        others = seen.setdefault(true, {})
        same = (
            others.get(frames)
            or others.get("")
            or (next(iter(others.values()), None) if not frames else None)
        )
        if same is not None:
            raise InputError(f"the file is given twice, also as {same!r}; leave one out", source.label)
        others[frames] = source.label
