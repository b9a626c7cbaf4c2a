"""Atom types become elements on the user's word only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zstruct.elements import SYMBOLS
from zstruct.errors import InputError
from zstruct.sources.normalize.elements import element_table
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.source import Raw, RawColumn


def typed(*structures, names=None, present=None):
    """A block of structures whose atoms have types."""
    counts = np.array([len(s) for s in structures])
    flat = np.concatenate([np.asarray(s) for s in structures])
    n = int(counts.sum())
    raw = Raw(np.arange(len(structures)), counts)
    raw.atom["numbers"] = [RawColumn(np.full(n, 6, dtype=np.uint8))]
    raw.atom["positions"] = [RawColumn(np.arange(3.0 * n).reshape(n, 3))]
    raw.types = RawColumn(flat, present, names)
    return raw


def read(raw, elements):
    packed, bad = normalize(raw, ReadOptions(elements=element_table(elements)), "in")
    return packed.columns["numbers"].tolist(), {b.frame: b.reason for b in bad}


@pytest.mark.parametrize("elements", [{1: "Ti", 2: "O"}, ["Ti", "o"], {"1": 22, "2": np.int64(8)}, ("TI", 8)])
def test_types_are_the_elements_that_the_user_says(elements):
    assert read(typed([1, 2, 2], [2]), elements) == ([22, 8, 8, 8], {})


def test_named_types():
    raw = typed([0, 1, 1], names=["OW", "HW"])
    assert read(raw, {"OW": "O", "HW": "H"}) == ([8, 1, 1], {})


def test_names_that_are_elements_with_a_number():
    assert read(typed([0, 1, 2], names=["O1", "Ti", "H12"]), None) == ([8, 22, 1], {})
    assert read(typed([0, 1], names=["Ti", "O1"]), {"Ti": "Zr"}) == ([40, 8], {})
    for name in ("OW", "CL", "CA", "ti", "Xx1", "1", "C-1", "D"):
        assert read(typed([0], names=[name]), None)[0] == []


def test_structures_that_name_their_elements_keep_them():
    raw = typed([1, 2], [7, 7, 7], present=np.array([True, False]))
    assert read(raw, ["Ti", "O"]) == ([22, 8, 6, 6, 6], {})


def test_types_are_never_taken_for_atomic_numbers():
    numbers, bad = read(typed([1, 2], [1]), None)
    assert numbers == []
    assert bad[0].startswith(
        "atom types are 1, 2, and the input does not say which elements; say it with elem"
    )
    assert bad[1].startswith("the atom type is 1, and the input does not say")
    numbers, bad = read(typed([1, 1], [1, 3]), ["Ti", "O"])
    assert numbers == [22, 22]
    assert bad == {1: "the atom type is 3, which elements= does not say; it says {'1': 'Ti', '2': 'O'}"}
    assert "1, 2, 3, 4, 5 and 4 more" in read(typed(range(1, 10)), None)[1][0]


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ("Ti", "give elements="),
        (5, "give elements="),
        ({"Ti", "O"}, "give elements="),
        (["Ti", "Xx"], "type 2 is 'Xx', which is no chemical element"),
        ({1: 0}, "no chemical element"),
        ({1: "X"}, "no chemical element"),
        ({1: 119}, "no chemical element"),
        ({1: True}, "no chemical element"),
        ({1: 8.0}, "no chemical element"),
        ({1: None}, "no chemical element"),
        ({1.5: "H"}, "1.5 is no type"),
        ({" ": "H"}, "' ' is no type"),
        ({None: "H"}, "None is no type"),
        ({1: "H", "1": "He"}, "the type '1' can't be two elements"),
    ],
)
def test_elements_that_are_none(elements, reason):
    with pytest.raises(InputError, match=reason):
        element_table(elements)


@given(st.dictionaries(st.integers(-5, 200), st.integers(1, len(SYMBOLS) - 1), min_size=1), st.data())
def test_any_table_maps_any_types(table, data):
    types = data.draw(st.lists(st.sampled_from(sorted(table)), min_size=1, max_size=30))
    numbers, bad = read(typed(np.array(types)), table)
    assert (numbers, bad) == ([table[t] for t in types], {})
