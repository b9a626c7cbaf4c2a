"""What is worked out of rows that pass by, in chunks and shards of any size, is what all rows say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zstruct.indexing.passing import Passed, Passing, passing_quantity
from zstruct.ragged import counts_to_offsets

SIDES = st.sampled_from([0.0, 1.5, -2.0, np.nan, 1e200])


@pytest.mark.parametrize(("field", "shape"), [("forces", (3,)), ("cell", (3, 3))])
@settings(max_examples=80)
@given(data=st.data(), chunk=st.integers(1, 5), chunks=st.integers(1, 3), first=st.integers(0, 3))
def test_pieces_and_shards_say_what_all_rows_do(tmp_path_factory, field, shape, data, chunk, chunks, first):
    counts = data.draw(st.lists(st.integers(0, 7), min_size=1, max_size=8).filter(any))
    offsets = counts_to_offsets(counts) if field == "forces" else None
    n_rows = sum(counts)
    rows = data.draw(arrays.arrays(np.float64, (n_rows, *shape), elements=SIDES))
    quantity = passing_quantity(field)
    whole = quantity.compute(*(() if offsets is None else (offsets,)), rows)
    folder, size, files = tmp_path_factory.mktemp("passing"), chunk * chunks, {}
    for k, start in enumerate(range(0, n_rows, size)):
        stop = min(start + size, n_rows)
        passing = Passing(quantity, offsets, start, stop)
        pieces = [rows[a : min(a + chunk, stop)] for a in range(start, stop, chunk)]
        assert sum(map(len, passing.seen(pieces))) == stop - start
        if k >= min(first, (n_rows - 1) // size):
            files[k] = folder / f"{k}.npy"
            passing.save(files[k])

    passed = Passed(quantity, offsets, n_rows, size, files)

    assert passed.stop == len(whole)
    if 0 in files:
        assert passed.start == 0
    for a in range(passed.start, passed.stop):
        for b in range(a, passed.stop + 1):
            np.testing.assert_array_equal(passed.read(quantity.name, a, b), whole[a:b])


def test_other_fields_have_no_quantity_that_passes():
    assert passing_quantity("positions") is None
    assert passing_quantity("numbers") is None
