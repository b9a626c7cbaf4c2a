"""Sentences about an expression that point at the place they are about."""

from __future__ import annotations

__all__ = ["pointed"]

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
