"""Pickles are read, and never executed, whatever is in them."""

import collections
import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zstruct.errors import InputError
from zstruct.sources.pickles import Record, loads

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(4, dtype=">i2"),
        np.array(["a", "bcd"]),
        np.array([b"a", b"bcd"]),
        np.array([True, False]),
        np.array([None, "a", 1.5, [2]], dtype=object),
        np.zeros((0, 3)),
        np.float64(1.5),
        np.int32(7),
        np.bool_(True),
        [1, "a", None, {"b": (1.5, b"c")}],
    ],
    ids=repr,
)
def test_arrays_and_plain_values(value, protocol):
    found = loads(pickle.dumps(value, protocol), {}, "a.pckl")
    if isinstance(value, (np.ndarray, np.generic)):
        assert np.asarray(found).dtype.newbyteorder("=") == value.dtype.newbyteorder("=")
        assert np.asarray(found).tolist() == value.tolist()
    else:
        assert found == value


class Point:
    def __init__(self, x):
        self.x = x


class Explodes:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_not_known_is_refused(protocol, tmp_path):
    for value, name in [
        (Point(1), "Point"),
        (Explodes(os.system, f"touch {tmp_path}/exploded"), "system"),
        (Explodes(eval, "1"), "eval"),
        (collections.OrderedDict(), "OrderedDict"),
        (np.datetime64("2020-01-01"), "dtype"),
        (np.zeros(1, dtype=[("a", "f8")]), "dtype"),
    ]:
        with pytest.raises(
            InputError, match=rf"a.pckl, frame 3: the pickle can't be read: .*({name}|_reconstructor)"
        ):
            loads(pickle.dumps(value, protocol), {}, "a.pckl", 3)
    assert not (tmp_path / "exploded").exists()


def test_records_stand_for_objects():
    known = {(Point.__module__, "Point"): None}
    for protocol in PROTOCOLS[2:]:
        found = loads(pickle.dumps(Point([1, 2]), protocol), known, "a")
        assert isinstance(found, Record)
        assert not isinstance(found, Point)
        assert type(found).__name__ == "Point"
        assert found.get("x") == [1, 2]
        assert found.get("y", 3) == 3


def test_what_is_called_can_not_be_changed():
    """A pickle that sets attributes of the functions that make arrays."""
    code = b"\x80\x02cnumpy\ndtype\n(N}X\t\x00\x00\x00_functionNstb."
    assert len(list(pickletools.genops(code))) == 11  # it is well formed
    with pytest.raises(InputError, match="it changes what it calls"):
        loads(code, {}, "a")
    assert loads(pickle.dumps(np.arange(3)), {}, "a").tolist() == [0, 1, 2]


def test_objects_are_not_made_of_raw_bytes():
    """The state of an array of objects whose dtype claims to hold none, so that bytes would be pointers."""
    data = pickle.dumps(np.array([None], dtype=object), 2)
    assert data.count(b"K?") == 1  # the flags of the dtype
    state = data.replace(b"K?", b"K\x00")
    assert loads(state, {}, "a").tolist() == [None]  # flags of others are not heard
    lies = pickle.dumps(np.arange(3), 2).replace(b"X\x02\x00\x00\x00i8", b"X\x02\x00\x00\x00O8")
    with pytest.raises(InputError, match="not as many values as places"):
        loads(lies, {}, "a")


WHOLE = pickle.dumps(
    {"x": np.arange(5.0), "y": [np.float64(1.5), "text"], "z": np.array([None, 2], dtype=object)}
)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damage_is_a_sentence(data):
    changed = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    changed = changed[: data.draw(st.integers(0, len(changed)))]
    try:
        loads(bytes(changed), {}, "a.pckl")
    except InputError as error:
        assert "a.pckl: the pickle can't be read: " in str(error)  # noqa: PT017
