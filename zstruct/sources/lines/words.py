"""The primitives of kernels that read text: bytes, words and 64 bytes at once of a text; bits of numbers.

Kernels get the address of the text, not the array: Numba would count references to an array at every
call, which takes longer than reading a number. Positions are trusted: no wraparound, no bounds. For
Python the address is a view of the memory.
"""

# What emits LLVM has no types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from zstruct.jit.kernel import primitive

__all__ = [
    "address_of",
    "bits_of",
    "byte_at",
    "count_ones",
    "from_bits",
    "high_product",
    "leading_zeros",
    "put_byte",
    "put_word",
    "trailing_zeros",
    "which_are",
    "which_are_spaces",
    "word_at",
]

_BYTE, _WORD, _WIDE, _LANES = ir.IntType(8), ir.IntType(64), ir.IntType(128), ir.VectorType(ir.IntType(8), 64)
# What spaces and other bytes become, for `int` to make a number of 64 of them.
_SPACES = bytes(ord("1" if 9 <= c <= 13 or 28 <= c <= 32 else "0") for c in range(256))


def _pointer(builder, text, at, kind):
    return builder.inttoptr(builder.add(text, at), kind.as_pointer())


def _emit_address(context, builder, signature, arguments):
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.ptrtoint(array.data, _WORD)


@primitive(lambda types, array: types.int64(array), _emit_address)
def address_of(array: Any) -> Any:
    """Return the address of an array's first element."""
    return memoryview(array).cast("B")


def _emit_byte(context, builder, signature, arguments):
    return builder.zext(builder.load(_pointer(builder, *arguments, _BYTE)), _WORD)


@primitive("int64(int64, int64)", _emit_byte)
def byte_at(text: Any, at: Any) -> Any:
    """Return the byte at a position as int64."""
    return text[at]


def _emit_put(context, builder, signature, arguments):
    builder.store(builder.trunc(arguments[2], _BYTE), _pointer(builder, *arguments[:2], _BYTE))


@primitive("void(int64, int64, int64)", _emit_put)
def put_byte(text: Any, at: Any, byte: Any) -> None:
    """Write a byte."""
    text[at] = byte


def _emit_word(context, builder, signature, arguments):
    loaded = builder.load(_pointer(builder, *arguments, _WORD))
    loaded.align = 1
    return loaded


@primitive("uint64(int64, int64)", _emit_word)
def word_at(text: Any, at: Any) -> Any:
    """Return the eight bytes from a position on as uint64, the first one lowest."""
    return np.uint64(int.from_bytes(text[at : at + 8], "little"))


def _emit_put_word(context, builder, signature, arguments):
    store = builder.store(arguments[2], _pointer(builder, *arguments[:2], _WORD))
    store.align = 1


@primitive("void(int64, int64, uint64)", _emit_put_word)
def put_word(text: Any, at: Any, word: Any) -> None:
    """Write the eight bytes of a word, the lowest one first."""
    text[at : at + 8] = int(word).to_bytes(8, "little")


def _lanes(builder, text, at):
    """Load 64 bytes, and give the means to compare all of them with one byte."""
    loaded = builder.load(_pointer(builder, text, at, _LANES))
    loaded.align = 1

    def constant(byte):
        return ir.Constant(_LANES, [byte] * 64)

    return loaded, constant


def _emit_which(context, builder, signature, arguments):
    loaded, constant = _lanes(builder, *arguments[:2])
    one = builder.trunc(arguments[2], _BYTE)
    single = builder.insert_element(constant(0), one, ir.Constant(ir.IntType(32), 0))
    every = builder.shuffle_vector(
        single, constant(0), ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
    )
    return builder.bitcast(builder.icmp_unsigned("==", loaded, every), _WORD)


@primitive("uint64(int64, int64, int64)", _emit_which)
def which_are(text: Any, at: Any, byte: Any) -> Any:
    """Return which of the 64 bytes from a position on equal a byte, as bits of an uint64."""
    lanes, found = bytes(text[at : at + 64]), 0
    place = lanes.find(byte)
    while place >= 0:
        found |= 1 << place
        place = lanes.find(byte, place + 1)
    return np.uint64(found)


def _emit_which_spaces(context, builder, signature, arguments):
    loaded, constant = _lanes(builder, *arguments)
    space = builder.icmp_unsigned("==", loaded, constant(32))
    tabs = builder.icmp_unsigned("<=", builder.sub(loaded, constant(9)), constant(4))
    marks = builder.icmp_unsigned("<=", builder.sub(loaded, constant(28)), constant(3))
    return builder.bitcast(builder.or_(builder.or_(space, tabs), marks), _WORD)


@primitive("uint64(int64, int64)", _emit_which_spaces)
def which_are_spaces(text: Any, at: Any) -> Any:
    """Return which of the 64 bytes from a position on separate words (9 to 13 and 28 to 32), as bits."""
    return np.uint64(int(bytes(text[at : at + 64]).translate(_SPACES)[::-1], 2))


def _emit_trailing(context, builder, signature, arguments):
    return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))


@primitive("int64(uint64)", _emit_trailing)
def trailing_zeros(word: Any) -> Any:
    """Return the number of zero bits below the lowest one, 64 if there is none."""
    bits = int(word)
    return (bits & -bits).bit_length() - 1 if bits else 64


def _emit_leading(context, builder, signature, arguments):
    return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))


@primitive("int64(uint64)", _emit_leading)
def leading_zeros(word: Any) -> Any:
    """Return the number of zero bits above the highest one."""
    return 64 - int(word).bit_length()


def _emit_ones(context, builder, signature, arguments):
    return builder.ctpop(arguments[0])


@primitive("int64(uint64)", _emit_ones)
def count_ones(word: Any) -> Any:
    """Return the number of one bits."""
    return int(word).bit_count()


def _emit_high(context, builder, signature, arguments):
    product = builder.mul(*(builder.zext(argument, _WIDE) for argument in arguments))
    return builder.trunc(builder.lshr(product, ir.Constant(_WIDE, 64)), _WORD)


@primitive("uint64(uint64, uint64)", _emit_high)
def high_product(a: Any, b: Any) -> Any:
    """Return the upper 64 bits of a 128-bit product."""
    return np.uint64(int(a) * int(b) >> 64)


def _emit_bits(context, builder, signature, arguments):
    return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))


@primitive("uint64(float64)", _emit_bits)
def bits_of(value: Any) -> Any:
    """Return the bits of a float64."""
    return np.float64(value).view(np.uint64)


@primitive("float64(uint64)", _emit_bits)
def from_bits(word: Any) -> Any:
    """Return the float64 that has these bits."""
    return word.view(np.float64)
