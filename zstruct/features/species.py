"""The sentence for an element that a descriptor does not know; kernels only say in which row it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols

from zstruct.errors import InputError
from zstruct.features.structures import Structures

__all__ = ["unknown_species"]


def unknown_species(structures: Structures, row: int, species: Sequence[str]) -> InputError:
    """Return the error for the atom in a packed row, which is none of some species."""
    number = int(structures.numbers[row])
    known = 0 < number < len(chemical_symbols)
    element = chemical_symbols[number] if known else f"an atom with atomic number {number}"
    structure = int(np.searchsorted(structures.offsets, row, side="right")) - 1
    return InputError(
        f"structure {structure} has {element}, which is not among the species of the descriptor: "
        f"{', '.join(species)}; add it to them, or leave the structure out"
    )
