"""Left-handed cells are cells: against ASE, a right-handed cell of the same crystal, and differences."""

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.neighborlist import neighbor_list as ase_list

import zstruct
from tests.geometry.test_neighbors import assert_as_ase
from zstruct.features.acsf import ACSF
from zstruct.features.chebyshev import Chebyshev
from zstruct.geometry.distances import shortest_distances
from zstruct.geometry.neighbors import neighbor_list
from zstruct.geometry.structures import Structures

CHEBYSHEV = Chebyshev(["Ti", "O"], 4, 5.0, 3, 4.0)
ANGLES = [(0.01, 1, 1), (0.05, 2, -1)]
DESCRIPTORS = [CHEBYSHEV, ACSF(["Ti", "O"], 4.5, [(1.0, 0.0), (0.5, 2.0)], [1.5], ANGLES, ANGLES)]


def crystal(seed=0):
    """A skewed, distorted and left-handed cell of TiO2, with atoms outside it."""
    rng = np.random.default_rng(seed)
    atoms = bulk("TiO", "rocksalt", 4.3) + ase.Atoms("O", [(1.0, 0.9, 1.2)])
    cell = atoms.cell.array + rng.normal(scale=0.1, size=(3, 3))
    if np.linalg.det(cell) > 0:
        cell = cell[[1, 0, 2]]
    atoms.set_cell(cell)
    atoms.positions += rng.normal(scale=0.1, size=(3, 3)) + rng.integers(-2, 3, (3, 3)) @ cell
    atoms.pbc = True
    return atoms


def mirrored(atoms):
    """The same crystal in a right-handed cell."""
    other = atoms.copy()
    other.set_cell(atoms.cell.array[[1, 0, 2]])
    return other


def values(descriptor, packed):
    return descriptor.values(packed, neighbor_list(packed, descriptor.cutoff))


def slope(function, step=1e-4):
    """The derivative at zero, by finite differences of fourth order."""
    f = [function(k * step) for k in (-2, -1, 1, 2)]
    return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, False, False)])
def test_neighbours_are_those_of_ase(seed, pbc):
    atoms = crystal(seed)
    atoms.pbc = pbc
    assert np.linalg.det(atoms.cell) < 0
    assert_as_ase(atoms, 6.0)


@pytest.mark.parametrize("seed", range(4))
def test_shortest_distances_are_those_of_ase(seed):
    atoms = crystal(seed)
    expected = ase_list("d", atoms, 6.0).min()
    cells, pbc = atoms.cell.array[None], np.array([[True] * 3])
    assert shortest_distances(np.array([0, 3]), atoms.positions, cells, pbc) == pytest.approx([expected])


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=lambda d: type(d).__name__)
def test_descriptors_do_not_depend_on_the_hand_of_the_cell(descriptor):
    atoms = crystal()
    found, expected = (values(descriptor, Structures.of(a)) for a in (atoms, mirrored(atoms)))
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=lambda d: type(d).__name__)
def test_derivatives_are_finite_differences(descriptor):
    packed = Structures.of(crystal(1))
    rng = np.random.default_rng(1)
    gradient = rng.normal(size=(packed.n_atoms, descriptor.n_features))
    tangents, deformation = rng.normal(size=(packed.n_atoms, 3)), rng.normal(size=(3, 3))

    def energy(h_move, h_strain):
        turn = np.eye(3) + h_strain * deformation
        positions = (packed.positions + h_move * tangents) @ turn
        moved = Structures(packed.offsets, packed.numbers, positions, packed.cells @ turn, packed.pbc)
        return np.sum(gradient * values(descriptor, moved))

    positions, strain = np.zeros((packed.n_atoms, 3)), np.zeros((1, 3, 3))
    descriptor.vjp(packed, neighbor_list(packed, descriptor.cutoff), gradient, positions, strain)

    assert np.sum(positions * tangents) == pytest.approx(slope(lambda h: energy(h, 0.0)), rel=1e-7)
    assert np.sum(strain * deformation) == pytest.approx(slope(lambda h: energy(0.0, h)), rel=1e-7)


def test_stores_of_left_handed_cells_are_featurized(tmp_path):
    frames = [crystal(seed) for seed in range(3)]
    zstruct.build(frames, tmp_path / "x.zarr", progress=False)
    zstruct.featurize(tmp_path / "x.zarr", CHEBYSHEV, dtype="float64", progress=False)
    found = zstruct.open(tmp_path / "x.zarr").zs.features("chebyshev").values
    expected = values(CHEBYSHEV, Structures.of([mirrored(atoms) for atoms in frames]))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    volumes = zstruct.open(tmp_path / "x.zarr").zs.volume.values
    assert volumes == pytest.approx([atoms.get_volume() for atoms in frames])
