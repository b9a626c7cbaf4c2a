"""Moments of parts merge to those of all numbers, in any grouping, without loss of digits."""

import json
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zstruct.moments import ColumnMoments, Moments

floats = st.floats(-1e6, 1e6, allow_subnormal=False)
FIELDS = ("mean", "squares", "min", "max")


@given(st.lists(st.lists(floats, max_size=6), min_size=1, max_size=6), st.integers(0, 4))
def test_moments_merge_in_any_grouping(lists, cut):
    parts = [Moments.of(np.array(values)) for values in lists]
    whole = np.concatenate([np.array(values, float) for values in lists])
    left, right = Moments(), Moments()
    for part in parts[:cut]:
        left = left.merge(part)
    for part in reversed(parts[cut:]):
        right = part.merge(right)
    total = left.merge(right)
    assert total.count == len(whole)
    if len(whole):
        scale = np.abs(whole).max()
        np.testing.assert_allclose(total.mean, whole.mean(), rtol=1e-12, atol=1e-14 * scale)
        squares = ((whole - whole.mean()) ** 2).sum()
        least = np.finfo(float).tiny  # below it numbers lose their digits
        np.testing.assert_allclose(total.squares, squares, atol=1e-12 * scale**2 + least)
        assert (total.min, total.max) == (whole.min(), whole.max())


def columns_of(rows):
    """Moments of rows by exact arithmetic, rounded once."""
    n = len(rows)
    columns = [[Fraction(x) for x in column] for column in rows.T.tolist()]
    means = [sum(column) / n for column in columns]
    squares = [sum((x - m) ** 2 for x in column) for column, m in zip(columns, means, strict=True)]
    as_floats = (np.array([float(x) for x in values]) for values in (means, squares))
    return ColumnMoments(n, *as_floats, rows.min(axis=0), rows.max(axis=0))


@given(st.lists(st.lists(st.tuples(floats, floats), min_size=1, max_size=5), min_size=1, max_size=5))
def test_columns_merge_to_those_of_all_rows(lists):
    parts = [np.array(rows) for rows in lists]
    total = columns_of(parts[0])
    for part in parts[1:]:
        total = total.merge(columns_of(part))

    whole = np.concatenate(parts)
    exact = columns_of(whole)
    scale = np.abs(whole).max(axis=0)
    assert total.count == len(whole)
    np.testing.assert_allclose(total.mean, exact.mean, rtol=1e-12, atol=1e-14 * scale.max())
    assert (np.abs(total.squares - exact.squares) <= 1e-12 * scale**2 + np.finfo(float).tiny).all()
    np.testing.assert_array_equal(total.min, whole.min(axis=0))
    np.testing.assert_array_equal(total.max, whole.max(axis=0))


@given(st.lists(floats, min_size=1, max_size=5), st.lists(floats, min_size=1, max_size=5))
def test_a_column_is_merged_as_one_quantity_is(first, second):
    parts = [Moments.of(values) for values in (first, second)]
    numbers = [(m.count, *(getattr(m, name) for name in FIELDS)) for m in parts]
    one, other = (Moments(*row) for row in numbers)
    columns = [ColumnMoments(count, *(np.array([x]) for x in row)) for count, *row in numbers]

    expected, found = one.merge(other), columns[0].merge(columns[1])

    assert found.count == expected.count
    for name in (*FIELDS, "std"):
        assert getattr(found, name).tolist() == [getattr(expected, name)]


def test_columns_survive_json_bit_for_bit():
    rows = np.random.default_rng(2).normal(size=(9, 4))
    moments = columns_of(rows)

    again = ColumnMoments.from_dict(json.loads(json.dumps(moments.to_dict())))

    assert again.count == moments.count
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(again, name), getattr(moments, name))
