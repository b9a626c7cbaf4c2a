"""The kernel of text exporters: items of structures and of their atoms, written one after the other.

What an item is, `zstruct.exporters.lines` says, which puts arrays of all items into a few long ones.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from zstruct.exporters.kernels.numerals import LONGEST, ROOM, put_float32, put_float64, put_integer
from zstruct.jit.kernel import helper, kernel
from zstruct.sources.lines.characters import EXACT
from zstruct.sources.lines.words import address_of, put_byte, put_word, word_at

__all__ = ["DOUBLE", "LONGEST", "NOTHING", "PAD", "SINGLE", "TEXT", "WHOLE", "write_lines"]

#: Kinds of values: none, doubles, singles, int64, and codes of texts.
NOTHING, DOUBLE, SINGLE, WHOLE, TEXT = range(5)
#: Bytes that texts, and the room to write to, must have behind their end.
PAD = ROOM + 24


@helper(**EXACT)
def _put_text(text, p, texts, start, stop):
    """Copy a text, eight bytes at a time; return the position behind it."""
    end = p + stop - start
    while p < end:
        put_word(text, p, word_at(texts, start))
        p += 8
        start += 8
    return end


@helper(**EXACT)
def _put_item(text, p, texts, spans, items, k, row, floats, ints):
    """Write one item: what comes before, its values, what comes behind; return the position behind it."""
    kind, width, first = items[k, 0], items[k, 1], items[k, 2]
    p = _put_text(text, p, texts, spans[items[k, 4], 0], spans[items[k, 4], 1])
    first += row * width
    for place in range(first, first + width):
        if place > first:
            put_byte(text, p, items[k, 6])
            p += 1
        if kind == DOUBLE:
            p = put_float64(text, p, floats[place])
        elif kind == SINGLE:
            p = put_float32(text, p, floats[place])
        elif kind == WHOLE:
            p = put_integer(text, p, ints[place])
        else:
            span = items[k, 7] + ints[place]
            p = _put_text(text, p, texts, spans[span, 0], spans[span, 1])
    return _put_text(text, p, texts, spans[items[k, 5], 0], spans[items[k, 5], 1])


@kernel(takes=3, **EXACT)
def write_lines(buffer, n_atoms, edges, items, floats, ints, masks, blob, spans, ends):
    """Write structures as text; return how many bytes that are.

    Parameters
    ----------
    buffer
        Room for all of it, and `PAD` bytes behind.
    n_atoms
        Atoms of each structure, shape (n,).
    edges
        Items before ``edges[0]`` are written once for a structure, those up to ``edges[1]`` once for each of
        its atoms, the rest once again.
    items
        Of each: kind and number of its values, where they begin in `floats` or `ints`, where the mask of the
        structures that have it begins in `masks` (-1: all have it), the spans of what comes before and
        behind, what separates values, and the span of the first text that codes stand for; shape (m, 8).
    floats, ints
        Values of all items.
    masks
        Masks of all items.
    blob, spans
        All texts, and start and end of each, shape (k, 2).
    ends
        Room for where each structure ends, shape (n,).
    """
    text, texts = address_of(buffer), address_of(blob)
    p = np.int64(0)
    row = np.int64(0)
    for structure in range(len(n_atoms)):
        for k in range(edges[0]):
            if items[k, 3] < 0 or masks[items[k, 3] + structure]:
                p = _put_item(text, p, texts, spans, items, k, structure, floats, ints)
        for atom in range(row, row + n_atoms[structure]):
            for k in range(edges[0], edges[1]):
                if items[k, 3] < 0 or masks[items[k, 3] + structure]:
                    p = _put_item(text, p, texts, spans, items, k, atom, floats, ints)
        row += n_atoms[structure]
        for k in range(edges[1], len(items)):
            if items[k, 3] < 0 or masks[items[k, 3] + structure]:
                p = _put_item(text, p, texts, spans, items, k, structure, floats, ints)
        ends[structure] = p
    return p
