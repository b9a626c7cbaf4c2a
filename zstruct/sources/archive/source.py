"""An archive as one input: its members are found, given to the readers that know them, and read in order.

Nothing is unpacked to the disk. Members of plain tar archives and of zip archives are read where they are, in
slices; a compressed tar archive is a stream, which one thread decompresses while others parse. Which formats
there are is known to the registry.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any, Literal

import numpy as np

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.parallel import Helpers
from zstruct.sources.archive.ahead import Ahead
from zstruct.sources.archive.contents import CopiedContent, PassingContent
from zstruct.sources.archive.listing import cut_off, is_zip, list_archive, opened_archive
from zstruct.sources.archive.member import DamageError, Labels, Member, base_name, is_hidden
from zstruct.sources.archive.tar import Tar
from zstruct.sources.ase.detection import UnreadableSource
from zstruct.sources.compression import DAMAGED, HEAD, compression, streamed
from zstruct.sources.content import Content, MemoryContent, as_file
from zstruct.sources.options import SourceOptions
from zstruct.sources.paths import STORE_FILES, is_of_run, repeated
from zstruct.sources.registry import Factory, added, detect, forced, is_archive
from zstruct.sources.source import SLICE_BYTES, BadFrame, FileSource, Raw, Slice, Source
from zstruct.text import sized

__all__ = ["ArchiveSource"]

#: Members of a slice, and their bytes.
_SLICE_MEMBERS, _SLICE_BYTES = 512, 8 << 20
#: Members up to this size are held in memory.
_HELD = 16 << 20
#: Larger ones that must be a file are copied up to this size, in memory where the system can.
_COPIED = 2 << 30
#: Members that are parsed by one call, and their bytes.
_CALL_MEMBERS, _CALL_BYTES = 64, 1 << 20
#: From so many bytes of members whose readers hold the GIL on, processes pay.
_PROCESSES_FROM = 4 << 20
#: What is larger than this when it is decompressed, and so many times as large as it was, is refused.
_LARGE, _RATIO = 64 << 20, 500

_Place = Literal["threads", "processes"]


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
        self._reader = forced(reader, self.options) if isinstance(reader, str) else reader
        self._added = added()  # readers that the registry of a worker does not have
        self._best: tuple[_Place, int] | None = None

    @property
    def runs_in(self) -> _Place:  # type: ignore[override]
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
                factory, _ = self._judged(member, content, listing.repeats)
                sources += [] if factory is None else [factory(content)]
                parts = [] if factory is None else _stretches(factory, content, member)
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
            raise self._nothing_known(listing.members)
        self._best = _best_place(sources)
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
            yield from self._passing()
            return
        listing = list_archive(self.content)
        if piece.start >= listing.edges[-1]:
            yield _bad(self.label, None, listing.fault)
            return
        first = int(np.searchsorted(listing.edges, piece.start, side="right")) - 1
        stop = int(np.searchsorted(listing.edges, piece.stop))
        ignored: list[str] = []
        with opened_archive(self.content) as archive:
            for k in range(first, stop):
                member, label = listing.members[k], listing.labels[k]
                content = archive.content(member, label)
                factory, why = self._judged(member, content, listing.repeats)
                if factory is None:
                    ignored += [] if why is None else [label + why]
                    continue
                if piece.stop < listing.edges[first + 1]:
                    start = int(listing.edges[k])
                    part = Slice(piece.start - start, piece.stop - start, piece.first_frame, piece.nbytes)
                    yield from _read(factory(content), label, [part])
                    continue
                if not member.fault and member.size <= _HELD:
                    try:
                        content = MemoryContent(label, content.name, archive.data(member))
                    except DamageError as error:
                        yield _bad(label, None, str(error))
                        continue
                yield from _read(factory(content), label)
        if ignored:
            yield _nothing(ignored=ignored)

    def _in_any_order(self) -> bool:
        """Tell whether members can be read in any order."""
        with self.content.open() as file:
            packed = compression(file.read(HEAD), self.content.name)
        return is_zip(self.content) or (self.content.path is not None and not packed)

    def _place(self) -> tuple[_Place, int]:
        if self._best is None and self._in_any_order():
            with suppress(InputError):  # which is said where the archive is scanned
                self.scan()
        self._best = self._best or ("threads", 0)
        return self._best

    def _judged(
        self, member: Member, content: Content, repeats: frozenset[str]
    ) -> tuple[Factory | None, str | None]:
        """Return what reads a member; or None, and what is said of it behind its label, if anything."""
        name = member.name
        if member.kind == "a directory" or is_hidden(name):
            return None, None
        if member.kind:
            return None, f" ({member.kind})"
        if self._reader is None:
            if is_archive(content.name):
                return None, " (an archive inside of an archive is not read: unpack it)"
            if content.name in STORE_FILES or name in repeats:
                return None, ""
        factory = self._reader or detect(content, False, self.options, self._added)
        if factory is None:
            return None, ""
        if member.fault:
            return lambda content: UnreadableSource(content, member.fault), None
        return factory, None

    def _nothing_known(self, members: Sequence[Member]) -> InputError:
        files = [member.name for member in members if not member.kind and not is_hidden(member.name)]
        names = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
        return InputError(
            f"none of its members is known by its name ({names or 'there are no files'}); unpack it, or name "
            "their format with reader=",
            self.label,
        )

    def _passing(self) -> Iterator[Raw]:
        """Yield the frames of the members of a stream; as long as others parse, it is read ahead."""
        size = int(self.fingerprint()["size"])
        with ExitStack() as stack:
            stream = stack.enter_context(streamed(self.content))
            helpers = stack.enter_context(Helpers())
            if helpers.n_workers > 1:
                stream = stack.enter_context(Ahead(stream))
            tar = Tar(stream, most=max(_LARGE, _RATIO * size))
            yield from self._in_order(tar, _Calls(helpers))

    def _in_order(self, tar: Tar, calls: _Calls) -> Iterator[Raw]:
        labels = Labels(self.label)
        ignored: list[str] = []
        members: list[Member] = []
        repeats: frozenset[str] | None = None
        n_known = 0
        damage = ""
        try:
            for member in tar.members():
                label = labels.of(member)
                passing = PassingContent(label, base_name(member.name), member.size, tar.read)
                if repeats is None and is_of_run(member.name):
                    repeats = self._repeats()
                factory, why = self._judged(member, passing, repeats or frozenset())
                if factory is None:
                    ignored += [] if why is None else [label + why]
                    members += [member] if len(members) < 4 else []
                    continue
                n_known += 1
                if member.fault or member.size > _HELD:
                    yield from calls.finished()
                    yield from _read_passing(factory(passing), factory, passing)
                    continue
                try:
                    data = passing.held()
                except DamageError as error:
                    yield from calls.finished()
                    yield _bad(label, None, str(error))
                    raise
                if len(data) < member.size:
                    yield from calls.finished()
                    yield _bad(label, None, cut_off(len(data), member.size))
                    continue
                calls.add(factory(MemoryContent(label, passing.name, data)), member.size)
                yield from calls.ready()
        except DamageError as error:
            damage = str(error)
        yield from calls.finished()
        if damage:
            yield _bad(self.label, None, damage)
        elif not n_known:
            raise self._nothing_known(members)
        if ignored:
            yield _nothing(ignored=ignored)

    def _repeats(self) -> frozenset[str]:
        """Return the members that repeat what a better one has, which may come later: it is read for that."""
        names: list[str] = []
        with streamed(self.content) as stream:
            try:
                for member in Tar(stream).members():
                    names += [] if member.kind else [member.name]
            except DamageError:  # which is said where it is read
                pass
        return frozenset(repeated(names))


def _best_place(sources: Sequence[Source]) -> tuple[_Place, int]:
    """Return where sources are best read, and up to how many bytes threads do as well."""
    held = [
        source
        for source in sources
        if source.runs_in == "processes" and not isinstance(source, UnreadableSource)
    ]
    if not held:
        return "threads", 0
    return "processes", min(getattr(source, "threads_up_to", 0) for source in held)


class _Calls:
    """Members that are in memory, read some at a time as helpers have time, and returned in order."""

    def __init__(self, helpers: Helpers):
        self._helpers = helpers
        self._waiting: deque[Callable[[], list[Raw]]] = deque()
        self._sources: list[Source] = []
        self._place: _Place = "threads"
        self._nbytes = self._nbytes_holding = 0

    def add(self, source: Source, nbytes: int) -> None:
        """Have a source read."""
        place: _Place = "threads"
        if source.runs_in == "processes" and not getattr(source, "threads_up_to", 0):
            self._nbytes_holding += nbytes
            place = "processes" if self._nbytes_holding > _PROCESSES_FROM else "threads"
        if place != self._place:
            self._begin()
        self._place = place
        self._sources.append(source)
        self._nbytes += nbytes
        if len(self._sources) == _CALL_MEMBERS or self._nbytes >= _CALL_BYTES:
            self._begin()

    def ready(self) -> Iterator[Raw]:
        """Yield what must be taken before more is added."""
        while len(self._waiting) > 2 * self._helpers.n_workers:
            yield from self._waiting.popleft()()

    def finished(self) -> Iterator[Raw]:
        """Yield all that is left."""
        self._begin()
        while self._waiting:
            yield from self._waiting.popleft()()

    def _begin(self) -> None:
        if self._sources:
            self._waiting.append(self._helpers.begin(_read_all, self._sources, self._place))
        self._sources, self._nbytes = [], 0


def _read_all(sources: Sequence[Source]) -> list[Raw]:
    return [raw for source in sources for raw in _read(source, source.label)]


def _read(source: Source, label: str, pieces: Sequence[Slice] | None = None) -> Iterator[Raw]:
    """Yield the frames of a member; where nothing more of it can be read, it has a bad frame."""
    try:
        for piece in source.scan() if pieces is None else pieces:
            for raw in source.read(piece):
                raw.label = label
                yield raw
    except InputError as error:
        yield _bad(label, error.frame, error.reason)
    except (*DAMAGED, OSError) as error:  # of copies that are made of it
        yield _bad(label, None, f"can't be read: {getattr(error, 'strerror', None) or error}")


def _read_passing(source: Source, factory: Factory, content: PassingContent) -> Iterator[Raw]:
    """Yield the frames of a large member of a stream."""
    label, size = content.label, content.size
    if isinstance(source, UnreadableSource) or getattr(source, "one_pass", False):
        yield from _read(source, label, [Slice(0, size, 0, size)])
        return
    if size > _COPIED:
        yield _bad(
            label, None, f"with {sized(size)} it is too large to be read from within an archive: unpack it"
        )
        return
    with ExitStack() as stack:
        try:
            path = stack.enter_context(as_file(content))
        except (*DAMAGED, DamageError, OSError) as error:
            yield _bad(label, None, f"can't be read: {getattr(error, 'strerror', None) or error}")
            return
        yield from _read(factory(CopiedContent(label, path)), label)


def _stretches(factory: Factory, content: Content, member: Member) -> list[Slice]:
    """Return the slices of a large member, if they are stretches of its bytes and more than one."""
    if member.size <= SLICE_BYTES or member.fault:
        return []
    try:
        parts = factory(content).scan()
    except (InputError, *DAMAGED, OSError):  # which is said where it is read
        return []
    edges = [0, *(part.stop for part in parts)]
    tile = [part.start for part in parts] == edges[:-1] and edges[-1] == member.size
    return parts if tile and len(parts) > 1 else []


def _nothing(label: str | None = None, **said: Any) -> Raw:
    none = np.zeros(0, dtype=np.int64)
    return Raw(none, none, label=label, **said)


def _bad(label: str, frame: int | None, reason: str) -> Raw:
    return _nothing(label, bad=[BadFrame(frame, reason)])
