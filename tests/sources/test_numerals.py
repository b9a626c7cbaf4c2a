"""Numbers as text, against Python's float."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zstruct.sources.numerals import number, numbers


@given(st.floats(allow_nan=False), st.sampled_from("eEdD"))
def test_a_number(value, letter):
    assert number(repr(value).replace("e", letter)) == value


@pytest.mark.parametrize("word", ["", "d", "1d", "1_0", "1d5d5", "\u0661", "0x1", "1.2.3", "d5"])
def test_what_is_none(word):
    with pytest.raises(ValueError, match="."):  # noqa: RUF043
        number(word)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1.0),
        (" 1, 2  3d1 ", [1.0, 2.0, 30.0]),
        ("[[1, 2], [3 4]]", [[1.0, 2.0], [3.0, 4.0]]),
        (" [ [1] , [2] ] ", [[1.0], [2.0]]),
        ("inf", math.inf),
    ],
)
def test_forms(text, expected):
    assert numbers(text).tolist() == expected


@pytest.mark.parametrize(
    "text", ["", ",", "1 x", "[1, 2]", "[[1, 2], [3]]", "[[]]", "[[1]], 2", "[[[1]]]", "[[1] 2]"]
)
def test_what_is_no_such_form(text):
    assert numbers(text) is None
