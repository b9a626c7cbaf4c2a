"""Structures to read: random ones of known shape, real ones many times over."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import zstruct
from zstruct.ragged import atom_rows, counts_to_offsets
from zstruct.sources import Source, arrays
from zstruct.store.store import Store

Tensors = dict[str, torch.Tensor]
FIELDS = ("positions", "forces", "numbers", "energy")
REAL = Path(__file__).parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Structures:
    """Structures in memory, end to end: what every side stores and must give back."""

    offsets: NDArray[np.int64]
    positions: NDArray[np.float32]
    forces: NDArray[np.float32]
    numbers: NDArray[np.uint8]
    energy: NDArray[np.float64]
    cell: NDArray[np.float64] | None = None
    pbc: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.energy)

    def batch(self, indices: NDArray[np.int64]) -> Tensors:
        """Return the tensors that every side must return for a batch."""
        counts = np.diff(self.offsets)[indices]
        rows = atom_rows(self.offsets[indices], counts)
        return joined(
            counts, self.positions[rows], self.forces[rows], self.numbers[rows], self.energy[indices]
        )

    def source(self) -> Source:
        """Return the structures as what `zstruct.build` takes."""
        return arrays(**{name: getattr(self, name) for name in self.__dataclass_fields__})

    def atoms(self, stop: int | None = None) -> Iterator[Any]:
        """Yield the structures as `ase.Atoms` with their results."""
        from ase import Atoms
        from ase.calculators.singlepoint import SinglePointCalculator

        for i in range(len(self))[:stop]:
            rows = slice(self.offsets[i], self.offsets[i + 1])
            atoms = Atoms(numbers=self.numbers[rows], positions=self.positions[rows])
            if self.cell is not None and self.pbc is not None:
                atoms.set_cell(self.cell[i])
                atoms.set_pbc(self.pbc[i])
            forces = self.forces[rows].astype(np.float64)
            atoms.calc = SinglePointCalculator(atoms, energy=float(self.energy[i]), forces=forces)
            yield atoms


def joined(
    counts: NDArray, positions: NDArray, forces: NDArray, numbers: NDArray, energy: NDArray
) -> Tensors:
    """Return packed arrays as the tensors of a batch, with the structure that each atom belongs to."""
    return {
        "positions": torch.from_numpy(positions),
        "forces": torch.from_numpy(forces),
        "numbers": torch.from_numpy(numbers.astype(np.int64, copy=False)),
        "energy": torch.from_numpy(energy),
        "batch": torch.from_numpy(np.repeat(np.arange(len(counts)), counts)),
    }


def solids(n: int) -> Structures:
    """Return `n` random structures of 64 atoms."""
    return _random(np.full(n, 64), seed=0)


def molecules(n: int) -> Structures:
    """Return `n` random structures of 5 to 29 atoms."""
    return _random(np.random.default_rng(1).integers(5, 30, n), seed=2)


def _random(counts: NDArray[np.int64], seed: int) -> Structures:
    rng = np.random.default_rng(seed)
    n_atoms = int(counts.sum())
    return Structures(
        offsets=counts_to_offsets(counts),
        positions=rng.normal(0, 4, (n_atoms, 3)).astype(np.float32),
        forces=rng.normal(0, 1, (n_atoms, 3)).astype(np.float32),
        numbers=rng.choice(np.array([1, 6, 7, 8], dtype=np.uint8), n_atoms),
        energy=rng.normal(-100, 3, len(counts)) * counts,
    )


def real(n: int) -> Structures | None:
    """Return about `n` structures: real ones (3BPA, TiO2, carbon) again and again, or None without them.

    Each copy is turned at random, for an exact repetition would compress better than data does.
    """
    if not REAL.is_dir():
        return None
    from scipy.spatial.transform import Rotation

    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for name, keys in (
            ("3bpa_train_300K.xyz", {}),
            ("tio2_xsf", {}),
            ("carbon_reduced_100.xyz", {"forces": "force"}),
        ):
            out = Path(folder, name + ".zarr")
            zstruct.build(REAL / name, out, keys=keys, progress=False)
            store = Store(out)
            parts.append({field: store.read(field) for field in ("n_atoms", "cell", "pbc", *FIELDS)})
    once = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    which = np.tile(np.arange(len(once["energy"])), -(-n // len(once["energy"])))
    counts = once["n_atoms"][which].astype(np.int64)
    rows = atom_rows(counts_to_offsets(once["n_atoms"])[which], counts)
    turns = Rotation.random(len(which), np.random.default_rng(0)).as_matrix()
    by_atom = np.repeat(turns, counts, axis=0)
    return Structures(
        offsets=counts_to_offsets(counts),
        positions=np.einsum("aij,aj->ai", by_atom, once["positions"][rows]).astype(np.float32),
        forces=np.einsum("aij,aj->ai", by_atom, once["forces"][rows]).astype(np.float32),
        numbers=once["numbers"][rows],
        energy=once["energy"][which],
        cell=np.einsum("sij,skj->ski", turns, once["cell"][which]),
        pbc=once["pbc"][which],
    )
