"""Leverage scores: those of the singular vectors of the whole matrix."""

import numpy as np
import pytest

from tests.coverage.test_farthest import vectors_like
from zstruct.coverage import vectors
from zstruct.coverage.leverage import leverage_of
from zstruct.errors import InputError


def scores_of(values, rank):
    left = np.linalg.svd(values, full_matrices=False)[0]
    return (left[:, :rank] ** 2).sum(axis=1)


def test_scores_are_those_of_singular_vectors(monkeypatch, rng):
    monkeypatch.setattr(vectors, "_BLOCK_BYTES", 1)  # blocks of 64
    values = rng.normal(size=(500, 12)) * np.geomspace(1, 1e-3, 12) + 0.3
    for rank in (None, 1, 5):
        picked, scores = leverage_of(vectors_like(values), 500, rank)
        expected = scores_of(values, rank or 12)
        np.testing.assert_allclose(scores, expected[picked], rtol=1e-8)
        assert scores.sum() == pytest.approx(rank or 12)
        assert (np.diff(scores) <= 0).all()


def test_what_depends_on_others_counts_once(rng):
    values = rng.normal(size=(200, 3))
    again = np.hstack([values, values @ rng.normal(size=(3, 4))])
    np.testing.assert_allclose(
        leverage_of(vectors_like(again), 200)[1], leverage_of(vectors_like(values), 200)[1], rtol=1e-9
    )
    with pytest.raises(InputError, match="rank is at most 3"):
        leverage_of(vectors_like(again), 10, rank=4)


def test_chances_are_in_proportion_to_scores():
    # Of 100 directions, half have two structures and half have one, whose score is twice as large.
    values = np.repeat(np.eye(100), [1, 2] * 50, axis=0)
    single = np.repeat([True, False], [1, 2]).tolist() * 50
    hits = 0
    for seed in range(60):
        picked, scores = leverage_of(vectors_like(values), 1, seed=seed)
        hits += single[picked[0]]
        assert scores[0] == pytest.approx(1.0 if single[picked[0]] else 0.5)
    assert 15 < hits < 45  # of 60 with a chance of a half: four standard deviations
    whole, _ = leverage_of(vectors_like(values), 150, seed=3)
    assert sorted(whole.tolist()) == list(range(150))
    assert leverage_of(vectors_like(values), 20, seed=3)[0].tolist() == whole[:20].tolist()


def test_structures_that_have_nothing_come_last():
    values = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    for seed in (None, 1):
        assert set(leverage_of(vectors_like(values), 2, seed=seed)[0].tolist()) == {1, 3}
    assert leverage_of(vectors_like(np.zeros((3, 2))), 3)[0].tolist() == [0, 1, 2]


def test_scores_are_those_of_scikit_matter(rng, scikit_matter):
    values = rng.normal(size=(400, 9))
    judge = scikit_matter.CUR(n_to_select=60, k=4, recompute_every=0).fit(values)
    picked, _ = leverage_of(vectors_like(values), 60, rank=4)
    assert picked.tolist() == judge.selected_idx_.tolist()
