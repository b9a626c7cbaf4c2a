"""What users give as one label, as a table of rows: of the structures of a store, or of their atoms.

What an array may be is the business of `zstruct.features.external`. A shape that two readings fit is
refused.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.features.external.given import rows_of
from zstruct.features.external.numbers import array_from, as_numbers
from zstruct.features.external.rows import Counts, of_table
from zstruct.schema import ATOM, STRUCTURE, Field, Level
from zstruct.text import counted

__all__ = ["LabelTable", "table_of"]


@dataclass(frozen=True, eq=False)
class LabelTable:
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


def table_of(
    values: Any, known: Field | None, counts: Counts, scratch: Path, level: Level | None
) -> LabelTable:
    """Return what users give as a table of rows.

    Parameters
    ----------
    values
        As for `zstruct.labels.add`.
    known
        The field, if it is a known one.
    counts
        The structures of the store and their atoms.
    scratch
        A directory for what has to be put end to end first.
    level
        What rows are of, if that is said.

    Raises
    ------
    InputError
        If they do not fit the store, or there is no telling how.
    """
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

    return LabelTable(rows.level, rows.shape[0], flat.rest, rows.dtype, read, absent)


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


def _of_list(values: Sequence[Any], known: Field | None, counts: Counts, level: Level | None) -> LabelTable:
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


def _of_array(values: NDArray[Any], level: Level, absent: NDArray[np.bool_] | None) -> LabelTable:
    def read(start: int, stop: int) -> NDArray[Any]:
        return values[start:stop]

    return LabelTable(level, len(values), values.shape[1:], values.dtype, read, absent)


def _of_pieces(values: Any, counts: Counts, scratch: Path, level: Level | None) -> LabelTable:
    """Return what comes piece by piece as a table."""
    if level is None and hasattr(values, "__next__"):
        raise InputError("an iterator does not say what its rows are of: say it in levels=")
    rows = rows_of(values, counts, scratch, level, None, None).rows
    if rows.level not in (ATOM, STRUCTURE):
        raise InputError("labels are of atoms or of structures")
    shape = () if rows.shape[1] == 1 else (rows.shape[1],)

    def read(start: int, stop: int) -> NDArray[Any]:
        return rows.numbers(start, stop).reshape(stop - start, *shape)

    return LabelTable(rows.level, rows.shape[0], shape, rows.dtype, read)
