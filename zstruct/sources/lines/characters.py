"""Characters of text, for kernels: spaces, words and line ends; and what bytes mean in keys and values.

Text is an uint8 array with room after its last valid byte, so that whole words can be loaded at the end.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import numpy as np

from zstruct.jit.kernel import helper
from zstruct.sources.lines.words import byte_at, trailing_zeros, which_are, word_at

__all__ = [
    "CLASSES", "CLOSE", "COMMA", "EQUALS", "ESCAPE", "EXACT", "MINUS", "NEWLINE", "OPEN", "PLUS", "POINT",
    "QUOTE", "SPACE", "SPACES", "is_space", "line_end", "skip_spaces", "token_end",
]  # fmt: skip

#: Numba's options of all these kernels and helpers.
EXACT: Any = {"error_model": "numpy"}

NEWLINE, SPACE, COMMA, POINT, MINUS, PLUS = 10, 32, 44, 46, 45, 43
OPEN, CLOSE, QUOTE, ESCAPE, EQUALS = 91, 93, 34, 92, 61

_U = np.uint64
#: Eight of them; a letter with its space bit set is in lower case.
SPACES = _U(0x2020202020202020)


def _character_classes() -> np.ndarray:
    """Return what each byte means in a comment line: 0 nothing, 1 space, 2 =, 3 opens, 4 escapes."""
    table = np.zeros(256, dtype=np.uint8)
    table[[9, 10, 11, 12, 13, 28, 29, 30, 31, 32]] = 1
    table[ord("=")] = 2
    table[[ord(c) for c in "\"'{["]] = 3
    table[ord("\\")] = 4
    return table


#: What each byte means in a comment line.
CLASSES = _character_classes()


@helper(forceinline=True, **EXACT)
def is_space(c):
    """Whether a byte separates words, as ``str.split`` has it for ASCII; newlines do."""
    return 28 <= c <= 32 or 9 <= c <= 13


@helper(forceinline=True, **EXACT)
def skip_spaces(text, p):
    """Return the first position from `p` on that is a newline or no space at all."""
    while True:
        differs = word_at(text, p) ^ SPACES
        p += trailing_zeros(differs) >> 3
        c = byte_at(text, p)
        if c > SPACE or c == NEWLINE:
            return p
        if not is_space(c):
            return p
        p += 1


@helper(forceinline=True, **EXACT)
def token_end(text, p):
    """Return the position of the first space or newline from `p` on."""
    while not is_space(byte_at(text, p)):
        p += 1
    return p


@helper(forceinline=True, **EXACT)
def line_end(text, p, stop):
    """Return the position of the next newline, `stop` if there is none before it."""
    while p < stop:
        found = which_are(text, p, NEWLINE)
        if found != _U(0):
            return min(p + trailing_zeros(found), stop)
        p += 64
    return stop
