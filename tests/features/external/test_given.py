"""Values may come in any form: the same rows get into the store."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal

import zstruct
from zstruct import InputError
from zstruct.errors import ArgumentTypeError
from zstruct.features import add


def parts(values, sizes):
    return np.split(values, np.cumsum(sizes)[:-1])


def memmap(values, sizes, folder):
    out = np.memmap(folder / "m.bin", values.dtype, "w+", shape=values.shape)
    out[:] = values
    return out


FORMS = {
    "array": lambda v, sizes, _: v,
    "fortran": lambda v, sizes, _: np.asfortranarray(v),
    "big-endian": lambda v, sizes, _: v.astype(">f8"),
    "tensor": lambda v, sizes, _: torch.from_numpy(v).requires_grad_(),
    "memmap": memmap,
    "lists": lambda v, sizes, _: v.tolist(),
    "rows": lambda v, sizes, _: list(v),
    "of structures": lambda v, sizes, _: parts(v, sizes),
    "tensors": lambda v, sizes, _: [torch.from_numpy(part) for part in parts(v, sizes)],
    "blocks": lambda v, sizes, _: iter([v[:7], v[7:7], v[7:]]),
    "table": lambda v, sizes, _: pd.DataFrame(v),
    "masked": lambda v, sizes, _: np.ma.masked_invalid(v),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_features_of_atoms(store, per_atom, sizes, tmp_path, form):
    values = FORMS[form](per_atom, sizes, tmp_path)
    report = add(store, "x", values, level="atom" if form == "blocks" else None)
    assert report.level == "atom"
    found = zstruct.Store(store).read("features/x/values")
    assert found.dtype == np.float64
    assert_array_equal(found, per_atom)
    assert not add(store, "x", per_atom, feature_names=list("012") if form == "table" else None).added


def test_sliceable_values_are_never_asked_for_as_a_whole(store, per_atom):
    class Sliced:
        shape, dtype = per_atom.shape, per_atom.dtype

        def __getitem__(self, rows):
            assert isinstance(rows, slice)
            return per_atom[rows]

    add(store, "x", Sliced())
    assert_array_equal(zstruct.Store(store).read("features/x/values"), per_atom)


@pytest.mark.parametrize("form", ["array", "tensor", "lists", "rows", "blocks"])
def test_forms_of_features_of_structures(store, sizes, form, tmp_path, rng):
    values = rng.normal(size=(len(sizes), 5))
    level = "structure" if form == "blocks" else None
    report = add(store, "x", FORMS[form](values, sizes, tmp_path), level=level)
    assert report.level == "structure"
    assert_array_equal(zstruct.Store(store).read("features/x/values"), values)


def test_one_number_each(store, sizes, per_atom):
    assert add(store, "a", per_atom[:, 0]).level == "atom"
    assert add(store, "b", parts(per_atom[:, 0], sizes)).level == "atom"
    assert add(store, "c", np.arange(len(sizes))).level == "structure"
    assert add(store, "d", list(range(len(sizes)))).level == "structure"
    for name in "ab":
        assert_array_equal(zstruct.Store(store).read(f"features/{name}/values")[:, 0], per_atom[:, 0])
    for name in "cd":
        assert_array_equal(zstruct.Store(store).read(f"features/{name}/values")[:, 0], np.arange(len(sizes)))


@pytest.mark.parametrize("as_iterator", [False, True])
def test_rows_of_their_own(store, sizes, rng, as_iterator):
    given = [rng.normal(size=(n % 4, 2)) for n in sizes]
    report = add(store, "x", iter(given) if as_iterator else given, level="row")
    assert (report.level, report.n_rows) == ("row", sum(map(len, given)))
    store_ = zstruct.Store(store)
    assert_array_equal(store_.read("features/x/values"), np.concatenate(given))
    assert_array_equal(np.diff(store_.read("features/x/offsets")), [len(part) for part in given])
    assert not add(store, "x", given, level="row").added
    zstruct.verify(store)


def test_structures_may_have_no_rows_at_all(store, sizes):
    assert add(store, "x", [np.empty((0, 3))] * len(sizes), level="row").n_rows == 0
    zstruct.verify(store)
    assert zstruct.ZarrStructureDataset(store, features="x")[2]["features"].shape == (0, 3)


def test_an_iterator_that_never_ends_is_left(store, per_atom):
    def endless():
        while True:
            yield per_atom

    with pytest.raises(InputError, match="there are 100 rows of values, and the store has 11 structures"):
        add(store, "x", endless(), level="atom")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda v: v[:-1], "there are 49 rows of values, and the store has 11 structures and 50 atoms"),
        (lambda v: v.astype(complex), "complex128"),
        (lambda v: v.astype(str), "not numbers"),
        (lambda v: v.astype(object), "holds object, not numbers"),
        (lambda v: np.nan_to_num(v).astype("u8"), "uint64, which no tensor holds"),
        (lambda v: np.where(np.arange(50)[:, None] == 4, np.inf, v), "row 4 of the values is infinite"),
        (lambda v: v.reshape(50, 3, 1), r"reshape them to \(50, 3\)"),
        (lambda v: np.float64(3), "one number"),
        (lambda v: iter([v]), "an iterator does not say how many rows"),
        (lambda v: [], "there are no values"),
        (lambda v: [v, v], "there are arrays for 2 structures, and the store has 11"),
        (lambda v: np.ma.masked_equal(np.ones((50, 1), int), 1), "masked values of int64"),
        (lambda v: torch.ones(50, dtype=torch.bfloat16), "pass values.float()"),
    ],
)
def test_values_that_do_not_fit(store, per_atom, make, sentence):
    with pytest.raises(InputError, match=sentence):
        add(store, "x", make(per_atom))


def test_a_lost_atom_is_not_taken_for_rows_of_another_kind(store, per_atom, sizes):
    given = parts(per_atom, sizes)
    given[2] = given[2][:-1]
    with pytest.raises(InputError, match=r"structure 2 has 7 rows, and .* 8 atoms: .* level='row'"):
        add(store, "x", given)
    given[2] = np.ones((8, 4))
    with pytest.raises(InputError, match=r"item 2 of the values has an array of shape .* equally long"):
        add(store, "x", given)


@pytest.mark.parametrize("values", [{"a": 1}, b"abc", 3.0, None, {1, 2}])
def test_values_of_other_types(store, values):
    with pytest.raises(ArgumentTypeError, match="values are arrays or a file of them"):
        add(store, "x", values)


def test_other_precision_is_asked_for(store, per_atom, sizes):
    add(store, "x", per_atom, dtype="float32")
    assert_array_equal(zstruct.Store(store).read("features/x/values"), per_atom.astype("f4"))
    add(store, "y", np.arange(50), dtype="float64")
    assert zstruct.Store(store).dtype("features/y/values") == np.float64
    with pytest.raises(InputError, match=r"1e\+300 is infinite in float32"):
        add(store, "z", np.full(50, 1e300), dtype="float32")
    with pytest.raises(InputError, match="16777217 is no whole number any more in float32"):
        add(store, "z", np.full(50, 2**24 + 1), dtype="float32")
    with pytest.raises(InputError, match="block 1 has numbers of float64, and those before are float32"):
        add(store, "z", iter([per_atom[:9].astype("f4"), per_atom[9:]]), level="atom")
