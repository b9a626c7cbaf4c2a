"""An archive as one input: its members are found, given to the readers that know them, and read in order.

Nothing is unpacked to the disk. Members of plain tar archives and of zip archives are read where they are, in
slices; a compressed tar archive is a stream, which is decompressed while it is parsed. Which formats there
are is known to the registry.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress

import numpy as np

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.sources.archive.calls import Place, best_place
from zstruct.sources.archive.contents import is_held
from zstruct.sources.archive.frames import bad, frames_of, nothing, stretches
from zstruct.sources.archive.listing import is_zip, list_archive, opened_archive
from zstruct.sources.archive.member import DamageError
from zstruct.sources.archive.passing import frames_passing
from zstruct.sources.archive.readers import MemberReaders, nothing_known
from zstruct.sources.ase.detection import UnreadableSource
from zstruct.sources.compression import HEAD, compression
from zstruct.sources.content import Content, MemoryContent
from zstruct.sources.options import SourceOptions
from zstruct.sources.registry import Factory, added, forced
from zstruct.sources.source import FileSource, Raw, Slice, Source
from zstruct.sources.together import blocks_of

__all__ = ["ArchiveSource"]

#: Members of a slice, and their bytes.
_SLICE_MEMBERS, _SLICE_BYTES = 512, 8 << 20
#: Bytes of members that are in memory at once, where these are small.
_TOGETHER = 1 << 20


@keywords()
class ArchiveSource(FileSource):
    r"""A tar or zip archive of files, each read by the reader that knows its name.

    Tar archives may be compressed by gzip, bzip2, xz or zstd. Members are read in the order in which they
    are; of two with one name, both. Links, devices, hidden files, archives, and files of no known format are
    left out. Names of members are labels: nothing is written by them.

    Parameters
    ----------
    path
        The archive.
    reader
        The reader of every member, instead of the one that its name suggests.
    places, allow_pickle
        As for `zstruct.build`.

    Examples
    --------
    >>> import io, os, tarfile, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "he.tar.gz")
    >>> text = b"1\nProperties=species:S:1:pos:R:3 energy=-77.5\nHe 0 0 0.25\n"
    >>> with tarfile.open(path, "w:gz") as archive:
    ...     member = tarfile.TarInfo("run/a.xyz")
    ...     member.size = len(text)
    ...     archive.addfile(member, io.BytesIO(text))
    >>> source = ArchiveSource(path)
    >>> [block] = source.read(source.scan()[0])
    >>> block.label.partition("he.")[2], block.structure["energy"][0].values
    ('tar.gz::run/a.xyz', array([-77.5]))
    """

    #: Each member counts its own frames.
    holds_inputs = True

    def __init__(
        self,
        path: str | os.PathLike[str] | Content,
        reader: str | Factory | None = None,
        places: Mapping[str, str] | None = None,
        allow_pickle: bool = False,
    ):
        super().__init__(path)
        self.options = SourceOptions(places or {}, allow_pickle)
        chosen = forced(reader, self.options) if isinstance(reader, str) else reader
        self._readers = MemberReaders(chosen, self.options, added())  # a worker may not have those added
        self._best: tuple[Place, int] | None = None

    @property
    def runs_in(self) -> Place:  # type: ignore[override]
        """Where its members are best read, as far as that can be told from their names."""
        return self._place()[0]

    @property
    def threads_up_to(self) -> int:  # type: ignore[override]
        """Bytes of members that threads read as well as processes."""
        return self._place()[1]

    def scan(self) -> list[Slice]:
        """Return ranges of members, and stretches of large ones; a compressed tar archive is one slice.

        Raises
        ------
        InputError
            If it can't be opened, is no archive, or holds nothing that is known.
        """
        size = int(self.fingerprint()["size"])
        if size == 0:
            raise InputError("the file is empty", self.label)
        if not self._in_any_order():
            return [Slice(0, size, 0, size)]
        listing = list_archive(self.content)
        edges = listing.edges.tolist()
        slices: list[Slice] = []
        first = nbytes = 0
        sources: list[Source] = []
        with opened_archive(self.content) as archive:
            for k, (member, label) in enumerate(zip(listing.members, listing.labels, strict=True)):
                content = archive.content(member, label)
                factory, _ = self._readers.of(member, content, listing.repeats)
                sources += [] if factory is None else [factory(content)]
                parts = [] if factory is None else stretches(factory, content, member)
                own = 0 if factory is None else member.size
                if k > first and (parts or k - first == _SLICE_MEMBERS or nbytes + own > _SLICE_BYTES):
                    slices.append(Slice(edges[first], edges[k], 0, nbytes))
                    first, nbytes = k, 0
                nbytes += own
                if parts:
                    slices += [
                        Slice(edges[k] + p.start, edges[k] + p.stop, p.first_frame, p.nbytes) for p in parts
                    ]
                    first, nbytes = k + 1, 0
        if not sources:
            raise nothing_known(self.label, listing.members)
        self._best = best_place(sources)
        if first < len(listing.members):
            slices.append(Slice(edges[first], edges[-1], 0, nbytes))
        if listing.fault:
            slices.append(Slice(edges[-1], edges[-1] + 1, 0, 0))
        return slices

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the frames of members, in blocks that have the labels of these.

        What is wrong with a member is a bad frame of it.

        Raises
        ------
        InputError
            If it can't be opened, is no archive, or holds nothing that is known.
        """
        if not self._in_any_order():
            yield from frames_passing(self.content, self._readers)
            return
        listing = list_archive(self.content)
        if piece.start >= listing.edges[-1]:
            yield bad(self.label, None, listing.fault)
            return
        first = int(np.searchsorted(listing.edges, piece.start, side="right")) - 1
        stop = int(np.searchsorted(listing.edges, piece.stop))
        ignored: list[str] = []
        held: list[Source] = []
        nbytes = 0
        with opened_archive(self.content) as archive:
            for k in range(first, stop):
                member, label = listing.members[k], listing.labels[k]
                content = archive.content(member, label)
                factory, why = self._readers.of(member, content, listing.repeats)
                if factory is None:
                    ignored += [] if why is None else [label + why]
                    continue
                if piece.stop < listing.edges[first + 1]:
                    start = int(listing.edges[k])
                    part = Slice(piece.start - start, piece.stop - start, piece.first_frame, piece.nbytes)
                    yield from frames_of(factory(content), [part])
                    continue
                try:
                    if not member.fault and is_held(member.size):
                        content = MemoryContent(label, content.name, archive.data(member))
                    held.append(factory(content))
                except DamageError as error:
                    held.append(UnreadableSource(content, str(error)))
                nbytes += member.size
                if nbytes >= _TOGETHER:
                    yield from blocks_of(held, frames_of)
                    held, nbytes = [], 0
            yield from blocks_of(held, frames_of)
        if ignored:
            yield nothing(ignored=ignored)

    def _in_any_order(self) -> bool:
        """Tell whether members can be read in any order."""
        with self.content.open() as file:
            packed = compression(file.read(HEAD), self.content.name)
        return is_zip(self.content) or (self.content.path is not None and not packed)

    def _place(self) -> tuple[Place, int]:
        if self._best is None and self._in_any_order():
            with suppress(InputError):  # which is said where the archive is scanned
                self.scan()
        self._best = self._best or ("threads", 0)
        return self._best
