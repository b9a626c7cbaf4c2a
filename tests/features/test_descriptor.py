"""`Descriptor.compute`: pieces and threads don't matter; forces and virials are derivatives of energies."""

import numpy as np
import pytest

from tests.conftest import random_atoms
from tests.features.gaussians import Gaussians, reference
from zstruct import InputError
from zstruct.features import Structures
from zstruct.geometry import pieces


@pytest.fixture
def frames(rng):
    return [random_atoms(rng, periodic=bool(k % 2)) for k in range(8)]


def energy(frames, weights):
    return (reference(frames)[0] * weights).sum()


def test_no_threads_are_refused(frames):
    with pytest.raises(ValueError, match="n_threads is at least 1"):
        Gaussians().compute(frames, n_threads=0)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_values_do_not_depend_on_pieces_and_threads(frames, rng, monkeypatch, n_threads):
    large = random_atoms(rng, 60, periodic=True)
    expected, pairs = reference([*frames, large])
    monkeypatch.setattr(pieces, "_SHARE", 3)
    monkeypatch.setattr(pieces, "PAIRS", 64)
    values, found = Gaussians().compute([*frames, large], derivatives=True, n_threads=n_threads)
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    np.testing.assert_array_equal(np.diff(found.neighbors.offsets), [len(j) for j, *_ in pairs])
    assert found.dense().shape == (found.neighbors.n_pairs, 2, 3)
    np.testing.assert_allclose(
        found.dense(5, 9), found.arrays["slopes"][5:9, :, None] * found.neighbors.vectors[5:9, None]
    )


def test_forces_are_the_slope_of_the_energy(frames):
    weights = np.array([0.7, -1.3])
    values, derivatives = Gaussians().compute(frames, derivatives=True)
    forces = derivatives.forces(np.broadcast_to(weights, values.shape))
    offsets, step = Structures.of(frames).offsets, 1e-5
    for s, a, axis in ((0, 0, 0), (3, 1, 2), (6, 0, 1)):
        energies = []
        for sign in (1, -1):
            moved = frames[s].copy()
            moved.positions[min(a, len(moved) - 1), axis] += sign * step
            energies.append(energy([moved], weights))
        expected = -(energies[0] - energies[1]) / (2 * step)
        row = offsets[s] + min(a, len(frames[s]) - 1)
        assert forces[row, axis] == pytest.approx(expected, abs=1e-6)


def test_the_virial_is_the_slope_by_strain(frames):
    weights = np.array([0.7, -1.3])
    values, derivatives = Gaussians().compute(frames, derivatives=True)
    virial = derivatives.virial(np.broadcast_to(weights, values.shape))
    step = 1e-6
    for s in (1, 3):
        for x, y in ((0, 0), (1, 2), (2, 1)):
            energies = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[x, y] += sign * step
                moved = frames[s].copy()
                moved.set_cell(moved.cell.array @ strain)
                moved.positions = moved.positions @ strain
                energies.append(energy([moved], weights))
            expected = -(energies[0] - energies[1]) / (2 * step)
            assert virial[s, x, y] == pytest.approx(expected, abs=1e-5)


def test_errors_name_the_structure_whatever_its_piece(rng):
    frames = [random_atoms(rng, 4, periodic=True) for _ in range(9)]
    for atoms in frames:
        atoms.numbers[:] = 1
    frames[6].numbers[1] = 22
    for n_threads in (1, 4):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pieces, "_SHARE", 2)
            with pytest.raises(InputError, match=r"^structure 6 has Ti"):
                Gaussians(knows_titanium=False).compute(frames, n_threads=n_threads)


def test_a_gradient_of_another_shape_is_refused(frames):
    _, derivatives = Gaussians().compute(frames, derivatives=True)
    with pytest.raises(ValueError, match=r"dE/dG has shape \(3, 2\), not"):
        derivatives.forces(np.ones((3, 2)))


def test_nothing_gives_nothing():
    values, derivatives = Gaussians().compute([], derivatives=True)
    assert values.shape == (0, 2)
    assert derivatives.forces(values).shape == (0, 3)
    assert derivatives.virial(values).shape == (0, 3, 3)
