"""Labels as users give them, as fields whose rows fit a store: names, shapes, units.

A name that looks like that of another field is refused. Which rows an array has is told by
`zstruct.labels.tables`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.features.external.numbers import as_numbers
from zstruct.features.external.rows import Counts
from zstruct.labels.tables import LabelTable, table_of
from zstruct.labels.units import LabelUnits
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
from zstruct.store.label_writer import LabelColumn
from zstruct.store.spec import FAILURE, NOT_LABELS
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
        table = table_of(values, known, counts, scratch, known.level if known is not None else level)
        return _column(name, table, known, counts, units, dtype)
    except InputError as error:
        raise type(error)(
            error.reason if error.reason.startswith(name) else f"{name}: {error.reason}"
        ) from error


def _column(
    name: str, table: LabelTable, known: Field | None, counts: Counts, units: LabelUnits, dtype: str | None
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
