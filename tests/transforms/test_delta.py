"""What is left when labels are taken off others, and what is missing then."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from zstruct.batch.pack import pack
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.schema import FIELDS
from zstruct.transforms import Delta


def batch(**more):
    one = {"numbers": np.array([8, 1]), "energy": np.array(-3.0), "forces": np.ones((2, 3))}
    other = {"t_energy": np.array(-1.0), "t_forces": np.full((2, 3), 0.25), "t_charges": np.zeros(2)}
    return pack([one | other | more, one | other | more], per_atom={"t_forces", "t_charges"})


def test_what_is_there_twice_is_taken_off_and_the_rest_stays():
    found = Delta("t")(batch())
    assert_array_equal(found.columns["energy"], [-2.0, -2.0])
    assert_array_equal(found.columns["forces"], np.full((4, 3), 0.75))
    assert found.columns.keys() == {"numbers", "energy", "forces", "t_charges"}
    assert found.per_atom == {"numbers", "forces", "t_charges"}
    assert "t_energy" in Delta("t", keep=True)(batch()).columns
    found = Delta("t", fields=["forces"])(batch())
    assert_array_equal(found.columns["energy"], [-3.0, -3.0])
    assert "t_energy" in found.columns


def test_a_difference_is_missing_where_one_of_both_is():
    given = batch(t_energy=np.array(np.nan), has_t_energy=np.array(False), has_forces=np.array(True))
    found = Delta("t")(given)
    assert np.isnan(found.columns["energy"]).all()
    assert_array_equal(found.columns["has_energy"], [False, False])
    assert_array_equal(found.columns["has_forces"], [True, True])
    assert "has_t_energy" not in found.columns


def test_a_batch_that_is_given_stays_as_it_is():
    given = batch()
    Delta("t")(given)
    assert_array_equal(given.columns["energy"], [-3.0, -3.0])
    assert "t_energy" in given.columns


def test_what_can_not_be_taken_off_is_a_sentence():
    with pytest.raises(InputError, match=r"Delta\('t'\): batches have no field of floats with and without"):
        Delta("t").bound({"energy": FIELDS["energy"]})
    with pytest.raises(InputError, match="batches have no stress with and without the prefix t_"):
        Delta("t", fields=["stress"]).bound({"energy": FIELDS["energy"], "t_energy": FIELDS["energy"]})
    with pytest.raises(ValueError, match="Delta needs t_stress"):
        Delta("t", fields=["stress"])(batch(stress=np.zeros(6)))
    with pytest.raises(ArgumentTypeError, match="prefix is that of fields"):
        Delta(3)
    with pytest.raises(ArgumentTypeError, match="keep is True or False"):
        Delta("t", keep=3)
    with pytest.raises(ArgumentTypeError, match="fields is a list of names"):
        Delta("t", fields="energy")
