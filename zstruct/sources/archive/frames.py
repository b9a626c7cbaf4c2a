"""The frames of members, with the labels of these; what is wrong with a member is a bad frame of it.

Which reader a member goes to is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from zstruct.errors import InputError, StoreAccessError
from zstruct.sources.archive.contents import CopiedContent, PassingContent
from zstruct.sources.archive.member import DamageError, Member
from zstruct.sources.ase.detection import UnreadableSource
from zstruct.sources.compression import DAMAGED
from zstruct.sources.content import Content, as_file
from zstruct.sources.registry import Factory
from zstruct.sources.source import SLICE_BYTES, BadFrame, Raw, Slice, Source
from zstruct.text import sized

__all__ = ["bad", "frames_of", "frames_of_passing", "nothing", "stretches"]

#: Members that must be a file are copied up to this size, in memory where the system can.
_COPIED = 2 << 30


def frames_of(source: Source, pieces: Sequence[Slice] | None = None) -> Iterator[Raw]:
    """Yield the frames of a member; where nothing more of it can be read, it has a bad frame.

    Parameters
    ----------
    source
        What reads it.
    pieces
        The slices of it that are read, by default all.
    """
    label = source.label
    try:
        for piece in source.scan() if pieces is None else pieces:
            for raw in source.read(piece):
                raw.label = label
                yield raw
    except InputError as error:
        yield bad(label, error.frame, error.reason)
    except StoreAccessError:
        raise  # of a server, which may answer another time
    except (*DAMAGED, OSError) as error:  # of copies that are made of it
        yield bad(label, None, f"can't be read: {getattr(error, 'strerror', None) or error}")


def frames_of_passing(source: Source, factory: Factory, content: PassingContent) -> Iterator[Raw]:
    """Yield the frames of a large member of a stream, which is read once, or else copied.

    Parameters
    ----------
    source
        What reads it.
    factory
        Makes such a source of a copy.
    content
        The member.
    """
    label, size = content.label, content.size
    if isinstance(source, UnreadableSource) or getattr(source, "one_pass", False):
        yield from frames_of(source, [Slice(0, size, 0, size)])
        return
    if size > _COPIED:
        yield bad(
            label, None, f"with {sized(size)} it is too large to be read from within an archive: unpack it"
        )
        return
    with ExitStack() as stack:
        try:
            path = stack.enter_context(as_file(content))
        except StoreAccessError:
            raise
        except (*DAMAGED, DamageError, OSError) as error:
            yield bad(label, None, f"can't be read: {getattr(error, 'strerror', None) or error}")
            return
        yield from frames_of(factory(CopiedContent(label, path)))


def stretches(factory: Factory, content: Content, member: Member) -> list[Slice]:
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


def nothing(label: str | None = None, **said: Any) -> Raw:
    """Return a block without frames."""
    none = np.zeros(0, dtype=np.int64)
    return Raw(none, none, label=label, **said)


def bad(label: str, frame: int | None, reason: str) -> Raw:
    """Return a block that is a bad frame."""
    return nothing(label, bad=[BadFrame(frame, reason)])
