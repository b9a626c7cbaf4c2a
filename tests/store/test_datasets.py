"""What may be given in place of a store."""

import numpy as np
import pytest

import zstruct
from zstruct.errors import InputError
from zstruct.store.datasets import is_dataset, store_and_rows, structures_once


def test_stores_paths_and_what_reads_some_of_one(source):
    store = zstruct.StructureReader(source.path).store
    for given in (source.path, str(source.path), store):
        opened, rows = store_and_rows(given)
        assert opened.path == store.path
        assert rows is None
    view = zstruct.StructureReader(source.path).select([2, 0, 2])
    opened, rows = store_and_rows(view)
    assert opened is view.store
    np.testing.assert_array_equal(rows, [2, 0, 2])
    np.testing.assert_array_equal(structures_once(opened, rows), [0, 2])
    assert structures_once(opened, np.arange(opened.n_structures)[::-1]) is None
    assert structures_once(opened, None) is None


def test_what_has_no_store_is_refused(source):
    class Odd:
        store, structures = "a path", np.arange(2)

    for odd in (3, [source], Odd()):
        assert not is_dataset(odd)
        with pytest.raises(InputError, match="a store, its path or a dataset of it is needed, not"):
            store_and_rows(odd)
