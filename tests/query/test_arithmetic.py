"""Arithmetic of whole numbers and floats: against Python's own, and each structure by itself."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zstruct.query.arithmetic import Values, absolute, calculated, compared, is_missing, is_one_of, numbers

WHOLE = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-9, 9),
    st.sampled_from([s * 2**k + d for s in (-1, 1) for k in (31, 32, 61, 62) for d in (-1, 0, 1)]),
    st.sampled_from([-(2**63), -(2**63) + 1, 2**63 - 1, 2**63 - 2]),
)
SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
COMPARED = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq,
    "!=": operator.ne,
}  # fmt: skip


def column(values):
    return Values(np.array(values, np.int64))


def row(found, i):
    """Return what structure i has: an int where that is exact, else a float."""
    if found.values.dtype.kind == "i":
        return int(found.values[i])
    if found.whole is not None and found.whole.here[i]:
        return int(found.whole.values[i])
    return float(found.values[i])


def expected(sign, a, b):
    exact = SIGNS[sign](a, b)
    return exact if -(2**63) <= exact < 2**63 else SIGNS[sign](float(a), float(b))


@given(pairs=st.lists(st.tuples(WHOLE, WHOLE), min_size=1, max_size=8), sign=st.sampled_from(sorted(SIGNS)))
def test_results_are_exact_in_64_bits_and_floats_beyond(pairs, sign):
    left, right = (column(list(one)) for one in zip(*pairs, strict=True))

    found = calculated(sign, left, right)

    for i, (a, b) in enumerate(pairs):
        got = row(found, i)
        assert got == expected(sign, a, b)
        assert type(got) is type(expected(sign, a, b))


@given(
    rows=st.lists(st.tuples(WHOLE, WHOLE, WHOLE), min_size=2, max_size=8),
    signs=st.tuples(st.sampled_from(sorted(SIGNS)), st.sampled_from(sorted(SIGNS))),
    comparison=st.sampled_from(sorted(COMPARED)),
)
def test_no_structure_changes_what_is_found_for_another(rows, signs, comparison):
    def asked(some):
        a, b, c = (column(list(one)) for one in zip(*some, strict=True))
        found = absolute(calculated(signs[1], calculated(signs[0], a, b), c))
        return compared(comparison, found, a), is_one_of(found, np.array([0, 2**62 + 1]))

    together = asked(rows)
    alone = [asked([one]) for one in rows]

    for k, found in enumerate(together):
        assert found.tolist() == [bool(one[k][0]) for one in alone]


@given(
    pairs=st.lists(st.tuples(WHOLE, WHOLE), min_size=1, max_size=8), sign=st.sampled_from(sorted(COMPARED))
)
def test_whole_numbers_compare_as_they_are(pairs, sign):
    left, right = (column(list(one)) for one in zip(*pairs, strict=True))

    assert compared(sign, left, right).tolist() == [COMPARED[sign](a, b) for a, b in pairs]


def test_the_least_number_has_no_opposite_of_64_bits():
    found = absolute(column([-(2**63), -(2**63) + 1]))

    assert [row(found, 0), row(found, 1)] == [2.0**63, 2**63 - 1]
    assert isinstance(row(found, 0), float)


def test_whole_numbers_of_64_bits_without_a_sign_do_not_wrap():
    found = numbers(np.array([0, 2**63 - 1, 2**63, 2**64 - 1], np.uint64))

    assert [row(found, i) for i in range(4)] == [0, 2**63 - 1, 2.0**63, 2.0**64]
    assert compared("<", found, Values(np.int64(0))).tolist() == [False] * 4
    assert compared("==", found, Values(np.int64(2**63 - 1))).tolist() == [False, True, False, False]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "uint32", "int32"])
def test_narrow_numbers_are_calculated_with_in_64_bits(dtype):
    found = numbers(np.array([100, 7], dtype))

    assert calculated("*", found, found).values.tolist() == [10_000, 49]
    assert calculated("-", found, Values(np.int64(101))).values.tolist() == [-1, -94]


def test_what_is_missing_stays_missing_and_so_is_a_division_by_zero():
    given_ = Values(np.array([1, 0, 3]), np.array([True, False, False]))

    assert is_missing(calculated("+", given_, Values(np.int64(1)))).tolist() == [True, False, False]
    assert is_missing(calculated("/", Values(np.int64(6)), given_)).tolist() == [True, True, False]
