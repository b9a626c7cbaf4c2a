"""Structures with labels of all kinds, for exporters of formats of potentials."""

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator


def labelled(n, seed=0, *, periodic=None, whole=True):
    """Return structures of a few elements, sorted by them, some of them periodic, drawn at random.

    Parameters
    ----------
    n, seed
        How many, and of which random numbers.
    periodic
        Whether all or none are; half of them if None.
    whole
        Whether none of them lacks a label.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        numbers = np.sort(rng.choice([1, 6, 8, 14], rng.integers(1, 5)))
        atoms = Atoms(numbers, rng.normal(size=(len(numbers), 3)) * 10.0 ** rng.integers(-3, 4))
        if k % 2 if periodic is None else periodic:
            atoms.set_cell(6 * np.eye(3) + rng.normal(size=(3, 3)))
            atoms.pbc = True
        results = {"energy": rng.normal() * 1e3, "forces": rng.normal(size=(len(numbers), 3))}
        if atoms.pbc.all():
            results["stress"] = rng.normal(size=6)
        if not whole:
            results = {name: value for name, value in results.items() if rng.integers(3)}
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        if whole or rng.integers(2):
            atoms.arrays["charges"] = rng.normal(size=len(numbers))
        frames.append(atoms)
    return frames


def repeated(atoms, pbc):
    """Have a structure repeat along some vectors, with the labels that it has."""
    results = atoms.calc.results
    atoms.pbc = pbc
    atoms.calc = SinglePointCalculator(atoms, **results)
