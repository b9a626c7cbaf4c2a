"""The kernels of the gather: copy rows between addresses, without the GIL.

They know neither dtypes nor fields, only addresses and row sizes, so they are compiled once for
every store. All in one file, for Numba keeps compiled code until the file that defines it changes.

A batch is two pieces of memory. `head` is 64-bit words: ``head[:n]`` the structures,
``head[n : 2 * n + 1]`` the row edges, ``head[2 * n + 1 : 3 * n + 1]`` the counts; then, each on cache
lines of its own, the masks of the per-atom and of the per-structure fields and the per-structure
fields. `body` has the structure that each atom belongs to, then the per-atom fields.

``steps[f]`` is what the kernels know of a field: what happens to its values on their way, bytes of
its row there and here, and how a missing value looks. ``addresses[f, b]`` is where rows
``b * span : (b + 1) * span`` of it lie.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from zstruct.compiling import announce

__all__ = [
    "COPY",
    "FROM_INT32",
    "FROM_UINT8",
    "MASK_CODE",
    "MASK_FLOAT32",
    "MASK_FLOAT64",
    "MISSING",
    "NO_MASK",
    "fill",
    "fill_some",
    "locate",
    "number",
    "spread_rows",
]

announce()

# What happens to a value on its way.
COPY, FROM_UINT8, FROM_INT32 = range(3)
# How a missing value looks: not at all, NaN, or a negative code.
NO_MASK, MASK_FLOAT32, MASK_FLOAT64, MASK_CODE = range(4)
MISSING = -1  # what `locate` returns if blocks are missing; below it: minus two minus a bad index
_AHEAD_BYTES = 8192  # between what is asked for and what is copied, by measurement


@intrinsic
def _move(typingctx: Any, target: Any, source: Any, nbytes: Any) -> Any:
    """Copy bytes between two addresses."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = context.get_value_type(types.voidptr)
        to, of = builder.inttoptr(args[0], pointer), builder.inttoptr(args[1], pointer)
        cgutils.raw_memcpy(builder, to, of, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def _prefetch(typingctx: Any, address: Any) -> Any:
    """Ask for a cache line that will be read soon."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], context.get_value_type(types.voidptr))
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        builder.call(function, [pointer, number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _pointer_to(kind: Any) -> Any:
    @intrinsic
    def pointer(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), codegen

    return pointer


_at_uint8, _at_int32, _at_int64, _at_float32, _at_float64 = map(
    _pointer_to, (types.uint8, types.int32, types.int64, types.float32, types.float64)
)


@njit(nogil=True, cache=True)
def locate(  # type: ignore[no-untyped-def]
    indices, subset, everything, offsets, check, atom_there, atom_rows, there, rows, head
):
    """Write structures, row edges and counts into `head`; return the rows, or what is wrong.

    ``head[:n]`` are the structures, ``head[n : 2 * n + 1]`` the edges, ``head[2 * n + 1 : 3 * n + 1]``
    the counts. Whether their blocks are there is only looked up if `check` says so.
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
        head[i], head[n + 1 + i], head[2 * n + 1 + i] = k, edge, stop - start
        if check:
            missing |= there[k // rows] == 0
            if stop > start:
                first, last = start // atom_rows, (stop - 1) // atom_rows
                for block in range(first, last + 1):
                    missing |= atom_there[block] == 0
    return -1 if missing else edge


@njit(nogil=True, cache=True)
def fill(  # type: ignore[no-untyped-def]
    atom_addresses, atom_span, atom_steps, addresses, span, steps, n, offsets, head, body
):
    """Copy all fields of the structures of `head`."""
    number(n, head, body)
    every = head[:0]
    n_atom_masks = _n_masks(atom_steps)
    fill_some(atom_addresses, atom_span, atom_steps, every, True, True, n_atom_masks, n, offsets, head, body)
    fill_some(addresses, span, steps, every, True, False, n_atom_masks, n, offsets, head, body)


@njit(nogil=True, cache=True)
def fill_some(  # type: ignore[no-untyped-def]
    addresses, span, steps, members, everything, per_atom, n_atom_masks, n, offsets, head, body
):
    """Copy the fields of one dimension of some, or all, of the structures of `head`.

    Field by field: two streams, one read and one written, are faster than many.
    """
    n_rows = head[2 * n] if per_atom else n
    masks = np.int64(head.ctypes.data) + _pad(8 * (3 * n + 1))
    if per_atom:
        out = np.int64(body.ctypes.data) + _pad(8 * n_rows)
    else:
        masks += _pad(n) * n_atom_masks
        out = masks + _pad(n) * _n_masks(steps)
    n_members = n if everything else len(members)
    for f in range(len(steps)):
        operation, row_bytes, source_bytes, kind = steps[f, 0], steps[f, 1], steps[f, 2], steps[f, 3]
        # An address, not a view of the row: counting references to that would stall the stores.
        where = np.int64(addresses.ctypes.data) + 8 * f * addresses.shape[1]
        ahead, expected = 0, 0
        for m in range(n_members):
            while ahead < n_members and expected < _AHEAD_BYTES:
                i = ahead if everything else members[ahead]
                start, count = (offsets[head[i]], head[2 * n + 1 + i]) if per_atom else (head[i], 1)
                expected += _expect(where, span, start, count, source_bytes)
                ahead += 1
            i = m if everything else members[m]
            start, count = (offsets[head[i]], head[2 * n + 1 + i]) if per_atom else (head[i], 1)
            to = out + (head[n + i] if per_atom else i) * row_bytes
            _copy(where, span, operation, start, count, row_bytes, source_bytes, to)
            expected -= min(count * source_bytes, _AHEAD_BYTES)
            if kind != NO_MASK:
                flag = carray(_at_uint8(masks + i), 1)
                flag[0] = _given(kind, to, count * row_bytes)
        if kind != NO_MASK:
            masks += _pad(n)
        out += _pad(n_rows * row_bytes)


@njit(nogil=True, cache=True)
def number(n, head, body):  # type: ignore[no-untyped-def]
    """Write the structure that each atom belongs to."""
    for i in range(n):
        count = head[2 * n + 1 + i]
        numbers = carray(_at_int64(np.int64(body.ctypes.data) + 8 * head[n + i]), count)
        for row in range(count):
            numbers[row] = i


@njit(nogil=True, cache=True)
def _copy(where, span, operation, start, count, row_bytes, source_bytes, to):  # type: ignore[no-untyped-def]
    """Copy rows ``start : start + count`` of a field.

    At `where` begin the addresses of its rows ``b * span : (b + 1) * span``.
    """
    block = start // span if start >= span else 0  # one column has one span: spare it the division
    inside = start - block * span
    while count > 0:
        rows = min(count, span - inside)
        source = _at_int64(where + 8 * block)[0] + inside * source_bytes
        if operation == COPY:
            _move(to, source, rows * row_bytes)
        else:
            values = rows * (row_bytes // 8)
            wide = carray(_at_int64(to), values)
            if operation == FROM_UINT8:
                narrow = carray(_at_uint8(source), values)
                for v in range(values):
                    wide[v] = narrow[v]
            else:
                words = carray(_at_int32(source), values)
                for v in range(values):
                    wide[v] = words[v]
        to += rows * row_bytes
        count -= rows
        block += 1
        inside = 0


@njit(nogil=True, cache=True)
def _given(kind, address, nbytes):  # type: ignore[no-untyped-def]
    """Return whether any value is not missing."""
    if kind == MASK_FLOAT32:
        singles = carray(_at_float32(address), nbytes // 4)
        for v in range(nbytes // 4):
            if singles[v] == singles[v]:
                return True
    elif kind == MASK_FLOAT64:
        doubles = carray(_at_float64(address), nbytes // 8)
        for v in range(nbytes // 8):
            if doubles[v] == doubles[v]:
                return True
    else:
        codes = carray(_at_int64(address), nbytes // 8)
        for v in range(nbytes // 8):
            if codes[v] >= 0:
                return True
    return False


@njit(nogil=True, cache=True)
def _expect(where, span, start, count, source_bytes):  # type: ignore[no-untyped-def]
    """Have rows fetched from memory that will be copied soon; return their bytes."""
    block = start // span if start >= span else 0  # one column has one span: spare it the division
    inside = start - block * span
    nbytes = min(count * source_bytes, _AHEAD_BYTES)
    address = _at_int64(where + 8 * block)[0] + inside * source_bytes
    end = address + min((span - inside) * source_bytes, nbytes)
    while address < end:
        _prefetch(address)
        address += 64
    return nbytes


@njit(nogil=True, cache=True)
def _pad(nbytes):  # type: ignore[no-untyped-def]
    return (nbytes + 63) & -64


@njit(nogil=True, cache=True)
def _n_masks(steps):  # type: ignore[no-untyped-def]
    found = 0
    for f in range(len(steps)):
        found += steps[f, 3] != NO_MASK
    return found


@njit(nogil=True, cache=True)
def spread_rows(source, offsets, n_rows, row_bytes, out):  # type: ignore[no-untyped-def]
    """Copy the rows of each structure to where its `n_rows` rows begin."""
    for i in range(len(offsets) - 1):
        rows = offsets[i + 1] - offsets[i]
        _move(out + i * n_rows * row_bytes, source + offsets[i] * row_bytes, rows * row_bytes)
