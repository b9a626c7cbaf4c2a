"""The objects of what users say of loading check themselves, and are equal where they say the same."""

import dataclasses
import pickle

import numpy as np
import pytest

from zstruct.errors import ArgumentTypeError, InputError
from zstruct.loading import Batches, Cache, Edges, Forces, Ranks, Recipe, Shuffle, Threads
from zstruct.loading.moved_options import MOVED

OBJECTS = [
    Edges(5, carry="edge_vec"),
    Edges("rc5", carry=["edge_vec", "edge_shift"]),
    Cache("memory", bytes=8e9, features=True, neighbors=100),
    Forces(0.3, sampling="fixed", minimum=2, seed=5),
    Batches(64, max_atoms=4000, bucket=32),
    Ranks(1, 4, even="pad"),
    Threads(2, ahead=8),
]


@pytest.mark.parametrize("made", OBJECTS, ids=lambda made: type(made).__name__)
def test_they_are_frozen_pickle_and_look_like_what_makes_them(made):
    names = {kind.__name__: kind for kind in (Edges, Cache, Forces, Batches, Ranks, Threads)}
    assert pickle.loads(pickle.dumps(made)) == made == eval(repr(made), names)
    assert hash(made) == hash(dataclasses.replace(made))
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.seed = 3


def test_numbers_of_any_kind_are_those_of_python():
    batches = Batches(np.int64(4), max_atoms=np.uint8(9), drop_last=np.True_)
    assert [type(value) for value in dataclasses.astuple(batches)] == [int, int, type(None), type(None), bool]
    assert type(Forces(0.5, every=np.int32(2)).every) is int
    assert type(Shuffle(seed=np.int64(1)).seed) is int
    assert type(Edges(np.float32(5.0)).cutoff) is float


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: Edges(0), InputError, "cutoff"),
        (lambda: Edges(3.0, carry=["edges"]), InputError, "edge_dist, not 'edges'"),
        (lambda: Edges(3.0, carry=5), ArgumentTypeError, "carry is a list of names, not 5"),
        (lambda: Cache(bytes="8GB"), ArgumentTypeError, "bytes of a cache is a number, not '8GB'"),
        (lambda: Cache(neighbors="all"), ArgumentTypeError, "neighbors of a cache is a number"),
        (lambda: Forces(2), InputError, "fraction is at least 0 and at most 1, not 2"),
        (lambda: Forces(0.5, every=None), ArgumentTypeError, "every is a whole number, not None"),
        (lambda: Batches(), InputError, "nothing says how large batches are"),
        (lambda: Batches(4, bucket=30), InputError, "a multiple of the 4 of a batch such as 128, not 30"),
        (lambda: Shuffle("some"), InputError, "shuffle is True, False, 'full' or 'block', not 'some'"),
        (lambda: Ranks(1), InputError, "rank and world_size go together"),
        (lambda: Ranks(0, 0), InputError, "world_size is a whole number from 1, not 0"),
        (lambda: Ranks(4, 4), InputError, r"rank must be in range\(4\), the world_size, but is 4"),
        (lambda: Ranks.asked(3), ArgumentTypeError, "or these two, not 3"),
        (lambda: Batches(max_atom=3), ArgumentTypeError, "Batches has no option 'max_atom'; is it max_atoms"),
        (lambda: Shuffle.asked({"sed": 1}), ArgumentTypeError, "Shuffle has no option 'sed'; is it seed"),
        (lambda: Recipe(neighbors={"carry": []}), ArgumentTypeError, "Edges needs cutoff"),
        (lambda: Edges(), ArgumentTypeError, "^Edges needs cutoff$"),
        (lambda: Edges(within=5.0), ArgumentTypeError, "Edges has no option 'within'; it has cutoff, carry"),
        (lambda: Threads(-1), InputError, "threads is a whole number from 0 up to 4,096, not -1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_a_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


def test_short_forms_of_orders_and_ranks():
    assert Shuffle.asked(False) is Shuffle.asked(np.False_) is None
    assert [Shuffle.asked(short).how for short in (True, 1, "full", "block", {"how": "block"})] == [
        "auto", "auto", "full", "block", "block",
    ]  # fmt: skip
    assert (Ranks.asked(None), Ranks.asked((1, 2)), Ranks.asked({"even": "drop"})) == (
        Ranks(), Ranks(1, 2), Ranks(even="drop"),
    )  # fmt: skip


def test_keywords_that_have_moved_are_none_that_there_are():
    there = {field.name for field in dataclasses.fields(Recipe)}
    assert not there & MOVED.keys()
