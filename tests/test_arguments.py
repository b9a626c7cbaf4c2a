"""The one table of options: right values pass, wrong ones are sentences."""

import enum
import itertools
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import zstruct
from zstruct.arguments import (
    KEPT,
    OPTIONS,
    array_of,
    check,
    count,
    integer,
    names,
    real,
    require,
    shown,
    whole,
)
from zstruct.errors import ArgumentTypeError, InputError, UnknownNameError


class Level(enum.IntEnum):
    LOW = 2


RIGHT = {
    "progress": [True, np.False_],
    "shuffle_seed": [None, 0, np.int32(7), np.uint8(1), Level.LOW, 10**30],
    "seed": [-1, 0, 2**70],
    "bins": [1, np.int64(10)],
    "reader": [None, "xyz", np.str_("xyz")],
    "on_error": ["raise", "skip"],
    "only": [None, "forces"],
    "split": [None, "train", ("mine", "train")],
    "keys": [None, {}, {"energy": "E"}],
    "atomic_energies": [None, {}, {"H": -1, "O": np.float32(2), "C": Fraction(1, 3)}],
    "max_energy": [None, 0, -3.5, np.float32(1), Fraction(1, 3)],
    "ridge": [None, 1e-300, 3],
    "vacuum": [0, 3.5],
    "tolerance": [0, 1e-3],
}
WRONG_TYPE = {
    "progress": [0, 1, "no", None, [], np.array([True, False])],
    "shuffle_seed": ["3", 3.0, True, np.True_, [3], np.array([3]), object(), b"3", Decimal(3)],
    "seed": [None, True, 1.5, "1"],
    "bins": [None, True, 2.0],
    "reader": [3, b"xyz", ["xyz"]],
    "on_error": [3, ["raise"], True],
    "only": [True, 3],
    "split": [3, ["a", "b"], ("a",), ("a", 3), {"a": "b"}],
    "keys": ["energy", [("energy", "E")], {"energy": 3}, {3: "E"}, {"energy": None}, 3],
    "atomic_energies": ["H", [1], {"H": "1"}, {1: 1.0}, {"H": None}, {"H": True}, True],
    "max_energy": ["3", True, [3], 1j, np.array([1.0, 2.0])],
    "ridge": ["1", True],
    "vacuum": [None, "5"],
    "tolerance": [None, "1"],
}
NO_SENSE = {
    "shuffle_seed": [-1],
    "bins": [0],
    "on_error": ["ignore", "", None],
    "only": ["energy", ""],
    "atomic_energies": [{"H": float("nan")}, {"H": float("inf")}, {"H": 10**400}],
    "max_energy": [float("nan"), float("inf"), 10**400],
    "ridge": [0, -1, float("inf")],
    "vacuum": [-1, float("nan")],
    "tolerance": [-1, float("inf")],
}


def _cases(table):
    return [(name, value) for name, values in table.items() for value in values]


@pytest.mark.parametrize(("name", "value"), _cases(RIGHT))
def test_right_values_pass(name, value):
    check(**{name: value})


@pytest.mark.parametrize(("name", "value"), _cases(WRONG_TYPE))
def test_wrong_types_are_type_errors_and_input_errors(name, value):
    with pytest.raises(ArgumentTypeError, match=f"^{name} is ") as caught:
        check(**{name: value})
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, InputError)
    assert OPTIONS[name].says in str(caught.value)


@pytest.mark.parametrize(("name", "value"), _cases(NO_SENSE))
def test_values_that_make_no_sense_are_input_errors(name, value):
    with pytest.raises(InputError, match=f"^{name} is ") as caught:
        check(**{name: value})
    assert not isinstance(caught.value, TypeError) or value is None


@pytest.mark.parametrize("value", [False, True, np.True_, 0, 5, np.int64(5)])
def test_a_number_to_keep(value):
    require("features", KEPT, value)


def test_what_is_no_number_to_keep():
    for value in (None, "all", 1.5, [1], np.arange(5)):
        with pytest.raises(ArgumentTypeError, match="features is a number of structures, or True for all"):
            require("features", KEPT, value)
    with pytest.raises(InputError, match="features is a number of structures, or True for all, not -5"):
        require("features", KEPT, -5)


def test_every_option_refuses_what_is_none_of_its_kind():
    for name in OPTIONS:
        with pytest.raises(ArgumentTypeError):
            check(**{name: object()})


def test_unknown_options_are_a_slip_of_ours():
    with pytest.raises(KeyError):
        check(shuffle_sed=3)


def test_whole_has_limits():
    assert whole("threads", 5, 0, 5) == 5
    with pytest.raises(InputError, match="threads is a whole number from 0 up to 4,096, not 1000000000"):
        whole("threads", 10**30, 0, 4096)
    with pytest.raises(InputError, match="n is a whole number up to 3, not 4"):
        whole("n", 4, most=3)


def test_counts_are_never_missing():
    assert count("n", np.uint8(3)) == 3
    for value, kind in ((None, TypeError), ("3", TypeError), (True, TypeError), (-1, InputError)):
        with pytest.raises(kind, match="n is a whole number"):
            count("n", value)


def test_rows_of_different_lengths_are_no_array():
    assert array_of("x", [[1, 2], [3, 4]]).shape == (2, 2)
    with pytest.raises(TypeError, match=r"x is in rows of one length, not \[\[1, 2\], \[3\]\]"):
        array_of("x", [[1, 2], [3]])


def test_unknown_names_are_key_errors_without_quotes():
    error = UnknownNameError("there is no 'a'")
    assert isinstance(error, KeyError)
    assert isinstance(error, InputError)
    assert str(error) == "there is no 'a'"
    assert str(pickle.loads(pickle.dumps(error))) == "there is no 'a'"


def test_integers_of_any_kind():
    torch = pytest.importorskip("torch")
    for value in (3, np.int8(3), np.array(3), torch.tensor(3), Level(2) + 1):
        assert integer(value) == 3
    for value in (True, np.True_, torch.tensor(True), np.array(True), 3.0, "3", None, torch.tensor(3.0)):
        assert integer(value) is None


def test_real_refuses_what_floats_can_not_hold():
    assert real("x", 10**300) == 1e300
    with pytest.raises(InputError, match="x is a number, not"):
        real("x", 10**400)
    with pytest.raises(ValueError, match="x is a number, not nan"):
        real("x", float("nan"))


def test_names_stop_at_the_first_that_is_none():
    assert names("fields", iter(["a", "b"])) == ["a", "b"]
    assert names("fields", np.array(["a", "b"])) == ["a", "b"]
    for value in ("a", b"a", 3, None, {"a": "b"}, np.array("a"), range(10**30), itertools.count(), [["a"]]):
        with pytest.raises(ArgumentTypeError, match="fields is a list of names"):
            names("fields", value)


def test_shown_survives_anything():
    class Rude:
        def __repr__(self):
            raise RuntimeError("no")

    assert shown(Rude()) == "a Rude"
    assert shown("\udcff\n") == "'\\udcff\\n'"
    assert len(shown(np.zeros((100, 100)))) < 100
    assert len(shown("x" * 10**6)) < 100


def test_options_reach_the_store_as_plain_numbers(tmp_path, frames):
    energies = {symbol: np.float32(-1) for symbol in ("H", "C", "O", "Ti")}
    zstruct.build(
        frames,
        tmp_path / "s.zarr",
        filters={"max_force": np.float32(9), "atomic_energies": energies},
        encoding={"shuffle_seed": np.int64(3)},
        progress=np.False_,
        workers=np.int64(1),
    )
    said = zstruct.Store(tmp_path / "s.zarr").attrs["build"]["options"]
    assert said["shuffle_seed"] == 3
    assert said["filters"]["max_force"] == 9.0
    assert said["filters"]["atomic_energies"] == dict.fromkeys(energies, -1.0)
