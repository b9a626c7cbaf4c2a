"""Pickles are read, and never executed, whatever is in them."""

import collections
import contextlib
import os
import pickle
import pickletools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zstruct.errors import InputError
from zstruct.sources.opcodes import look_through
from zstruct.sources.pickles import Call, Record, loads

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


@settings(max_examples=300)
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


def _list_of(op: bytes, n: int) -> bytes:
    """Return a pickle of lists in lists, each of which holds the one before it ten times."""
    code = b"\x80\x04]\x94"
    for k in range(n):
        code += b"](" + b"h" + bytes([k]) + (b"h" + bytes([k])) * 9 + b"e\x94"
    return code + op


#: What does harm where pickles are taken at their word, and what is said of it.
BOMBS = {
    "a memo of 2^32 places": (b"\x80\x02K\1r\xff\xff\xff\xff.", "more places than it has"),
    "a memo of 2^40 places, in decimals": (b"I1\np1099511627776\n.", "more places than it has"),
    "tuples in tuples": (b"\x80\x02)" + b"\x85" * 100_000 + b".", "tuples in tuples without an end"),
    "tuples in tuples, by the memo": (b"\x80\x04)" + b"\x94h\0\x85" * 300 + b".", None),
    "lists of lists of lists": (_list_of(b".", 40), "over and over"),
    "a list that holds itself": (b"\x80\x04]\x94h\0a.", "over and over"),
    "a text of 2^62 bytes": (b"\x80\x04\x8d" + (1 << 62).to_bytes(8, "little") + b"a.", "damaged or cut off"),
    "bytes of 2^40": (b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"a.", "damaged or cut off"),
    "a frame of 2^40 bytes": (b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"K\1.", "truncated"),
    "a number of a kilobyte": (b"\x80\x02\x8b\0\4\0\0" + bytes(1 << 10) + b".", "64 bits"),
    "a number of ten thousand digits": (b"L" + b"1" * 10_000 + b"L\n.", "64 bits"),
    "codes of extensions": (b"\x80\x02\x82\1.", "calls by a number"),
    "objects from outside": (b"\x80\x02P1\n.", "damaged or cut off"),
    "buffers from outside": (b"\x80\x05\x97.", "damaged or cut off"),
    "a view of a buffer": (b"\x80\x05\x96" + bytes(8) + b"\x98.", "damaged or cut off"),
    "no stack": (b"\x80\x0200.", "damaged or cut off"),
    "no end": (b"\x80\x02K\1", "damaged or cut off"),
    "nothing": (b"", "damaged or cut off"),
    "a name of kilobytes": (b"c" + b"x" * (1 << 16) + b"\n\x1b[2J\n.", r"it asks for x{80}\.\.\., which"),
    "a bit of code": (b"cos\nsystem\n(S'touch exploded'\ntR.", r"it asks for os\.system"),
    "code by INST": (b"(S'touch exploded'\nios\nsystem\n.", r"it asks for os\.system"),
    "code by OBJ": (b"(cos\nsystem\nS'touch exploded'\no.", r"it asks for os\.system"),
    "code by name and stack": (b"\x80\x04\x8c\2os\x8c\6system\x93.", r"it asks for os\.system"),
    "arrays of nothing, without an end": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85C\1btR(K\1J\0\0\0\x7fK\0\x86"
        b"cnumpy\ndtype\n(X\2\0\0\0f8tR\x89C\0tb.",
        "not as many values as places",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_do_nothing(bomb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said = BOMBS[bomb]
    tracemalloc.start()
    try:
        with contextlib.nullcontext() if said is None else pytest.raises(InputError, match=said) as caught:
            loads(code, {}, "a.pckl", 3)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught is None or len(str(caught.value)) < 300
    assert most < 64e6
    assert not list(tmp_path.iterdir())


_BYTES = pickle.dumps(bytes(range(256)) * 400, 2)


@pytest.mark.parametrize("n", [1, 40])
def test_no_more_is_made_of_bytes_than_there_are(n):
    """The same text is encoded again and again, a few bytes of code for each hundred kilobytes."""
    head, _, tail = _BYTES.partition(b"\x86")
    assert head.count(b"_codecs\nencode") == 1
    call = head[: head.index(b"X")]
    assert tail
    text = b"X" + (1 << 17).to_bytes(4, "little") + b"a" * (1 << 17)
    one = b"h\1h\2h\3\x86R"
    code = b"\x80\x02(" + call[2:] + b"q\1" + text + b"q\2X\6\0\0\0latin1q\3" + one * (25 * n) + b"l."
    if n == 1:
        assert len(loads(code, {}, "a")) > 20
        return
    with pytest.raises(InputError, match="far more of its bytes than there are"):
        loads(code, {}, "a")


def test_arrays_are_not_made_twice():
    """NumPy frees the values of an array that is given others, whoever looks at them."""
    made = pickle.dumps(np.arange(200.0), 2)
    assert made[-2:] == b"b."
    state = made[made.index(b"R", made.index(b"_reconstruct")) :]
    twice = made[:-1] + state[state.index(b"(") :]
    with pytest.raises(InputError, match="an array is made in a way of its own"):
        loads(twice, {}, "a")


def test_values_of_arrays_are_not_set():
    made = pickle.dumps(np.arange(3.0), 2)
    with pytest.raises(InputError, match="it changes an array that it has made"):
        loads(made[:-1] + b"K\0K\1s.", {}, "a")
    array = loads(made, {}, "a")
    array[0] = 7.0
    assert array.tolist() == [7.0, 1.0, 2.0]


def test_objects_may_know_each_other():
    one, other = Point(np.arange(3)), Point(["text" * 100] * 20)
    one.other, other.other = other, one
    known = {(Point.__module__, "Point"): None}
    for protocol in PROTOCOLS[2:]:
        found = loads(pickle.dumps([one, one], protocol), known, "a")
        assert found[0] is found[1]
        assert found[0].get("other").get("other") is found[0]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda each: (
        st.lists(each) | st.tuples(each, each) | st.dictionaries(st.text(), each) | st.frozensets(st.text())
    ),
    max_leaves=30,
)


@settings(max_examples=60)
@given(VALUES, st.sampled_from(PROTOCOLS), st.booleans())
def test_all_that_pickle_writes_is_looked_through(value, protocol, optimized):
    value = [value, value, {"again": value}]
    code = pickle.dumps(value, protocol)
    assert (
        loads(
            pickletools.optimize(code) if optimized else code,
            {("builtins", "frozenset"): Call(frozenset), ("__builtin__", "frozenset"): Call(frozenset)},
            "a",
        )
        == value
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_kernel_and_python_find_the_same(protocol):
    code = pickle.dumps(
        [np.arange(3.0), {"a": (1, ("b", 2.5))}, np.array(["x" * 90] * 3, dtype=object)], protocol
    )
    for n in range(0, len(code), 29):
        cut = np.frombuffer(code[:n] + code[n + 1 :], dtype=np.uint8)
        assert look_through(cut) == look_through.interpreted(cut)
