"""Bytes at addresses: in Python they are what they are compiled to."""

import math

import numpy as np
import pytest

from tests.jit.both import both
from zstruct.features.kernels.acsf import _as_float, _as_integer
from zstruct.jit.kernel import kernel
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
from zstruct.jit.registry import FACTORIES
from zstruct.transforms.kernels import _to_bits, _to_float


@kernel
def _bits_of_both(x, y):
    return _as_integer(x), _as_float(y)


@kernel
def _single_bits_of(x, y):
    return _to_bits(x), _to_float(y)


@kernel
def _addresses(memory, other):
    begin = first_line(memory)
    move(begin, first_line(other), 24)
    expect(begin, 64)
    words, bytes_there = at_int64(begin), array_at(at_uint8(begin), 8)
    doubles, singles = at_float64(begin + 8), at_float32(begin + 16)
    halves = at_int32(begin + 20)
    return words[0], bytes_there[1], doubles[0], singles[0], halves[0]


@pytest.mark.parametrize("bits", [0, 1, -1, 12, 1 << 40, -(1 << 63)])
def test_primitives_mean_in_python_what_they_are_compiled_to(bits):
    double = math.pi, bits
    np.testing.assert_array_equal(*both(lambda one: np.array(one(*double)).view(np.int64), _bits_of_both))
    single = np.float32(0.1), np.uint32(bits & 0xFFFFFFFF)
    np.testing.assert_array_equal(*both(lambda one: [float(x) for x in one(*single)], _single_bits_of))


def test_bytes_at_addresses():
    other = np.zeros(256, np.uint8)
    start = int(first_line(other)) - other.ctypes.data
    other[start : start + 24] = np.arange(1, 25)
    ours, compiled = both(lambda one: one(np.zeros(256, np.uint8), other), _addresses)
    assert ours == compiled
    assert ours[:2] == (0x0807060504030201, 2)


def test_every_primitive_has_a_form_for_the_compiler():
    for function, make in FACTORIES.items():
        assert make() is not None, function
