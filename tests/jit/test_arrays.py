"""Arrays are given to kernels as views of the same kind, whatever they are."""

import numpy as np

from zstruct.jit.arrays import read_only


def test_views_share_memory_and_leave_the_array_writable():
    array = np.arange(6.0).reshape(2, 3)
    view = read_only(array)
    array[1, 2] = 9
    assert view.tolist() == [[0, 1, 2], [3, 4, 9]]
    assert (view.flags.writeable, array.flags.writeable) == (False, True)


def test_columns_and_what_can_not_be_written_have_the_same_layout():
    array = np.arange(6.0).reshape(2, 3)
    for given in (array.T, array[:, 1:], read_only(array)):
        view = read_only(given)
        assert view.flags.c_contiguous
        assert not view.flags.writeable
        assert view.tolist() == given.tolist()
