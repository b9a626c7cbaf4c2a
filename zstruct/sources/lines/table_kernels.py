"""A table of numbers as text, so many in each line: read by one kernel, in pieces of the file.

What the numbers mean is not known here.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from zstruct.jit.kernel import kernel
from zstruct.sources.lines.characters import EXACT, NEWLINE, is_space, line_end
from zstruct.sources.lines.decimals import READ, float_called, scientific_at
from zstruct.sources.lines.words import address_of, byte_at

__all__ = ["PAD", "read_table"]

#: Newlines that a text must have after its last valid byte.
PAD = 64


@kernel(takes=2, **EXACT)
def read_table(buffer, p, stop, width, values, places, odd):
    """Read lines of numbers, until there is no room or no line.

    Parameters
    ----------
    buffer
        The bytes of the text, lines that end in a newline.
    p, stop
        Where to begin, and the end of the last line.
    width
        Numbers of a line.
    values
        Room for the numbers, shape (n * width,).
    places
        Room for where lines begin and end, shape (n + 1,).
    odd
        Room for whether a line holds anything else, shape (n,).

    Returns
    -------
    int
        How many lines were read.
    """
    text = address_of(buffer)
    row = 0
    while row < len(odd) and p < stop:
        places[row] = p
        fine, n, out = True, 0, row * width
        while True:
            c = byte_at(text, p)
            while is_space(c) and c != NEWLINE:
                p += 1
                c = byte_at(text, p)
            if c == NEWLINE:
                break
            if n == width:
                fine = False
                break
            read, value, end = scientific_at(text, p)
            if not read:
                status, value, end = float_called(text, p)
                read = status == READ
            if not (read and is_space(byte_at(text, end))):
                fine = False
                break
            values[out + n] = value
            n += 1
            p = end
        odd[row] = not fine or n != width
        p = line_end(text, p, stop) + 1
        row += 1
    places[row] = min(p, stop)
    return row
