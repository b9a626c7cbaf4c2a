"""Arrays as users give them: which belong to atoms, which to structures, and whether they fit together.

What doesn't fit is refused at once, with the name of the array. Whether the values make sense as positions or
labels is not judged here: that is the same for all sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.arguments import array_of, integer, shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, FIELDS, GEOMETRY, Level
from zstruct.sources.array_columns import LEVELS, fits, level_of
from zstruct.text import counted

__all__ = ["ArrayTable", "array_table"]

_WHOSE = (
    "say which are whose with offsets=... or n_atoms=..., or give positions of shape (structures, atoms, 3) "
    "if all have the same number"
)


@dataclass(frozen=True)
class ArrayTable:
    """Arrays that fit together.

    Parameters
    ----------
    offsets
        Row edges of the structures in arrays of atoms, shape (n + 1,).
    atom, structure
        Arrays by name, one row for each atom, or structure.
    present
        Which structures have an array's property, shape (n,), where rows of it are masked.
    """

    offsets: NDArray[np.int64]
    atom: dict[str, NDArray[Any]] = field(default_factory=dict)
    structure: dict[str, NDArray[Any]] = field(default_factory=dict)
    present: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def nbytes(self, first: int, last: int) -> int:
        """Return the bytes of a range of structures, in the precision in which they are worked on."""
        atoms, structures = (
            sum(_row_bytes(values) for values in table.values()) for table in (self.atom, self.structure)
        )
        return int((self.offsets[last] - self.offsets[first]) * atoms + (last - first) * structures)


def _row_bytes(values: NDArray[Any]) -> int:
    each = 8 if values.dtype.kind == "f" else min(8, values.dtype.itemsize)
    return each * int(np.prod(values.shape[1:], dtype=int))


def array_table(
    given: Mapping[str, Any], offsets: Any, n_atoms: Any, levels: Mapping[str, Level], label: str
) -> ArrayTable:
    """Return arrays by what they belong to.

    Parameters
    ----------
    given
        The arrays by name.
    offsets, n_atoms
        Which atoms belong to which structure, one or the other, or None.
    levels
        What arrays belong to, by name, as the user says it.
    label
        The source, for messages.

    Raises
    ------
    InputError
        If they don't fit together, or positions or numbers are not there.
    ArgumentTypeError
        If something is no array of numbers or texts.
    """
    arrays = {key: _array(key, value, label) for key, value in given.items()}
    for key, level in levels.items():
        if key not in arrays or level not in LEVELS:
            raise InputError(
                f"levels={{{key!r}: {level!r}}}: these are names of arrays, with 'atom' or 'structure'", label
            )
    names = ", ".join(arrays) or "no arrays at all"
    positions, numbers, cell, pbc = (
        _taken(name, arrays, label) for name in ("positions", "numbers", "cell", "pbc")
    )
    if positions is None or numbers is None:
        missing = "positions" if positions is None else "numbers"
        raise InputError(f"there are no {missing}; there are {names}", label)
    shape = positions.shape
    if positions.dtype.kind not in "iuf" or positions.ndim not in (2, 3) or shape[-1] != 3:
        raise InputError(f"positions are numbers of shape (atoms, 3), not {_seen(positions)}", label)
    edges = _edges(shape, offsets, n_atoms, label)
    n, atoms = len(edges) - 1, int(edges[-1])
    if numbers.dtype.kind not in "iufOSU":
        raise InputError(f"numbers are atomic numbers or symbols, not {_seen(numbers)}", label)
    if positions.ndim == 3 and numbers.shape == (shape[1],) and n != 1:
        numbers = np.tile(numbers, n)
    if numbers.shape not in ((atoms,), shape[:-1]):
        raise InputError(
            f"numbers have the shape {numbers.shape}, and there are positions of {atoms:,} atoms", label
        )
    table = ArrayTable(edges)
    table.atom["numbers"] = _numbers(_unmasked(numbers.reshape(-1), "numbers", label), edges, label)
    table.atom["positions"] = _unmasked(positions.reshape(-1, 3), "positions", label)
    _add_periodicity(table, cell, pbc, label)
    width = shape[1] if positions.ndim == 3 else None
    for key, values in arrays.items():
        _add_label(table, key, values, levels.get(key), width, label)
    return table


def _array(key: str, value: Any, label: str) -> NDArray[Any]:
    if not isinstance(key, str):
        raise ArgumentTypeError(f"arrays have names, and {shown(key)} is none")
    if hasattr(value, "detach"):  # a tensor of torch
        value = value.detach().cpu()
    values = value if isinstance(value, np.ma.MaskedArray) else array_of(key, value)
    if values.dtype.kind not in "biufOSU":
        raise InputError(
            f"{key} holds {values.dtype.name} values, which can't be stored; leave it out", label
        )
    if values.dtype == np.uint64 and values.size and values.max() >= 2**63:
        raise InputError(f"{key} has {values.max()}, which is too large for int64; leave it out", label)
    return values


def _taken(name: str, arrays: dict[str, NDArray[Any]], label: str) -> NDArray[Any] | None:
    """Take the array of a part of the geometry out of all, by its name or another that it may have."""
    if name in arrays:
        return arrays.pop(name)
    level = FIELDS[name].level
    known = [key for key in arrays if (spec := by_alias(key, level)) is not None and spec.name == name]
    if len(known) > 1:
        raise InputError(f"{' and '.join(map(repr, known))} could both be the {name}; leave one out", label)
    return arrays.pop(known[0]) if known else None


def _edges(shape: tuple[int, ...], offsets: Any, n_atoms: Any, label: str) -> NDArray[np.int64]:
    """Return the row edges of structures in positions of some shape."""
    if len(shape) == 3:
        if offsets is not None or n_atoms is not None:
            raise InputError(
                f"positions of shape {shape} say which atoms are whose; leave offsets and n_atoms out, or "
                "give positions of shape (atoms, 3)",
                label,
            )
        return np.arange(shape[0] + 1, dtype=np.int64) * shape[1]
    if offsets is None and n_atoms is None:
        raise InputError(f"there are {shape[0]:,} positions one after the other; {_WHOSE}", label)
    if offsets is not None and n_atoms is not None:
        raise InputError("offsets and n_atoms say the same thing: give one of them", label)
    name = "n_atoms" if offsets is None else "offsets"
    values = _array(name, n_atoms if offsets is None else offsets, label)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InputError(f"{name} are whole numbers in one row, not {_seen(values)}", label)
    if offsets is None:
        if (values < 0).any():
            i = int(np.flatnonzero(values < 0)[0])
            raise InputError(f"n_atoms is {values[i]}", label, i)
        edges = counts_to_offsets(values)
    else:
        edges = values.astype(np.int64)
        if len(edges) == 0 or edges[0] != 0:
            raise InputError(f"offsets begin at {edges[0] if len(edges) else 'nothing'}, not at 0", label)
        steps = np.diff(edges)
        if (steps < 0).any():
            i = int(np.flatnonzero(steps < 0)[0])
            raise InputError(f"offsets go back from {edges[i]} to {edges[i + 1]}", label, i)
    if edges[-1] != shape[0]:
        sums = f"{name} end at" if offsets is not None else "n_atoms add up to"
        raise InputError(f"{sums} {edges[-1]:,}, and there are positions of {shape[0]:,} atoms", label)
    return edges


def _numbers(values: NDArray[Any], edges: NDArray[np.int64], label: str) -> NDArray[Any]:
    """Return atomic numbers as whole numbers, or symbols."""
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            numbers = values.astype(np.int64)
        if np.array_equal(numbers, values):
            return numbers
    elif values.dtype.kind != "O":
        return values
    texts = np.array([isinstance(value, (str, bytes)) for value in values.tolist()], dtype=bool)
    found = [None if text else _whole(value) for text, value in zip(texts, values.tolist(), strict=True)]
    odd = np.array([number is None for number in found], dtype=bool) & ~texts
    if not texts.any() and not odd.any():
        return np.array(found, dtype=np.int64)
    if (~texts & ~odd).any() and texts.any():
        raise InputError("numbers are atomic numbers or symbols: some are these, and some those", label)
    if odd.any():
        k = int(np.argmax(odd))
        i = int(np.searchsorted(edges, k, side="right")) - 1
        raise InputError(
            f"the number of atom {k - edges[i]} is {values[k]}: neither an atomic number nor a symbol",
            label,
            i,
        )
    symbols = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]
    return np.array(symbols, dtype=object)


def _whole(value: Any) -> int | None:
    """Return a whole number of any kind, None for what is none, or none that arrays hold."""
    number = int(value) if isinstance(value, float) and value.is_integer() else integer(value)
    return number if number is not None and abs(number) < 2**63 else None


def _add_periodicity(
    table: ArrayTable, cell: NDArray[Any] | None, pbc: NDArray[Any] | None, label: str
) -> None:
    n = len(table)
    if cell is not None:
        if cell.dtype.kind not in "iuf" or cell.shape not in ((3, 3), (n, 3, 3)):
            raise InputError(f"cell is numbers of shape ({n:,}, 3, 3) or (3, 3), not {_seen(cell)}", label)
        table.structure["cell"] = np.broadcast_to(_unmasked(cell, "cell", label), (n, 3, 3))
        if pbc is None:
            raise InputError(
                "there is a cell and no pbc; say whether structures repeat along its vectors: pbc=True, "
                "pbc=False, or an array",
                label,
            )
    if pbc is not None:
        flags = pbc.astype(bool) if pbc.dtype.kind in "biu" else pbc
        if flags.dtype != bool or (flags != pbc).any() or flags.shape not in ((), (3,), (n, 3)):
            raise InputError(f"pbc is True or False of shape ({n:,}, 3) or (3,), not {_seen(pbc)}", label)
        table.structure["pbc"] = np.broadcast_to(_unmasked(flags, "pbc", label), (n, 3))


def _add_label(
    table: ArrayTable, key: str, values: NDArray[Any], said: Level | None, width: int | None, label: str
) -> None:
    """Add an array to those of atoms or of structures.

    Parameters
    ----------
    table
        Where it is added.
    key, values
        Its name and itself.
    said
        What the user says that it belongs to.
    width
        Atoms of every structure, where positions have an axis for them.
    label
        The source, for messages.
    """
    n, atoms = len(table), int(table.offsets[-1])
    grid = width is not None and values.shape[:2] == (n, width)
    fitting = fits(values.shape, n, atoms, width)
    known = [level for level in LEVELS if by_alias(key, level) is not None]
    there = f"there are {counted(n, 'structure')} with {counted(atoms, 'atom')}"
    if said is None and len(known) == 1:
        said = known[0]
    if said is not None and not fitting[said]:
        raise InputError(f"{key} is per {said}, and has the shape {values.shape}; {there}", label)
    level = said or level_of(key, values.shape, values.dtype.kind, fitting, width)
    if level is None:
        raise InputError(
            f"{key} has the shape {values.shape}, and {there}: give one row for each of these, or of those",
            label,
        )
    if level == ATOM:
        rows = values.reshape(atoms, *values.shape[2:]) if grid else values
        table.atom[key] = _unmasked(rows, key, label)
    else:
        table.structure[key], present = _parted(values)
        if present is not None:
            table.present[key] = present


def _unmasked(values: NDArray[Any], key: str, label: str) -> NDArray[Any]:
    """Return values of which none is masked; those that can be NaN are NaN where they were."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    if not np.ma.getmaskarray(values).any():
        return values.data
    if values.dtype.kind != "f" or key in GEOMETRY:
        raise InputError(
            f"some values of {key} are masked, and there is no value for that; fill them in", label
        )
    filled: NDArray[Any] = values.filled(np.nan)
    return filled


def _parted(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return rows, and which of them have no masked value where some have."""
    if not isinstance(values, np.ma.MaskedArray):
        return values, None
    present = ~np.ma.getmaskarray(values).reshape(len(values), -1)
    rows: NDArray[np.bool_] = np.all(present, axis=1)
    return values.data, None if rows.all() else rows


def _seen(values: NDArray[Any]) -> str:
    return f"{values.dtype.name} of shape {values.shape}"
