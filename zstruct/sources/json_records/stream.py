"""The values of a JSON text one by one, not all of them in memory. What they mean is not known here."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["CutError", "members"]

_CHUNK = 1 << 22
_GAP = re.compile(r"[\s,]*")
_SPACE, _LINE = re.compile(r"\s*"), re.compile(r"[^\n]*")
_BEHIND = frozenset(",]}: \n\r\t")  # with an empty text it is not known yet


class CutError(Exception):
    """The text ends, or is no JSON any more, behind the last value."""


def members(file: io.TextIOBase, whole: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """Yield name and value of what a text holds: of an object or, without names, of a list.

    Parameters
    ----------
    file
        The text; lines at its beginning that begin with ``#`` are left out.
    whole
        Names by which an object is one value, not a table of values; its name is empty.

    Raises
    ------
    CutError
        If it is no JSON, or ends before it should.

    Examples
    --------
    >>> list(members(io.StringIO('{"a": 1, "b": [2]}'), frozenset()))
    [('a', 1), ('b', [2])]
    """
    text = _Text(file)
    text.skip(_SPACE)
    while text.at(0) == "#":
        text.skip(_LINE)
        text.skip(_SPACE)
    opens = text.at(0)
    if opens == "{":
        name = text.peeked_name()
        if name in whole:
            yield "", text.value()
            return
    elif opens != "[":
        raise CutError("it begins with neither { nor [")
    text.advance(1)
    while True:
        text.skip(_GAP)
        if text.at(0) == ("}" if opens == "{" else "]"):
            return
        name = ""
        if opens == "{":
            name = text.value()
            text.skip(_GAP)
            if not isinstance(name, str) or text.at(0) != ":":
                raise CutError(f"{str(name)[:40]!r} is no name with a colon behind it")
            text.advance(1)
            text.skip(_GAP)
        yield name, text.value()


class _Text:
    """What has been read of a file and not been used."""

    def __init__(self, file: io.TextIOBase):
        self._file, self._text, self._at, self._ended = file, "", 0, False
        self._decoder = json.JSONDecoder()

    def _more(self, n: int = _CHUNK) -> bool:
        if self._ended:
            return False
        got = self._file.read(n)
        self._ended = not got
        self._text, self._at = self._text[self._at :] + got, 0
        return bool(got)

    def at(self, ahead: int) -> str:
        """Return a character; nothing behind the end."""
        while self._at + ahead >= len(self._text) and self._more():
            pass
        return self._text[self._at + ahead : self._at + ahead + 1]

    def advance(self, n: int) -> None:
        """Go on."""
        self._at += n

    def skip(self, pattern: re.Pattern[str]) -> None:
        """Go on behind what is no value."""
        while True:
            match = pattern.match(self._text, self._at)
            end = self._at if match is None else match.end()
            if end < len(self._text) or not self._more():
                self._at = end
                return

    def peeked_name(self) -> str:
        """Return the first name in an object, and stay where it is."""
        self.at(_CHUNK // 4)
        match = re.compile(r'\{\s*"([^"\\]*)"').match(self._text, self._at)
        return match[1] if match else ""

    def value(self) -> Any:
        """Return the value that begins here, and go on behind it."""
        size = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                if isinstance(value, (dict, list)) or self._text[end : end + 1] in _BEHIND:
                    self._at = end
                    return value
                if not self._more():  # a number may go on
                    raise ValueError("there is no end to it")
            except (ValueError, RecursionError) as error:
                if isinstance(error, RecursionError) or not self._more(size):
                    raise CutError(str(error).partition(": line")[0] or "it is too deep") from None
                size *= 2
