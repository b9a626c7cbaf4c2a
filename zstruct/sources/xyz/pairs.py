"""Comment lines of extended XYZ, for kernels: split into pairs of key and value."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper
from zstruct.sources.lines.characters import (
    CLASSES,
    CLOSE,
    EQUALS,
    ESCAPE,
    EXACT,
    NEWLINE,
    OPEN,
    QUOTE,
    SPACE,
)
from zstruct.sources.lines.words import byte_at, put_byte, trailing_zeros, which_are

__all__ = ["split_fully", "split_plainly"]

_U = np.uint64


@helper(**EXACT)
def _is_nested(text, p, end):
    """Whether the bracket at `p` opens a list of lists."""
    p += 1
    while p < end and CLASSES[byte_at(text, p)] == 1:
        p += 1
    return p < end and byte_at(text, p) == OPEN


@helper(**EXACT)
def _nested_end(text, p, end):
    """Return the position behind the list of lists that opens at `p`; -1 if it is never closed."""
    depth = 0
    while p < end:
        c = byte_at(text, p)
        if c == OPEN:
            depth += 1
        elif c == CLOSE:
            depth -= 1
            if depth == 0:
                return p + 1
        elif c == ESCAPE:
            p += 1
        elif c == QUOTE:
            p += 1
            while p < end and byte_at(text, p) != QUOTE:
                p += 2 if byte_at(text, p) == ESCAPE else 1
        p += 1
    return -1


@helper(**EXACT)
def split_plainly(text, p, end, pairs):
    """Split a comment without escapes and quotes in odd places; -1 if it is not such a one.

    Pairs are start and end of key and value; the start of an absent value is -1, the end of a list
    of lists is ``~end``.
    """
    n = 0
    while True:
        while p < end and CLASSES[byte_at(text, p)] == 1:
            p += 1
        if p >= end:
            return n
        key = p
        while p < end and CLASSES[byte_at(text, p)] == 0:
            p += 1
        if p == key or (p < end and CLASSES[byte_at(text, p)] > 2):
            return -1
        pairs[n, 0] = key
        pairs[n, 1] = p
        pairs[n, 2] = -1
        while p < end and CLASSES[byte_at(text, p)] == 1:
            p += 1
        if p < end and byte_at(text, p) == EQUALS:
            p += 1
            start = p
            while p < end and CLASSES[byte_at(text, p)] == 1:
                p += 1
            apart = p > start
            start = p
            if p < end:
                c = byte_at(text, p)
                kind = CLASSES[c]
                if kind == 3:
                    if c == OPEN and _is_nested(text, p, end):
                        p = _nested_end(text, p, end)
                        if p < 0:
                            return -1
                        pairs[n, 3] = ~p
                    else:
                        close = c + 2 if c > 90 else c
                        p += 1
                        start = p
                        found = which_are(text, p, close) | which_are(text, p, ESCAPE)
                        while found == _U(0) and p < end:
                            p += 64
                            found = which_are(text, p, close) | which_are(text, p, ESCAPE)
                        p += trailing_zeros(found)
                        if p >= end or byte_at(text, p) == ESCAPE:
                            return -1
                        pairs[n, 3] = p
                        p += 1
                else:
                    while p < end and (
                        CLASSES[byte_at(text, p)] == 0 or (CLASSES[byte_at(text, p)] == 2 and not apart)
                    ):
                        p += 1
                    if kind == 2 or byte_at(text, p - 1) == EQUALS:
                        return -1
                    pairs[n, 3] = p
                maybe_key = apart and kind == 0
                if p < end and CLASSES[byte_at(text, p)] != 1 + maybe_key * (byte_at(text, p) == EQUALS):
                    return -1
                while p < end and CLASSES[byte_at(text, p)] == 1:
                    p += 1
                if p < end and byte_at(text, p) == EQUALS:
                    if not maybe_key:
                        return -1
                    pairs[n, 3] = start  # it is the next key, and this one has no value
                    p = start
            else:
                pairs[n, 3] = p
            pairs[n, 2] = start
        n += 1


@helper(**EXACT)
def split_fully(text, p, end, pairs):
    """Split any comment, writing keys and values without quotes and escapes over it.

    What is written never overtakes what is read: a quote, an escape, a space or an equals sign is
    dropped for each separator written. Returned are the number of pairs, and whether a quote or a
    bracket is never closed.
    """
    n = -1
    out = p
    closed = True  # no key or value is open
    started = False  # the open one has characters or quotes
    escaped = False
    apart = False  # there is space between the equals sign and the value
    nested = False  # the value is a list of lists
    close = 0
    while p < end:
        c = byte_at(text, p)
        kind = CLASSES[c]
        kept = opens = False
        if escaped:
            escaped, kept = False, True
            if c == 110 and close:  # an n for a newline
                c = NEWLINE
        elif kind == 4:
            escaped = True
        elif close:
            kept = c != close
            close = close if kept else 0
        elif kind == 0:
            kept = True
        elif kind == 1:
            apart = apart or (not closed and not started)
            closed = closed or started
        elif kind == 3:
            if (
                c == OPEN
                and n >= 0
                and pairs[n, 2] >= 0
                and not closed
                and not started
                and _is_nested(text, p, end)
            ):
                stop = _nested_end(text, p, end)
                if stop < 0:
                    return n + 1, True
                while p < stop:
                    put_byte(text, out, byte_at(text, p))
                    out += 1
                    p += 1
                started = True
                nested = p >= end or CLASSES[byte_at(text, p)] == 1
                continue
            opens = True
            close = c + 2 if c > 90 else c
        else:
            if n >= 0 and pairs[n, 2] >= 0 and not (apart and started):  # a value goes on
                put_byte(text, out, c)
                out += 1
                nested = False
            else:
                if n < 0:
                    n = 0
                    pairs[0, 0] = out
                elif pairs[n, 2] >= 0:  # what seemed a value is the next key
                    pairs[n + 1, 0] = pairs[n, 2]
                    pairs[n, 3] = pairs[n, 2]
                    n += 1
                pairs[n, 1] = out
                put_byte(text, out, SPACE)
                out += 1
                pairs[n, 2] = out
                apart = nested = False
            closed = started = False
        if kept or opens:
            if closed:
                if n >= 0:
                    pairs[n, 3 if pairs[n, 2] >= 0 else 1] = ~out if nested else out
                    put_byte(text, out, SPACE)
                    out += 1
                n += 1
                pairs[n, 0] = out
                pairs[n, 2] = -1
                closed = nested = False
            started = True
        if kept:
            put_byte(text, out, c)
            out += 1
        p += 1
    if n >= 0:
        pairs[n, 3 if pairs[n, 2] >= 0 else 1] = ~out if nested else out
        if out < end:
            put_byte(text, out, SPACE)
    return n + 1, close != 0 or escaped
