"""Splits: exact, disjoint, exhaustive, whole groups, the same everywhere; kept in the store and served."""

import numpy as np
import pytest

import zstruct
from tests.splits.conftest import check_exhaustive
from zstruct import (
    InputError,
)
from zstruct.store.store import Store

# What seed 42 draws from sixty structures; must never change.
VAL, TEST = [14, 25, 29, 38, 54, 56], [1, 21, 32, 36, 47, 57]


def test_a_split_is_the_same_on_every_machine(built):
    train, val, test = zstruct.split(built, [0.8, 0.1, 0.1])
    assert val.tolist() == VAL
    assert test.tolist() == TEST
    again = zstruct.split(Store(built), [48, 6, 6], seed=42)
    assert again["train"].tolist() == train.tolist()
    assert zstruct.split(built, [48, 6, 6], seed=43)["val"].tolist() != VAL


@pytest.mark.parametrize("by", ["random", "order", "formula", "config_type", "serial"])
def test_every_way_is_exhaustive(built, by):
    parts = zstruct.split(built, [0.5, 0.3, 0.2], by=by)
    check_exhaustive(parts, 60)
    if by in ("random", "order"):
        assert [len(part) for part in parts] == [30, 18, 12]


def test_contiguous_parts(built):
    head, tail = zstruct.split(built, [50, 10], by="order", labels=["old", "new"])
    assert head.tolist() == list(range(50))
    assert tail.tolist() == list(range(50, 60))


def test_given_parts(built):
    mask = np.zeros(60, dtype=bool)
    mask[5:9] = True
    parts = zstruct.split(built, {"a": [3, 1], "b": mask, "c": []})
    assert [part.tolist() for part in parts] == [[1, 3], [5, 6, 7, 8], []]


@pytest.mark.parametrize("by", ["random", "order", "formula"])
def test_folds(built, by):
    folds = zstruct.kfold(built, 4, by=by)
    check_exhaustive([parts["val"] for parts in folds], 60)
    for parts in folds:
        check_exhaustive(parts, 60)
    if by != "formula":
        assert [len(parts["val"]) for parts in folds] == [15] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": [0.8, 0.1]}, "sum to 1, not 0.9"),
        ({"sizes": [40, 10]}, "the 60 structures there are, not 50"),
        ({"sizes": [1.5, -0.5]}, "none below zero"),
        ({"sizes": [float("nan"), 0.5]}, "none below zero"),
        ({"sizes": []}, "at least one part"),
        ({"sizes": {}}, "at least one part"),
        ({"sizes": 0.8}, "a list of one size for each part"),
        ({"sizes": "ab"}, "a list of one size for each part"),
        ({"sizes": [0.25] * 4}, "4 parts need labels"),
        ({"sizes": [0.5, 0.5], "labels": ["a", "a"]}, "different names"),
        ({"sizes": [0.5, 0.5], "labels": "ab"}, "list of names"),
        ({"sizes": [0.5, 0.5], "labels": ["a", 1]}, "labels is a list of names, and 1 is none"),
        ({"sizes": [0.5, 0.5], "seed": 1.5}, "seed is a whole number"),
        ({"sizes": [0.5, 0.5], "by": "gap"}, "can't be grouped by 'gap'.*config_type"),
        ({"sizes": [0.5, 0.5], "by": "numbers"}, "can't be grouped by 'numbers'"),
        ({"sizes": [0.5, 0.5], "stratify": "enrgy"}, "stratified by 'enrgy', but by formula, n_atoms.*gap"),
        ({"sizes": [[0, 1], [2]]}, "a list of one size for each part"),
        ({"sizes": [0.5, 0.5], "by": 3}, "names or functions"),
        ({"sizes": [0.5, 0.5], "by": lambda store: [1, 2]}, "one for each of the 60"),
        ({"sizes": [0.5, 0.5], "by": lambda store: np.array([None, "a"] * 30)}, "can't be compared"),
        ({"sizes": [0.5, 0.5], "by": "formula", "stratify": "source"}, 'needs by="random"'),
        ({"sizes": [0.5, 0.5], "stratify": 3}, "a name, a function or a list"),
        ({"sizes": [0.5, 0.5], "stratify": "gap", "bins": 0}, "bins is a whole number from 1"),
        ({"sizes": [0.5, 0.5], "stratify": "energy_per_atom"}, "need energies, and .* has none"),
        ({"sizes": {"a": [0], "b": [0]}}, "'b' has structure 0, which is in another part"),
        ({"sizes": {"a": [0, 0]}}, "'a' has a structure twice"),
        ({"sizes": {"a": [60]}}, "outside 0 to 59"),
        ({"sizes": {"a": [-1]}}, "outside 0 to 59"),
        ({"sizes": {"a": [0.5]}}, "neither a list of indices nor a mask"),
        ({"sizes": {"a": [True, False]}}, "neither a list of indices nor a mask"),
        ({"sizes": {"a": [0]}, "by": "formula"}, "parts that are given need no by"),
        ({"sizes": [0.5, 0.5], "name": "../x"}, "can't name a split"),
    ],
)
def test_what_can_not_be_used_is_said(built, arguments, message):
    with pytest.raises(InputError, match=message):
        zstruct.split(built, **arguments)


def test_other_misuse_is_said(built):
    with pytest.raises(InputError, match="from 2 to the 60 structures"):
        zstruct.kfold(built, 1)
    with pytest.raises(InputError, match="a store, its path or a dataset"):
        zstruct.split([1, 2, 3], [0.5, 0.5])
    with pytest.raises(KeyError, match="no part 'dev'; it has train, val"):
        zstruct.split(built, [0.5, 0.5])["dev"]
