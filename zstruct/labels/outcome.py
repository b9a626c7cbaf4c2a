"""What comes back for a batch of structures, as fields; and which structures something is wrong with.

Labels of wrong names or shapes are the fault of who makes them, and refused. Numbers that are infinite, or
NaN in part, are the fault of a structure, which then has no labels, but a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import InputError
from zstruct.features.external.numbers import array_from, as_numbers, stored_dtype
from zstruct.labels.given import check_label_name, conformed, known_field, shaped
from zstruct.labels.units import LabelUnits
from zstruct.labels.virials import stress_of_virial
from zstruct.schema import ATOM, FIELDS, STRUCTURE, Field, Kind, Level, infer

__all__ = ["Expected", "Outcome", "outcome_of"]

_KINDS: Mapping[str, Kind] = {"f": "float", "i": "int", "u": "int", "b": "bool"}


@dataclass(frozen=True, eq=False)
class Expected:
    """What labels may be.

    Parameters
    ----------
    own
        The fields of the store.
    units
        What users say of units.
    levels
        What rows of fields are of that nobody knows.
    fields
        The labels that are kept; None: all that come.
    dtype
        Of floats of atoms; None: as they come.
    """

    own: Mapping[str, Field]
    units: LabelUnits
    levels: Mapping[str, Level]
    fields: tuple[str, ...] | None = None
    dtype: str | None = None


@dataclass(eq=False)
class Outcome:
    """Labels of some structures.

    Parameters
    ----------
    columns
        Fields with their rows; a float that is missing is NaN.
    present
        Which of the structures have them.
    reasons
        Why structures have none, by their place.
    """

    columns: dict[str, tuple[Field, NDArray[Any]]] = field(default_factory=dict)
    present: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)


def outcome_of(
    result: Any, offsets: NDArray[np.int64], volumes: Callable[[], NDArray[np.float64]], expected: Expected
) -> Outcome:
    """Return what came back for a batch as fields.

    Parameters
    ----------
    result
        A mapping of arrays or tensors by name.
    offsets
        Row edges of the structures of the batch, shape (n + 1,).
    volumes
        Returns their volumes, shape (n,), zero where there is none.
    expected
        What labels may be.

    Raises
    ------
    InputError
        If it is no such mapping, lacks a label, or has one of another name or shape than can be.
    """
    if not isinstance(result, Mapping):
        raise InputError(
            f"the function should return a mapping of labels by name, and returned {shown(result)}"
        )
    given = {name: values for name, values in result.items() if values is not None}
    if expected.fields is not None:
        lost = [name for name in expected.fields if name not in given and not _made_of(name, given)]
        if lost:
            has = ", ".join(map(str, given)) or "none"
            raise InputError(f"the function should return {', '.join(lost)}, and returned {has}")
    found, n = Outcome(), len(offsets) - 1
    for name, values in given.items():
        if expected.fields is None or name in expected.fields or _makes(name, expected.fields):
            found.columns[name] = _field(name, values, offsets, expected)
    if "virial" in found.columns:
        _turn_virial(found, volumes(), kept=expected.fields is None or "virial" in expected.fields)
    bad = np.zeros(n, dtype=bool)
    for name, (row, rows) in found.columns.items():
        found.present[name] = _judged(name, row, rows, offsets, bad, found.reasons)
    for name, (row, rows) in found.columns.items():
        there = found.present[name] & ~bad
        if bad.any():
            rows[np.repeat(bad, np.diff(offsets)) if row.level == ATOM else bad] = row.missing
        found.present[name] = there
    return found


def _made_of(name: str, given: Mapping[str, Any]) -> bool:
    return name == "stress" and "virial" in given


def _makes(name: str, fields: tuple[str, ...]) -> bool:
    return name == "virial" and "stress" in fields


def _field(
    name: str, values: Any, offsets: NDArray[np.int64], expected: Expected
) -> tuple[Field, NDArray[Any]]:
    """Return one label as a field with its rows."""
    check_label_name(name, (), expected.own)
    rows = array_from(values, f"the label {name}")
    known = known_field(name, expected.own)
    n, atoms = len(offsets) - 1, int(offsets[-1])
    level = expected.levels.get(name) if known is None else known.level
    if level is None:
        if n == atoms and len(rows.shape) and rows.shape[0] == n:
            raise InputError(
                f"{name} has a row for each structure of a batch, each of which is one atom: say what it is "
                f"of, as in levels={{{name!r}: 'structure'}}"
            )
        level = ATOM if rows.shape[:1] == (atoms,) else STRUCTURE
    wanted = atoms if level == ATOM else n
    if rows.shape[:1] != (wanted,):
        raise InputError(
            f"{name} has the shape {rows.shape} for a batch of {n:,} structures with {atoms:,} atoms: it "
            f"needs {wanted:,} rows, one for each {level}"
        )
    kind = _KINDS[rows.dtype.kind]
    try:
        row = (
            infer(name, level, kind, rows.shape[1:])
            if known is None
            else conformed(known, rows.shape[1:], kind)
        )
    except InputError as error:
        raise InputError(f"{name}: {error.reason}") from None
    row, size, _ = expected.units.of(row)
    shape = shaped(row, rows)
    if row.kind != "float":
        dtype = np.dtype(row.dtype) if row.name in FIELDS else stored_dtype(rows.dtype, None, name)
    elif level == ATOM and expected.dtype is not None:
        dtype = np.dtype(expected.dtype)
    else:
        narrow = rows.dtype.kind == "f" and rows.dtype.itemsize <= 4 and size == 1.0
        dtype = np.dtype(np.float32 if narrow and (level == ATOM or row.name not in FIELDS) else np.float64)
    if size != 1.0:
        shape = shape.astype(np.float64) * size
    exact = as_numbers(shape, dtype) if row.kind != "float" else shape.astype(dtype)
    return replace(row, dtype=dtype.name), np.array(exact)  # what comes may be changed by who made it


def _turn_virial(found: Outcome, volume: NDArray[np.float64], kept: bool) -> None:
    """Make stresses of virials where there is a volume; the others are kept, if they are asked for."""
    if "stress" in found.columns:
        raise InputError(
            "the function returns stress and virial, and a virial becomes a stress: one is enough"
        )
    row, virial = found.columns.pop("virial")
    wide = virial.astype(np.float64)
    if (volume > 0).any():
        found.columns["stress"] = FIELDS["stress"], stress_of_virial(wide, volume)
    left = np.where((volume > 0)[:, None, None], np.nan, wide)
    if kept and not np.isnan(left).all():
        found.columns["virial"] = replace(row, dtype="float64"), left


def _judged(
    name: str,
    row: Field,
    rows: NDArray[Any],
    offsets: NDArray[np.int64],
    bad: NDArray[np.bool_],
    reasons: dict[int, str],
) -> NDArray[np.bool_]:
    """Return which structures have a label; note those with one that is infinite, or NaN in part."""
    n = len(offsets) - 1
    if row.kind != "float" or np.isfinite(rows).all():
        return np.ones(n, dtype=bool)
    flat = rows.reshape(len(rows), -1)
    lost, infinite = np.isnan(flat), np.isinf(flat).any(axis=1)
    some, every = lost.any(axis=1), lost.all(axis=1)
    if row.level == ATOM:
        infinite, some = (np.logical_or.reduceat(flags, offsets[:-1]) for flags in (infinite, some))
        every = np.logical_and.reduceat(every, offsets[:-1])
    for which, what in ((infinite, "infinite"), (some & ~every & ~infinite, "NaN in part")):
        for k in np.flatnonzero(which & ~bad).tolist():
            reasons[k] = f"{name} is {what}"
        bad |= which
    return ~every
