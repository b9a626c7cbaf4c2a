"""Where the bytes of an input are: in a file, in memory (a member of an archive), behind a URL.

Readers ask a `Content` for a stream, or for a file where a library takes nothing else, and need not know
which of the three it is. Formats are not known here.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, cast, runtime_checkable

from zstruct.errors import InputError
from zstruct.paths_and_urls import is_url
from zstruct.sources.remote import RemoteFile, told

__all__ = ["Content", "FileContent", "MemoryContent", "RemoteContent", "as_file", "content_of"]

_LONGEST = 200  # bytes of the name of a copy


@runtime_checkable
class Content(Protocol):
    """Bytes with a name; pickled to worker processes."""

    @property
    def label(self) -> str:
        """What messages and provenance call it, for a file its path as the user gave it."""

    @property
    def name(self) -> str:
        """The name of the file, without folders: its format may be known by that."""

    @property
    def path(self) -> str | None:
        """Where it is on this machine; None if it is in no file."""

    def fingerprint(self) -> dict[str, Any]:
        """Return JSON values that change when the bytes do; ``"size"`` is how many they are.

        Raises
        ------
        InputError
            If there is nothing of that name, or if it can't be reached.
        """

    def open(self) -> BinaryIO:
        """Return a stream of the bytes as they are, which can seek.

        Raises
        ------
        InputError
            If it can't be opened.
        """


@dataclass(frozen=True)
class FileContent:
    """A file of this machine.

    Parameters
    ----------
    label
        Its path as the user gave it.
    """

    label: str
    path: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", os.path.abspath(self.label))  # a worker may be elsewhere

    @property
    def name(self) -> str:
        """The name of the file."""
        return os.path.basename(self.path)

    def fingerprint(self) -> dict[str, Any]:
        """Return size and modification time."""
        try:
            stat = os.stat(self.path)
        except OSError as error:
            raise InputError(f"can't be opened: {error.strerror}", self.label) from error
        return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}

    def open(self) -> BinaryIO:
        """Return the file, unbuffered."""
        try:
            return cast(BinaryIO, open(self.path, "rb", buffering=0))
        except OSError as error:
            raise InputError(f"can't be opened: {error.strerror}", self.label) from error


@dataclass(frozen=True)
class MemoryContent:
    """Bytes in memory.

    Parameters
    ----------
    label
        What messages and provenance call it, such as ``data.tar::a.xyz``.
    name
        The name of the file that it was.
    data
        The bytes.
    """

    label: str
    name: str
    data: bytes = field(repr=False)
    path: None = field(default=None, init=False)

    def fingerprint(self) -> dict[str, Any]:
        """Return size and checksum."""
        return {"size": len(self.data), "crc32": zlib.crc32(self.data)}

    def open(self) -> BinaryIO:
        """Return a stream of the bytes."""
        return io.BytesIO(self.data)


@dataclass(frozen=True)
class RemoteContent:
    """What a URL is of, read through fsspec by parts.

    Parameters
    ----------
    url
        As fsspec has it; a chain, too.
    storage_options
        Of fsspec's file system.
    """

    url: str = field(repr=False)
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    label: str = field(init=False)
    path: None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", told(self.url))

    @property
    def name(self) -> str:
        """The last part of the path in the URL."""
        links = (link.partition("://")[2].partition("?")[0] for link in self.url.split("::"))
        return os.path.basename(next(filter(None, links), "").rstrip("/"))

    @property
    def file(self) -> RemoteFile:
        """What is there; each process has its own."""
        return RemoteFile(self.url, self.storage_options)

    def fingerprint(self) -> dict[str, Any]:
        """Return size, and what the server says of its version."""
        return self.file.version()

    def open(self) -> BinaryIO:
        """Return a stream that fetches what is read."""
        return cast(BinaryIO, self.file.open())


def content_of(
    given: str | os.PathLike[str] | Content, storage_options: Mapping[str, Any] | None = None
) -> Content:
    """Return what a path or a URL is of; a content is returned as it is."""
    if isinstance(given, (str, os.PathLike)):
        label = os.fspath(given)
        if is_url(label) and not os.path.exists(label):
            return RemoteContent(label, dict(storage_options or {}))
        return FileContent(label)
    return given


@contextmanager
def as_file(content: Content) -> Iterator[str]:
    """Have content as a file for a while, for libraries that take nothing else.

    Yields
    ------
    str
        Its path: its own, or that of a copy, in memory where the system can do that. The copy has the
        same name but for its folder, and for what names of files can't have.
    """
    if content.path is not None:
        yield content.path
        return
    with tempfile.TemporaryDirectory(prefix="zstruct-", dir=_place(content)) as folder:
        copy = os.path.join(folder, _file_name(content.name))
        if isinstance(content, RemoteContent):
            content.file.copy_to(copy)
        else:
            with content.open() as stream, open(copy, "wb") as file:
                while block := stream.read(1 << 22):
                    file.write(block)
        yield copy


def _file_name(name: str) -> str:
    """Return a name that a file may have, which ends as the one that is given, by an archive or a server."""
    name = re.sub(r"[\x00/\\]", "_", name)
    while len(os.fsencode(name)) > _LONGEST:
        name = name[len(name) - _LONGEST + 1 :] if len(name) >= _LONGEST else name[1:]
    return name if name.strip(".") else "content"


def _place(content: Content) -> str | None:
    """Return a folder in memory that has room for a copy, or None for the usual one for such files."""
    shared = "/dev/shm"
    if not (os.path.isdir(shared) and os.access(shared, os.W_OK)):
        return None
    return shared if shutil.disk_usage(shared).free > 2 * int(content.fingerprint()["size"]) else None
