"""Stores to explore: labelled, ragged, partly missing, in many small shards."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from zstruct.store import chunks


def labelled(rng, i):
    """Structure i of a set in which every third lacks forces, every fourth a label, and so on."""
    n = int(rng.integers(1, 7))
    atoms = Atoms(rng.choice([1, 6, 8, 22], n), rng.normal(size=(n, 3)))
    if i % 2:
        atoms.set_cell(np.diag([4.0, 5.0, 6.0]) + rng.normal(0, 0.1, (3, 3)))
        atoms.pbc = [True, True, i % 5 == 0]
    results = {"energy": float(rng.normal(-10, 3))}
    if i % 3:
        results["forces"] = rng.normal(size=(n, 3))
        atoms.arrays["site"] = rng.choice(["bulk", "edge"], n)
        atoms.set_tags(rng.integers(0, 5, n))
    if i % 4:
        atoms.info["config_type"] = ["dimer", "surface", "bulk", "liquid"][i % 4]
        atoms.info["n_k"] = int(rng.integers(1, 9))
        atoms.info["converged"] = bool(i % 3)
    atoms.info["<R2>"] = float(rng.normal())
    atoms.info["spectrum"] = rng.normal(size=5)
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture(scope="session")
def structures():
    """Forty structures of one to six atoms."""
    rng = np.random.default_rng(20261120)
    return [labelled(rng, i) for i in range(40)]


@pytest.fixture(scope="session")
def path(tmp_path_factory, structures):
    """Their store (not to be changed), of chunks of 16 atoms or 4 structures, two to a shard."""
    out = tmp_path_factory.mktemp("explore") / "labelled.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_CHUNK_ROWS", {"atom": 16, "structure": 4})
        patch.setattr(chunks, "_CHUNKS_PER_SHARD", 2)
        zstruct.build(structures, out, progress=False)
    return out


@pytest.fixture(scope="session")
def opened(path):
    return zstruct.open(path)


@pytest.fixture
def ds(opened):
    """Their Dataset, which may be changed."""
    return opened.copy()
