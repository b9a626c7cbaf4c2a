"""Farthest-point sampling: what looking at all of them picks, however few are looked at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zstruct.coverage import farthest, vectors
from zstruct.coverage.farthest import farthest_of


def vectors_like(values, dtype=np.float64):
    made = vectors.Vectors(*values.shape, np.dtype(dtype))
    for start in range(0, len(values), 7):
        made.put(start, values[start : start + 7])
    return made


def looked_through(values, n, first, beside=None):
    """Return what is picked if all are looked at each time."""
    near = np.full(len(values), np.inf)
    for row in () if beside is None else beside:
        near = np.minimum(near, ((values - row) ** 2).sum(axis=1))
    picked, far = [], []
    for k in range(n):
        j = first if k == 0 and first is not None else int(np.argmax(near))
        picked.append(j)
        far.append(near[j])
        near = np.minimum(near, ((values - values[j]) ** 2).sum(axis=1))
        near[picked] = -1.0
    return picked, np.sqrt(far)


@pytest.fixture
def small_levels(monkeypatch):
    """Let few vectors have candidates, and candidates of these."""
    monkeypatch.setattr(farthest, "_DEEPEST", 4)
    monkeypatch.setattr(farthest, "_SHRINK", 2)
    monkeypatch.setattr(farthest, "_BATCH", 5)
    monkeypatch.setattr(farthest, "_FEW", 1)
    monkeypatch.setattr(farthest, "_BLOCK_BYTES", 512)


@pytest.mark.parametrize("width", [1, 2, 3, 20, 33])
@pytest.mark.parametrize("whole", [False, True])
def test_picks_are_those_of_looking_at_all(small_levels, rng, width, whole):
    n = 300
    values = rng.integers(-3, 4, (n, width)).astype(float) if whole else rng.normal(size=(n, width))
    picked, far = farthest_of(vectors_like(values), n, first=17)
    expected, distances = looked_through(values, n, 17)
    if whole:  # sums are exact, so ties are ties: the first of equally far ones
        assert picked.tolist() == expected
    np.testing.assert_allclose(far, distances, rtol=1e-12)
    assert sorted(picked.tolist()) == list(range(n))
    assert far[0] == np.inf
    assert (np.diff(far) <= 0).all()
    beside = rng.normal(size=(40, width)) if not whole else rng.integers(-3, 4, (40, width)).astype(float)
    picked, far = farthest_of(vectors_like(values), 50, beside=vectors_like(beside))
    expected, distances = looked_through(values, 50, None, beside)
    np.testing.assert_allclose(far, distances, rtol=1e-12)
    assert not whole or picked.tolist() == expected


@given(
    st.lists(st.lists(st.integers(-2, 2), min_size=2, max_size=2), min_size=1, max_size=40),
    st.sampled_from([1.0, 1e-160, 1e140, 1e-3]),
    st.data(),
)
def test_any_vectors_of_any_size(rows, scale, data):
    values = np.array(rows) * scale
    n = data.draw(st.integers(1, len(rows)))
    first = data.draw(st.integers(0, len(rows) - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(farthest, "_DEEPEST", 2)
        patch.setattr(farthest, "_SHRINK", 2)
        patch.setattr(farthest, "_FEW", 1)
        picked, far = farthest_of(vectors_like(values), n, first)
    expected, distances = looked_through(values, n, first)
    assert picked.tolist() == expected
    assert far.tolist() == distances.tolist()


def test_those_that_products_can_not_tell_apart_are(small_levels, rng):
    # Far from the origin the square of a distance is lost in the squares of the vectors.
    values = 1e8 + rng.normal(size=(200, 8))
    picked, far = farthest_of(vectors_like(values), 100, first=0)
    expected, distances = looked_through(values, 100, 0)
    assert picked.tolist() == expected
    np.testing.assert_allclose(far, distances, rtol=1e-12)


def test_the_first_is_the_one_nearest_to_the_mean(rng):
    values = rng.normal(size=(50, 4))
    picked, _ = farthest_of(vectors_like(values), 3)
    assert picked[0] == np.linalg.norm(values - values.mean(axis=0), axis=1).argmin()


def test_a_file_does_as_memory_does(monkeypatch, small_levels, rng):
    values = rng.normal(size=(200, 6)).astype(np.float32)
    expected = farthest_of(vectors_like(values, np.float32), 60)
    monkeypatch.setattr(vectors, "_MEMORY", 1000)
    monkeypatch.setattr(vectors, "_BLOCK_BYTES", 1000)
    with vectors_like(values, np.float32) as made:
        found = farthest_of(made, 60)
        np.testing.assert_array_equal(made.take(np.array([3, 190])), values[[3, 190]])
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:Passing more than 2 positional arguments:DeprecationWarning")
def test_picks_are_those_of_scikit_matter(rng, scikit_matter):
    for width in (3, 40):
        values = rng.normal(size=(3000, width)) * rng.random(width)
        judge = scikit_matter.FPS(initialize=5, n_to_select=400).fit(values)
        picked, far = farthest_of(vectors_like(values), 400, first=5)
        assert picked.tolist() == judge.selected_idx_.tolist()
        np.testing.assert_allclose(far[1:], np.sqrt(judge.get_select_distance()[1:]), rtol=1e-9)
