"""Which members of an archive are inputs, and who reads them; of the rest, what is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zstruct.errors import InputError
from zstruct.sources.archive.member import Member, is_hidden
from zstruct.sources.ase.detection import UnreadableSource
from zstruct.sources.content import Content
from zstruct.sources.options import SourceOptions
from zstruct.sources.paths import STORE_FILES
from zstruct.sources.registry import Factory, detect, is_archive

__all__ = ["MemberReaders", "nothing_known"]


@dataclass(frozen=True)
class MemberReaders:
    """The readers of members.

    Parameters
    ----------
    chosen
        The reader of every member, instead of the one that its name suggests.
    options
        What else is said of how files are read.
    added
        Readers that the registry may not have.
    """

    chosen: Factory | None
    options: SourceOptions
    added: Sequence[Any]

    def of(
        self, member: Member, content: Content, repeats: frozenset[str]
    ) -> tuple[Factory | None, str | None]:
        """Return what reads a member; or None, and what is said of it behind its label, if anything.

        Parameters
        ----------
        member, content
            The member.
        repeats
            Names of files that repeat what a better one beside them has.
        """
        name = member.name
        if member.kind == "a directory" or is_hidden(name):
            return None, None
        if member.kind:
            return None, f" ({member.kind})"
        if self.chosen is None:
            if is_archive(content.name):
                return None, " (an archive inside of an archive is not read: unpack it)"
            if content.name in STORE_FILES or name in repeats:
                return None, ""
        factory = self.chosen or detect(content, False, self.options, self.added)
        if factory is None:
            return None, ""
        if member.fault:
            return lambda content: UnreadableSource(content, member.fault), None
        return factory, None


def nothing_known(label: str, members: Sequence[Member]) -> InputError:
    """Return what is said of an archive without any input.

    Parameters
    ----------
    label
        The archive.
    members
        Its members, or the first of them.
    """
    files = [member.name for member in members if not member.kind and not is_hidden(member.name)]
    names = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
    return InputError(
        f"none of its members is known by its name ({names or 'there are no files'}); unpack it, or name "
        "their format with reader=",
        label,
    )
