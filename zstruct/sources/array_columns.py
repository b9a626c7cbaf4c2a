"""Arrays as columns of `Raw` blocks: what a row of one belongs to, atomic numbers, texts.

Shared by all that reads arrays by name, be they in memory or in files. Where arrays are is not known here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.schema import ATOM, STRUCTURE, Level
from zstruct.sources.columns import atom_columns, structure_columns
from zstruct.sources.normalize.elements import unknown_elements
from zstruct.sources.source import Raw, RawColumn

__all__ = ["LEVELS", "fits", "level_of", "name_elements", "rows_of_atoms", "rows_of_structures"]

LEVELS: tuple[Level, Level] = (ATOM, STRUCTURE)
# Columns of a vector or a tensor: what has so many is not taken for one value for each of so many atoms.
_WIDTHS = (1, 3, 6, 9)


def fits(shape: tuple[int, ...], n: int, atoms: int, width: int | None) -> dict[Level, bool]:
    """Return whether an array has a row for each atom, and whether one for each structure.

    Parameters
    ----------
    shape
        Its shape.
    n, atoms
        How many structures and atoms there are.
    width
        Atoms of every structure, where positions have an axis for them.
    """
    grid = width is not None and shape[:2] == (n, width)
    return {ATOM: grid or shape[:1] == (atoms,), STRUCTURE: shape[:1] == (n,)}


def level_of(
    key: str, shape: tuple[int, ...], kind: str, fitting: dict[Level, bool], width: int | None
) -> Level | None:
    """Return whether the rows of an array are of atoms or of structures; None if neither fits.

    Parameters
    ----------
    key, shape, kind
        Its name, its shape, and the kind of its dtype.
    fitting
        What `fits` says of it.
    width
        Atoms of every structure, where positions have an axis for them.
    """
    known = [level for level in LEVELS if by_alias(key, level) is not None]
    if len(known) == 1:
        return known[0] if fitting[known[0]] else None
    if not any(fitting.values()):
        return None
    if all(fitting.values()):
        grid = width is not None and shape[1:2] == (width,)
        return ATOM if grid and (width not in _WIDTHS or kind in "OSU") else STRUCTURE
    return ATOM if fitting[ATOM] else STRUCTURE


def name_elements(raw: Raw) -> None:
    """Have the atomic numbers of a block as sources give them; structures with others have a fault.

    Symbols are types, of which most go without saying.
    """
    given = raw.atom["numbers"]
    if given[0].values.dtype.kind in "iu" and given[0].texts is None:
        z = given[0].values
        faults = unknown_elements(z, raw.n_atoms)
    else:
        raw.types, z, faults = given[0], np.zeros(len(given[0].values)), {}
    n = np.arange(len(raw.n_atoms))
    good = None if not faults else ~np.isin(n, list(faults))
    raw.atom["numbers"] = [RawColumn(z.astype(np.uint8, copy=False), good)]
    raw.atom["numbers"] += [RawColumn(z, n == i, fault=reason) for i, reason in faults.items()]


def rows_of_atoms(key: str, values: NDArray[Any], offsets: NDArray[np.int64]) -> list[RawColumn]:
    """Return the columns of an array with a row for each atom of a block.

    Parameters
    ----------
    key, values
        Its name and its rows.
    offsets
        Row edges of the structures of the block.
    """
    if values.dtype.kind not in "OSU":
        return [RawColumn(values)]
    parts = np.split(values, offsets[1:-1] - offsets[0])
    return atom_columns(key, parts, None, np.diff(offsets))


def rows_of_structures(
    key: str, values: NDArray[Any], present: NDArray[np.bool_] | None = None
) -> list[RawColumn]:
    """Return the columns of an array with a row for each structure of a block.

    Parameters
    ----------
    key, values
        Its name and its rows.
    present
        Which structures have it; None for all.
    """
    if values.dtype.kind not in "OSU":
        return [RawColumn(values, present)]
    there = np.array([value is not None for value in values.tolist()])
    here = np.flatnonzero(there if present is None else there & present)
    return structure_columns(key, values[here].tolist(), here, len(values))
