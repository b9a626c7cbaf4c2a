"""`Union`: what the columns of batches of several stores come to, so that they can be put together.

A field that some lack is missing there, never zero: floats are NaN, categories -1, and a mask says so of all.
Codes of categories count one table of texts. What can't be one column is refused, with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.origin import Origin
from zstruct.errors import InputError
from zstruct.schema import ATOM, Field, Level
from zstruct.units import is_unit, ratio

__all__ = ["Column", "Columns", "Union", "mask_of", "missing_in"]

_MASK = "has_"
_KINDS = {"float": "numbers", "int": "whole numbers", "bool": "booleans", "category": "texts"}


@dataclass(frozen=True)
class Column:
    """A column of batches.

    Parameters
    ----------
    level
        Whether it has a row for each atom or for each structure.
    dtype
        Of its values.
    shape
        Of a row.
    field
        What the store says of it; None where it is no field of a store.
    """

    level: Level
    dtype: np.dtype
    shape: tuple[int, ...]
    field: Field | None = None


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of batches of one origin, masks left out.

    Parameters
    ----------
    name
        What sentences call where they come from.
    columns
        By name, in the order in which batches have them.
    masked
        The names of those that have a mask.
    wide
        As for `zstruct.batch.packed.PackedBatch`.
    texts
        Returns the texts of a category.
    """

    name: str
    columns: Mapping[str, Column]
    masked: Collection[str]
    wide: frozenset[str]
    texts: Callable[[str], Sequence[str]]

    @classmethod
    def of(
        cls,
        origin: Origin,
        arrays: Mapping[str, NDArray[Any]],
        per_atom: Collection[str],
        wide: frozenset[str],
    ) -> Columns:
        """Return the columns that arrays of some structures are, with a row for each atom or structure."""
        fields = origin.fields
        found = {
            name: Column(
                ATOM if name in per_atom else "structure", array.dtype, array.shape[1:], fields.get(name)
            )
            for name, array in arrays.items()
            if not _is_mask(name, arrays)
        }
        masked = {name for name in found if mask_of(name) in arrays}
        return cls(origin.name, found, masked, wide, origin.texts)


@dataclass(frozen=True, eq=False)
class Change:
    """What has to be done to a column of one origin to be that of the union.

    Parameters
    ----------
    codes
        What each code becomes, shape (n_texts + 1,), the last one being that of what is missing; None:
        itself.
    scale
        What values are multiplied with.
    """

    codes: NDArray[np.int64] | None = None
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Union:
    """The columns of several origins as one.

    Parameters
    ----------
    columns
        By name: those of the first, then what others add.
    masked
        The names of those that have a mask.
    wide
        Those that are in double precision although nobody asked for it.
    texts
        Of categories that differ, and of all that were asked for, by name.
    changes
        Of each origin, by name, what has to be done to its columns; none to others.
    there
        Of each origin, the names of its columns.
    """

    columns: dict[str, Column]
    masked: frozenset[str]
    wide: frozenset[str]
    texts: dict[str, list[str]]
    changes: list[dict[str, Change]]
    there: list[frozenset[str]]

    @classmethod
    def of(cls, parts: Sequence[Columns]) -> Union:
        """Return the union of the columns of several origins.

        Raises
        ------
        InputError
            If columns of one name can't be one: of other shapes, kinds or units; or if what is no field of a
            store is not there in all.
        """
        names = list(dict.fromkeys(name for part in parts for name in part.columns))
        columns: dict[str, Column] = {}
        texts: dict[str, list[str]] = {}
        changes: list[dict[str, Change]] = [{} for _ in parts]
        masked, wide = set(), set()
        for name in names:
            having = [(k, part) for k, part in enumerate(parts) if name in part.columns]
            columns[name] = _joined(name, [(part.name, part.columns[name]) for _, part in having])
            if len(having) < len(parts):
                _check_field(name, parts, columns[name])
                masked.add(name)
            if any(name in part.masked for _, part in having):
                masked.add(name)
            if all(name in part.wide for _, part in having):
                wide.add(name)
            known = columns[name].field
            if known is not None and known.kind == "category":
                texts[name], maps = _one_table([part.texts(name) for _, part in having])
                for (k, _), codes in zip(having, maps, strict=True):
                    if codes is not None:
                        changes[k][name] = Change(codes=codes)
            first = having[0][1]
            for k, part in having[1:]:
                scale = _scale(name, first, part)
                if scale != 1.0:
                    changes[k][name] = Change(scale=scale)
        there = [frozenset(part.columns) for part in parts]
        return cls(columns, frozenset(masked), frozenset(wide), texts, changes, there)

    def adapted(
        self, k: int, arrays: Mapping[str, NDArray[Any]], n: int, n_atoms: int
    ) -> dict[str, NDArray[Any]]:
        """Return the columns of some structures of an origin as those of the union, masks included.

        Parameters
        ----------
        k
            Which of the origins.
        arrays
            Its columns by name, masks included; each (n_atoms, ...) or (n, ...).
        n, n_atoms
            How many structures, and how many atoms they have.

        Raises
        ------
        InputError
            If a whole number is none in floating point.
        """
        found: dict[str, NDArray[Any]] = {}
        changes = self.changes[k]
        for name, column in self.columns.items():
            given = arrays.get(name)
            if given is None:
                rows = n_atoms if column.level == ATOM else n
                given = np.full((rows, *column.shape), missing_in(column), column.dtype)
            elif name in changes:
                change = changes[name]
                given = given * change.scale if change.codes is None else change.codes[given]
            found[name] = _exact(name, given, column.dtype)
        for name in self.columns:
            if name in self.masked:
                mask = arrays.get(mask_of(name))
                found[mask_of(name)] = np.full(n, name in arrays) if mask is None else mask
        return found


def mask_of(name: str) -> str:
    """Return the name of the mask of a column."""
    return f"{_MASK}{name}"


def missing_in(column: Column) -> float | int | bool:
    """Return what stands where there is nothing; of integers and booleans, only a mask says so."""
    if column.dtype.kind == "f":
        return float("nan")
    return -1 if column.field is not None and column.field.kind == "category" else 0


def _is_mask(name: str, names: Collection[str]) -> bool:
    return name.startswith(_MASK) and name.removeprefix(_MASK) in names


def _check_field(name: str, parts: Sequence[Columns], column: Column) -> None:
    """Raise if something that some lack is no field: there is no saying what it would be there."""
    if column.field is None:
        having = ", ".join(part.name for part in parts if name in part.columns)
        lacking = ", ".join(part.name for part in parts if name not in part.columns)
        raise InputError(
            f"{name} comes with structures of {having}, and not with those of {lacking}; only fields of a "
            "store can be missing: give all datasets the same features, neighbors, derivatives, forces and "
            "transforms"
        )


def _joined(name: str, given: Sequence[tuple[str, Column]]) -> Column:
    """Return the column that holds the values of several."""
    (first_name, joined), *others = given
    for other_name, other in others:
        if (other.level, other.shape) != (joined.level, joined.shape):
            _refuse(name, (first_name, _words(joined)), (other_name, _words(other)))
        kinds = {_kind(joined), _kind(other)}
        if len(kinds) > 1 and kinds & {"category", "bool"}:
            _refuse(name, (first_name, _KINDS[_kind(joined)]), (other_name, _KINDS[_kind(other)]))
        known = joined.field
        if known is None or (_kind(joined), _kind(other)) == ("int", "float"):
            known = other.field
        joined = Column(joined.level, np.result_type(joined.dtype, other.dtype), joined.shape, known)
    return joined


def _kind(column: Column) -> str:
    """Return whether a column has floats, integers, booleans or codes."""
    if column.field is not None:
        return column.field.kind
    return {"f": "float", "b": "bool"}.get(column.dtype.kind, "int")


def _words(column: Column) -> str:
    each = "one value" if column.shape == () else " x ".join(map(str, column.shape)) + " values"
    return f"{each} per {column.level}"


def _refuse(name: str, one: tuple[str, str], other: tuple[str, str]) -> None:
    raise InputError(
        f"{name} is {one[1]} in {one[0]}, and {other[1]} in {other[0]}, which can't be one field: leave it "
        "out of one of them (fields=...)"
    )


def _scale(name: str, first: Columns, other: Columns) -> float:
    """Return what values of another origin are multiplied with to be in the unit of the first one."""
    one, two = first.columns[name].field, other.columns[name].field
    if one is None or two is None or one.unit == two.unit:
        return 1.0
    if first.columns[name].dtype.kind == "f" and is_unit(one.unit) and is_unit(two.unit):
        try:
            return ratio(two.unit, one.unit, name)
        except InputError:
            pass  # of other kinds
    stated = [repr(known.unit) if known.unit else "no stated unit" for known in (one, two)]
    raise InputError(
        f"{name} comes in {stated[0]} from {first.name}, and in {stated[1]} from {other.name}, which can't "
        "be converted: leave it out of one of them (fields=...), or build that store with the unit said"
    )


def _one_table(
    tables: Sequence[Sequence[str]],
) -> tuple[list[str], list[NDArray[np.int64] | None]]:
    """Return the texts of several tables as one, and what the codes of each become there; None: the same."""
    joined = {text: code for code, text in enumerate(dict.fromkeys(text for one in tables for text in one))}
    maps: list[NDArray[np.int64] | None] = []
    for table in tables:
        codes = np.array([*(joined[text] for text in table), -1], np.int64)
        maps.append(None if (codes[:-1] == np.arange(len(table))).all() else codes)
    return list(joined), maps


def _exact(name: str, values: NDArray[Any], dtype: np.dtype) -> NDArray[Any]:
    """Return values in a dtype that holds them."""
    if values.dtype == dtype:
        return values
    found = values.astype(dtype)
    if values.dtype.kind in "iu" and dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            lost = np.flatnonzero((found.astype(values.dtype) != values).reshape(-1))
        if len(lost):
            raise InputError(
                f"{name} is {values.reshape(-1)[lost[0]]} somewhere, a whole number that {dtype} does not "
                f"hold, and {name} has other numbers in another store: leave it out of one of them "
                "(fields=...)"
            )
    return found
