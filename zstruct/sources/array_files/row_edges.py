"""Which rows of atoms belong to which structure: row edges of packed arrays, places in a grid.

Nothing but positions, numbers and what says whose atoms they are is looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.ragged import counts_to_offsets
from zstruct.sources.array_files.stored import StoredArray, whole_numbers

__all__ = ["RowEdges", "gridded", "packed"]


@dataclass(frozen=True)
class RowEdges:
    """Which rows of atoms belong to which structure.

    Parameters
    ----------
    n, atoms
        How many structures, and how many rows of atoms in all.
    offsets
        Row edges of structures, where arrays are packed.
    width
        Places for atoms in each structure, where arrays are a grid.
    counts
        Atoms of each structure of a grid, where that is said.
    numbers
        Atomic numbers that all structures of a grid share.
    used
        The places that say all this: offsets, n_atoms.
    """

    n: int
    atoms: int
    offsets: NDArray[np.int64] | None = None
    width: int | None = None
    counts: NDArray[np.int64] | None = None
    numbers: NDArray[Any] | None = None
    used: frozenset[str] = frozenset()


def packed(
    arrays: Mapping[str, StoredArray], there: Mapping[str, str | None], said: Mapping[str, str], label: str
) -> RowEdges:
    """Return the edges where the atoms of all structures follow one another.

    Parameters
    ----------
    arrays
        The arrays by name.
    there
        The array of each place, as far as there is one.
    said
        Where what makes a structure is, as the user says it.
    label
        The file, for messages.

    Raises
    ------
    InputError
        If nothing says whose atoms are whose, or what says it does not fit.
    """
    key = there["positions"] or ""
    atoms = int(arrays[key].shape[0])
    numbers = arrays[there["numbers"] or ""]
    if tuple(numbers.shape) not in ((atoms,), (atoms, 1)):
        raise InputError(
            f"there are positions of {atoms:,} atoms, and the numbers have the shape {tuple(numbers.shape)}",
            label,
        )
    edges = counts = None
    if there["offsets"] is not None:
        edges = whole_numbers("offsets", arrays[there["offsets"]], label)
        _check_edges(edges, label)
    if there["n_atoms"] is not None and (edges is None or "n_atoms" in said):
        counts = whole_numbers("n_atoms", arrays[there["n_atoms"]], label)
    elif there["n_atoms"] is not None and edges is not None:
        array = arrays[there["n_atoms"]]
        if tuple(array.shape) in ((len(edges) - 1,), (len(edges) - 1, 1)) and array.dtype.kind in "iu":
            counts = whole_numbers("n_atoms", array, label)
    used = {"offsets"} if counts is None else {"offsets", "n_atoms"}
    if counts is not None:
        if (counts < 0).any():
            i = int(np.argmax(counts < 0))
            raise InputError(f"n_atoms is {counts[i]}", label, i)
        if edges is not None and not np.array_equal(np.diff(edges), counts):
            raise InputError("offsets and n_atoms do not agree", label)
        edges = counts_to_offsets(counts)
    if edges is None:
        raise InputError(
            f"there are positions of {atoms:,} atoms one after the other, and nothing says which are whose; "
            "say where that is with keys={'offsets': ...} or keys={'n_atoms': ...}",
            label,
        )
    if edges[-1] != atoms:
        what = "n_atoms add up to" if there["offsets"] is None else "offsets end at"
        raise InputError(f"{what} {edges[-1]:,}, and there are positions of {atoms:,} atoms", label)
    return RowEdges(len(edges) - 1, atoms, edges, used=frozenset(used))


def _check_edges(edges: NDArray[np.int64], label: str) -> None:
    if len(edges) == 0 or edges[0] != 0:
        raise InputError(f"offsets begin at {edges[0] if len(edges) else 'nothing'}, not at 0", label)
    if (np.diff(edges) < 0).any():
        i = int(np.argmax(np.diff(edges) < 0))
        raise InputError(f"offsets go back from {edges[i]} to {edges[i + 1]}", label, i)


def gridded(
    arrays: Mapping[str, StoredArray], there: Mapping[str, str | None], said: Mapping[str, str], label: str
) -> RowEdges:
    """Return the places of a grid of atoms.

    Parameters
    ----------
    arrays
        The arrays by name.
    there
        The array of each place, as far as there is one.
    said
        Where what makes a structure is, as the user says it.
    label
        The file, for messages.

    Raises
    ------
    InputError
        If numbers, or how many atoms there are, do not fit.
    """
    n, width = map(int, arrays[there["positions"] or ""].shape[:2])
    numbers = arrays[there["numbers"] or ""]
    shared = counts = None
    if tuple(numbers.shape) == (width,):
        shared = numbers.rows(0, width)
    elif tuple(numbers.shape) != (n, width):
        raise InputError(
            f"positions are of {n:,} structures with {width:,} places for atoms, and the numbers have the "
            f"shape {tuple(numbers.shape)}",
            label,
        )
    key = there["n_atoms"]
    if key is not None and (tuple(arrays[key].shape) in ((n,), (n, 1)) or "n_atoms" in said):
        counts = whole_numbers("n_atoms", arrays[key], label)
        if len(counts) != n:
            raise InputError(f"there are {n:,} structures, and n_atoms of {len(counts):,}", label)
        wrong = (counts < 0) | (counts > width)
        if wrong.any():
            i = int(np.argmax(wrong))
            raise InputError(f"n_atoms is {counts[i]}, and there are places for {width} atoms", label, i)
    used = frozenset() if counts is None else frozenset({"n_atoms"})
    return RowEdges(n, n * width, width=width, counts=counts, numbers=shared, used=used)
