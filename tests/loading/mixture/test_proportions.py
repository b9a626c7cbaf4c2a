"""How much of each part an epoch has: by weights, by temperature, or a sentence."""

import numpy as np
import pytest

from zstruct.errors import ArgumentTypeError, InputError, UnknownNameError
from zstruct.loading.mixture.proportions import Proportions

NAMES, SIZES = ["pbe", "scan", "pbe"], [300, 100, 100]


def shares(*given, names=NAMES, sizes=SIZES, **options):
    found = Proportions(*given, **options).shares(names, sizes)
    return None if found is None else (found / found.sum()).round(12).tolist()


def test_by_default_every_structure_comes_once():
    assert shares() is None
    assert Proportions().describe(NAMES, SIZES) == "every structure once"
    assert shares(window=100) == shares(length=7) == [0.6, 0.2, 0.2]
    assert Proportions(window=100).describe(NAMES, SIZES).startswith("by their sizes, pbe 0.6, scan 0.2")


def test_weights_by_name_are_shared_by_the_parts_of_a_name():
    assert shares({"pbe": 1, "scan": 1}) == [0.375, 0.5, 0.125]
    assert shares({"pbe": 0, "scan": 1}) == [0.0, 1.0, 0.0]


def test_weights_in_order():
    assert shares([2, 1, 1]) == shares(np.array([2.0, 1.0, 1.0])) == shares((2, 1, 1)) == [0.5, 0.25, 0.25]


def test_temperature_evens_parts_out():
    names, sizes = ["a", "b"], [900, 100]
    assert shares(temperature=1, names=names, sizes=sizes) == [0.9, 0.1]
    assert shares(temperature=2, names=names, sizes=sizes) == [0.75, 0.25]
    assert shares(temperature=np.inf, names=names, sizes=sizes) == [0.5, 0.5]
    # What parts of a name have together counts.
    assert shares(temperature=2) == [0.5, round(1 / 3, 12), round(1 / 6, 12)]


def test_parts_without_structures():
    assert shares(temperature=np.inf, names=["a", "b"], sizes=[5, 0]) == [1.0, 0.0]
    assert shares([1, 0], names=["a", "b"], sizes=[5, 0]) == [1.0, 0.0]
    with pytest.raises(
        InputError, match="b has no structures, and the weight 2: give it 0, or leave that part"
    ):
        shares([1, 2], names=["a", "b"], sizes=[5, 0])
    assert Proportions([0, 0]).shares(["a", "b"], [0, 0]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"weights": [1, 1], "temperature": 2}, InputError, "weights and temperature both say"),
        ({"weights": [1, -1]}, InputError, "the weight of part 1 is a number from 0, not -1"),
        ({"weights": {"pbe": float("nan")}}, InputError, "the weight of pbe is a number, not nan"),
        ({"weights": {"pbe": float("inf")}}, InputError, "the weight of pbe is a number from 0, not inf"),
        ({"weights": {"pbe": None}}, ArgumentTypeError, "the weight of pbe is a number, not None"),
        ({"weights": {"pbe": "1"}}, ArgumentTypeError, "the weight of pbe is a number, not '1'"),
        ({"weights": [True]}, ArgumentTypeError, "the weight of part 0 is a number, not True"),
        (
            {"weights": 3},
            ArgumentTypeError,
            "weights are numbers by the names of the parts, or in their order",
        ),
        ({"weights": "pbe"}, ArgumentTypeError, "weights are numbers by the names"),
        ({"weights": {1: 2}}, ArgumentTypeError, "weights are by the names of the parts, which are texts"),
        ({"temperature": 0}, InputError, "temperature is a number above 0, not 0"),
        ({"temperature": -1.0}, InputError, "temperature is a number above 0"),
        ({"temperature": float("nan")}, InputError, "temperature is a number, not nan"),
        ({"temperature": "hot"}, ArgumentTypeError, "temperature is a number, not 'hot'"),
        ({"window": 0}, InputError, "window is a whole number from 1, not 0"),
        ({"length": -1}, InputError, "length is a whole number from 0, not -1"),
        ({"length": 1.5}, ArgumentTypeError, "length is a whole number, not 1.5"),
        ({"wieghts": [1]}, ArgumentTypeError, "Proportions has no option 'wieghts'; is it weights?"),
    ],
)
def test_numbers_that_make_no_sense(options, error, sentence):
    with pytest.raises(error, match=sentence):
        Proportions(**options)


@pytest.mark.parametrize(
    ("weights", "error", "sentence"),
    [
        (
            {"pbe": 1, "scann": 1},
            UnknownNameError,
            "weights names 'scann', which is no part; did you mean 'scan'",
        ),
        ({"pbe": 1}, InputError, "weights says nothing of scan: give it a number; with 0 it does not come"),
        ({"pbe": 0, "scan": 0}, InputError, "all weights are zero: there is nothing to draw"),
        ([0, 0, 0], InputError, "all weights are zero"),
        ([1, 1], InputError, "there are 3 parts, and 2 weights"),
    ],
)
def test_weights_that_are_not_those_of_the_parts(weights, error, sentence):
    with pytest.raises(error, match=sentence):
        shares(weights)
