"""The members of an archive that can be read in any order, and the addresses that slices of it have.

A member takes as many addresses as it has bytes, and one more: so slices can be ranges of whole members as
well as stretches of a large one.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError, ZstructError
from zstruct.sources.archive.contents import StretchContent, UnzippedContent, unzip_fault
from zstruct.sources.archive.member import DamageError, Labels, Member, base_name
from zstruct.sources.archive.tar import Tar
from zstruct.sources.archive.zipped import opened_zip, unzipped, zip_members
from zstruct.sources.content import Content
from zstruct.sources.paths import repeated

__all__ = ["Listing", "OpenArchive", "cut_off", "is_zip", "list_archive", "opened_archive"]

_BUFFER = 1 << 16
#: How zip archives begin; a tar archive begins with a name, which may be PK, too.
_ZIP = (b"PK\3\4", b"PK\5\6", b"PK\7\x08")
_LISTINGS = 4  # that a process keeps


@dataclass(frozen=True)
class Listing:
    """What an archive holds.

    Parameters
    ----------
    members, labels
        All members in their order, and what they are called.
    repeats
        Names of files that repeat what a better one beside them has.
    fault
        Why there is nothing behind the last of them that can be read; empty if there is nothing.
    edges
        The addresses with which members begin, and the one behind the last, shape (n + 1,).
    entries
        What the table of a zip archive says of them.
    """

    members: list[Member]
    labels: list[str]
    repeats: frozenset[str]
    fault: str
    edges: NDArray[np.int64]
    entries: list[zipfile.ZipInfo]


class OpenArchive(Protocol):
    """An archive of which members are read in any order."""

    def content(self, member: Member, label: str) -> Content:
        """Return what a member holds, unread."""

    def data(self, member: Member) -> bytes:
        """Return the bytes of a member.

        Raises
        ------
        DamageError
            If they can't be had.
        """


class _OpenTar:
    def __init__(self, archive: Content, stream: io.BufferedReader[Any]):
        self._archive, self._stream = archive, stream

    def content(self, member: Member, label: str) -> Content:
        return StretchContent(label, base_name(member.name), self._archive, member.at, member.size)

    def data(self, member: Member) -> bytes:
        self._stream.seek(member.at)
        data = self._stream.read(member.size)
        if len(data) < member.size:
            raise DamageError(cut_off(len(data), member.size))
        return data


class _OpenZip:
    def __init__(self, file: BinaryIO, entries: Sequence[zipfile.ZipInfo], label: str):
        self._file, self._entries, self._label = file, entries, label
        self._opened: zipfile.ZipFile | None = None

    def archive(self) -> zipfile.ZipFile:
        """Return what unzips in all ways; to open it takes time where members are many."""
        self._opened = self._opened or opened_zip(self._file, self._label)
        return self._opened

    def content(self, member: Member, label: str) -> Content:
        info = self._entries[member.index]
        return UnzippedContent(label, base_name(member.name), self.archive, info)

    def data(self, member: Member) -> bytes:
        info = self._entries[member.index]
        try:
            data = unzipped(self._file, info)
            return self.archive().read(info) if data is None else data
        except ZstructError:
            raise  # of a server, which says what it is
        except Exception as error:  # whatever the damage, or the kind of compression
            raise DamageError(unzip_fault(error)) from error


def cut_off(there: int, size: int) -> str:
    """Return what is said of a member that is not all there."""
    return f"the archive is cut off inside of it: {there:,} of its {size:,} bytes are there"


def is_zip(content: Content) -> bool:
    """Tell whether content is a zip archive, by its beginning, or else its name."""
    with content.open() as file:
        return file.read(4) in _ZIP or content.name.lower().endswith(".zip")


@contextmanager
def opened_archive(content: Content) -> Iterator[OpenArchive]:
    """Open a zip or a plain tar archive.

    Raises
    ------
    InputError
        If it can't be opened.
    """
    if is_zip(content):
        with content.open() as file:
            yield _OpenZip(file, list_archive(content).entries, content.label)
    else:
        with content.open() as file, io.BufferedReader(file, _BUFFER) as stream:  # type: ignore[type-var]
            yield _OpenTar(content, stream)


def list_archive(content: Content) -> Listing:
    """List a zip or a plain tar archive; a process remembers the last ones.

    Raises
    ------
    InputError
        If it is none, or nothing of it can be read.
    """
    return _listed((content.label, content.path), tuple(content.fingerprint().items()), _Alike(content))


class _Alike:
    """A content that equals any other: label and fingerprint tell archives apart."""

    def __init__(self, content: Content):
        self.content = content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alike)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=_LISTINGS)
def _listed(name: tuple[Any, ...], fingerprint: tuple[tuple[str, Any], ...], alike: _Alike) -> Listing:
    content, size = alike.content, int(dict(fingerprint)["size"])
    members: list[Member] = []
    fault = ""
    entries: list[zipfile.ZipInfo] = []
    if is_zip(content):
        with content.open() as file, opened_zip(file, content.label) as archive:
            entries, members = archive.infolist(), zip_members(archive, size, content.label)
    else:
        with content.open() as file, io.BufferedReader(file, _BUFFER) as stream:  # type: ignore[type-var]
            try:
                for member in Tar(stream, size).members():
                    members.append(member)  # up to where it is damaged
            except DamageError as error:
                fault = str(error)
    if not members:
        raise InputError(fault or "the archive has no members", content.label)
    labels = Labels(content.label)
    edges = np.zeros(len(members) + 1, dtype=np.int64)
    # Of those that can't be read nobody knows how large they are.
    np.cumsum([1 if member.fault else member.size + 1 for member in members], out=edges[1:])
    repeats = frozenset(repeated([member.name for member in members if not member.kind]))
    return Listing(members, [labels.of(member) for member in members], repeats, fault, edges, entries)
