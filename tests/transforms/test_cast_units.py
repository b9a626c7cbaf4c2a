"""Fields in other units, as their dimensions say."""

import math

import ase
import ase.units
import numpy as np
import pytest

from tests.transforms.batches import make_batch, with_edges
from zstruct.errors import InputError
from zstruct.schema import FIELDS
from zstruct.transforms import (
    CastUnits,
)


def test_units_follow_from_the_table():
    before = with_edges(make_batch([3, 2]))
    after = CastUnits({"energy": "kcal/mol", "length": "bohr", "stress": "GPa"})(before)
    energy, length = ase.units.kcal / ase.units.mol, ase.units.Bohr
    wanted = {
        "positions": 1 / length, "cell": 1 / length, "energy": 1 / energy, "forces": length / energy,
        "dipole": 1 / length, "stress": 1 / ase.units.GPa, "charges": 1.0, "polarizability": 1.0,
    }  # fmt: skip
    for name, value in wanted.items():
        np.testing.assert_allclose(
            after.columns[name], before.columns[name] * value, rtol=1e-12, err_msg=name
        )
    edges, derivatives = after.pairs
    np.testing.assert_allclose(edges.columns["edge_vec"], before.pairs[0].columns["edge_vec"] / length)
    np.testing.assert_array_equal(edges.columns["edge_shift"], before.pairs[0].columns["edge_shift"])
    np.testing.assert_allclose(
        derivatives.columns["deriv_values"], before.pairs[1].columns["deriv_values"] * length
    )
    momenta = CastUnits({"energy": "meV"})({"momenta": np.ones((1, 3))})["momenta"]
    np.testing.assert_allclose(momenta, math.sqrt(1000.0))
    with pytest.raises(InputError, match="'foot'"):
        CastUnits({"length": "foot"})
    with pytest.raises(ValueError, match="CastUnits names stress"):
        CastUnits({"stress": "GPa"}).bound({"energy": FIELDS["energy"]})
