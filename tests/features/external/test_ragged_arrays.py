"""Awkward arrays and .parquet files of them, also as kinoml writes these: numbered fields, the last is y."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import zstruct
from zstruct import InputError
from zstruct.features import add
from zstruct.features.external import ragged_arrays

ak = pytest.importorskip("awkward")
pytest.importorskip("pyarrow")


@pytest.fixture(params=["memory", "parquet"])
def through(request, tmp_path, monkeypatch):
    """Give an Awkward array itself, or a file of several row groups that it is in."""
    monkeypatch.setattr(ragged_arrays, "_STEP", 3)
    if request.param == "memory":
        return lambda array: array

    def saved(array):
        ak.to_parquet(array, tmp_path / "f.parquet", row_group_size=4)
        return tmp_path / "f.parquet"

    return saved


def ragged(parts):
    return ak.Array([part.tolist() for part in parts])


def read(path, name="x"):
    return zstruct.Store(path).read(f"features/{name}/values")


def test_rows_of_atoms(store, sizes, per_atom, through):
    parts = np.split(np.nan_to_num(per_atom), np.cumsum(sizes)[:-1])
    report = add(store, "x", through(ragged(parts)))
    assert report.level == "atom"
    assert_array_equal(read(store), np.nan_to_num(per_atom))
    assert add(store, "y", through(ragged([part[:, 0] for part in parts]))).level == "atom"
    assert_array_equal(read(store, "y")[:, 0], np.nan_to_num(per_atom)[:, 0])


def test_rows_of_structures(store, rng, through):
    values = rng.integers(0, 5, (11, 3))
    for array in (ak.from_numpy(values), ragged(values), ak.Array(values.tolist())):
        assert add(store, "x", through(array), overwrite=True).level == "structure"
        assert_array_equal(read(store), values)
    add(store, "y", through(ak.from_numpy(values[:, 0].copy())))
    assert_array_equal(read(store, "y")[:, 0], values[:, 0])
    assert zstruct.Store(store).dtype("features/y/values") == np.int64


def test_rows_of_their_own(store, sizes, rng, through):
    pytest.importorskip("torch")
    parts = [rng.normal(size=(n % 4, 2)) for n in sizes]
    parts[:4] = [np.empty((0, 2))] * 4  # a whole row group
    with pytest.raises(InputError, match="level='row'"):
        add(store, "x", through(ragged(parts)))
    add(store, "x", through(ragged(parts)), level="row")
    assert_array_equal(read(store), np.concatenate(parts))
    data = zstruct.ZarrStructureDataset(store, features="x", dtype="float64")
    for i in (10, 0, 5):
        assert_array_equal(data[i]["features"], parts[i])


def test_numbered_fields_of_kinoml(store, sizes, rng, through):
    rows, y = [rng.normal(size=(n, 2)) for n in sizes], rng.normal(size=11)
    two = ak.zip({"0": ragged(rows), "1": ak.from_numpy(y)}, depth_limit=1)
    report = add(store, "x", through(two))
    assert report.left_out == ("1, which is y in files of kinoml",)
    assert_array_equal(read(store), np.concatenate(rows))
    three = ak.zip({"0": ragged(rows), "1": ak.from_numpy(np.ones((11, 4))), "2": y}, depth_limit=1)
    with pytest.raises(InputError, match="has 0, 1: say which to take, with key="):
        add(store, "y", through(three))
    report = add(store, "y", through(three), key="1")
    assert (report.level, report.left_out) == ("structure", ("0", "2, which is y in files of kinoml"))


def test_named_fields(store, through):
    array = ak.zip({"fp": ak.from_numpy(np.ones((11, 4))), "names": ["a"] * 11}, depth_limit=1)
    with pytest.raises(InputError, match="has fp, names: say which"):
        add(store, "x", through(array))
    with pytest.raises(InputError, match="has no 'soap'; it has fp, names"):
        add(store, "x", through(array), key="soap")
    assert add(store, "x", through(array), key="fp").left_out == ("names",)
    with pytest.raises(InputError, match="number"):
        add(store, "y", through(array), key="names")


def test_what_is_missing(store, through):
    values = [[1.0, None]] * 11
    add(store, "x", through(ak.Array(values)))
    assert_array_equal(read(store), [[1.0, np.nan]] * 11)
    with pytest.raises(InputError, match="lacks some of its int64 numbers"):
        add(store, "y", through(ak.Array([[1, None]] * 11)))
    with pytest.raises(InputError, match="has nothing for structure 5"):
        add(store, "y", through(ak.Array([[1.0]] * 5 + [None] + [[1.0]] * 5)))


def test_arrays_that_are_no_table(store, sizes, through):
    with pytest.raises(InputError, match="no table of numbers"):
        add(store, "x", through(ak.Array([[[1.0], [1.0, 2.0]]] * 11)))
    with pytest.raises(InputError, match="at most two axes"):
        add(store, "x", through(ak.Array([[[[1.0]]]] * 11)))
    with pytest.raises(InputError, match="has no '0': it has no fields"):
        add(store, "x", through(ak.Array([[1.0]] * 11)), key="0")


def test_files_that_are_none(store, tmp_path):
    (tmp_path / "f.parquet").write_bytes(b"none")
    with pytest.raises(InputError, match=r"can't be read as a .parquet file"):
        add(store, "x", tmp_path / "f.parquet")
    with pytest.raises(InputError, match="there is no file"):
        add(store, "x", tmp_path / "g.parquet")
