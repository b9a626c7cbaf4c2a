"""What an archive says of its members, and what they are called: names are labels, and nothing more.

A name may be absolute, lead upwards, or be there twice: nothing is written anywhere by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["DamageError", "Labels", "Member", "base_name", "folder", "is_hidden"]

# What a label says of a member that has the name of an earlier one.
_NUMBERED = re.compile(r"member=\d+:")
# What turns text around or moves a terminal, and bytes that are no UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class DamageError(Exception):
    """Why what follows in an archive can't be read, as a sentence."""


@dataclass(frozen=True, slots=True)
class Member:
    """What an archive says of one member.

    Parameters
    ----------
    index
        Its place among all members, from 0.
    name
        Its name, folders included.
    size
        Its bytes, unpacked.
    at
        Where its bytes begin in the archive.
    kind
        What it is if it is no file: ``"a link"``, ``"a directory"``.
    fault
        Why it can't be read, as a sentence.
    """

    index: int
    name: str
    size: int
    at: int
    kind: str = ""
    fault: str = ""


def base_name(name: str) -> str:
    r"""Return the last part of a name.

    Examples
    --------
    >>> base_name("../run 1/a.xyz"), base_name(r"run\a.xyz")
    ('a.xyz', 'a.xyz')
    """
    return name.replace("\\", "/").rpartition("/")[2]


def folder(name: str) -> str:
    """Return a name without its last part."""
    return name[: len(name) - len(base_name(name))]


def is_hidden(name: str) -> bool:
    """Tell whether a part of a name is hidden; so are the ``._`` files of macOS.

    Examples
    --------
    >>> is_hidden("data/._a.xyz"), is_hidden("__MACOSX/a.xyz"), is_hidden("../a.xyz"), is_hidden("./a.xyz")
    (True, True, False, False)
    """
    if not name.startswith((".", "_")) and not any(mark in name for mark in ("/.", "\\.", "__MACOSX")):
        return False  # there may be many
    parts = re.split(r"[/\\]", name)
    return any(part.startswith(".") and part not in (".", "..") for part in parts) or "__MACOSX" in parts


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00 if code >= 0xDC80 else code:02x}"


class Labels:
    r"""What members are called in messages and in provenance, each by a label of its own.

    Characters that can't be printed, and bytes that are no text, are written as ``\x1b``.

    Parameters
    ----------
    archive
        The label of the archive.

    Examples
    --------
    >>> labels = Labels("data.tar")
    >>> [labels.of(Member(k, "a.xyz", 0, 0)) for k in range(2)]
    ['data.tar::a.xyz', 'data.tar::member=1:a.xyz']
    """

    def __init__(self, archive: str):
        self._archive, self._seen = archive, set[str]()

    def of(self, member: Member) -> str:
        """Return the label of a member, to be asked for in their order."""
        name = _UNPRINTABLE.sub(_written, member.name)
        if name in self._seen or _NUMBERED.match(name):
            return f"{self._archive}::member={member.index}:{name}"
        self._seen.add(name)
        return f"{self._archive}::{name}"
