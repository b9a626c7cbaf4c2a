"""Places that are drawn: of each stratum so many, evenly spread, whatever the pieces that codes come in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zstruct.reporting.live_strata import Strata, places


@given(st.integers(0, 10**12), st.data())
def test_each_place_is_of_its_own_run(size, data):
    n = data.draw(st.integers(0, min(size, 500)))
    found = places(size, n, data.draw(st.integers(0, 99)))
    edges = [k * size // max(n, 1) for k in range(n + 1)]
    assert all(a <= place < b for a, place, b in zip(edges[:-1], found.tolist(), edges[1:], strict=True))


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=300), st.integers(1, 300), st.integers(1, 300))
def test_of_each_stratum_as_many_as_were_dealt_to_it(codes, n, piece):
    codes = np.array(codes)
    sizes = np.bincount(codes + 1, minlength=6)
    strata = Strata.of(sizes, n)
    rows = strata.rows(lambda: (codes[a : a + piece] for a in range(0, len(codes), piece)))
    assert len(rows) == min(n, len(codes))
    assert (np.diff(rows) > 0).all()
    assert np.bincount(codes[rows] + 1, minlength=6).tolist() == strata.drawn.tolist()
    assert (strata.drawn <= sizes).all()
    assert (strata.drawn >= np.minimum(sizes, n // (10 * np.count_nonzero(sizes)))).all()


def test_the_rest_is_in_proportion():
    drawn = Strata.of(np.array([9_000_000, 900_000, 100, 0]), 10_000).drawn
    assert drawn.sum() == 10_000
    assert drawn[2:].tolist() == [100, 0]  # all it has, as that is fewer than its 333 places
    assert abs((drawn[0] - 333) - 10 * (drawn[1] - 333)) <= 10
