"""Atoms wrapped into the cell and structures centred, as ASE does it."""

from dataclasses import replace

import ase
import ase.units
import numpy as np
import pytest
from ase.geometry import wrap_positions
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.batches import edge_vectors, make_batch, with_edges
from zstruct.schema import FIELDS
from zstruct.transforms import (
    Center,
    Wrap,
)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), pbc=st.lists(st.booleans(), min_size=3, max_size=3), planar=st.booleans())
def test_wrap_agrees_with_ase(seed, pbc, planar):
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) + 4 * np.eye(3)
    if planar:
        pbc = [*pbc[:2], False]
        cell[2] = 0.0
    positions = rng.normal(size=(9, 3)) * 10
    wrapped = Wrap()({"positions": positions, "cell": cell, "pbc": np.array(pbc)})["positions"]
    np.testing.assert_allclose(wrapped, wrap_positions(positions, cell, pbc), atol=1e-9)
    again = Wrap()({"positions": wrapped, "cell": cell, "pbc": np.array(pbc)})["positions"]
    np.testing.assert_array_equal(again, wrapped)


@pytest.mark.parametrize("transform", [Wrap(), Center(periodic=True), Center(at="cell", periodic=True)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moves_leave_vectors_between_neighbours(transform, dtype):
    before = make_batch([5, 1, 0, 12])
    before.columns["positions"] *= 3
    before = with_edges(before)
    before.columns["positions"] = before.columns["positions"].astype(dtype)
    after = transform(before)
    assert (after.columns["positions"] != before.columns["positions"]).any()
    near = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(edge_vectors(after), before.pairs[0].columns["edge_vec"], atol=near)


def test_center():
    batch = make_batch([4, 6, 0], dtype=np.float32)
    batch.columns["pbc"][:] = [[False] * 3, [True, False, False], [False] * 3]
    batch.columns["masses"] = np.full(10, np.nan)
    batch.columns["masses"][0] = 30.0
    batch = replace(batch, per_atom=batch.per_atom | {"masses"})
    atoms = ase.Atoms(batch.columns["numbers"][:4], batch.columns["positions"][:4])
    atoms.set_masses([30.0, *atoms.get_masses()[1:]])
    by_mass = Center("mass")(batch).columns["positions"]
    np.testing.assert_allclose(by_mass[:4], atoms.positions - atoms.get_center_of_mass(), atol=1e-5)
    np.testing.assert_array_equal(by_mass[4:], batch.columns["positions"][4:])
    by_mean = Center(at="cell", periodic=True)(batch).columns["positions"]
    np.testing.assert_allclose(by_mean[4:].mean(axis=0), batch.columns["cell"][1].sum(axis=0) / 2, atol=1e-5)
    with pytest.raises(ValueError, match="weights is 'mean' or 'mass'"):
        Center("masses")
    with pytest.raises(ValueError, match="Wrap needs cell, pbc"):
        Wrap().bound({"positions": FIELDS["positions"]})
    with pytest.raises(ValueError, match="Center needs cell"):
        Center(at="cell").bound({"positions": FIELDS["positions"]})
