"""Structures of every kind that a layout has to cope with: molecules, crystals, a slab, lone atoms."""

import ase.build
import ase.neighborlist
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct

CUTOFF = 3.5
EVERY = range(8)


def frames() -> list[ase.Atoms]:
    """Eight structures of H, C, O and Cu, rattled; the last two without forces, some without stress."""
    rng = np.random.default_rng(5)
    surface = ase.build.fcc111("Cu", (1, 1, 2), vacuum=4.0)
    ase.build.add_adsorbate(surface, "O", 1.2, "fcc")
    surface.info.clear()
    surface.set_array("tags", None)
    made = [
        ase.build.molecule("H2O"),
        ase.build.bulk("Cu", cubic=True),
        ase.build.molecule("CH3CH2OH"),
        ase.Atoms("C"),  # without a cell, and without neighbours
        surface,
        ase.build.bulk("Cu"),  # one atom whose neighbours are all images of itself
        ase.Atoms("H", cell=[9, 9, 9], pbc=True),
        ase.build.molecule("CO2"),
    ]
    for i, atoms in enumerate(made):
        atoms.positions += rng.normal(0, 0.05, (len(atoms), 3))
        labels = {"energy": rng.normal(), "dipole": rng.normal(size=3)}
        if i < 6:
            labels["forces"] = rng.normal(size=(len(atoms), 3))
        if atoms.pbc.all():
            labels["stress"] = rng.normal(size=6)
        atoms.calc = SinglePointCalculator(atoms, **labels)
    return made


def write_frames(path) -> str:
    """Build a store of the frames."""
    zstruct.build(frames(), path, progress=False)
    return str(path)


def pairs_of_ase():
    """Centre, neighbour, cell vectors and vector of every pair of all frames; atoms counted through."""
    found, first = [], 0
    for atoms in frames():
        i, j, shift, vector = ase.neighborlist.neighbor_list("ijSD", atoms, CUTOFF)
        found.append(np.column_stack([i + first, j + first, shift, vector]))
        first += len(atoms)
    return np.concatenate(found)


def in_order(pairs):
    """Return pairs sorted by all that is whole-numbered."""
    return pairs[np.lexsort(pairs[:, :5].round().T)]
