"""Layouts by name: what is registered, what it is given, and what is refused."""

import numpy as np
import pytest

from zstruct import layouts
from zstruct.batch.pack import pack
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.layouts.registry import function_of


@pytest.fixture(autouse=True)
def registry():
    """Forget what a test registers."""
    before = dict(layouts.LAYOUTS)
    yield
    layouts.LAYOUTS.clear()
    layouts.LAYOUTS.update(before)


@pytest.fixture
def water():
    return pack([{"numbers": np.array([8, 1, 1]), "energy": np.array(-14.2)}])


def options(packed, *, elements=None, names=None, as_numpy=False):
    """What a layout was given."""
    return {"elements": elements, "names": names, "as_numpy": as_numpy}


def test_a_layout_is_given_the_options_that_it_takes(water):
    layouts.register("options", options)
    nothing = {"elements": None, "names": None, "as_numpy": False}
    assert function_of("options")(water) == nothing
    assert function_of("options", elements=lambda: [1, 8])(water) == nothing | {"elements": [1, 8]}
    assert function_of("options", {"a": "b"}, as_numpy=True)(water) == nothing | {
        "names": {"a": "b"},
        "as_numpy": True,
    }


def test_elements_are_asked_for_only_where_they_are_taken(water):
    def elements():
        raise AssertionError("nobody takes them")

    assert function_of("graph", as_numpy=True, elements=elements)(water)["n_atoms"].tolist() == [3]


def test_a_function_stays_as_it_is(water):
    assert function_of(options) is options
    assert function_of(options, as_numpy=True, elements=lambda: [1]) is options


def test_a_name_is_given_to_the_layout_that_was_registered_last(water):
    layouts.register("options", options)
    layouts.register("options", len)
    assert function_of("options")(water) == 1


def test_what_a_layout_does_not_take_is_refused():
    layouts.register("plain", lambda packed: packed)
    with pytest.raises(
        InputError, match=r"layout without torch is 'graph', 'padded', 'physnet' or a func.*'plain'"
    ):
        function_of("plain", as_numpy=True)
    with pytest.raises(InputError, match=r"names are for layout='graph', .*'fairchem', not 'plain'"):
        function_of("plain", {"energy": "E"})
    with pytest.raises(InputError, match=r"names are for layout=.*: a function has them as an option"):
        function_of(options, {"energy": "E"})
    with pytest.raises(
        InputError, match=r"layout is 'graph', .* or a function, not 'plane'; did you mean 'plain'"
    ):
        function_of("plane")
    with pytest.raises(ArgumentTypeError, match=r"layout is 'graph', .* or a function, not 3"):
        function_of(3)


def test_built_in_layouts_keep_their_names():
    with pytest.raises(InputError, match="'mace' is built in: give the layout another name"):
        layouts.register("mace", options)
    with pytest.raises(InputError, match="a layout can't be called ''"):
        layouts.register("", options)
    with pytest.raises(ArgumentTypeError, match="the name of a layout is a text, not 3"):
        layouts.register(3, options)
    with pytest.raises(ArgumentTypeError, match="a layout is a function of a PackedBatch, not 'graph'"):
        layouts.register("mine", "graph")
    assert layouts.LAYOUTS["mace"] is layouts.mace
