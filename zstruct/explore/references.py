"""Energies of a Dataset less the reference energies of its elements."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS, by_number
from zstruct.errors import InputError
from zstruct.explore.origin import store_of
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.explore.selection import row_blocks
from zstruct.ragged import counts_to_offsets, segment_reduce
from zstruct.stats.references import References, chosen_references

__all__ = ["referenced_energy_per_atom"]

_INSTEAD = "or give references as energies by chemical symbol"


def referenced_energy_per_atom(
    ragged: RaggedDataset, references: bool | str | Mapping[str, float]
) -> NDArray[np.float64]:
    """Return energies less references, divided by the number of atoms, in eV, shape (structures,).

    Parameters
    ----------
    ragged
        The structures.
    references
        As for `zstruct.statistics`: those of the store, True or their name, or energies by chemical symbol.

    Raises
    ------
    InputError
        If there are no such references, or an element of a structure with an energy has none.
    """
    chosen: References | None
    if isinstance(references, Mapping):
        chosen = references if isinstance(references, References) else References.given(references)
    else:
        chosen = chosen_references(store_of(ragged.dataset, _INSTEAD), references)
    table = by_number(chosen or {})
    left = np.array(ragged.variable("energy").to_numpy(), np.float64)
    counts = ragged.segments()[1]
    for which, numbers, offsets in row_blocks(ragged.numbers(), counts_to_offsets(counts)):
        sums = segment_reduce(table[numbers], offsets, "sum")
        lost = np.isnan(sums) & ~np.isnan(left[which])
        if lost.any():
            there = np.repeat(lost, np.diff(offsets)) & np.isnan(table[numbers])
            named = ", ".join(SYMBOLS[z] for z in np.unique(numbers[there]))
            raise InputError(
                f"there is no reference energy of {named}; there are those of {', '.join(chosen or ())}"
            )
        left[which] -= sums
    return left / np.where(counts > 0, counts, np.nan)
