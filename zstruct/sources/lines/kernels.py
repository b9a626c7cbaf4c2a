"""Kernels of formats that are lines: runs of lines that begin alike, and rows of numbers in them.

Text is an uint8 array with `PAD` bytes of room after its last valid byte, and positions are indices into it.
What is read here is what such files usually hold; a run with anything else in it is marked, and somebody
else has a closer look.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from zstruct.elements import numbers_by_letters
from zstruct.jit.kernel import helper, kernel
from zstruct.sources.lines.characters import EXACT, NEWLINE, is_space, line_end, token_end
from zstruct.sources.lines.decimals import READ, float_at, integer_at
from zstruct.sources.lines.words import (
    address_of,
    byte_at,
    count_ones,
    trailing_zeros,
    which_are,
    which_are_spaces,
    word_at,
)

#: Bytes a text array must have after its last valid byte.
PAD = 128
#: Codes of lines that begin with no known words: those with nothing in them, and all others.
BLANK, OTHER = 0, 1
# What the words of a row are.
SKIP, REAL, INTEGER, ELEMENT, TEXT = range(5)
#: Columns of a run: code, position, number of lines, and lines before it.
CODE, PLACE, LINES, BEFORE = range(4)

_U = np.uint64
_ELEMENTS = numbers_by_letters()


@helper(**EXACT)
def _masked(text, p, size):
    """Return the first `size` of the eight bytes at `p`, zeros behind."""
    if size >= 8:
        return word_at(text, p)
    if size <= 0:
        return _U(0)
    return word_at(text, p) & ((_U(1) << _U(8 * size)) - _U(1))


@kernel(takes=2, **EXACT)
def index_runs(buffer, p, stop, final, keys, sizes, leads, merged, runs):
    """Find runs of lines that begin with the same words.

    Parameters
    ----------
    buffer
        The bytes of the text.
    p, stop
        Where to begin, and the end of the valid bytes.
    final
        Whether the file ends at `stop`; if not, a line that might go on after it is left alone.
    keys, sizes
        What lines may begin with, as 24 bytes, shape (k, 3), and how many of these count, shape (k,).
        Code 2 is the first of them.
    leads
        What begins with a byte: 1 one of these, 2 a line that is as good as blank; shape (256,).
    merged
        Whether adjacent lines of a code are one run, shape (k + 2,).
    runs
        Room for code, position, number of lines and lines before of each run, shape (n, 4).

    Returns
    -------
    n, p, line
        Number of runs, where to go on, and lines up to there.
    """
    text = address_of(buffer)
    n = line = 0
    last = -1
    while p < stop:
        end = line_end(text, p, stop)
        if end == stop and not final:
            break
        q = p
        while q < end and is_space(byte_at(text, q)):
            q += 1
        code = BLANK if q == end else OTHER
        lead = leads[byte_at(text, q)] if q < end else 0
        if lead == 2:
            code = BLANK
        elif lead == 1:
            for k in range(len(sizes)):
                size = sizes[k]
                if (
                    q + size <= end
                    and _masked(text, q, size) == keys[k, 0]
                    and _masked(text, q + 8, size - 8) == keys[k, 1]
                    and _masked(text, q + 16, size - 16) == keys[k, 2]
                    and (q + size == end or is_space(byte_at(text, q + size)))
                ):
                    code = k + 2
                    break
        if code == last and merged[code]:
            runs[n - 1, LINES] += 1
        else:
            if n == len(runs):
                break
            runs[n, CODE] = code
            runs[n, PLACE] = p
            runs[n, LINES] = 1
            runs[n, BEFORE] = line
            n += 1
            last = code
        line += 1
        p = end + 1
    return n, min(p, stop), line


@helper(**EXACT)
def _element(text, p, end):
    """Return the atomic number of a symbol in any case, 0 if it is none."""
    length = end - p
    c = byte_at(text, p)
    if length > 2 or not 97 <= c | 32 <= 122:
        return 0
    place = 32 * (c & 31)
    if length == 2:
        d = byte_at(text, p + 1)
        if not 97 <= d | 32 <= 122:
            return 0
        place += d & 31
    number = np.int64(_ELEMENTS[place])
    return 0 if number == 255 else number


@kernel(takes=3, **EXACT)
def read_rows(buffer, places, lines, rows, program, floats, ints, numbers, spans, tokens, odd):
    """Read runs of lines, all words of which are known by their place, into flat columns.

    Parameters
    ----------
    buffer
        The bytes of the text; the last line must end in a newline.
    places, lines, rows
        Position of each run, number of its lines, and row of the first, shape (n,).
    program
        Steps: what words are, how many of them there are, and where in the array of their kind the rows
        begin; shape (m, 3).
    floats, ints, numbers, spans
        Room for reals, for integers, for atomic numbers, and for start and end of texts, shape (k, 2).
    tokens
        Room for the words of a line, 72 more than there are.
    odd
        Room for whether a run has anything else in it, shape (n,).
    """
    text = address_of(buffer)
    width = np.int64(0)
    for step in range(len(program)):
        width += program[step, 1]
    for run in range(len(places)):
        p = places[run]
        fine = True
        for row in range(rows[run], rows[run] + lines[run]):
            # All words are found first: then no number has to wait for the one before it.
            n_tokens = 0
            open_before = _U(1)
            while True:
                spaces = which_are_spaces(text, p)
                ends = which_are(text, p, NEWLINE)
                begins = ~spaces & ((spaces << _U(1)) | open_before)
                begins = begins & (ends ^ (ends - _U(1)))  # up to the newline; all if there is none
                open_before = spaces >> _U(63)
                count = count_ones(begins)
                for k in range(count):
                    tokens[n_tokens + k] = p + trailing_zeros(begins)
                    begins = begins & (begins - _U(1))
                n_tokens += count
                if ends != _U(0):
                    p += trailing_zeros(ends) + 1
                    break
                p += 64
                if n_tokens > width:
                    break
            if n_tokens != width:
                fine = False
                break
            token = 0
            for step in range(len(program)):
                what, size = program[step, 0], program[step, 1]
                out = program[step, 2] + row * size
                if what == REAL:
                    for place in range(out, out + size):
                        status, value, end = float_at(text, tokens[_U(token)])
                        token += 1
                        floats[_U(place)] = value
                        fine = fine and status == READ and is_space(byte_at(text, end))
                    continue
                for place in range(out, out + size):
                    start = tokens[token]
                    token += 1
                    if what == SKIP:
                        continue
                    end = token_end(text, start)
                    if what == INTEGER:
                        fits, whole = integer_at(text, start, end)
                        ints[place] = whole
                        fine = fine and fits
                    elif what == ELEMENT:
                        numbers[place] = _element(text, start, end)
                        fine = fine and numbers[place] > 0
                    else:
                        spans[place, 0] = start
                        spans[place, 1] = end
            if not fine:
                break
        odd[run] = not fine
