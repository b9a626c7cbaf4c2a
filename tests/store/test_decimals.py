"""Decimals: what is one is given back to the last bit, and what is none is not taken for one."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zstruct.jit.kernel import compiled_always
from zstruct.store import decimals, kernels
from zstruct.store.decimals import MOST_DIGITS, Decimal, DecimalRange

LARGEST = int(kernels.LARGEST)


@pytest.fixture(params=["compiled", "NumPy"], autouse=True)
def way(request, monkeypatch):
    """Both ways to do it."""
    if request.param == "compiled":
        with compiled_always():
            yield
    else:
        for name in ("find_digits", "multiply", "divide"):
            monkeypatch.setattr(
                getattr(kernels, name), "for_work", lambda seconds, otherwise: otherwise, raising=False
            )
        yield


def there_and_back(values):
    """Return numbers that were stored as decimals."""
    decimal = DecimalRange.of(values).decimal
    out = np.empty(values.shape)
    decimal.restore(decimal.whole(values), out)
    return out


@given(st.lists(st.integers(-LARGEST, LARGEST), min_size=1), st.integers(0, MOST_DIGITS))
@example([2**31 - 1, -(2**31) + 1], 8)
@example([2**31, -(2**31)], 8)
@example([LARGEST, -LARGEST, 1], 12)
def test_decimals_come_back_to_the_last_bit(whole, digits):
    values = np.array([k / 10**digits for k in whole])

    found = DecimalRange.of(values)

    assert found is not None
    assert found.digits <= digits
    assert there_and_back(values).tobytes() == values.tobytes()


@given(st.lists(st.floats(width=64), max_size=20))
@example([0.1 + 0.2])
@example([1e300, 5e-324])
@example([float("inf")])
@example([-0.0, 0.0])
def test_any_numbers_are_found_out(values):
    given_ = np.array(values, dtype=np.float64)
    given_[np.isnan(given_)] = np.nan

    found = DecimalRange.of(given_)

    exact = all(
        np.isnan(x)
        or (np.isfinite(x) and any(x == float(round(Fraction(x) * 10**d)) / 10**d for d in range(13)))
        for x in given_
    )
    if found is None:
        large = any(abs(x) * 10**d > LARGEST for x in given_ if np.isfinite(x) for d in range(13))
        assert not exact or large
    else:
        assert there_and_back(given_).tobytes() == (given_ + 0.0).tobytes()
        assert found.signed_zeros == bool((np.signbit(given_) & (given_ == 0)).any())


def test_what_is_missing_stays_so_in_every_precision():
    values = np.array([[np.nan, np.nan, np.nan], [0.25, -3.125, 1e-8]])
    decimal = DecimalRange.of(values).decimal
    assert decimal == Decimal(8, "int32")
    for dtype in ("float64", "float32"):
        out = np.empty(values.shape, dtype)
        decimal.restore(decimal.whole(values), out)
        assert out.tobytes() == values.astype(dtype).tobytes()


def test_other_nans_are_no_decimals():
    odd = np.array([0x7FF8000000000001], np.int64).view(np.float64)
    assert DecimalRange.of(odd) is None
    assert DecimalRange.of(-np.array([np.nan])) is None


@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=1), st.integers(0, 6),
    st.lists(st.integers(-(10**9), 10**9), min_size=1), st.integers(0, 6),
)  # fmt: skip
def test_two_ranges_are_that_of_all(first, d, second, e):
    a, b = np.array(first) / 10**d, np.array(second) / 10**e
    whole = DecimalRange.of(np.concatenate([a, b]))

    assert DecimalRange.of(a).joined(DecimalRange.of(b)) == whole


def test_ranges_that_do_not_fit_together_are_none():
    assert DecimalRange(0, LARGEST).joined(DecimalRange(8, 1)) is None
    assert DecimalRange(0, LARGEST).joined(DecimalRange(0, 1)) == DecimalRange(0, LARGEST)


@pytest.mark.parametrize("value", [0.123, 1e10, np.inf])
def test_what_is_no_decimal_of_so_many_digits_is_named(value):
    values = np.array([0.25, value, 0.5])
    with pytest.raises(ValueError, match=r"is no decimal of 2 digits"):
        Decimal(2, "int32").whole(values)


def test_whole_numbers_are_divided_not_multiplied():
    k = np.arange(1, 100_000, dtype=np.int32)
    out = np.empty(len(k))
    Decimal(8, "int32").restore(k, out)
    assert out.tobytes() == (k / 1e8).tobytes()
    assert (out != k * 1e-8).any()


@pytest.mark.parametrize("place", [0, 127, 128, 300, 399])
@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        (-0.0, DecimalRange(2, 1999, True)),
        (0.0, DecimalRange(2, 1999)),
        (np.nan, DecimalRange(2, 1999)),
        (-np.nan, None),
        (np.inf, None),
        (1 / 3, None),
        (0.0625, DecimalRange(4, 199900)),
        (-123.0, DecimalRange(2, 12300)),
    ],
)
def test_one_number_among_many_is_not_overlooked(place, odd, expected):
    values = np.tile(np.append(np.arange(1, 100) / 100, 19.99), 4)
    values[place] = odd
    assert DecimalRange.of(values) == expected


def test_pieces_are_looked_at_together(monkeypatch):
    monkeypatch.setattr(decimals, "_PIECE", 4)
    values = np.array([1.0, 2.0, 3.0, 4.0, 0.5, np.nan, -0.0, 0.125, 7.0])
    assert DecimalRange.of(values) == DecimalRange(3, 7000, True)
    assert there_and_back(values).tobytes() == (values + 0.0).tobytes()
    values[-1] = 1 / 3
    assert DecimalRange.of(values) is None


def test_decimals_are_not_written_to_a_copy():
    with pytest.raises(ValueError, match="in one piece"):
        Decimal(2, "int32").restore(np.zeros((4, 3), np.int32), np.empty((4, 6))[:, ::2])
