"""Reference energies: those of numpy.linalg.lstsq, singular ones said to be so, kept and subtracted."""

import warnings

import numpy as np
import pytest

import zstruct
from tests.stats.conftest import labelled
from zstruct import InputError, References, StaleGroupError, StoreExistsError
from zstruct.elements import SYMBOLS
from zstruct.stats.references import chosen_references
from zstruct.store.store import Store


@pytest.fixture
def path(compositions):
    return compositions


def test_references_of_a_part_that_was_drawn_again_are_stale(path):
    zstruct.split(path, [0.5, 0.5], name="default")
    zstruct.fit_references(path, "train", name="default")
    zstruct.split(path, [0.5, 0.5], name="default")  # the same again
    assert zstruct.open_references(path).n_structures
    zstruct.split(path, [0.5, 0.5], seed=2, name="default", overwrite=True)
    with pytest.raises(
        StaleGroupError, match="computed from 'train' of the split 'default', which is another"
    ):
        zstruct.open_references(path)
    with pytest.raises(StaleGroupError, match="fit_references again with overwrite=True"):
        zstruct.StructureReader(path, references=True)


def test_subtracting():
    references = References.given({"h": -13.6, "O": -2042})
    numbers, offsets = np.array([8, 1, 1, 1]), np.array([0, 3, 4])
    left = references.subtract(numbers, offsets, np.array([-2076.25, np.nan], np.float32))
    assert left.dtype == np.float64
    assert left[0] == pytest.approx(-2076.25 + 2042 + 27.2)
    assert np.isnan(left[1])
    # Elements of structures without an energy need no reference.
    left = references.subtract(np.array([1, 2, 2, 8]), np.array([0, 1, 3, 4]), np.array([-13.6, np.nan, 0.0]))
    assert left[[0, 2]].tolist() == [0.0, 2042.0]
    assert np.isnan(left[1])
    assert references.subtract(numbers[:0], offsets[:1], np.zeros(0)).shape == (0,)
    with pytest.raises(InputError, match=f"no reference energy of C, {SYMBOLS[22]}; there are those of H, O"):
        references.subtract(np.array([6, 1, 22]), np.array([0, 1, 3]), np.zeros(2))


@pytest.mark.parametrize("energies", [{"Xx": 1.0}, {3: 1.0}, {"H": "a"}, {"H": np.nan}, {"H": True}])
def test_what_is_no_reference_is_refused(energies):
    with pytest.raises(InputError, match=r"no chemical symbol|in eV, is a number"):
        References.given(energies)


def test_kept_read_and_chosen(path, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = zstruct.fit_references(path, name="default")
    again = zstruct.open_references(path)
    assert again.to_dict() == found.to_dict()
    zstruct.fit_references(path, name="default")
    with pytest.raises(StoreExistsError, match="another set of references 'default'"):
        zstruct.fit_references(path, ridge=1.0, name="default")
    zstruct.fit_references(path, ridge=1.0, name="soft")
    zstruct.verify(path)
    store = Store(path)
    assert chosen_references(store, None) is chosen_references(store, False) is None
    assert dict(chosen_references(store, True)) == dict(found)
    assert chosen_references(store, "soft").ridge == 1
    assert dict(chosen_references(store, {"H": 1})) == {"H": 1.0}
    assert chosen_references(store, found) is found
    with pytest.raises(InputError, match="it has default, soft"):
        chosen_references(store, "hard")
    with_energies = tmp_path / "given.zarr"
    zstruct.build(
        [labelled("H2", -32.0)], with_energies, filters={"atomic_energies": {"H": -13.6}}, progress=False
    )
    assert dict(chosen_references(Store(with_energies), True)) == {"H": -13.6}
