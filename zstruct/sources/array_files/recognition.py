"""What the arrays of a file are, told by their names, their shapes, and what format and user say.

How structures are read out of them is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.errors import InputError
from zstruct.schema import ATOM, FIELDS, GEOMETRY, STRUCTURE, Level
from zstruct.sources.array_columns import fits, level_of
from zstruct.sources.array_files.names import KNOWN, is_plural, place_of, plain_name, said_where
from zstruct.sources.array_files.row_edges import RowEdges, gridded, packed
from zstruct.sources.array_files.stored import Dialect, Header, StoredArray, shown
from zstruct.sources.array_files.table import Label, Table

__all__ = ["stated_unit", "table_of"]

# Units that nobody doubts: there is one in use.
_CERTAIN = ("e", "amu", "mu_B", "1", "")


def stated_unit(array: Header, key: str, name: str, level: Level, dialect: Dialect) -> str | None:
    """Return the unit of a label, as `RawColumn` has it."""
    if array.dtype.kind != "f":
        return None
    if key in dialect.units:
        return dialect.units[key]
    if array.unit is not None:
        return array.unit
    spec = by_alias(name, level)
    certain = spec is not None and spec.unit in _CERTAIN
    return None if certain or dialect.exact else ""


def table_of(
    arrays: Mapping[str, StoredArray], said: Mapping[str, str], dialect: Dialect, label: str
) -> Table:
    """Return what the arrays of a file are.

    Parameters
    ----------
    arrays
        The arrays by name.
    said
        Where what makes a structure is, as the user says it.
    dialect
        What the format says.
    label
        The file, for messages.

    Raises
    ------
    InputError
        If there are no positions or atomic numbers, or if arrays don't fit together.
    """
    names = [name for name in arrays if name not in dialect.hidden]
    there = _places(arrays, names, said, dialect, label)
    made = packed if len(arrays[there["positions"] or ""].shape) == 2 else gridded
    edges = made(arrays, there, said, label)
    places = {name: key for name in ("positions", "numbers") if (key := there[name]) is not None}
    shared: dict[str, NDArray[Any]] = {}
    if edges.numbers is not None:
        shared["numbers"] = edges.numbers
        del places["numbers"]
    for name, row in (("cell", (3, 3)), ("pbc", (3,))):
        key = there[name]
        if key is not None:
            _place_periodicity(name, row, key, arrays[key], edges.n, (places, shared), label)
    used = {
        key for name, key in there.items() if key is not None and (name in GEOMETRY or name in edges.used)
    }
    units = {
        name: dialect.units.get(key, arrays[key].unit)
        for name in ("positions", "cell")
        if (key := there[name]) is not None
    }
    labels, left = _labels(arrays, [key for key in names if key not in used], dialect, edges)
    levels = {key: ATOM if name in ("positions", "numbers") else STRUCTURE for name, key in places.items()}
    levels |= {key: one.level for key, one in labels.items()}
    return Table(
        edges.n,
        places,
        edges.offsets,
        edges.width,
        edges.counts,
        shared,
        units,
        labels,
        tuple(left),
        _row_bytes(arrays, levels, edges.width is not None),
        any(arrays[key].in_order for key in levels),
    )


def _places(
    arrays: Mapping[str, StoredArray],
    names: Sequence[str],
    said: Mapping[str, str],
    dialect: Dialect,
    label: str,
) -> dict[str, str | None]:
    """Return the array of each place, None where there is none; there are positions and numbers."""
    known = {**dialect.places, **said}
    there = {
        name: None if dialect.exact and name not in known else place_of(name, names, known, label)
        for name in KNOWN
    }
    for name in ("positions", "numbers"):
        key = there[name]
        if key is None:
            raise InputError(
                f"no array is known as the {name}; say which it is, keys={{{name!r}: ...}}: there are "
                f"{said_where(arrays)}",
                label,
            )
        if arrays[key].fault is not None:
            raise InputError(f"{name}: {arrays[key].fault}", label)
    positions = arrays[there["positions"] or ""]
    shape = tuple(positions.shape)
    if positions.dtype.kind not in "iuf" or len(shape) not in (2, 3) or shape[-1] != 3:
        raise InputError(
            "positions should be numbers of shape (atoms, 3) or (structures, atoms, 3), not "
            f"{shown(positions)}",
            label,
        )
    return there


def _labels(
    arrays: Mapping[str, StoredArray], rest: Sequence[str], dialect: Dialect, edges: RowEdges
) -> tuple[dict[str, Label], list[str]]:
    """Return the labels among arrays that are no part of the geometry, and the names of the others."""
    labels: dict[str, Label] = {}
    left = []
    for key in rest:
        array = arrays[key]
        name = dialect.names.get(key, key)
        level, unfit = _level(key, name, array, dialect, (edges.n, edges.atoms, edges.width))
        if level is None or 0 in array.shape[1:]:
            left.append(key)
            continue
        sign = 1.0
        if name == key and not dialect.exact:
            name, sign = plain_name(key, level, [dialect.names.get(other, other) for other in rest])
        fault = array.fault or unfit
        fault = None if fault is None else f"{key}: {fault}; leave it out with exclude=[{key!r}]"
        unit = stated_unit(array, key, name, level, dialect)
        labels[key] = Label(name, level, unit, sign, dialect.masks.get(key), fault)
    return labels, left


def _row_bytes(
    arrays: Mapping[str, StoredArray], levels: Mapping[str, Level], is_grid: bool
) -> tuple[int, int]:
    """Return the bytes of an atom, and of a structure, in the precision in which they are worked on."""
    sizes = {ATOM: 0, STRUCTURE: 0}
    for key, level in levels.items():
        skipped = 2 if level == ATOM and is_grid else 1
        each = 8 if arrays[key].dtype.kind in "fO" else min(8, arrays[key].dtype.itemsize)
        sizes[level] += each * int(np.prod(arrays[key].shape[skipped:], dtype=int))
    return sizes[ATOM], sizes[STRUCTURE]


def _level(
    key: str, name: str, array: StoredArray, dialect: Dialect, sizes: tuple[int, int, int | None]
) -> tuple[Level | None, str | None]:
    """Return what the rows of an array belong to, and a sentence if that can't be."""
    n, atoms, width = sizes
    shape = tuple(array.shape)
    fitting = fits(shape, n, atoms, width)
    level = dialect.levels.get(key)
    if level is None:
        if is_plural(name) and fitting[STRUCTURE]:
            return STRUCTURE, None
        level = level_of(name, shape, array.dtype.kind, fitting, width)
        known = [one for one in (ATOM, STRUCTURE) if by_alias(name, one) is not None]
        if level is not None or not any(fitting.values()) or not known:
            return level, None
        level = known[0]
    elif fitting[level]:
        return level, None
    return level, f"it should have a row for each {level}, and has the shape {shape}"


def _place_periodicity(
    name: str,
    row: tuple[int, ...],
    key: str,
    array: StoredArray,
    n: int,
    where: tuple[dict[str, str], dict[str, NDArray[Any]]],
    label: str,
) -> None:
    """Find out whether cells, or pbc, are those of all structures or one for all."""
    places, shared = where
    shape = tuple(array.shape)
    kinds = "iuf" if name == "cell" else "biu"
    each = [(n, *row)] + ([(n,), (n, 1)] if name == "pbc" else [])
    alike = [row] + ([()] if name == "pbc" else [])
    if array.fault is not None or array.dtype.kind not in kinds or shape not in (*each, *alike):
        wanted = FIELDS[name].kind
        raise InputError(
            f"{name} should be {wanted} values of shape {(n, *row)} or {row}, not {shown(array)}", label
        )
    if shape in each:
        places[name] = key
    else:
        shared[name] = np.array(array.rows(0, 3))
