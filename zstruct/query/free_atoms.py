"""Energies of free atoms that a store was built with: limits on energies take them off by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS, by_number
from zstruct.errors import InputError

__all__ = ["FreeAtoms"]


@dataclass(frozen=True)
class FreeAtoms:
    """The ``atomic_energies`` that a store was built with.

    Parameters
    ----------
    energies
        By chemical symbol, in eV.
    """

    energies: Mapping[str, float]

    @classmethod
    def of_build(cls, energies: Mapping[str, float] | None) -> FreeAtoms | None:
        """Return those that a store has among its attributes, or None if it has none."""
        return cls(energies) if energies else None

    @cached_property
    def _table(self) -> NDArray[np.float64]:
        return by_number(self.energies)

    def subtract(
        self, numbers: NDArray[Any], offsets: NDArray[Any], energies: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return energies of structures less those of their atoms, in eV, shape (n,).

        Parameters
        ----------
        numbers
            Atomic numbers, shape (n_atoms,).
        offsets
            Row edges of the structures, shape (n + 1,); no structure is empty.
        energies
            In eV, shape (n,); none is missing.

        Raises
        ------
        InputError
            If there is no energy of an element; says where they come from.
        """
        of_atoms = self._table[numbers]
        lost = np.unique(np.asarray(numbers)[np.isnan(of_atoms)])
        if len(lost):
            raise InputError(
                "max_energy takes off the atomic_energies that the store was built with, and they have none "
                f"of {', '.join(SYMBOLS[z] for z in lost)}, but of {', '.join(self.energies)}; "
                "references=False, of a dataset or of Selection.structures, takes nothing off, and neither "
                "does energy_per_atom <= ... in an expression"
            )
        sums: NDArray[np.float64] = np.add.reduceat(of_atoms, offsets[:-1])
        return np.asarray(energies - sums, np.float64)
