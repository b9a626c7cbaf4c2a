"""Six components and the matrix they stand for, against ASE's conversions."""

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from zstruct.voigt import VOIGT, full_to_voigt, voigt_to_full

LEADING = array_shapes(min_dims=0, max_dims=2, max_side=3)
SIX = LEADING.flatmap(lambda shape: arrays(np.float64, (*shape, 6), elements=st.floats(-1e6, 1e6)))


@given(SIX)
def test_conversions_are_those_of_ase(six):
    full = voigt_to_full(six)
    assert np.array_equal(full, np.apply_along_axis(voigt_6_to_full_3x3_stress, -1, six))
    for matrix, values in zip(full.reshape(-1, 3, 3), six.reshape(-1, 6), strict=True):
        assert np.array_equal(full_3x3_to_voigt_6_stress(matrix), values)
    assert np.array_equal(full_to_voigt(full), six)


def test_names_are_the_axes_of_the_components():
    matrix = np.array([[a + b for b in "xyz"] for a in "xyz"])
    assert full_to_voigt(matrix).tolist() == list(VOIGT)
