"""Numbers as kernels write them are those of Python's ``repr``, and read back as what they were."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zstruct.exporters.kernels import numerals
from zstruct.exporters.lines import Item, written
from zstruct.jit.kernel import compiled_always


def texts(values):
    values = np.asarray(values)
    with compiled_always():
        lines = written(np.ones(len(values), np.int64), [Item(rows=values, after=b"\n")])
    return lines.text.tobytes().decode().split()


def as_python_runs_it(put, value):
    room = memoryview(bytearray(numerals.ROOM + 32))
    with np.errstate(all="ignore"):
        end = put(room, 0, value)
    return bytes(room[:end]).decode()


POWERS = np.array([*(2.0 ** np.arange(-1074, 1024)), *(float(f"1e{k}") for k in range(-323, 309))])


@pytest.mark.parametrize(
    "values",
    [
        POWERS,
        np.nextafter(POWERS, 0.0),
        np.nextafter(POWERS, np.inf),
        -POWERS,
        np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan]),
        np.array([9999999.99999999, 9999999.999999991, 1e-4, 9.999e-5, 1e16, 9999999999999998.0, 2.0**53]),
        np.arange(100.0) / 1e8,
    ],
)
def test_powers_and_their_neighbours(values):
    assert texts(values) == [repr(value).removeprefix("-" * (value != value)) for value in values.tolist()]


def test_random_doubles(rng):
    n = 50_000
    for values in (
        rng.integers(0, 2**64, n, dtype=np.uint64).view(np.float64),  # of all sizes
        rng.normal(size=n),
        np.round(10 * rng.normal(size=n), 8),
        rng.integers(-(10**15), 10**15, n) / 10.0 ** rng.integers(0, 23, n),
        rng.integers(0, 2**62, n).astype(float),
    ):
        assert texts(values) == list(map(repr, values.tolist()))


def test_random_singles_are_short_and_read_back_through_doubles(rng):
    for values in (
        rng.normal(size=50_000).astype(np.float32),
        np.round(rng.normal(size=50_000), 4).astype(np.float32),
        rng.integers(0, 2**32, 50_000, dtype=np.uint64).astype(np.uint32).view(np.float32),
        np.concatenate([2.0 ** np.arange(-149, 128), 10.0 ** np.arange(-45, 38)]).astype(np.float32),
    ):
        found = texts(values)
        back = np.array([float(text) for text in found]).astype(np.float32)
        assert np.array_equal(back, values, equal_nan=True)
        usual = (np.abs(values) > 1e-10) & (np.abs(values) < 1e10)
        shortest = [np.format_float_scientific(value, unique=True) for value in values[usual]]
        for text, short in zip(np.array(found)[usual].tolist(), shortest, strict=True):
            assert digits(text) == digits(short)


def digits(text):
    return text.lstrip("-").partition("e")[0].replace(".", "").strip("0")


@given(st.floats(width=64))
@settings(max_examples=500)
def test_doubles_as_python_runs_it(value):
    assert as_python_runs_it(numerals.put_float64, np.float64(value)) == repr(value)


@given(st.floats(width=32, allow_nan=False))
def test_singles_as_python_runs_it(value):
    text = as_python_runs_it(numerals.put_float32, np.float64(value))
    assert np.float32(float(text)).tobytes() == np.float32(value).tobytes()
    assert [text] == texts(np.array([value], np.float32))


@given(st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=300)
def test_integers_as_python_runs_it(value):
    assert as_python_runs_it(numerals.put_integer, np.int64(value)) == str(value)


def test_integers(rng):
    edges = [10**k + j for k in range(19) for j in (-1, 0, 1)]
    values = np.array([*edges, *(-value for value in edges), 2**63 - 1, -(2**63)])
    assert texts(values) == list(map(str, values.tolist()))
    values = rng.integers(-(2**63), 2**63 - 1, 20_000)
    assert texts(values) == list(map(str, values.tolist()))


def test_the_longest_number_has_room():
    assert max(map(len, texts(-POWERS))) <= numerals.LONGEST == len("-2.2250738585072014e-308")
