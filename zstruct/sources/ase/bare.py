"""Structures made of arrays and labels that other packages' objects hold, in place of Atoms.

Here it is decided whether a label is of atoms or of the structure, and what is done about units that it
carries. Which objects there are is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from zstruct.aliases import by_alias
from zstruct.elements import atomic_number
from zstruct.errors import InputError
from zstruct.schema import ATOM, STRUCTURE
from zstruct.sources.ase.atoms import Snapshot
from zstruct.units import factor

__all__ = ["add_labels", "bare", "plain", "symbols"]


def bare(numbers: Any, positions: Any, cell: Any, pbc: Any) -> Snapshot:
    """Return a structure without labels.

    Raises
    ------
    ValueError
        If the arrays don't fit, or atomic numbers are none.
    """
    from ase.cell import Cell

    found = Snapshot.__new__(Snapshot)
    z, xyz = np.asarray(numbers), np.array(positions, dtype=np.float64)
    if z.ndim == 2 and z.shape[1] == 1:
        z = z[:, 0]
    if z.ndim != 1 or z.dtype.kind not in "iuf" or (z != np.trunc(z)).any():
        raise ValueError(f"atomic numbers are whole numbers, one an atom, and these have the shape {z.shape}")
    if xyz.shape != (len(z), 3):
        raise ValueError(f"there are {len(z)} atoms and positions of shape {xyz.shape}")
    found.arrays = {"numbers": z.astype(np.int64), "positions": xyz}
    found.info = {}
    vectors = np.zeros((3, 3)) if cell is None else np.array(cell, dtype=np.float64)
    if vectors.shape not in ((3, 3), (1, 3, 3), (9,)):
        raise ValueError(f"its cell has the shape {vectors.shape}, not (3, 3)")
    found.cell = Cell(vectors.reshape(3, 3))
    periodic = np.asarray(pbc, dtype=bool).reshape(-1)
    if len(periodic) not in (1, 3):
        raise ValueError(f"its pbc has the shape {np.shape(pbc)}, not (3,)")
    found.pbc = np.broadcast_to(periodic, 3).copy()
    found.constraints, found.calc = [], None
    return found


def symbols(words: Iterable[Any]) -> list[int]:
    """Return atomic numbers of symbols.

    Raises
    ------
    ValueError
        If one is of no element.
    """
    numbers = []
    for k, word in enumerate(words):
        number = int(word) if isinstance(word, (int, np.integer)) else atomic_number(str(word).strip())
        if not number:
            raise ValueError(f"atom {k} is {str(word)[:40]!r}, which is no chemical element")
        numbers.append(number)
    return numbers


def plain(value: Any, name: str) -> Any:
    """Return a tensor as an array, and anything else as it is.

    Raises
    ------
    ValueError
        If NumPy can't hold it.
    """
    if not hasattr(value, "detach"):
        return value
    try:
        return value.detach().cpu().numpy()
    except (TypeError, RuntimeError) as error:  # bfloat16, sparse tensors
        raise ValueError(f"{name} is a tensor that NumPy can't hold ({error}); convert it first") from None


def add_labels(found: Snapshot, labels: Mapping[str, Any]) -> None:
    """Add labels to what atoms have or to what the structure has.

    Fields of the table know themselves which of both they are; others are of atoms if they have a row for
    each, and more than one axis or a number of atoms that is not that of a vector's or a tensor's
    components. A unit that a value carries (``unit`` or ``units``) is converted.

    Raises
    ------
    ValueError
        If a unit is not one of the field's.
    """
    n = len(found)
    for key, given in labels.items():
        value = plain(given, key)
        shape = _shape(value)
        if value is None or 0 in shape:
            continue
        levels = [level for level in (ATOM, STRUCTURE) if by_alias(key, level) is not None]
        of_atoms = shape[:1] == (n,) and (len(shape) > 1 or n not in (1, 3, 6, 9))
        if len(levels) == 1:
            of_atoms = levels == [ATOM] and shape[:1] == (n,)
        elif len(levels) == 2:
            of_atoms = shape[:1] == (n,) and n > 1
        value = _converted(key, value, given, ATOM if of_atoms else STRUCTURE)
        if not of_atoms and shape and int(np.prod(shape)) == 1:
            value = np.asarray(value).reshape(-1)[0]  # of one structure: the axis of the batch
        (found.arrays if of_atoms else found.info)[key] = value


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple, np.ndarray)):
        return ()
    try:
        return np.shape(value)
    except ValueError:  # ragged
        return (len(value),)


def _converted(key: str, value: Any, given: Any, level: Any) -> Any:
    """Return a value in the unit of its field, if it carries another one."""
    unit = getattr(given, "unit", None) or getattr(given, "units", None)
    field = by_alias(key, level)
    if unit is None or callable(unit) or field is None:
        return value
    try:
        return np.asarray(value, dtype=np.float64) * factor(field.name, str(unit))
    except InputError as error:
        raise ValueError(f"{key} is in {str(unit)!r}: {error.reason.rpartition('}: ')[2]}") from None
