"""Values come one by one, whatever the pieces in which a text is read."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zstruct.sources.json_records import stream
from zstruct.sources.json_records.stream import CutError, members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


class Drops(io.StringIO):
    def read(self, n=-1):
        return super().read(7)


@given(st.lists(VALUES, max_size=5), st.sampled_from([None, 1]))
def test_lists(values, indent):
    text = json.dumps(values, indent=indent)
    assert [value for _, value in members(Drops(text), frozenset())] == values


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_objects(table):
    assert dict(members(Drops(json.dumps(table)), frozenset())) == table


def test_what_is_one_value_and_comments_before_it():
    text = "# made by hand\n\n# twice\n" + json.dumps({"sites": [], "a": 1})
    assert list(members(Drops(text), frozenset({"sites"}))) == [("", {"sites": [], "a": 1})]


@given(st.integers(0, 59))
def test_a_text_that_is_cut_says_so(n):
    text = json.dumps({"a": [1.25, {"b": "x\u00e9"}], "c": {"d": None}, "e": 12.5, "f": [[]]})
    assert len(text) > 60
    with pytest.raises(CutError):
        list(members(Drops(text[:n]), frozenset()))


@pytest.mark.parametrize("text", ["", "3", '{"a" 1}', "[1, x]", "{1: 2}", "[" * 100_000])
def test_what_is_no_json(text):
    with pytest.raises(CutError):
        list(members(io.StringIO(text), frozenset()))


def test_large_values(monkeypatch):
    monkeypatch.setattr(stream, "_CHUNK", 64)
    values = [list(range(1000)), "x" * 5000]
    assert [v for _, v in members(io.StringIO(json.dumps(values)), frozenset())] == values
