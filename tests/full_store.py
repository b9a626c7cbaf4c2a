"""A small store with groups of every kind."""

import warnings
from pathlib import Path

import numpy as np

import zstruct
from tests.conftest import random_atoms
from zstruct.features import Chebyshev, NeighborList

__all__ = ["write_full_store"]


def write_full_store(path: Path) -> None:
    """Write a store of eight structures with all kinds of fields, and groups of all kinds."""
    rng = np.random.default_rng(3)
    frames = [random_atoms(rng) for _ in range(8)]
    for k, atoms in enumerate(frames):
        atoms.info["config_type"] = "ab"[k % 2]
        if k % 2:
            atoms.info |= {"flag": True, "many": k}
    energies = {"H": -1.0, "C": -2.0, "O": -3.0, "Ti": -4.0}
    zstruct.build(frames, path, progress=False, filters={"atomic_energies": energies})
    zstruct.featurize(path, NeighborList(2.0), progress=False)
    zstruct.featurize(path, Chebyshev(["H", "C", "O", "Ti"], 3, 2.5, 2, 2.0), True, progress=False)
    zstruct.split(path, [0.5, 0.5], name="default")
    zstruct.statistics(path, name="all", progress=False)
    with warnings.catch_warnings():  # too few structures to tell the elements apart
        warnings.simplefilter("ignore")
        zstruct.fit_references(path, name="default")
