"""Bytes at addresses, for kernels: copied, asked for ahead, read and written as numbers.

What is here is compiled into the kernels that use it, and Numba keeps these until their own file
changes: whoever changes this file has to touch theirs, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "at_float32",
    "at_float64",
    "at_int32",
    "at_int64",
    "at_uint8",
    "expect",
    "first_line",
    "move",
    "prefetch",
]


@intrinsic
def move(typingctx: Any, target: Any, source: Any, nbytes: Any) -> Any:
    """Copy bytes between two addresses."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = context.get_value_type(types.voidptr)
        to, of = builder.inttoptr(args[0], pointer), builder.inttoptr(args[1], pointer)
        cgutils.raw_memcpy(builder, to, of, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def prefetch(typingctx: Any, address: Any) -> Any:
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


at_uint8, at_int32, at_int64, at_float32, at_float64 = map(
    _pointer_to, (types.uint8, types.int32, types.int64, types.float32, types.float64)
)

_MOST = 1024  # by measurement: bytes of a structure to ask for


@njit(nogil=True)
def expect(address, nbytes):  # type: ignore[no-untyped-def]
    """Ask for bytes that will be read soon; of many, the first ones."""
    end = address + min(nbytes, _MOST)
    while address < end:
        prefetch(address)
        address += 64


@njit(nogil=True)
def first_line(memory):  # type: ignore[no-untyped-def]
    """Return the address of the first cache line that begins in an array."""
    return (np.int64(memory.ctypes.data) + 63) & -64
