"""Fractions become whole numbers that differ from them by less than one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zstruct.splits.allocation import rounded

fractions = st.lists(st.floats(0, 1), min_size=1, max_size=5).filter(lambda x: sum(x) > 1e-3)


@given(fractions, st.integers(0, 10_000))
def test_fractions_are_rounded_to_less_than_one(wanted, n):
    counts = rounded(np.array(wanted), n)
    assert counts.sum() == n
    assert np.abs(counts - np.array(wanted) / sum(wanted) * n).max() < 1
