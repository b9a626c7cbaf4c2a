"""Numbers as text: as Python spells them or as Fortran does, alone, in a list, or in rows."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

__all__ = ["number", "numbers"]


def number(word: str) -> float:
    """Return the number that a word spells, perhaps with the D of Fortran's exponents.

    Raises
    ------
    ValueError
        If it is none; underscores, which ``float`` takes, are meant by no writer.

    Examples
    --------
    >>> number("-1.5D+02")
    -150.0
    """
    if not word.isascii() or "_" in word:
        raise ValueError(word)
    try:
        return float(word)
    except ValueError:
        return float(word.lower().replace("d", "e"))


def numbers(text: str) -> NDArray[np.float64] | None:
    """Return the numbers that a text spells: one, a list, or a list of lists; None if it is no such thing.

    Examples
    --------
    >>> numbers("3.5"), numbers("1, 2.5 3d0"), numbers("[[1, 2], [3, 4]]").tolist()
    (array(3.5), array([1. , 2.5, 3. ]), [[1.0, 2.0], [3.0, 4.0]])
    >>> numbers("[[1, 2], [3]]") is numbers("1 of 2") is None
    True
    """
    rows = re.fullmatch(r"\s*\[((?:[\s,]*\[[^\[\]]*\])+)\s*\]\s*", text)
    try:
        if rows is not None:
            listed = [_words(row) for row in re.findall(r"\[([^\[\]]*)\]", rows[1])]
            even = len({len(row) for row in listed}) == 1 and listed[0]
            return np.array([[number(word) for word in row] for row in listed]) if even else None
        words = _words(text)
        values = [number(word) for word in words]
    except ValueError:
        return None
    return np.array(values[0] if len(values) == 1 else values) if values else None


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()
