"""Chosen are brought upon each other whatever was done to them that changes nothing, and no others."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule, nanotube
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from zstruct.geometry.structures import Structures
from zstruct.ragged import counts_to_offsets
from zstruct.similarity.fingerprints import fingerprints_of
from zstruct.similarity.pairs import superposed

TOLERANCE = 0.02


def geometry_of(frames):
    return Structures(
        counts_to_offsets([len(a) for a in frames]),
        np.concatenate([a.numbers for a in frames]).astype(np.int64),
        np.concatenate([a.positions for a in frames]),
        np.array([a.cell.array for a in frames]),
        np.array([a.pbc for a in frames]),
    )


def away(a, b, tolerance=TOLERANCE):
    """How far atoms are displaced at most; the fingerprints may not say otherwise."""
    found = superposed(geometry_of([a, b]), np.array([0]), np.array([1]), tolerance)[0][0]
    if np.isfinite(found):
        prints = fingerprints_of(geometry_of([a, b]))
        assert prints.kinds[0] == prints.kinds[1]
        assert np.abs(prints.values[0] - prints.values[1]).max() <= 2 * tolerance + 1e-5
    return found


def structures(rng):
    """Chosen of all kinds: small and large, symmetric and not, with none to three periods."""
    n = int(rng.integers(1, 12))
    loose = Atoms(rng.choice([1, 6, 8], n), 4 * rng.random((n, 3)))
    crystal = Atoms(rng.choice([8, 22], n), cell=3.5 * np.eye(3) + rng.normal(0, 0.8, (3, 3)), pbc=True)
    crystal.set_scaled_positions(rng.random((n, 3)))
    wire = nanotube(3, 3, 2, vacuum=4)
    wire.pbc = [False, False, True]
    slab = fcc111("Cu", (2, 2, 2), vacuum=5)
    slab.pbc = [True, True, False]
    line = Atoms("HCN", [[0, 0, -1.07], [0, 0, 0], [0, 0, 1.16]])
    chain = Atoms("H2", [[0, 0, 0], [0.9, 0, 0]], cell=[2.6, 0, 0], pbc=[True, False, False])
    rattled = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    rattled.rattle(0.1, rng=rng)
    named = [molecule(name) for name in ("CH4", "C6H6", "C60", "bicyclobutane", "H2")]
    cells = [bulk("Cu"), bulk("Cu", cubic=True), bulk("Ti"), bulk("Si", cubic=True), rattled]
    return [loose, crystal, wire, slab, line, chain, *named, *cells]


def disguised(atoms, rng, noise):
    """The same structure: turned, moved, reordered, its images and its cell chosen anew, with noise."""
    new = atoms.copy()
    m = int(atoms.pbc.sum())
    if m == 3:
        change = np.eye(3, dtype=int)
        for _ in range(3):
            a, b = rng.permutation(3)[:2]
            change[a] += int(rng.integers(-2, 3)) * change[b]
        new.set_cell(change @ new.cell.array)
    images = np.where(new.pbc, rng.integers(-2, 3, (len(new), 3)), 0)
    new.positions += images @ new.cell.array
    turn = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
    new.set_cell(new.cell.array @ turn.T)
    new.positions = new.positions @ turn.T + rng.normal(0, 3, 3)
    step = rng.normal(size=(len(new), 3))
    new.positions += noise * rng.random((len(new), 1)) * step / np.linalg.norm(step, axis=1, keepdims=True)
    return new[rng.permutation(len(new))]


@given(st.integers(0, 1 << 30))
@settings(max_examples=30)
def test_the_same_structure_is_found_whatever_was_done_to_it(seed):
    rng = np.random.default_rng(seed)
    for atoms in structures(rng):
        small = TOLERANCE if len(atoms) == 1 else min(TOLERANCE, nearest(atoms) / 13)
        for noise in (0.0, small):
            assert away(atoms, disguised(atoms, rng, noise), small) <= small + 1e-6, (atoms, noise)


def nearest(atoms):
    from zstruct.geometry.distances import shortest_distances

    g = geometry_of([atoms])
    return float(min(shortest_distances(g.offsets, g.positions, g.cells, g.pbc)[0], 10.0))


@given(st.integers(0, 1 << 30))
@settings(max_examples=30)
def test_others_are_not(seed):
    rng = np.random.default_rng(seed)
    for atoms in structures(rng):
        if len(atoms) < 5:
            continue
        other = disguised(atoms, rng, 0.0)
        other.positions[int(rng.integers(len(atoms)))] += 0.5 * np.array([0.6, 0.48, 0.64])
        assert np.isinf(away(atoms, other)), atoms
        swapped = disguised(atoms, rng, 0.0)
        if len(set(swapped.numbers)) > 1:
            swapped.numbers[0] = next(z for z in swapped.numbers if z != swapped.numbers[0])
            assert np.isinf(away(atoms, swapped))


def test_mirror_images_differ(rng):
    hand = Atoms("CHFClBr", [[0, 0, 0], [0, 0, 1.1], [1.3, 0, -0.4], [-0.8, 1.5, -0.6], [-0.9, -1.6, -0.7]])
    mirror = hand.copy()
    mirror.positions[:, 0] *= -1
    assert np.isinf(away(hand, mirror))
    flat = molecule("C6H6")  # its own mirror image
    flat.positions[:, 2] *= -1
    assert away(molecule("C6H6"), flat) < 1e-6
    crystal = Atoms("HCNO", 4 * rng.random((4, 3)), cell=np.diag([4, 5, 6]), pbc=True)
    mirror = crystal.copy()
    mirror.positions[:, 0] *= -1
    assert np.isinf(away(crystal, mirror))


def test_the_largest_displacement_is_the_least_there_can_be():
    square = Atoms("HHHH", [[1, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0]])
    stretched = square.copy()
    stretched.positions[0] += [0.03, 0.03, 0]  # spread over the others it is less
    assert away(square, stretched, 0.03 / 2**0.5 + 1e-5) == pytest.approx(0.03 / 2**0.5, rel=1e-3)
    assert np.isinf(away(square, stretched, 0.03 / 2**0.5 - 1e-4))
    crystal = bulk("Cu", cubic=True)
    moved = crystal.copy()
    moved.positions[0] += [0.04, 0, 0]  # a translation takes half of it
    assert away(crystal, moved, 0.0201) == pytest.approx(0.02, rel=1e-2)
    assert np.isinf(away(crystal, moved, 0.0199))


def test_cells_and_their_supercells_are_two_and_periods_count():
    assert np.isinf(away(bulk("Cu"), bulk("Cu") * (2, 1, 1)))
    still = bulk("Cu", cubic=True)
    loose = still.copy()
    loose.pbc = [True, True, False]
    assert np.isinf(away(still, loose))
    larger = bulk("Cu", cubic=True)
    larger.set_cell(larger.cell.array * 1.01, scale_atoms=True)
    assert np.isinf(away(still, larger))
    assert np.isfinite(away(still, larger, 0.04))


def test_nothing_is_said_where_there_is_no_saying():
    lost = Atoms("H2", [[0, 0, 0], [0, 0, np.nan]])
    bare = Atoms("H2", [[0, 0, 0], [0, 0, 1.0]], pbc=True)
    for atoms in (lost, bare):
        assert np.isinf(away(atoms, atoms))
        assert not fingerprints_of(geometry_of([atoms])).usable[0]


def test_several_atoms_at_one_place(rng):
    twins = Atoms("H2O2C", [[0, 0, 0], [0, 0, 0], [1.1, 0, 0], [1.1, 0, 0], [0, 1.4, 0.3]])
    crystal = twins.copy()
    crystal.set_cell(np.diag([4, 5, 6]))
    crystal.pbc = True
    for atoms in (twins, crystal):
        assert away(atoms, disguised(atoms, rng, 0.0)) < 1e-6
        other = disguised(atoms, rng, 0.0)
        other.positions[0] += 0.3  # one of the two is elsewhere
        assert np.isinf(away(atoms, other))


def test_large_structures(rng):
    crystal = bulk("NaCl", "rocksalt", 5.6, cubic=True) * (8, 8, 8)
    crystal.rattle(0.05, rng=rng)
    cloud = Atoms("H6000", 60 * rng.random((6000, 3)))
    for atoms in (crystal, cloud):
        assert away(atoms, disguised(atoms, rng, 0.005), 0.0051) <= 0.0052
        other = disguised(atoms, rng, 0.0)
        other.positions[17] += 0.3
        assert np.isinf(away(atoms, other, 0.0051))


def test_atoms_where_they_were_are_told_with_little_work(rng):
    crystal = bulk("Cu", cubic=True) * (6, 6, 6)
    crystal.rattle(0.005, rng=rng)  # each of its atoms nearly comes upon each other one
    moved = crystal.copy()
    moved.positions += [1.1, 0.7, -2.2]
    moved.wrap()
    assert bounded(crystal, moved, 2 * len(crystal)) < 1e-6
    assert bounded(crystal, crystal[rng.permutation(len(crystal))], 200 * len(crystal)) < 1e-6


def test_what_was_not_known_when_the_work_was_done_is_said():
    methane = molecule("CH4")
    other = disguised(methane, np.random.default_rng(1), 0.0)
    assert np.isnan(bounded(methane, other, 10))
    assert bounded(methane, other, 1e6) < 1e-6
    assert np.isinf(bounded(methane, molecule("NH3"), 10))


def bounded(a, b, work):
    return superposed(geometry_of([a, b]), np.array([0]), np.array([1]), TOLERANCE, work=work)[0][0]
