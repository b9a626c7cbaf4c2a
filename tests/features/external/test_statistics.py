"""Statistics of blocks are those of all rows together."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from zstruct.features.external.statistics import Statistics

numbers = st.one_of(st.just(np.nan), st.floats(-1e6, 1e6))


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=1, max_size=12), st.data())
def test_blocks_add_up(rows, data):
    values = np.array(rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    found = Statistics()
    for block in np.split(values, cuts):
        found.add(block, None)
    said = found.described()["all"]
    assert said["count"] == len(rows)
    for k in range(2):
        there = values[:, k][~np.isnan(values[:, k])]
        assert said.get("missing", [0, 0])[k] == len(rows) - len(there)
        if not len(there):
            assert said["mean"][k] is said["std"][k] is said["min"][k] is None
            continue
        assert (said["min"][k], said["max"][k]) == (there.min(), there.max())
        scale = np.abs(there).max()
        assert_allclose(said["mean"][k], there.mean(), rtol=1e-12, atol=1e-13 * scale)
        assert_allclose(said["std"][k], there.std(), rtol=1e-9, atol=1e-9 * scale)


def test_numbers_whose_squares_are_infinite_have_no_spread():
    found = Statistics()
    found.add(np.array([[1e300], [-1e300]]), None)
    said = found.described()["all"]
    assert (said["std"], said["min"], said["max"]) == ([None], [-1e300], [1e300])
