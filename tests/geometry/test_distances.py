"""The shortest distance of each structure is that of its neighbour list."""

import numpy as np
import pytest
from ase import Atoms

from zstruct.features import NeighborList
from zstruct.geometry.distances import shortest_distances


def shortest_of(frames):
    offsets = np.concatenate([[0], np.cumsum([len(a) for a in frames])])
    cells, pbc = np.array([a.cell.array for a in frames]), np.array([a.pbc for a in frames])
    return shortest_distances(offsets, np.concatenate([a.positions for a in frames]), cells, pbc)


def test_shortest_distances_are_those_of_neighbour_lists(rng):
    frames = []
    for k in range(150):
        n = 1200 if k % 50 == 49 else int(rng.integers(1, 12))
        size = rng.choice([0.5, 2, 6]) * (5 if n > 100 else 1)  # cells smaller than anything, too
        cell = size * (np.eye(3) + 0.3 * rng.normal(size=(3, 3)))
        if k % 7 == 0:
            cell = cell + np.array([[0, 0, 0], 7 * cell[0], 3 * cell[1]])
        positions = rng.normal(0, 5 * (n / 10) ** (1 / 3), (n, 3)) + rng.normal(0, 30)
        frames.append(Atoms(f"H{n}", positions, cell=cell, pbc=rng.integers(0, 2, 3).astype(bool)))
    for atoms, found in zip(frames, shortest_of(frames), strict=True):
        if np.isinf(found):
            assert len(atoms) == 1
            assert not atoms.pbc.any()
        else:
            near = NeighborList(1.3 * found + 0.1).compute(atoms).distances.min()
            assert found == pytest.approx(near, rel=1e-11)


def test_nasty_structures():
    one, no_cell = Atoms("H", [[9.0, 9, 9]], cell=np.diag([2.5, 0, 4]), pbc=[1, 0, 1]), Atoms("H2", pbc=True)
    flat = Atoms("H", cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]], pbc=True)
    lost, far = Atoms("H2", [[0, 0, 0], [0, 0, np.nan]]), Atoms("H2", [[0, 0, 0], [0, 0, 1e200]])
    same = Atoms("H2000", np.zeros((2000, 3)))
    found = shortest_of([one, no_cell, flat, lost, far, same])
    np.testing.assert_array_equal(found, [2.5, np.nan, np.nan, np.nan, np.nan, 0])
