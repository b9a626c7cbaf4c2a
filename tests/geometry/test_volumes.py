"""Volumes are those that determinants say, whatever cells are like."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zstruct.geometry.volumes import cell_volumes

SIDES = st.integers(-6, 6).map(float)  # so that products are exact


@given(arrays.arrays(np.float64, (5, 3, 3), elements=SIDES))
def test_volumes_are_determinants(cells):
    np.testing.assert_allclose(cell_volumes(cells), np.abs(np.linalg.det(cells)), rtol=1e-12, atol=1e-11)
    assert (cell_volumes(cells)[np.linalg.matrix_rank(cells) < 3] == 0).all()
    np.testing.assert_array_equal(cell_volumes(cells.astype(np.float32)), cell_volumes(cells))


def test_what_is_missing_or_too_large_has_no_warning():
    cells = np.array([np.full((3, 3), np.nan), np.eye(3) * 1e300])

    assert np.isnan(cell_volumes(cells)[0])
    assert not np.isfinite(cell_volumes(cells)[1])
