"""Tables of numbers: exactly what Python reads, in pieces of any size, or a sentence with the line."""

import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jit.both import both
from zstruct.errors import InputError
from zstruct.sources.lines import table_kernels as kernels
from zstruct.sources.lines import tables
from zstruct.sources.lines.tables import NumberTable

SPELLINGS = ("%.18e", "%.17e", "%.16e", "%.8f", "%.18f", "%r", "%g", "%+.3e", "%.18E")


def taken(text, width, each=1000):
    table = NumberTable(io.BytesIO(text), "a.raw", "here", width)
    parts = [table.take(each)]
    while len(parts[-1]):
        parts.append(table.take(each))
    return np.concatenate(parts)


def read(text, width):
    """What the kernel makes of a text, as Python runs it and compiled."""

    def run(read_table):
        n = text.count(b"\n")
        buffer = np.frombuffer(text + b"\n" * kernels.PAD, np.uint8).copy()
        values, places, odd = np.zeros(n * width), np.zeros(n + 1, np.int64), np.zeros(n, bool)
        count = read_table(buffer, 0, len(text), width, values, places, odd)
        return count, values.view(np.uint64).tolist(), places.tolist(), odd.tolist()

    interpreted, compiled = both(run, kernels.read_table)
    assert interpreted == compiled
    count, bits, places, odd = interpreted
    return count, np.array(bits, np.uint64).view(np.float64).reshape(-1, width), places, odd


def test_numbers_are_those_of_python():
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [
            rng.normal(size=25) * 10.0 ** rng.integers(-99, 99, 25),
            rng.normal(size=10).round(8),
            rng.integers(-9, 9, 5),
            [0.0, -0.0, 1.0, 5e-324, 1.7976931348623157e308, 2.0**53 + 1, 2.0**-1022, 1e22, 1e23],
        ]
    )
    for spelling in SPELLINGS:
        words = [spelling % value for value in values.tolist()]
        count, found, _, odd = read("".join(f"{word} {word}\n" for word in words).encode(), 2)
        assert count == len(values)
        expected = np.array([float(word) for word in words])
        fine = ~np.array(odd)
        assert fine.sum() > len(values) - 5  # of the largest and the smallest it is not told in the kernel
        assert np.array_equal(found[fine, 0].view(np.uint64), expected[fine].view(np.uint64)), spelling
        assert np.array_equal(found[fine, 1].view(np.uint64), expected[fine].view(np.uint64)), spelling


@settings(max_examples=30)
@given(
    digits=st.integers(0, 10**19 - 1),
    exponent=st.integers(-99, 99),
    negative=st.booleans(),
    nearly=st.integers(-2, 2),
)
def test_nineteen_digits_are_rounded_as_python_does(digits, exponent, negative, nearly):
    # Halfway between two doubles, or next to that, or anything.
    halfway = (2**53 + 1) * 10**3
    words = []
    for number in (digits, halfway + nearly):
        text = f"{number:019d}"
        words.append(f"{'-' * negative}{text[0]}.{text[1:]}e{exponent:+03d}")
    _, found, _, odd = read((" ".join(words) + "\n").encode(), 2)
    assert odd == [False]
    assert [value.hex() for value in found[0].tolist()] == [float(word).hex() for word in words]


@pytest.mark.parametrize(
    "word",
    [
        "1.234567890123456789e+0x",
        "1.234567890123456789e+000",
        "1:234567890123456789e+00",
        "1.234567890123456789e 00",
        ":.234567890123456789e+00",
        "1.23456789012345678:e+00",
        "1.23456789012345678",
        "1,5",
        "nan",
        "1_0",
        "0x1",
        "x",
    ],
)
def test_what_looks_nearly_like_a_number(word):
    _, found, _, (odd,) = read(f"1.0 {word}\n".encode(), 2)
    try:
        expected = float(word) if "_" not in word else None
    except ValueError:
        expected = None
    assert odd == (expected is None)
    if expected is not None:
        assert found[0, 1].hex() == expected.hex() or np.isnan(expected)


@pytest.mark.parametrize("piece", [64, 100, 1 << 20])
@pytest.mark.parametrize("each", [1, 7, 1000])
def test_pieces_make_no_difference(monkeypatch, piece, each):
    monkeypatch.setattr(tables, "_PIECE", piece)
    values = np.random.default_rng(0).normal(size=(40, 9))
    lines = [" ".join(map(repr, row)) for row in values.tolist()]
    for text in ("\n".join(lines), "\r\n".join(lines) + "\r\n\r\n", "\t" + " \n  ".join(lines) + "\n\n \n"):
        assert np.array_equal(taken(text.encode(), 9, each), values)


def test_fortran_and_what_the_kernel_can_not_tell():
    assert taken(b"1.5D+02 1d0\n5e-324 2.2250738585072011e-308\n", 2).tolist() == [
        [150.0, 1.0],
        [5e-324, 2.2250738585072011e-308],
    ]
    assert taken(b"", 3).shape == taken(b"\n \n\n", 3).shape == (0, 3)


@pytest.mark.parametrize("piece", [64, 1 << 20])
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1 2", "a.raw, line 3: there are 2 numbers, it should be 3"),
        ("1 2 3 4", "a.raw, line 3: there are 4 numbers, it should be 3"),
        ("1 2 x", "a.raw, line 3: 'x' is not a number"),
        ("1 1_0 2", "a.raw, line 3: '1_0' is not a number"),
        ("", "a.raw, line 3: there are 0 numbers, it should be 3"),
        ("1 2 \0", "a.raw, line 3: '\\x00' is not a number"),
    ],
)
def test_lines_that_are_wrong_are_named(monkeypatch, piece, line, reason):
    monkeypatch.setattr(tables, "_PIECE", piece)
    lines = ["1.5 2 3", "4 5D0 6", line, *["7 8 9"] * 20]
    with pytest.raises(InputError, match=re.escape(f"here: {reason}")):
        taken("\n".join(lines).encode(), 3, 5)
