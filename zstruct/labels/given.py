"""Labels as users give them, as fields whose rows fit a store: names, levels, shapes, units.

What an array may be is the business of `zstruct.features.external`. A shape that two readings fit is
refused, and so is a name that looks like that of another field.
"""

from __future__ import annotations

import difflib
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.features.external.given import rows_of
from zstruct.features.external.numbers import array_from, as_numbers
from zstruct.features.external.rows import Counts, of_table
from zstruct.labels.units import LabelUnits
from zstruct.labels.writer import LabelColumn
from zstruct.schema import (
    ATOM,
    FIELDS,
    STRUCTURE,
    Field,
    Kind,
    Level,
    infer,
    resolve_name,
    safe_names,
)
from zstruct.sources.normalize.checks import NOT_SYMMETRIC, not_symmetric
from zstruct.store.spec import FAILURE, NOT_LABELS
from zstruct.text import counted
from zstruct.voigt import full_to_voigt

__all__ = ["check_label_name", "column_of", "known_field", "shaped"]

_KINDS: Mapping[str, Kind] = {"f": "float", "i": "int", "u": "int", "b": "bool"}


def check_label_name(name: Any, options: Sequence[str] = (), own: Mapping[str, Field] | None = None) -> None:
    """Refuse what can't be the name of a label, or looks like a slip of the pen.

    Parameters
    ----------
    name
        The name.
    options
        What the function is called with beside labels, one of which may be meant.
    own
        The fields of the store.

    Raises
    ------
    InputError
        If it can't be one; says which was probably meant.
    """
    if not isinstance(name, str):
        raise ArgumentTypeError(f"labels have names in text, not {shown(name)}")
    if name in NOT_LABELS or name == FAILURE:
        raise InputError(f"{name} is no label: it says what a structure is, or where it comes from")
    if name in FIELDS or name in (own or {}):
        return
    alias = next(
        (row.name for level in (ATOM, STRUCTURE) if (row := by_alias(name, level)) is not None), None
    )
    near = difflib.get_close_matches(name, [*options, *FIELDS, *(own or {})], n=1, cutoff=0.8)
    meant = alias or (near[0] if near else None)
    if meant is not None:
        raise InputError(f"there is no label {name!r}; is it {meant}?")
    if resolve_name(name) != name or safe_names([name])[name] != name:
        raise InputError(
            f"{shown(name)} can't name a label: use a letter, then letters, digits and _, and none of the "
            "names that stores and batches have themselves"
        )


def known_field(name: str, own: Mapping[str, Field]) -> Field | None:
    """Return the row of the field table, or of a store, that a label has; None: nobody knows it."""
    return FIELDS.get(name) or own.get(name)


def column_of(
    name: str,
    values: Any,
    own: Mapping[str, Field],
    counts: Counts,
    scratch: Path,
    units: LabelUnits,
    *,
    level: Level | None = None,
    dtype: str | None = None,
) -> LabelColumn:
    """Return one label of all structures of a store.

    Parameters
    ----------
    name
        Of the field.
    values
        As for `zstruct.labels.add`.
    own
        The fields of the store.
    counts
        Its structures and their atoms.
    scratch
        A directory for what has to be put end to end first.
    units
        What users say of units.
    level
        Of a field that nobody knows, what rows are of.
    dtype
        Of floats of atoms; None: as they come.

    Raises
    ------
    InputError
        If they do not fit the store, or there is no telling how.
    """
    known = known_field(name, own)
    try:
        table = _table(values, known, counts, scratch, known.level if known is not None else level)
        return _column(name, table, known, counts, units, dtype)
    except InputError as error:
        raise type(error)(
            error.reason if error.reason.startswith(name) else f"{name}: {error.reason}"
        ) from error


@dataclass(frozen=True, eq=False)
class _Table:
    """Rows of one level, read when they are asked for.

    Parameters
    ----------
    level
        What they are of.
    n
        How many there are.
    shape
        Of one.
    dtype
        As they come.
    read
        Returns rows from the first to before the second, shape (m, *shape).
    absent
        Structures that have none, if they are said one by one; None: nobody says.
    """

    level: Level
    n: int
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[int, int], NDArray[Any]]
    absent: NDArray[np.bool_] | None = None


class _Flat:
    """An array whose rows are numbers in one line, read where it is."""

    def __init__(self, values: Any, per_row: int | None):
        """Make rows of the first axis, or, of `per_row` atoms in each, of the first two."""
        self._values, self._per_row = values, per_row
        shape = tuple(map(int, values.shape))
        self.rest = shape[1:] if per_row is None else shape[2:]
        self.shape = (shape[0] * (per_row or 1), math.prod(self.rest))
        self.dtype = np.dtype(values.dtype)
        self._lock = threading.Lock()

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, each = rows.start, rows.stop, self._per_row
        if each is not None:
            start, stop = start // each, -(-stop // each)
        with self._lock:  # nobody knows what reads it
            found = np.asarray(self._values[start:stop])
        first = 0 if each is None else rows.start - start * each
        return found.reshape(-1, self.shape[1])[first : first + rows.stop - rows.start]


def _table(values: Any, known: Field | None, counts: Counts, scratch: Path, level: Level | None) -> _Table:
    """Return what users give as a table of rows."""
    if isinstance(values, Real) or getattr(values, "shape", None) == ():
        raise InputError("it is one number, not one for each structure or atom")
    if values is None or isinstance(values, str | bytes | Mapping | set | frozenset):
        raise ArgumentTypeError(f"a label is an array, a tensor or a list, not {shown(values)}")
    if isinstance(values, list | tuple):
        return _of_list(values, known, counts, level)
    absent = None
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "iub":
        absent, values = _masked(values, counts)
    elif hasattr(values, "detach") or isinstance(values, np.ma.MaskedArray):
        values = array_from(values, "it")
    if not (isinstance(getattr(values, "dtype", None), np.dtype) and hasattr(values, "shape")):
        if not hasattr(values, "__array__"):
            return _of_pieces(values, counts, scratch, level)
        values = array_from(values, "it")
    flat = _Flat(values, _atoms_in_rows(values, known, counts))
    if level is not None and flat.shape[0] != (counts.atoms if level == ATOM else counts.structures):
        raise InputError(
            f"there are {flat.shape[0]:,} rows, and the store has {counted(counts.structures, 'structure')} "
            f"and {counted(counts.atoms, 'atom')}: give one for each {level}"
        )
    rows = of_table(flat, counts, level, None)
    if rows.level not in (ATOM, STRUCTURE):
        raise InputError("labels are of atoms or of structures")

    def read(start: int, stop: int) -> NDArray[Any]:
        return rows.numbers(start, stop).reshape(stop - start, *flat.rest)

    return _Table(rows.level, rows.shape[0], flat.rest, rows.dtype, read, absent)


def _atoms_in_rows(values: Any, known: Field | None, counts: Counts) -> int | None:
    """Return how many atoms a structure has, of arrays of atoms in which the first axis is structures."""
    shape = values.shape
    if known is None or known.level != ATOM or len(shape) < 2 or shape[0] == counts.atoms:
        return None
    n, each = map(int, shape[:2])
    return each if n == counts.structures and (counts.n_atoms == each).all() else None


def _masked(values: Any, counts: Counts) -> tuple[NDArray[np.bool_] | None, NDArray[Any]]:
    """Return which structures have none, of masked whole numbers or booleans, and these, filled up."""
    mask = np.ma.getmaskarray(values).reshape(len(values), -1)
    if not mask.any():
        return None, values.filled(0)
    if (mask.any(axis=1) & ~mask.all(axis=1)).any():
        raise InputError("some of the numbers in a row are masked and others are not")
    rows = np.asarray(mask.all(axis=1))
    if len(rows) == counts.atoms and len(rows) != counts.structures:
        edges = np.concatenate([[0], np.cumsum(counts.n_atoms)])
        n_lost = np.add.reduceat(rows, edges[:-1], dtype=np.int64)
        half = (n_lost > 0) & (n_lost < counts.n_atoms)
        if half.any():
            raise InputError(f"structure {int(np.flatnonzero(half)[0])} has it for some of its atoms only")
        rows = n_lost > 0
    return rows, values.filled(0)


def _of_list(values: Sequence[Any], known: Field | None, counts: Counts, level: Level | None) -> _Table:
    """Return a list, of which each item is what one structure has, or None, as a table."""
    arrays = [None if value is None else array_from(value, f"item {k}") for k, value in enumerate(values)]
    there = [array for array in arrays if array is not None]
    if len(arrays) != counts.structures:
        if (
            level != STRUCTURE
            and len(arrays) == counts.atoms
            and all(a is not None and a.ndim == 0 for a in arrays)
        ):
            return _of_array(np.array(arrays), ATOM, None)
        raise InputError(
            f"there are {len(arrays):,} items, and the store has {counts.structures:,} structures; give an "
            "item for each, None where it is missing"
        )
    absent = np.array([array is None for array in arrays], dtype=bool)
    if not there:
        raise InputError("it is missing for all structures")
    of_atoms = all(a.ndim >= 1 and len(a) == n for a, n in _sized(arrays, counts))
    of_structures = len({a.shape for a in there}) == 1
    if level is None:
        if of_atoms and of_structures:
            raise InputError("these may be rows of atoms as well as of structures: say which, in levels=")
        level = ATOM if of_atoms else STRUCTURE
    if level == ATOM and not of_atoms:
        k, array = next(
            (k, a)
            for k, a in enumerate(arrays)
            if a is not None and (a.ndim == 0 or len(a) != counts.n_atoms[k])
        )
        raise InputError(
            f"item {k} has the shape {array.shape}, and the structure {counts.n_atoms[k]:,} atoms: give a "
            "row for each"
        )
    shape = there[0].shape[1:] if level == ATOM else there[0].shape
    for k, found in enumerate(arrays):
        if found is not None and (found.shape[1:] if level == ATOM else found.shape) != shape:
            raise InputError(
                f"item {k} has the shape {found.shape}, and others have {there[0].shape}: rows of one shape "
                "are needed"
            )
    dtype = np.result_type(*{array.dtype for array in there})
    missing: Any = np.nan if dtype.kind == "f" else 0
    filled = [
        np.full((n, *shape) if level == ATOM else shape, missing, dtype)
        if a is None
        else as_numbers(a, dtype)
        for a, n in zip(arrays, counts.n_atoms.tolist(), strict=True)
    ]
    whole = np.concatenate(filled) if level == ATOM else np.array(filled)
    return _of_array(whole, level, absent if absent.any() else None)


def _sized(arrays: Sequence[NDArray[Any] | None], counts: Counts) -> Iterator[tuple[NDArray[Any], int]]:
    """Yield the arrays that there are, with the atoms of their structures."""
    for array, n in zip(arrays, counts.n_atoms.tolist(), strict=True):
        if array is not None:
            yield array, n


def _of_array(values: NDArray[Any], level: Level, absent: NDArray[np.bool_] | None) -> _Table:
    def read(start: int, stop: int) -> NDArray[Any]:
        return values[start:stop]

    return _Table(level, len(values), values.shape[1:], values.dtype, read, absent)


def _of_pieces(values: Any, counts: Counts, scratch: Path, level: Level | None) -> _Table:
    """Return what comes piece by piece as a table."""
    if level is None and hasattr(values, "__next__"):
        raise InputError("an iterator does not say what its rows are of: say it in levels=")
    rows = rows_of(values, counts, scratch, level, None, None).rows
    if rows.level not in (ATOM, STRUCTURE):
        raise InputError("labels are of atoms or of structures")
    shape = () if rows.shape[1] == 1 else (rows.shape[1],)

    def read(start: int, stop: int) -> NDArray[Any]:
        return rows.numbers(start, stop).reshape(stop - start, *shape)

    return _Table(rows.level, rows.shape[0], shape, rows.dtype, read)


def _column(
    name: str, table: _Table, known: Field | None, counts: Counts, units: LabelUnits, dtype: str | None
) -> LabelColumn:
    """Return a table as a field."""
    if known is not None and known.level != table.level:
        raise InputError(f"it is a field of {known.level}s, and these are rows of {table.level}s")
    kind = _KINDS[table.dtype.kind]
    shape = () if known is None and table.shape == (1,) else table.shape
    row = infer(name, table.level, kind, shape) if known is None else conformed(known, shape, kind)
    row, size, said = units.of(row)
    row = replace(row, dtype=_stored(row, table.dtype, size, dtype))
    stored = np.dtype(row.dtype)

    absent, lost = table.absent, None
    if absent is not None and row.kind == "float":  # whole numbers, whose missing ones are zeros so far
        lost = np.repeat(absent, counts.n_atoms) if row.level == ATOM else absent

    def read(start: int, stop: int) -> NDArray[Any]:
        rows = shaped(row, table.read(start, stop), start)
        if size != 1.0 or lost is not None:
            rows = rows.astype(np.float64) * size
        if lost is not None:
            rows[lost[start:stop]] = np.nan
        return as_numbers(rows, stored)

    present = None if absent is None or row.presence() is None else ~absent
    return LabelColumn(row, read, present, said)


def conformed(known: Field, shape: tuple[int, ...], kind: Kind) -> Field:
    """Return a field with rows of a shape.

    Raises
    ------
    InputError
        If it has none of that shape, or of that kind.
    """
    if kind != known.kind and not (known.kind == "float" and kind == "int"):
        raise InputError(f"it is a field of kind {known.kind}, and these are of kind {kind}")
    row = known.as_vector() if known.or_vector and shape == (3,) else known
    if shape == row.shape or (row.shape == () and shape == (1,)):
        return row
    if row.rotates == "voigt" and shape in ((3, 3), (9,)):
        return row
    of = "one number" if not row.shape else f"numbers of the shape {row.shape}"
    raise InputError(f"a row has the shape {shape}, and the field {of} for each {row.level}")


def shaped(row: Field, rows: NDArray[Any], start: int = 0) -> NDArray[Any]:
    """Return rows in the shape of a field; of a symmetric tensor its six components.

    Parameters
    ----------
    row
        The field.
    rows
        Shape (n, ...), of a shape that `conformed` allows.
    start
        The number of the first.

    Raises
    ------
    InputError
        If a tensor that has to be symmetric is not.
    """
    if row.rotates != "voigt" or math.prod(rows.shape[1:]) != 9:
        return rows.reshape(len(rows), *row.shape)
    full = rows.reshape(-1, 3, 3)
    skew = not_symmetric(full)
    if skew.any():
        raise InputError(
            f"structure {start + int(np.flatnonzero(skew)[0])}: {NOT_SYMMETRIC.format(row.name)}"
        )
    return full_to_voigt(full + full.transpose(0, 2, 1)) / 2


def _stored(row: Field, given: np.dtype, size: float, dtype: str | None) -> str:
    """Return the dtype in which a field is stored: floats of atoms as they come, or as it was asked for."""
    if row.kind != "float":
        return row.dtype if row.name in FIELDS else given.newbyteorder("=").name
    if row.level == ATOM:
        return dtype or (
            "float32" if given.itemsize <= 4 and given.kind == "f" and size == 1.0 else "float64"
        )
    wide = row.name in FIELDS or given.kind != "f" or given.itemsize > 4 or size != 1.0
    return "float64" if wide else "float32"
