"""Bytes at addresses, for kernels: copied, asked for ahead, read and written as numbers."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from llvmlite import ir

from zstruct.jit.kernel import helper, primitive, stands_for

__all__ = [
    "MOST",
    "array_at",
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

_BYTES = ir.IntType(8).as_pointer()


def _emit_move(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
    to, of = (builder.inttoptr(argument, _BYTES) for argument in arguments[:2])
    kinds = [_BYTES, _BYTES, ir.IntType(64)]
    copy = builder.module.declare_intrinsic("llvm.memcpy", kinds)
    builder.call(copy, [to, of, arguments[2], ir.IntType(1)(0)])


@primitive("void(int64, int64, int64)", _emit_move)
def move(target: int, source: int, nbytes: int) -> None:
    """Copy bytes between two addresses."""
    ctypes.memmove(int(target), int(source), int(nbytes))


def _emit_prefetch(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
    pointer, number = builder.inttoptr(arguments[0], _BYTES), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
    function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
    builder.call(function, [pointer, number(0), number(2), number(1)])


@primitive("void(int64)", _emit_prefetch)
def prefetch(address: int) -> None:
    """Ask for a cache line that will be read soon."""


def _emit_pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))


def _pointer_to(kind: str, number: Any) -> Any:
    pointer = ctypes.POINTER(number)

    def at(address: Any) -> Any:
        return ctypes.cast(int(address), pointer)

    return primitive(lambda types, _: types.CPointer(getattr(types, kind))(types.int64), _emit_pointer)(at)


at_uint8, at_int32, at_int64 = (
    _pointer_to(kind, number)
    for kind, number in (("uint8", ctypes.c_uint8), ("int32", ctypes.c_int32), ("int64", ctypes.c_int64))
)
at_float32, at_float64 = (
    _pointer_to(kind, number) for kind, number in (("float32", ctypes.c_float), ("float64", ctypes.c_double))
)


@stands_for("numba", "carray")
def array_at(pointer: Any, n: int) -> Any:
    """Return the numbers at an address, an array or what can be indexed like one."""
    return pointer


MOST = 1024  # by measurement: bytes of a structure to ask for


@helper
def expect(address, nbytes):  # type: ignore[no-untyped-def]
    """Ask for bytes that will be read soon; of many, the first ones."""
    end = address + min(nbytes, MOST)
    while address < end:
        prefetch(address)
        address += 64


@helper
def first_line(memory):  # type: ignore[no-untyped-def]
    """Return the address of the first cache line that begins in an array."""
    return (np.int64(memory.ctypes.data) + 63) & -64
