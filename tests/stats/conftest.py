"""Stores to take statistics of."""

import shutil

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from tests.conftest import random_atoms, shrink_chunks

FRACTIONS = [0.0, 0.1, 0.5, 0.9, 0.999, 1.0]


def labelled(formula, energy=None, **arguments):
    atoms = Atoms(formula, **arguments)
    atoms.positions = np.random.default_rng(len(atoms)).uniform(0, 9, (len(atoms), 3))
    if energy is not None:
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    return atoms


def built(frames, path):
    zstruct.build(frames, path, progress=False)
    return path


def in_many_shards(frames, folder):
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        return built(frames, folder / "frames.zarr")


@pytest.fixture(scope="session")
def sixty(tmp_path_factory):
    rng = np.random.default_rng(20261120)
    frames = [random_atoms(rng, labels=bool(i % 5)) for i in range(59)]
    return in_many_shards([*frames, Atoms("H")], tmp_path_factory.mktemp("sixty"))


@pytest.fixture
def path(sixty, tmp_path, small_chunks):
    """Sixty structures in many shards; some lack everything, some are single atoms."""
    return shutil.copytree(sixty, tmp_path / "frames.zarr")


def check_same(a, b):
    assert a.structures == b.structures
    assert dict(a.missing) == dict(b.missing)
    assert a.sizes.tolist() == b.sizes.tolist()
    assert a.size_counts.tolist() == b.size_counts.tolist()
    assert a.force_norms.bins.tolist() == b.force_norms.bins.tolist()
    assert a.force_norms.counts.tolist() == b.force_norms.counts.tolist()
    assert list(a.species) == list(b.species)
    for symbol, species in a.species.items():
        assert species.atoms == b.species[symbol].atoms
        np.testing.assert_allclose(species.force_rms, b.species[symbol].force_rms, rtol=1e-12)
    for name in ("atoms", "energy", "energy_per_atom", "forces", "force_norm", "distance"):
        one, other = getattr(a, name), getattr(b, name)
        assert one.count == other.count
        for number in ("mean", "std", "rms", "min", "max"):
            x, y = getattr(one, number), getattr(other, number)
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-11)


@pytest.fixture(scope="session")
def of_four_elements(tmp_path_factory):
    rng, frames = np.random.default_rng(20261120), []
    for i in range(60):
        counts = rng.integers(0, 6, 4)
        counts[rng.integers(4)] += 1
        formula = "".join(f"{s}{n}" for s, n in zip(("H", "C", "O", "Ti"), counts, strict=True) if n)
        energy = counts @ [-13.6, -1029.0, -2042.0, -23000.0] + rng.normal()
        frames.append(labelled(formula, None if i % 10 == 0 else energy))
    return in_many_shards(frames, tmp_path_factory.mktemp("compositions"))


@pytest.fixture
def compositions(of_four_elements, tmp_path, small_chunks):
    """Sixty structures of four elements in many shards; every tenth has no energy."""
    return shutil.copytree(of_four_elements, tmp_path / "frames.zarr")
