"""Forces of duplicates are compared on the atoms that are the same, turned as these."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.spatial.transform import Rotation

import zstruct
from tests.conftest import random_atoms
from tests.similarity.test_duplicates import build, groups_of


def labelled(atoms, forces, energy=None):
    atoms = atoms.copy()
    results = {"forces": forces} if energy is None else {"forces": forces, "energy": energy}
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def disguised(atoms, rng):
    """The same structure, turned, moved and in another order, and its forces with it."""
    turn = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
    new, forces, order = atoms.copy(), atoms.calc.results["forces"] @ turn.T, rng.permutation(len(atoms))
    new.set_cell(new.cell.array @ turn.T)
    new.positions = new.positions @ turn.T + rng.normal(0, 3, 3)
    return labelled(new[order], forces[order], atoms.calc.results.get("energy"))


def test_forces_are_turned_and_reordered(tmp_path, rng):
    frames, wrong = [], []
    for k in range(8):
        atoms = random_atoms(rng, 6 + k, labels=False, periodic=bool(k % 2))
        atoms = labelled(atoms, rng.normal(size=(len(atoms), 3)), float(k))
        other = disguised(atoms, rng)
        if k < 3:  # one force is another one
            other.calc.results["forces"][2] += (k + 1) * np.array([0.6, 0.0, 0.8])
            wrong.append(k + 1.0)
        frames += [atoms, other]
    found = zstruct.duplicates(build(frames, tmp_path / "a.zarr"))
    assert found.structure[found.edges[:-1]].tolist()[:3] == [4, 2, 0]
    np.testing.assert_allclose(found.force_spread, [3.0, 2.0, 1.0, 0, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found.disagreement[:3], [30, 20, 10], atol=1e-4)
    assert "  2: 4, 5; energies differ by 0 eV/atom; forces differ by 3 eV/angstrom" in str(found)
    assert found.columns["force_spread"][:2] == pytest.approx([3.0, 3.0])


def test_of_several_ways_that_are_counts_by_which_forces_differ_least(tmp_path, rng):
    for name, atoms in {"m": molecule("CH4"), "c": bulk("NaCl", "rocksalt", 5.6, cubic=True)}.items():
        one = labelled(atoms, rng.normal(size=(len(atoms), 3)))
        found = zstruct.duplicates(build([one, disguised(one, rng)], tmp_path / f"{name}.zarr"))
        assert found.force_spread[0] < 1e-3


def test_forces_that_are_missing_are_not_compared(tmp_path, rng):
    water = molecule("H2O")
    forces = rng.normal(size=(3, 3))
    other = forces + np.array([[0, 0, 2.0], [0, 0, 0], [0, 0, 0]])
    frames = [labelled(water, forces), water, labelled(water, other), molecule("CH4"), molecule("CH4")]
    a = build(frames, tmp_path / "a.zarr")
    b = build([molecule("CH4"), water], tmp_path / "b.zarr")
    found = zstruct.duplicates([a, b])
    assert len(found) == 2
    assert found.sizes.tolist() == [4, 3]
    np.testing.assert_allclose(found.force_spread, [2.0, np.nan])
    assert found.force_difference[[0, 2]].tolist() == found.force_spread[[0, 0]].tolist()
    assert np.isnan(found.force_difference[[1, 3]]).all()
    assert np.isnan(zstruct.duplicates(b).force_spread).all()


def test_forces_along_a_chain(tmp_path, rng):
    frames = []
    for k in range(5):
        water = molecule("H2O")
        water.positions[1] += [0, 0.008 * k, 0]
        frames.append(labelled(water, [[0, 0, 0.1 * k], [0, 0, 0], [0, 0, 5.0 * (k == 4)]]))
    found = zstruct.duplicates(build(frames, tmp_path / "a.zarr"), 0.005)
    assert found.sizes.tolist() == [5]
    np.testing.assert_allclose(found.force_spread, [5.0], atol=0.2)
    assert found.force_difference[:3].max() < 0.3


def test_forces_of_supercells(tmp_path, rng):
    cell = bulk("NaCl", "rocksalt", 5.6)
    cell.positions[1] += [0.2, 0.1, 0.05]
    forces = np.array([[0.5, 0.2, 0.1], [-0.5, -0.2, -0.1]])
    one = labelled(cell, forces)
    large = labelled(cell * (2, 1, 2), np.tile(forces, (4, 1)))
    changed = np.tile(forces, (4, 1))
    changed[3, 2] += 0.3
    path = build([one, disguised(large, rng), disguised(labelled(large, changed), rng)], tmp_path / "a.zarr")
    found = zstruct.duplicates(path, supercells=True)
    assert groups_of(found) == {frozenset((0, k) for k in range(3))}
    np.testing.assert_allclose(found.force_spread, [0.3], atol=1e-6)
