"""The kernels of a gather from several stores: one call for a batch, over a table of their places.

A batch has the memory that `zstruct.loading.gather.kernels` describes. ``table[p]`` is what is known of a
part: where its row edges lie, which of its structures count, where rows of its fields lie and whether they
are there; the places in it are named here. ``steps[p, f]`` says what is done to a field of the batch: its
operation, bytes of its row there and here, and how a missing value looks, as for a single store; then which
of the part's fields it is, and something more: the address of what codes become, or the words that stand
where there is nothing.
"""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper, kernel
from zstruct.jit.pointers import array_at, at_int32, at_int64, at_uint8, expect, first_line, move, prefetch
from zstruct.loading.gather.kernels import (
    COPY,
    NO_MASK,
    NOTHING,
    copy_blocks,
    copy_values,
    is_given,
    n_masks,
    number_atoms,
    padded,
)

__all__ = [
    "ADDRESSES",
    "ATOM_ADDRESSES",
    "ATOM_BLOCKS",
    "ATOM_ROWS",
    "ATOM_SPAN",
    "ATOM_THERE",
    "BLOCKS",
    "BYTES",
    "FIRST",
    "MASK_WHOLE",
    "OFFSETS",
    "ROWS",
    "SINGLES",
    "SPAN",
    "SUBSET",
    "THERE",
    "WORDS",
    "WORDS_OF_PART",
    "fill_mixed",
    "locate_mixed",
    "weave",
]

# What the words of a part are: addresses of row edges and of the structures that count (0: all), the number
# of its first structure, then for atoms and for structures: address of the table of addresses, how many there
# are of a field, rows that each stands for, address of the flags of blocks that are there (0: all are), and
# rows of a block.
OFFSETS, SUBSET, FIRST = 0, 1, 2
ATOM_ADDRESSES, ATOM_BLOCKS, ATOM_SPAN, ATOM_THERE, ATOM_ROWS = 3, 4, 5, 6, 7
ADDRESSES, BLOCKS, SPAN, THERE, ROWS = 8, 9, 10, 11, 12
WORDS_OF_PART = 13

# Beside the operations of a single store: the field is not there, and its place is filled with something.
WORDS, SINGLES, BYTES = 10, 11, 12
NOWHERE = -1  # no part has it
# Beside the ways in which values are missing: all structures of the part have some. Others are looked at.
MASK_WHOLE, LOOK = 10, 2
_FEW = 32  # parts
_AHEAD = 16  # by measurement: structures between what is asked for and what is copied


@kernel
def locate_mixed(indices, order, edges, table, head, found):  # type: ignore[no-untyped-def]
    """Do what `locate` does, with structures of several parts; write the part of each, then their numbers.

    `edges` are those of the parts in what the indices count, or, where there is an order, in what that has.
    The numbers are those of the structures were all stores one.
    """
    n, edge, missing, n_parts = len(indices), 0, False, len(edges) - 1
    size = edges[n_parts]
    chosen = False  # whether of some part, some structures only count
    check = False  # whether of some part, some blocks only may be there
    for p in range(n_parts):
        check |= table[p, THERE] != 0 or table[p, ATOM_THERE] != 0
    ordered = len(order) > 0
    for i in range(n):
        k = indices[i]
        if k < 0:
            k += size
        if k < 0 or k >= size:
            return -2 - i
        if ordered:
            k = order[k]
        # Without branches, which nobody could predict; of very many parts, most are ruled out before.
        p, last = 0, n_parts
        while last - p > _FEW:
            middle = (p + last) // 2
            if edges[middle] <= k:
                p = middle
            else:
                last = middle
        for q in range(p + 1, last):
            p += edges[q] <= k
        k -= edges[p]
        found[i], head[i] = p, k
        subset = table[p, SUBSET]
        chosen |= subset != 0
        prefetch((subset if subset else table[p, OFFSETS]) + 8 * k)
    if chosen:
        for i in range(n):
            p = found[i]
            if table[p, SUBSET]:
                head[i] = at_int64(table[p, SUBSET])[head[i]]
                prefetch(table[p, OFFSETS] + 8 * head[i])
    head[n] = 0
    for i in range(n):
        p, k = found[i], head[i]
        offsets = at_int64(table[p, OFFSETS])
        start, stop = offsets[k], offsets[k + 1]
        edge += stop - start
        head[n + 1 + i], head[2 * n + 1 + i], head[3 * n + 1 + i] = edge, stop - start, start
        found[n + i] = table[p, FIRST] + k
        if not check:
            continue
        if table[p, THERE]:
            missing |= at_uint8(table[p, THERE])[k // table[p, ROWS]] == 0
        if table[p, ATOM_THERE] and stop > start:
            there, rows = at_uint8(table[p, ATOM_THERE]), table[p, ATOM_ROWS]
            for block in range(start // rows, (stop - 1) // rows + 1):
                missing |= there[block] == 0
    return -1 if missing else edge


@kernel(takes=2)
def fill_mixed(table, atom_steps, steps, whose, n, head, body, numbered):  # type: ignore[no-untyped-def]
    """Copy all fields of the structures of `head`, and number these if they are to be `numbered`."""
    if numbered:
        number_atoms(atom_steps[0], n, head, body)
    n_atom_masks = n_masks(atom_steps[0])
    # Said so that the compiler does not see which it is: it would make the same code twice.
    yes, no = n >= 0, n < 0
    _fill(table, atom_steps, whose, yes, n_atom_masks, n, head, body)
    _fill(table, steps, whose, no, n_atom_masks, n, head, body)


@helper
def _fill(table, steps, whose, per_atom, n_atom_masks, n, head, body):  # type: ignore[no-untyped-def]
    """Copy the fields of one dimension, field by field."""
    words = np.int64(head.ctypes.data)
    masks = words + padded(8 * (4 * n + 2))
    if per_atom:
        room = (head[2 * n] + 15) & -16
        out = first_line(body)
        head[4 * n + 1] = out - np.int64(body.ctypes.data)
    else:
        room = 0
        masks += padded(n) * n_atom_masks
        out = masks + padded(n) * n_masks(steps[0])
    starts = at_int64(words + 8 * (3 * n + 1) if per_atom else words)
    counts, edges = at_int64(words + 8 * (2 * n + 1)), at_int64(words + 8 * n)
    kind_of = ATOM_ADDRESSES if per_atom else ADDRESSES
    n_parts = len(table)
    where, base, sources = np.empty(n_parts, np.int64), np.empty(n_parts, np.int64), np.empty(n, np.int64)
    strides, known = np.empty(n_parts, np.int64), np.empty(n_parts, np.int64)
    # What stands where a part lacks a field, as long as the longest structure: copied as others are.
    longest, widest = 1, 0
    for m in range(n if per_atom else 0):
        longest = max(longest, counts[m])
    for f in range(steps.shape[1]):
        for p in range(n_parts):
            widest = max(widest, steps[p, f, 1] if steps[p, f, 0] >= WORDS else 0)
    spare = np.empty(longest * widest, np.uint8)
    for f in range(steps.shape[1]):
        row_bytes = steps[0, f, 1]
        # Whether all parts that have the field have it in one column, and the same is done to it.
        alike, operation, source_bytes, lacking = True, NOWHERE, np.int64(0), False
        for p in range(n_parts):
            # Where the addresses of the field's rows begin, and the address itself if there is but one.
            where[p] = table[p, kind_of] + 8 * steps[p, f, 4] * table[p, kind_of + 1]
            base[p], strides[p], known[p] = 0, steps[p, f, 2], LOOK
            if steps[p, f, 0] >= WORDS:
                lacking, known[p] = True, 0
                continue
            if steps[p, f, 3] == MASK_WHOLE:
                known[p] = 1
            if table[p, kind_of + 1] == 1:
                base[p] = at_int64(where[p])[0]
            if operation == NOWHERE:
                operation, source_bytes = steps[p, f, 0], steps[p, f, 2]
            alike &= base[p] != 0 and steps[p, f, 0] == operation and steps[p, f, 5] == 0
        written = alike and operation == NOTHING  # by others; masks are of what it was before
        if operation == NOWHERE and row_bytes == 8 and not per_atom:
            for m in range(n):
                at_int64(out)[m] = steps[whose[m], f, 5]
        elif alike and (not lacking or operation == COPY or written):
            for p in range(n_parts):
                if steps[p, f, 0] >= WORDS:
                    base[p], strides[p] = np.int64(spare.ctypes.data), 0
                    _put(steps[p, f, 0], steps[p, f, 5], base[p], longest * row_bytes)
            # Beforehand: a copy whose length is guessed wrong would wait for this each time.
            for m in range(n):
                sources[m] = base[whose[m]] + starts[m] * strides[whose[m]]
            if not written:
                _copy_columns(sources, operation, row_bytes, source_bytes, counts, edges, n, per_atom, out)
        else:
            for m in range(n):
                p = whose[m]
                sources[m] = base[p] + starts[m] * steps[p, f, 2] if base[p] else 0
            for m in range(n):
                if m + _AHEAD < n and sources[m + _AHEAD]:
                    nbytes = (counts[m + _AHEAD] if per_atom else 1) * steps[whose[m + _AHEAD], f, 2]
                    expect(sources[m + _AHEAD], nbytes)
                p = whose[m]
                operation, source_bytes, more = steps[p, f, 0], steps[p, f, 2], steps[p, f, 5]
                count, edge = (counts[m], edges[m]) if per_atom else (1, m)
                to = out + edge * row_bytes
                if operation >= WORDS:
                    _put(operation, more, to, count * row_bytes)
                    continue
                if sources[m]:
                    copy_values(operation, sources[m], to, count * row_bytes)
                else:
                    span = table[p, kind_of + 2]
                    copy_blocks(where[p], span, operation, starts[m], count, row_bytes, source_bytes, to)
                if more:
                    _translate(more, to, count * row_bytes)
        if steps[0, f, 3] != NO_MASK:
            flags = array_at(at_uint8(masks), n)
            for m in range(n):
                given = known[whose[m]]
                if given == LOOK:
                    first, count = (edges[m], counts[m]) if per_atom else (m, 1)
                    values = sources[m] if written else out + first * row_bytes
                    given = is_given(steps[whose[m], f, 3], values, count * row_bytes)
                flags[m] = given
            masks += padded(n)
        out += room * row_bytes if per_atom else padded(n * row_bytes)


@helper
def _copy_columns(  # type: ignore[no-untyped-def]
    sources, operation, row_bytes, source_bytes, counts, edges, n, per_atom, out
):
    """Copy a field that each part has in one column, as is done for a single store."""
    for m in range(min(n, _AHEAD)):
        expect(sources[m], (counts[m] if per_atom else 1) * source_bytes)
    for m in range(n):
        if m + _AHEAD < n:
            expect(sources[m + _AHEAD], (counts[m + _AHEAD] if per_atom else 1) * source_bytes)
        count, edge = (counts[m], edges[m]) if per_atom else (1, m)
        copy_values(operation, sources[m], out + edge * row_bytes, count * row_bytes)


@helper
def _put(operation, value, to, nbytes):  # type: ignore[no-untyped-def]
    """Fill bytes with one value over and over."""
    if operation == WORDS:
        wide = array_at(at_int64(to), nbytes >> 3)
        for v in range(nbytes >> 3):
            wide[v] = int(value)  # as Python's, which writes to addresses
    elif operation == SINGLES:
        narrow = array_at(at_int32(to), nbytes >> 2)
        for v in range(nbytes >> 2):
            narrow[v] = int(value)
    else:
        single = array_at(at_uint8(to), nbytes)
        for v in range(nbytes):
            single[v] = int(value)


@helper
def _translate(table, to, nbytes):  # type: ignore[no-untyped-def]
    """Replace codes by what they become; the table begins with that of what is missing, -1."""
    codes, becomes = array_at(at_int64(to), nbytes >> 3), at_int64(table)
    for v in range(nbytes >> 3):
        codes[v] = becomes[codes[v] + 1]


@kernel
def weave(  # type: ignore[no-untyped-def]
    sources, whose, starts, counts, row_bytes, out, edges, shifts
):
    """Copy the rows of structures that are in several arrays to their places in one.

    Structure i has ``counts[i]`` rows of `row_bytes`, from ``starts[i]`` on at the address
    ``sources[whose[i]]``; they go to ``edges[i]`` on in `out`. Where there are `shifts`, rows are integers of
    64 bits, and one is added to each.
    """
    to = np.int64(out.ctypes.data)
    for i in range(len(whose)):
        source = sources[whose[i]] + starts[i] * row_bytes
        nbytes = counts[i] * row_bytes
        target = to + edges[i] * row_bytes
        if len(shifts):
            given, moved = at_int64(source), array_at(at_int64(target), counts[i])
            for v in range(counts[i]):
                moved[v] = int(given[v] + shifts[i])
        elif nbytes == 8:
            at_int64(target)[0] = at_int64(source)[0]
        else:
            move(target, source, nbytes)
