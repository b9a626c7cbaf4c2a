"""The words of an expression: numbers, texts, names and signs, each with its place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal, NamedTuple

from zstruct.errors import InputError
from zstruct.query.messages import pointed, shortened

__all__ = ["KEYWORDS", "Token", "tokens"]

Kind = Literal["number", "text", "name", "keyword", "sign", "end"]

#: The words that no quantity can be called by itself. Case matters: ``In`` is indium.
KEYWORDS = ("and", "or", "not", "in", "true", "false")

_NUMBER = r"(?:[0-9]+(?:_[0-9]+)*\.?(?:[0-9]+(?:_[0-9]+)*)?|\.[0-9]+(?:_[0-9]+)*)(?:[eE][+-]?[0-9]+)?"
_PATTERN = re.compile(
    rf"(?P<space>[ \t\r\n\f\v]+)|(?P<number>{_NUMBER})|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"""|(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<sign><=|>=|==|!=|[<>+\-*/()\[\],])"""
)
# What other languages write, and what is written here.
_FOREIGN = {
    "&&": "and", "&": "and", "||": "or", "|": "or", "!": "not", "~": "not", "=": "==", "<>": "!=",
    "=>": ">=", "=<": "<=",
    "\N{LESS-THAN OR EQUAL TO}": "<=", "\N{GREATER-THAN OR EQUAL TO}": ">=", "\N{NOT EQUAL TO}": "!=",
    "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{MULTIPLICATION SIGN}": "*", "\N{MIDDLE DOT}": "*",
    "\N{DIVISION SIGN}": "/",
}  # fmt: skip
_CURLED = (
    "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
    "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}`"
)


class Token(NamedTuple):
    """A word of an expression.

    Parameters
    ----------
    kind
        What it is.
    text
        As it is written.
    start, stop
        Its place.
    """

    kind: Kind
    text: str
    start: int
    stop: int


def tokens(expression: str) -> list[Token]:
    """Return the words of an expression, and one of kind "end" behind them.

    Raises
    ------
    InputError
        If some of it is no word; points at it.

    Examples
    --------
    >>> [token.text for token in tokens("Ti>2 and x=='a'")]
    ['Ti', '>', '2', 'and', 'x', '==', "'a'", '']
    """
    return list(_tokens(expression))


def _tokens(expression: str) -> Iterator[Token]:
    at, before = 0, None
    while at < len(expression):
        found = _PATTERN.match(expression, at)
        if found is None or expression.startswith("<>", at):
            raise InputError(_no_word(expression, at))
        kind, stop = found.lastgroup, found.end()
        if before == "number" and (kind in ("name", "number") or found.group() == "."):
            start = _start_of_word(expression, at)
            word = re.match(r"[0-9A-Za-z_.]*", expression[start:])
            end = start + (word.end() if word else 1)
            raise InputError(
                pointed(
                    f"{shortened(expression[start:end])!r} is no number; write 12, 1.5, 1_000 or 1e-3, "
                    "and a space between a number and a word",
                    expression,
                    start,
                    end,
                )
            )
        if kind == "name":
            yield Token("keyword" if found.group() in KEYWORDS else "name", found.group(), at, stop)
        elif kind == "number":
            yield Token("number", found.group(), at, stop)
        elif kind == "text":
            yield Token("text", found.group(), at, stop)
        elif kind == "sign":
            yield Token("sign", found.group(), at, stop)
        at, before = stop, kind
    yield Token("end", "", len(expression), len(expression))


def _start_of_word(expression: str, at: int) -> int:
    while at > 0 and re.match(r"[0-9A-Za-z_.]", expression[at - 1]):
        at -= 1
    return at


def _no_word(expression: str, at: int) -> str:
    """Return what is wrong with the character at a place that begins no word."""
    character = expression[at]
    if character in "'\"":
        return pointed("this text has no closing quote", expression, at, len(expression))
    for width in (2, 1):
        instead = _FOREIGN.get(expression[at : at + width])
        if instead is not None:
            return pointed(f"write {instead} here", expression, at, at + width)
    if character in _CURLED:
        return pointed("write plain quotes around a text, ' or \"", expression, at, at + 1)
    if character == "^":
        return pointed("there are no powers: multiply, as in x * x", expression, at, at + 1)
    if character == "." or character == ":":
        return pointed(f"{character!r} means nothing here; a component is stress[xx]", expression, at, at + 1)
    name = unicodedata.name(character, "") if not character.isascii() else ""
    said = repr(character) if character.isprintable() else f"U+{ord(character):04X}"
    said += f" ({name.lower()})" if name else ""
    meant = "; in names of fields it became _" if character.isalpha() else ""
    return pointed(f"the character {said} means nothing in an expression{meant}", expression, at, at + 1)
