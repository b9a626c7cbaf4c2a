"""Several properties of an input that could be one field: which of them are the same, which are not.

Two different energies of one structure are a question to the user, never answered here. The same value
twice is one, also if it is written once as nine numbers and once as six.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.ragged import counts_to_offsets, segment_reduce
from zstruct.schema import FIELDS, Field
from zstruct.sources.source import Raw, RawColumn

__all__ = ["Candidate", "refuse_contradiction", "twins_apart"]

# What is written in another form, or in another unit, was rounded otherwise.
_ROUNDED = 1e-6


@dataclass(frozen=True)
class Candidate:
    """A column that feeds a field.

    Parameters
    ----------
    key
        The input's name for it.
    spec
        The field.
    column
        Its values in the shape and unit of the field.
    form
        What the values were before that: their shape and unit, for comparison.
    """

    key: str
    spec: Field
    column: RawColumn
    form: tuple[object, ...]


def twins_apart(
    name: str, by_key: dict[str, list[RawColumn]], raw: Raw
) -> tuple[dict[str, list[RawColumn]], dict[str, list[RawColumn]]]:
    """Part texts whose keys differ only in case: group labels of two makers are no contradiction.

    Returns
    -------
    dict
        What feeds the field: the key that is the field's name, or else the first; and of the others, the
        structures for which these say nothing else.
    dict
        What is left of the others: to be kept under their own names.
    """
    spec = FIELDS.get(name)
    keys = sorted((key for key in by_key if key.casefold() == name.casefold()), key=lambda key: key != name)
    if spec is None or spec.kind != "category" or len(keys) < 2:
        return by_key, {}
    first = by_key[keys[0]]
    feeding, apart = dict(by_key), {}
    for key in keys[1:]:
        kept, other = [], []
        for column in by_key[key]:
            here = _present(column, raw)
            clash = np.zeros(len(here), dtype=bool)
            for prime in first:
                clash |= _differ(prime, column, here & _present(prime, raw), raw, exact=True)
            if not clash.any():
                kept.append(column)
                continue
            other.append(replace(column, present=clash))
            if (here & ~clash).any():
                kept.append(replace(column, present=here & ~clash))
        feeding[key] = kept
        if other:
            apart[key] = other
    return {key: columns for key, columns in feeding.items() if columns}, apart


def refuse_contradiction(name: str, candidates: Sequence[Candidate], raw: Raw, label: str) -> None:
    """Refuse a structure for which two properties give one field different values.

    Raises
    ------
    InputError
        If there is one; names the first, and both properties.
    """
    for i, other in enumerate(candidates):
        for one in candidates[i + 1 :]:
            clash = _present(one.column, raw) & _present(other.column, raw)
            if not clash.any():
                continue
            differs = _differ(one.column, other.column, clash, raw, exact=one.form == other.form)
            if not differs.any():
                continue
            if other.key == one.key:
                reason = (
                    f"there are two different values of {one.key!r} (in atoms.info or atoms.arrays and "
                    "among a calculator's results, perhaps); remove or rename one"
                )
            else:
                reason = (
                    f"{other.key!r} and {one.key!r} could both be the {name}; say which with "
                    f"keys={{{name!r}: {one.key!r}}} or leave one out with exclude=[...]"
                )
            raise InputError(reason, label, int(raw.frames[np.flatnonzero(differs)[0]]))


def _present(column: RawColumn, raw: Raw) -> NDArray[np.bool_]:
    if column.fault is not None:
        return np.zeros(len(raw.n_atoms), dtype=bool)
    return np.ones(len(raw.n_atoms), dtype=bool) if column.present is None else column.present


def _differ(
    a: RawColumn, b: RawColumn, where: NDArray[np.bool_], raw: Raw, *, exact: bool
) -> NDArray[np.bool_]:
    """Return which of some structures have different values in two columns; NaN equals NaN."""
    if not where.any():
        return where
    if a.values.shape != b.values.shape or (a.texts is None) != (b.texts is None):
        return where
    x, y = a.values, b.values
    per_atom = len(x) != len(where)
    if a.texts is not None and b.texts is not None:
        here = np.repeat(where, raw.n_atoms) if per_atom else where
        codes = (np.where(here, x, -1), np.where(here, y, -1))  # other rows hold anything
        x, y = (
            np.array([*a.texts, ""], dtype=object)[codes[0]],
            np.array([*b.texts, ""], dtype=object)[codes[1]],
        )
    rows = (x != y) & ((x == x) | (y == y))
    if not exact and a.texts is None:
        with np.errstate(invalid="ignore"):
            largest = np.maximum(np.abs(x), np.abs(y)).reshape(len(x), -1).max(axis=1, initial=0.0)
            near = np.abs(x - y) <= _ROUNDED * largest.reshape(-1, *[1] * (x.ndim - 1))
        rows &= ~near
    rows = rows.reshape(len(rows), -1).any(axis=1)
    if per_atom:
        rows = segment_reduce(rows, counts_to_offsets(raw.n_atoms), "max").astype(bool)
    return where & rows
