"""Structures to compute features of: periodic solids, molecules, small cells, water."""

from collections.abc import Iterator

import ase
import ase.build
import numpy as np
from ase.spacegroup import crystal


def rutile(rng: np.random.Generator, n: int) -> Iterator[ase.Atoms]:
    """Yield periodic cells of 72 atoms of TiO2, 103 neighbours within 6.5 angstrom."""
    lengths, places = [4.594, 4.594, 2.959], [(0, 0, 0), (0.305, 0.305, 0)]
    unit = crystal(["Ti", "O"], places, spacegroup=136, cellpar=[*lengths, 90, 90, 90])
    base = ase.Atoms(unit) * (2, 2, 3)
    for _ in range(n):
        atoms = _rattled(base, rng, 0.05)
        atoms.wrap()  # dscribe misses neighbours of atoms outside the cell
        yield atoms


def organic(rng: np.random.Generator, n: int) -> Iterator[ase.Atoms]:
    """Yield molecules of 5 to 29 atoms, about as dense and as long as organic ones."""
    places = 1.5 * np.stack(np.meshgrid(range(8), range(2), range(2), indexing="ij"), axis=-1).reshape(-1, 3)
    for size in rng.integers(5, 30, n).tolist():
        yield ase.Atoms(rng.choice([1, 6, 7, 8], size), places[:size] + rng.normal(0, 0.1, (size, 3)))


def solids(rng: np.random.Generator, n: int) -> list[ase.Atoms]:
    """Return periodic cells of 64 atoms, 110 neighbours within 6 angstrom."""
    base = ase.build.bulk("Si", "diamond", a=8.07 / 2, cubic=True) * 2
    return [_rattled(base, rng, 0.1) for _ in range(n)]


def molecules(rng: np.random.Generator, n: int) -> list[ase.Atoms]:
    """Return molecules of 20 atoms, as dense as organic ones."""
    base = ase.Atoms("C20", positions=[[x, y, z] for x in range(5) for y in range(2) for z in range(2)])
    base.positions *= 1.5
    return [_rattled(base, rng, 0.3) for _ in range(n)]


def triclinic(rng: np.random.Generator, n: int) -> list[ase.Atoms]:
    """Return crystals of one to four atoms in triclinic cells, 12 cubic angstrom per atom."""
    made = []
    for _ in range(n):
        atoms = int(rng.integers(1, 5))
        cell = np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3))
        cell *= (12 * atoms / np.linalg.det(cell)) ** (1 / 3)
        made.append(ase.Atoms(f"C{atoms}", scaled_positions=rng.random((atoms, 3)), cell=cell, pbc=True))
    return made


def water(rng: np.random.Generator, n: int) -> list[ase.Atoms]:
    """Return boxes of 1,667 molecules of water, one gram per cubic centimetre."""
    edge = (1667 * 29.9) ** (1 / 3)
    places = np.stack(np.meshgrid(*[np.arange(12)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * edge / 12
    molecule = ase.build.molecule("H2O").positions
    made = []
    for _ in range(n):
        some = rng.permutation(places)[:1667, None] + rng.normal(0, 0.2, (1667, 1, 3))
        turns = np.linalg.qr(rng.normal(size=(1667, 3, 3)))[0]
        made.append(
            ase.Atoms(
                "OHH" * 1667, positions=(some + molecule @ turns).reshape(-1, 3), cell=[edge] * 3, pbc=True
            )
        )
    return made


def _rattled(atoms: ase.Atoms, rng: np.random.Generator, by: float) -> ase.Atoms:
    moved = atoms.copy()
    moved.positions += rng.normal(0, by, moved.positions.shape)
    return moved
