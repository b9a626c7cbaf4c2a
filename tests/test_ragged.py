"""Offsets, segment reductions and packed blocks, against plain loops."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zstruct import ragged
from zstruct.errors import InputError
from zstruct.ragged import Packed
from zstruct.schema import FIELDS, infer

counts = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@given(counts, st.sampled_from(["sum", "mean", "max", "min"]), st.data())
def test_segment_reduce_equals_a_loop(lengths, how, data):
    offsets = ragged.counts_to_offsets(lengths)
    shape = data.draw(st.sampled_from([(), (3,)]))
    floats = st.floats(-1e3, 1e3, width=32)
    values = data.draw(hnp.arrays(np.float64, (int(offsets[-1]), *shape), elements=floats))
    found = ragged.segment_reduce(values, offsets, how)
    for i, (a, b) in enumerate(itertools.pairwise(offsets)):
        if a == b:
            expected = np.zeros(shape) if how == "sum" else np.full(shape, np.nan)
        else:
            expected = getattr(np, how)(values[a:b], axis=0)
        np.testing.assert_allclose(found[i], expected, rtol=1e-12, atol=1e-9)


def test_segment_reduce_keeps_integers_and_booleans():
    assert ragged.segment_reduce(np.array([1, 2, 3], np.uint8), [0, 1, 3], "sum").tolist() == [1, 5]
    assert ragged.segment_reduce(np.array([True, False]), [0, 2], "min").dtype == bool
    with pytest.raises(ValueError, match="not 'median'"):
        ragged.segment_reduce([1.0], [0, 1], "median")


@given(counts, st.data())
def test_atom_rows_equal_a_loop(lengths, data):
    starts = data.draw(st.lists(st.integers(0, 100), min_size=len(lengths), max_size=len(lengths)))
    expected = [row for s, n in zip(starts, lengths, strict=True) for row in range(s, s + n)]
    assert ragged.atom_rows(starts, lengths).tolist() == expected


def _block(n_atoms, **columns):
    packed = Packed(np.array(n_atoms, dtype=np.int64))
    packed.add(FIELDS["numbers"], np.ones(sum(n_atoms), dtype=np.uint8))
    for name, (spec, values) in columns.items():
        assert spec.name == name
        packed.add(spec, np.array(values))
    return packed


def test_select_cuts_atoms_with_structures():
    spec = infer("a", "atom", "int", ())
    packed = _block([2, 1, 3], a=(spec, [0, 1, 2, 3, 4, 5]))
    assert packed.select([2, 0]).columns["a"].tolist() == [3, 4, 5, 0, 1]
    assert packed.select(np.array([False, True, False])).columns["a"].tolist() == [2]
    assert packed.select(np.ones(3, dtype=bool)) is packed


def test_concatenate_fills_what_a_block_lacks():
    one = _block([1, 2], energy=(FIELDS["energy"], [1.0, 2.0]))
    joined = ragged.concatenate([one, _block([1])])
    assert joined.n_atoms.tolist() == [1, 2, 1]
    np.testing.assert_array_equal(joined.columns["energy"], [1.0, 2.0, np.nan])
    assert joined.present["energy"].tolist() == [True, True, False]


def test_concatenate_joins_categories_and_numbers_as_text():
    text, number = infer("tag", "structure", "category", ()), infer("tag", "structure", "int", ())
    one = _block([1, 1], tag=(text, np.array([1, 0], np.int32)))
    one.categories["tag"] = ["a", "b"]
    two = _block([1, 1], tag=(text, np.array([0, -1], np.int32)))
    two.categories["tag"] = ["b"]
    three = _block([1], tag=(number, [7]))
    joined = ragged.concatenate([one, two, three])
    texts = [*joined.categories["tag"], None]
    assert [texts[code] for code in joined.columns["tag"]] == ["b", "a", "b", None, "7"]


def test_concatenate_refuses_two_shapes():
    vector, scalar = infer("p", "structure", "float", (3,)), infer("p", "structure", "float", ())
    blocks = [_block([1], p=(vector, np.zeros((1, 3)))), _block([1], p=(scalar, [0.0]))]
    with pytest.raises(InputError, match="different shapes"):
        ragged.concatenate(blocks)


def test_a_block_says_which_structures_have_a_field():
    energy = np.array([1.0, np.nan])
    block = Packed(np.array([1, 1]))
    block.add(FIELDS["energy"], energy, np.array([True, False]))
    block.add(FIELDS["weight"], energy)

    assert block.has("energy").tolist() == [True, False]
    assert block.has("weight").tolist() == [True, True]
