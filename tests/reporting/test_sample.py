"""What is drawn: enough of each group, all that is named, and never more atoms than fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zstruct.reporting.groups import Groups
from zstruct.reporting.sample import drawn

NONE = np.zeros(0, np.int64)


def groups(*sizes):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    return Groups(
        "config_type", np.random.default_rng(0).permutation(codes), [str(k) for k in range(len(sizes))]
    )


def test_all_if_they_fit():
    found = drawn(groups(30, 10), np.full(40, 3), NONE, 40, 120)
    assert found.places.tolist() == list(range(40))
    assert found.told == "all 40 structures"


def test_groups_have_their_share_and_small_ones_ten():
    of = groups(90_000, 9_000, 12, 4)
    found = drawn(of, np.full(99_016, 5), NONE, 1000, 10**9)
    counts = np.bincount(of.codes[found.places], minlength=4)
    assert counts.sum() <= 1000
    assert counts[2:].tolist() == [10, 4]
    assert counts[0] == pytest.approx(900, abs=20)
    assert counts[1] == pytest.approx(90, abs=5)
    assert "at least 10 of each" in found.told
    again = drawn(of, np.full(99_016, 5), NONE, 1000, 10**9)
    assert again.places.tolist() == found.places.tolist()


def test_which_are_drawn_is_random():
    found = drawn(groups(10_000), np.full(10_000, 5), NONE, 1000, 10**9)
    assert np.abs(np.histogram(found.places, 10, (0, 10_000))[0] - 100).max() < 45


def test_what_alone_has_too_many_atoms_is_left_out_with_a_word():
    found = drawn(groups(3), np.array([7, 2, 3]), np.array([0, 2]), 10, 6)
    assert found.places.tolist() == [1, 2]
    assert found.told.endswith("; without 1 of more than 6 atoms")
    assert drawn(groups(1), np.array([7]), NONE, 10, 6).places.tolist() == []


@given(
    sizes=st.lists(st.integers(1, 200), min_size=1, max_size=6),
    most=st.integers(1, 300),
    atoms=st.integers(1, 5000),
    seed=st.integers(0, 10),
)
def test_limits_hold(sizes, most, atoms, seed):
    rng = np.random.default_rng(seed)
    of = groups(*sizes)
    n = len(of.codes)
    n_atoms = rng.integers(1, 200, n)
    named = rng.integers(0, n, 7)
    found = drawn(of, n_atoms, named, most, atoms)
    assert len(found.places) <= most
    assert (np.diff(found.places) > 0).all()
    assert n_atoms[found.places].sum() <= atoms
    if most >= 7 and atoms >= 7 * 200:
        assert set(named.tolist()) <= set(found.places.tolist())
