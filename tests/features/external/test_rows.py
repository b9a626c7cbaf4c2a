"""Where two readings are possible, nothing is guessed."""

import ase
import numpy as np
import pytest

import zstruct
from zstruct import InputError
from zstruct.features import add


@pytest.fixture
def pairs(tmp_path):
    """Four structures of two atoms."""
    zstruct.build([ase.Atoms("OH", np.eye(2, 3))] * 4, tmp_path / "p.zarr", progress=False)
    return tmp_path / "p.zarr"


@pytest.fixture
def singles(tmp_path):
    """Four structures of one atom."""
    zstruct.build([ase.Atoms("O")] * 4, tmp_path / "o.zarr", progress=False)
    return tmp_path / "o.zarr"


def test_as_many_structures_as_atoms(singles):
    for values in (np.ones((4, 3)), [np.ones((1, 3))] * 4, [np.ones(3)] * 4):
        with pytest.raises(InputError, match="say which, with level='atom' or level='structure'"):
            add(singles, "x", values)
        for level in ("atom", "structure"):
            report = add(singles, level, values, level=level)
            assert (report.level, report.n_rows, report.n_features) == (level, 4, 3)


def test_one_row_that_is_as_long_as_there_are_atoms(pairs):
    values = [np.arange(2.0)] * 4
    with pytest.raises(InputError, match="say which, with level='atom' or level='structure'"):
        add(pairs, "x", values)
    assert add(pairs, "a", values, level="atom").n_features == 1
    assert add(pairs, "s", values, level="structure").n_features == 2


def test_one_row_of_each_is_of_structures(pairs):
    assert add(pairs, "x", [np.ones((1, 3))] * 4).level == "structure"
    assert add(pairs, "y", [np.ones(3)] * 4).level == "structure"
    assert add(pairs, "z", np.ones((4, 2, 5))).level == "atom"
    assert add(pairs, "w", np.ones((4, 3, 5)), level="row").level == "row"


def test_a_level_that_does_not_fit(pairs):
    with pytest.raises(InputError, match="level='structure': there are 8 rows of values"):
        add(pairs, "x", np.ones((8, 2)), level="structure")
    with pytest.raises(InputError, match="level='row' takes one array for each structure"):
        add(pairs, "x", np.ones((8, 2)), level="row")
    with pytest.raises(InputError, match="level='atom': the array of structure 0 has 3 rows"):
        add(pairs, "x", [np.ones((3, 2))] * 4, level="atom")
    with pytest.raises(InputError, match="each array has a row for each atom"):
        add(pairs, "x", [np.ones((2, 2))] * 4, level="structure")
