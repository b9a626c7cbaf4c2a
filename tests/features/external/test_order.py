"""Rows that are not those of the store, or in another order, are refused where they say so."""

import awkward
import dask.array
import numpy as np
import pandas as pd
import pytest

import zstruct
from zstruct import InputError
from zstruct.features import add


@pytest.fixture
def numbers(store):
    return zstruct.Store(store).read("numbers").astype(np.int64)


@pytest.mark.parametrize("kind", [pd.DataFrame, lambda values, index: pd.Series(values[:, 0], index=index)])
def test_tables_that_were_shuffled(store, kind, rng):
    values = rng.normal(size=(11, 2))
    for index in (np.arange(11), [f"s{k}" for k in range(11)], np.arange(11) + 100, np.zeros(11, int)):
        assert add(store, "x", kind(values, index=index), overwrite=True).level == "structure"
    with pytest.raises(
        InputError, match=r"labelled in another order .*\(10 is where 0 should be\).*sort_index"
    ):
        add(store, "y", kind(values, index=np.arange(11)[::-1]))


def test_arrays_of_xarray_that_were_sorted(store):
    values = zstruct.open(store)["n_atoms"].astype(float)
    assert add(store, "x", values).level == "structure"
    with pytest.raises(InputError, match=r"labelled in another order .*sortby"):
        add(store, "y", values.sortby(values))


@pytest.mark.parametrize("name", ["numbers", "Z", "n_atoms", "padded"])
@pytest.mark.parametrize("right", [True, False])
def test_files_that_say_whose_they_are(store, sizes, numbers, per_atom, tmp_path, name, right):
    beside = {"numbers": numbers, "Z": numbers, "n_atoms": sizes, "padded": np.zeros((11, 8), int)}
    for row, z in zip(beside["padded"], np.split(numbers, np.cumsum(sizes)[:-1]), strict=True):
        row[: len(z)] = z
    found = beside[name].copy()
    if not right:
        found[[4, 5]] = found[[5, 4]] if len(found) == 11 else 99
    called = "Z" if name == "padded" else name
    np.savez(tmp_path / "f.npz", soap=per_atom, **{called: found})
    if right:
        assert add(store, "x", tmp_path / "f.npz").left_out[0].startswith(called)
    else:
        with pytest.raises(
            InputError, match=rf"f\.npz has '{called}' beside .* at structure [124]: .* another order"
        ):
            add(store, "x", tmp_path / "f.npz")


@pytest.mark.parametrize("form", ["array", "file"])
def test_awkward_arrays_that_say_whose_they_are(store, sizes, numbers, per_atom, tmp_path, form):
    for change, refused in ((0, False), (1, True)):
        record = awkward.Array(
            {
                "soap": awkward.unflatten(per_atom, sizes),
                "numbers": awkward.unflatten(numbers + change, sizes),
            }
        )
        values = record
        if form == "file":
            values = tmp_path / "f.parquet"
            awkward.to_parquet(record, values)
        if refused:
            with pytest.raises(InputError, match=r"has 'numbers' beside the features, .* at structure 0"):
                add(store, "y", values)
        else:
            assert add(store, "x", values).level == "atom"


def test_arrays_beside_features_that_say_nothing(store, per_atom, tmp_path):
    np.savez(tmp_path / "f.npz", soap=per_atom, Z=np.arange(5), n_atoms=np.array(["a"]))
    assert add(store, "x", tmp_path / "f.npz").level == "atom"


def test_values_that_do_not_say_how_many_they_are(store, per_atom):
    lazy = dask.array.from_array(per_atom, chunks=(7, 3))
    assert add(store, "x", lazy).level == "atom"
    with pytest.raises(InputError, match="how many rows there are is not known"):
        add(store, "y", lazy[lazy[:, 0] > 0])
    with pytest.raises(InputError, match="there are no features in their rows"):
        add(store, "y", np.empty((11, 0)))


def test_sparse_matrices_are_refused(store):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(InputError, match=r"sparse matrix: .* values\.toarray\(\)"):
        add(store, "x", scipy_sparse.csr_matrix(np.eye(11)))
