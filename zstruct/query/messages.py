"""Sentences about an expression that point at the place they are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from zstruct.errors import InputError, UnknownNameError
from zstruct.query.syntax import Node

__all__ = ["Complaints", "pointed", "shortened"]

_SHOWN = 40  # characters of the expression in a sentence
_WIDTH = 100  # of the part of a line that is shown


def pointed(reason: str, expression: str, start: int, stop: int) -> str:
    """Return a sentence with the line of an expression that it is about, and a mark under the place.

    Parameters
    ----------
    reason
        The sentence.
    expression
        All of it.
    start, stop
        The place: from this character to the one before that.

    Examples
    --------
    >>> print(pointed("there is no quantity 'fmx'", "Ti and fmx < 10", 7, 10))
    there is no quantity 'fmx'
      Ti and fmx < 10
             ^^^
    """
    first = expression.rfind("\n", 0, start) + 1
    end = expression.find("\n", start)
    last = len(expression) if end < 0 else end
    left = max(first, start - _WIDTH // 2)
    right = min(last, left + _WIDTH)
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in expression[left:right])
    before, after = "..." if left > first else "", "..." if right < last else ""
    mark = "^" * max(1, min(stop, right) - start)
    return f"{reason}\n  {before}{line}{after}\n  {' ' * (len(before) + start - left)}{mark}"


def shortened(text: str) -> str:
    """Return a word of an expression for a sentence, cut short."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


@dataclass(frozen=True)
class Complaints:
    """Raises errors about an expression.

    Parameters
    ----------
    expression
        All of it.
    """

    expression: str

    def said(self, node: Node) -> str:
        """Return what is written, cut short."""
        return shortened(" ".join(self.expression[slice(*node.span)].split()))

    def of(self, reason: str, *nodes: Node) -> NoReturn:
        """Raise an error about nodes in a row."""
        raise InputError(pointed(reason, self.expression, nodes[0].span[0], nodes[-1].span[1]))

    def of_name(self, reason: str, node: Node) -> NoReturn:
        """Raise an error about a name that means nothing."""
        raise UnknownNameError(pointed(reason, self.expression, *node.span))
