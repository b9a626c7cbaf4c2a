"""The kernels of the gather: copy rows between addresses, without the GIL.

They know neither dtypes nor fields, only addresses and row sizes, so they are compiled once for
every store.

A batch is two pieces of memory. `head` is 64-bit words: ``head[:n]`` the structures,
``head[n : 2 * n + 1]`` the row edges, ``head[2 * n + 1 : 3 * n + 1]`` the counts, and
``head[3 * n + 1 : 4 * n + 1]`` where their rows begin in the store, ``head[4 * n + 1]`` the bytes of
`body` that are left out, so that it begins on a cache line; then, each on cache lines of its own, the
masks of the per-atom and of the per-structure fields and the per-structure fields. `body` has the
per-atom fields, then, if somebody wants it, the structure that each atom belongs to, all with room for as
many rows.

``steps[f]`` is what the kernels know of a field: what happens to its values on their way, bytes of
its row there and here, and how a missing value looks. ``addresses[f, b]`` is where rows
``b * span : (b + 1) * span`` of it lie.
"""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper, kernel
from zstruct.jit.pointers import (
    array_at,
    at_float32,
    at_float64,
    at_int32,
    at_int64,
    at_uint8,
    expect,
    first_line,
    move,
)

__all__ = [
    "COPY",
    "FROM_INT32",
    "FROM_UINT8",
    "MASK_CODE",
    "MASK_CODE32",
    "MASK_FLOAT32",
    "MASK_FLOAT64",
    "MISSING",
    "NOTHING",
    "NO_MASK",
    "copy_blocks",
    "copy_values",
    "fill",
    "fill_some",
    "is_given",
    "locate",
    "mark",
    "n_masks",
    "number",
    "number_atoms",
    "padded",
]

# What happens to a value on its way; nothing: others fill it in.
COPY, FROM_UINT8, FROM_INT32, NOTHING = range(4)
# How a missing value looks: not at all, NaN, or a negative code.
NO_MASK, MASK_FLOAT32, MASK_FLOAT64, MASK_CODE, MASK_CODE32 = range(5)
MISSING = -1  # what `locate` returns if blocks are missing; below it: minus two minus a bad index
_AHEAD = 16  # by measurement: structures between what is asked for and what is copied


@kernel
def locate(  # type: ignore[no-untyped-def]
    indices, subset, everything, offsets, check, atom_there, atom_rows, there, rows, head
):
    """Write structures, row edges, counts and first rows into `head`; return the rows, or what is wrong.

    Whether their blocks are there is only looked up if `check` says so.
    """
    n, edge, missing = len(indices), 0, False
    size = len(offsets) - 1 if everything else len(subset)
    head[n] = 0
    for i in range(n):
        k = indices[i]
        if k < 0:
            k += size
        if k < 0 or k >= size:
            return -2 - i
        if not everything:
            k = subset[k]
        start, stop = offsets[k], offsets[k + 1]
        edge += stop - start
        head[i], head[n + 1 + i], head[2 * n + 1 + i], head[3 * n + 1 + i] = k, edge, stop - start, start
        if check:
            missing |= there[k // rows] == 0
            if stop > start:
                first, last = start // atom_rows, (stop - 1) // atom_rows
                for block in range(first, last + 1):
                    missing |= atom_there[block] == 0
    return -1 if missing else edge


@kernel
def mark(structures, offsets, atom_rows, rows, atom_marks, marks):  # type: ignore[no-untyped-def]
    """Mark the blocks that some structures, and their atoms, are in; where marks are none, none of them."""
    for i in range(len(structures)):
        k = structures[i]
        if len(marks):
            marks[k // rows] = 1
        start, stop = offsets[k], offsets[k + 1]
        if len(atom_marks) and stop > start:
            for block in range(start // atom_rows, (stop - 1) // atom_rows + 1):
                atom_marks[block] = 1


@kernel(takes=2)
def fill(  # type: ignore[no-untyped-def]
    atom_addresses, atom_span, atom_steps, addresses, span, steps, n, head, body, numbered
):
    """Copy all fields of the structures of `head`, and number these if they are to be `numbered`."""
    if numbered:
        number_atoms(atom_steps, n, head, body)
    every = head[:0]
    n_atom_masks = n_masks(atom_steps)
    # Said so that the compiler does not see which it is: it would make the same code twice.
    yes, no = n >= 0, n < 0
    _fill(atom_addresses, atom_span, atom_steps, every, yes, yes, n_atom_masks, n, head, body)
    _fill(addresses, span, steps, every, yes, no, n_atom_masks, n, head, body)


@kernel
def fill_some(  # type: ignore[no-untyped-def]
    addresses, span, steps, members, everything, per_atom, n_atom_masks, n, head, body
):
    """Copy the fields of one dimension of some, or all, of the structures of `head`."""
    _fill(addresses, span, steps, members, everything, per_atom, n_atom_masks, n, head, body)


@kernel
def number(atom_steps, n, head, body):  # type: ignore[no-untyped-def]
    """Write the structure that each atom belongs to."""
    number_atoms(atom_steps, n, head, body)


@helper
def _fill(  # type: ignore[no-untyped-def]
    addresses, span, steps, members, everything, per_atom, n_atom_masks, n, head, body
):
    """Do what `fill_some` says, field by field: two streams, one read and one written, beat many."""
    words = np.int64(head.ctypes.data)
    n_rows = head[2 * n] if per_atom else n
    masks = words + padded(8 * (4 * n + 2))
    if per_atom:
        room = (n_rows + 15) & -16
        out = first_line(body)
        head[4 * n + 1] = out - np.int64(body.ctypes.data)
    else:
        room = 0
        masks += padded(n) * n_atom_masks
        out = masks + padded(n) * n_masks(steps)
    n_members = n if everything else len(members)
    for f in range(len(steps)):
        operation, row_bytes, source_bytes, kind = steps[f, 0], steps[f, 1], steps[f, 2], steps[f, 3]
        # An address, not a view of the row: counting references to that would stall the stores.
        where = np.int64(addresses.ctypes.data) + 8 * f * addresses.shape[1]
        if operation == NOTHING:
            pass
        elif everything and addresses.shape[1] == 1:
            _copy_column(addresses[f, 0], operation, row_bytes, source_bytes, words, n, per_atom, out)
        else:
            for m in range(n_members):
                i = m if everything else members[m]
                start, count = (head[3 * n + 1 + i], head[2 * n + 1 + i]) if per_atom else (head[i], 1)
                to = out + (head[n + i] if per_atom else i) * row_bytes
                copy_blocks(where, span, operation, start, count, row_bytes, source_bytes, to)
        if kind != NO_MASK:
            for m in range(n_members):
                i = m if everything else members[m]
                first, count = (head[n + i], head[2 * n + 1 + i]) if per_atom else (i, 1)
                values = out + first * row_bytes
                if operation == NOTHING:  # not there yet, but in the one column that it comes from
                    values = addresses[f, 0] + head[3 * n + 1 + i] * row_bytes
                flag = array_at(at_uint8(masks + i), 1)
                flag[0] = is_given(kind, values, count * row_bytes)
            masks += padded(n)
        out += room * row_bytes if per_atom else padded(n * row_bytes)


@helper
def number_atoms(atom_steps, n, head, body):  # type: ignore[no-untyped-def]
    """Write the structure that each atom belongs to, behind the per-atom fields."""
    begin, room = first_line(body), (head[2 * n] + 15) & -16
    head[4 * n + 1] = begin - np.int64(body.ctypes.data)  # also where there are no other fields
    for f in range(len(atom_steps)):
        begin += room * atom_steps[f, 1]
    for i in range(n):
        count = head[2 * n + 1 + i]
        numbers = at_int64(begin + 8 * head[n + i])
        if count < 8:
            for row in range(count):
                numbers[row] = i
            continue
        for first in range(0, count - 7, 8):
            for row in range(8):
                numbers[first + row] = i
        for row in range(8):  # overlaps: no loop over what is left
            numbers[count - 8 + row] = i


@helper
def _copy_column(  # type: ignore[no-untyped-def]
    base, operation, row_bytes, source_bytes, words, n, per_atom, out
):
    """Copy a field of all structures from one column; the words of `head` begin at `words`."""
    starts = at_int64(words + 8 * (3 * n + 1) if per_atom else words)
    counts, edges = at_int64(words + 8 * (2 * n + 1)), at_int64(words + 8 * n)
    for m in range(min(n, _AHEAD)):
        expect(base + starts[m] * source_bytes, (counts[m] if per_atom else 1) * source_bytes)
    for m in range(n):
        if m + _AHEAD < n:
            count = counts[m + _AHEAD] if per_atom else 1
            expect(base + starts[m + _AHEAD] * source_bytes, count * source_bytes)
        count, edge = (counts[m], edges[m]) if per_atom else (1, m)
        copy_values(operation, base + starts[m] * source_bytes, out + edge * row_bytes, count * row_bytes)


@helper
def copy_blocks(where, span, operation, start, count, row_bytes, source_bytes, to):  # type: ignore[no-untyped-def]
    """Copy rows ``start : start + count`` of a field.

    At `where` begin the addresses of its rows ``b * span : (b + 1) * span``.
    """
    block = start // span
    inside = start - block * span
    while count > 0:
        rows = min(count, span - inside)
        source = at_int64(where + 8 * block)[0] + inside * source_bytes
        copy_values(operation, source, to, rows * row_bytes)
        to += rows * row_bytes
        count -= rows
        block += 1
        inside = 0


@helper
def copy_values(operation, source, to, nbytes):  # type: ignore[no-untyped-def]
    """Copy values; `nbytes` are what they take where they go to."""
    if operation == COPY:
        if nbytes == 8:  # an energy, say: not worth a call
            at_int64(to)[0] = at_int64(source)[0]
        else:
            move(to, source, nbytes)
    elif operation == FROM_UINT8:
        _widen_bytes(to, source, nbytes >> 3)
    else:
        _widen_words(to, source, nbytes >> 3)


@helper
def _widen_bytes(to, source, n):  # type: ignore[no-untyped-def]
    """Copy bytes as 64-bit integers; in steps of eight, the last of which overlaps."""
    wide, narrow = at_int64(to), at_uint8(source)
    if n < 8:
        for v in range(n):
            wide[v] = narrow[v]
        return
    done = 0
    while done < n - 8:
        for v in range(8):
            wide[done + v] = narrow[done + v]
        done += 8
    for v in range(8):
        wide[n - 8 + v] = narrow[n - 8 + v]


@helper
def _widen_words(to, source, n):  # type: ignore[no-untyped-def]
    """Copy 32-bit integers as 64-bit ones."""
    wide, narrow = array_at(at_int64(to), n), array_at(at_int32(source), n)
    for v in range(n):
        wide[v] = narrow[v]


@helper
def is_given(kind, address, nbytes):  # type: ignore[no-untyped-def]
    """Return whether any value is not missing."""
    if kind == MASK_FLOAT32:
        singles = array_at(at_float32(address), nbytes // 4)
        for v in range(nbytes // 4):
            if singles[v] == singles[v]:
                return True
    elif kind == MASK_FLOAT64:
        doubles = array_at(at_float64(address), nbytes // 8)
        for v in range(nbytes // 8):
            if doubles[v] == doubles[v]:
                return True
    elif kind == MASK_CODE:
        codes = array_at(at_int64(address), nbytes // 8)
        for v in range(nbytes // 8):
            if codes[v] >= 0:
                return True
    else:
        narrow = array_at(at_int32(address), nbytes // 4)
        for v in range(nbytes // 4):
            if narrow[v] >= 0:
                return True
    return False


@helper
def padded(nbytes):  # type: ignore[no-untyped-def]
    """Return bytes up to where the next array begins: on a cache line of its own."""
    return (nbytes + 63) & -64


@helper
def n_masks(steps):  # type: ignore[no-untyped-def]
    """Return how many of some fields have a mask."""
    found = 0
    for f in range(len(steps)):
        found += steps[f, 3] != NO_MASK
    return found
