"""Atomic numbers, cells and periodicity of arrays in files, as columns of blocks.

Which arrays they are is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.sources.array_columns import name_elements
from zstruct.sources.source import Raw, RawColumn

__all__ = ["fill_elements", "periodicity"]

_NO_PBC = (
    "there is a cell, and nothing says whether the structure repeats along its vectors; say where that is "
    "with keys={'pbc': ...}, or leave the cell out with exclude=['cell']"
)


def fill_elements(raw: Raw, faults: Mapping[str, NDArray[np.bool_]]) -> None:
    """Have atomic numbers as sources give them; structures with a fault are bad.

    Parameters
    ----------
    raw
        A block that has nothing but numbers yet.
    faults
        Which structures have what fault, shape (n,).
    """
    column = raw.atom["numbers"][0]
    if column.values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = column.values.astype(np.int64)
        whole[whole != column.values] = -1
        column.values = whole
    name_elements(raw)
    for sentence, here in faults.items():
        raw.atom["numbers"].append(RawColumn(raw.atom["numbers"][0].values, here, fault=sentence))


def periodicity(
    raw: Raw,
    cell: NDArray[Any] | None,
    pbc: NDArray[Any] | None,
    unit: str | None = None,
    said: NDArray[np.bool_] | None = None,
) -> None:
    """Add cells, and whether structures repeat along them, to a block.

    Parameters
    ----------
    raw
        The block.
    cell
        Lattice vectors, shape (n, 3, 3); None if there are none.
    pbc
        Shape (n, 3), (n,) or (n, 1); None if it is not said.
    unit
        That the file states for cells.
    said
        Of which structures `pbc` is said, shape (n,); None for all.
    """
    m = len(raw.n_atoms)
    if cell is not None:
        known = np.full(m, pbc is not None) if said is None else said
        silent = ~known & np.any(cell, axis=(1, 2))
        cell = np.asarray(cell, dtype=np.float64)
        raw.structure["cell"] = [RawColumn(cell, ~silent if silent.any() else None, unit=unit)]
        if silent.any():
            raw.structure["cell"].append(RawColumn(cell, silent, fault=_NO_PBC))
    if pbc is not None:
        flags = pbc.astype(bool)
        odd = flags != pbc
        flags = np.broadcast_to(flags.reshape(m, -1), (m, 3))
        wrong = odd.reshape(m, -1).any(axis=1)
        raw.structure["pbc"] = [RawColumn(flags)]
        if wrong.any():
            raw.structure["pbc"].append(RawColumn(flags, wrong, fault="pbc is neither True nor False"))
