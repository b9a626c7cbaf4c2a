"""A compressed tar archive: a stream, which some threads decompress while others parse its members."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from zstruct.parallel import Helpers
from zstruct.sources.archive.ahead import Ahead
from zstruct.sources.archive.calls import Calls
from zstruct.sources.archive.contents import PassingContent, is_held
from zstruct.sources.archive.frames import bad, frames_of_passing, nothing
from zstruct.sources.archive.listing import cut_off
from zstruct.sources.archive.member import DamageError, Labels, Member, base_name
from zstruct.sources.archive.readers import MemberReaders, nothing_known
from zstruct.sources.archive.tar import Tar
from zstruct.sources.bzip2 import BlockStream
from zstruct.sources.compression import decompressed, kind_of
from zstruct.sources.content import Content, MemoryContent
from zstruct.sources.paths import is_of_run, repeated
from zstruct.sources.source import Raw

__all__ = ["frames_passing"]

_IGNORED = 1000  # members of which nobody knows the format, that are told of at once


def frames_passing(archive: Content, readers: MemberReaders) -> Iterator[Raw]:
    """Yield the frames of the members of a stream, in order; as long as others parse, it is read ahead.

    Parameters
    ----------
    archive
        The archive.
    readers
        Who reads its members.

    Raises
    ------
    InputError
        If it can't be opened, or holds nothing that is known.
    """
    with ExitStack() as stack:
        helpers = stack.enter_context(Helpers())
        if helpers.n_workers > 1 and kind_of(archive) == "bzip2":
            stream: Any = stack.enter_context(BlockStream(archive, helpers.n_workers))
        else:
            stream = stack.enter_context(decompressed(archive))
        if helpers.n_workers > 1:
            stream = stack.enter_context(Ahead(stream))
        yield from _in_order(archive, readers, Tar(stream), Calls(helpers))


def _in_order(archive: Content, readers: MemberReaders, tar: Tar, calls: Calls) -> Iterator[Raw]:
    labels = Labels(archive.label)
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
                repeats = _repeats(archive)
            factory, why = readers.of(member, passing, repeats or frozenset())
            if factory is None:
                ignored += [] if why is None else [label + why]
                members += [member] if len(members) < 4 else []
                if len(ignored) == _IGNORED:
                    yield nothing(ignored=ignored)
                    ignored = []
                continue
            n_known += 1
            if member.fault or not is_held(member.size):
                yield from calls.finished()
                yield from frames_of_passing(factory(passing), factory, passing)
                continue
            try:
                data = passing.held()
            except DamageError as error:
                yield from calls.finished()
                yield bad(label, None, str(error))
                raise
            if len(data) < member.size:
                yield from calls.finished()
                yield bad(label, None, cut_off(len(data), member.size))
                continue
            calls.add(factory(MemoryContent(label, passing.name, data)), member.size)
            yield from calls.ready()
    except DamageError as error:
        damage = str(error)
    yield from calls.finished()
    if damage:
        yield bad(archive.label, None, damage)
    elif not n_known:
        raise nothing_known(archive.label, members)
    if ignored:
        yield nothing(ignored=ignored)


def _repeats(archive: Content) -> frozenset[str]:
    """Return the members that repeat what a better one has, which may come later: it is read for that."""
    names: list[str] = []
    with decompressed(archive) as stream:
        try:
            for member in Tar(stream).members():
                names += [member.name] if is_of_run(member.name) and not member.kind else []
        except DamageError:  # which is said where it is read
            pass
    return frozenset(repeated(names))
