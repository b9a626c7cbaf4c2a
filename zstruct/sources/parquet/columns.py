"""What the columns of a table are, told by their names, their types, a sample of rows, and what is said.

How rows become structures is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.errors import InputError
from zstruct.schema import ATOM, GEOMETRY, STRUCTURE, Level
from zstruct.sources.array_columns import LEVELS, level_of
from zstruct.sources.array_files.names import KNOWN, is_plural, place_of, plain_name, said_where
from zstruct.sources.array_files.recognition import stated_unit
from zstruct.sources.array_files.stored import OWN, Dialect, own_dialect
from zstruct.sources.array_files.table import Label
from zstruct.sources.parquet.file import pyarrow
from zstruct.sources.parquet.lists import ColumnError, depth_of, innermost, is_storable, is_text, parsed

__all__ = ["Columns", "columns_of", "unseen"]

_UNITS = (b"unit", b"units")
# As OPTIMADE calls them, and LeMaterial's sets do; where a table has the usual names, those are taken.
_OPTIMADE = {
    "positions": "cartesian_site_positions",
    "numbers": "species_at_sites",
    "cell": "lattice_vectors",
    "pbc": "dimension_types",
    "n_atoms": "nsites",
}
# Lists that OPTIMADE has of structures, though they may have as many entries as there are atoms.
_OF_ELEMENTS = frozenset({"elements", "elements_ratios"})
# ColabFit says what is in its tables: https://materials.colabfit.org/docs/configuration_schema
_COLABFIT = frozenset({"configuration_id", "property_id", "atomic_numbers"})
_COLABFIT_UNITS = {
    "atomic_forces": "eV angstrom-1",
    "cauchy_stress": "eV angstrom-3",
    "max_force_norm": "eV angstrom-1",
    "mean_force_norm": "eV angstrom-1",
} | dict.fromkeys(
    (
        "energy",
        "electronic_band_gap",
        "formation_energy",
        "adsorption_energy",
        "atomization_energy",
        "energy_above_hull",
    ),
    "eV",
)
_COUNTS = "n_atoms"


@dataclass(frozen=True)
class _Header:
    """Kind and unit of a column."""

    dtype: np.dtype[Any]
    unit: str | None
    shape: tuple[int, ...] = ()
    fault: None = None


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are.

    Parameters
    ----------
    places
        The columns of numbers, positions, cell, pbc and n_atoms, as far as there are such.
    units
        Those of positions and cell, as in `RawColumn`.
    labels
        By the column's name.
    ragged
        Labels of structures whose values are of several lengths, or records: they are kept as JSON.
    left
        Columns of bytes.
    """

    places: dict[str, str]
    units: dict[str, str | None]
    labels: dict[str, Label]
    ragged: frozenset[str]
    left: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The columns to read."""
        return [*self.places.values(), *self.labels]


def dialect_of(schema: Any, label: str) -> Dialect:
    """Return what the table says of its columns: zstruct's own ones, ColabFit's, others by metadata.

    Raises
    ------
    InputError
        If what zstruct has written of it is damaged.
    """
    names = list(schema.names)
    own = (schema.metadata or {}).get(OWN.encode())
    if own is not None:
        try:
            rows = np.array(json.loads(own), dtype=object)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{OWN}, which says what columns are, is damaged: {error}", label) from error
        return own_dialect(rows, names, label)
    if set(names) >= _COLABFIT:
        units: dict[str, str | None] = {key: unit for key, unit in _COLABFIT_UNITS.items() if key in names}
        called = {"atomic_forces": "forces"} if "forces" not in names else {}
        places = {"numbers": "atomic_numbers", "pbc": "pbc"}
        places = {name: key for name, key in places.items() if key in names}
        called = {key: name for key, name in called.items() if key in names}
        return Dialect(places, called, units, levels=dict.fromkeys(("names", "labels"), STRUCTURE))
    return Dialect()


def unseen(sample: Any) -> list[str]:
    """Return the columns of lists of a sample in which all rows are null: what they are, it does not tell."""
    return [
        name
        for name, kind in zip(sample.schema.names, sample.schema.types, strict=True)
        if depth_of(kind) and sample[name].null_count == sample.num_rows
    ]


def columns_of(sample: Any, said: Mapping[str, str], label: str) -> Columns:
    """Return what the columns of a table are.

    Parameters
    ----------
    sample
        Some rows, as a table of Arrow: labels of atoms are known by it from those of structures.
    said
        Where what makes a structure is, as the user says it.
    label
        The file, for messages.

    Raises
    ------
    InputError
        If there are no positions or atomic numbers, or if it can't be told which they are.
    """
    schema = sample.schema
    names = list(schema.names)
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice is not None:
        raise InputError(f"two columns are called {twice!r}; rename one", label)
    dialect = dialect_of(schema, label)
    stated = {name: _stated(schema.field(name)) for name in names}
    places = _places(sample, names, said, dialect, label)
    units = {
        place: dialect.units.get(key, stated[key])
        for place in ("positions", "cell")
        if (key := places.get(place)) is not None
    }
    n_atoms = _lengths(sample[places["positions"]])
    used = {*places.values(), *dialect.hidden}
    rest = [name for name in names if name not in used]
    labels: dict[str, Label] = {}
    ragged, left = set(), []
    for key in rest:
        kind = schema.field(key).type
        if not is_storable(kind):
            if not pyarrow().types.is_null(innermost(kind)):
                left.append(key)
            continue
        name = dialect.names.get(key, key)
        level, is_ragged = _level(key, name, sample[key], n_atoms, dialect)
        if key in _OF_ELEMENTS and "nelements" in names:
            level, is_ragged = STRUCTURE, True
        if is_ragged:
            ragged.add(key)
        sign = 1.0
        if name == key and not dialect.exact:
            name, sign = plain_name(key, level, [dialect.names.get(other, other) for other in rest])
        unit = stated_unit(_Header(_dtype(kind), stated[key]), key, name, level, dialect)
        labels[key] = Label(name, level, unit, sign)
    return Columns(places, units, labels, frozenset(ragged), tuple(left))


def _stated(field: Any) -> str | None:
    """Return the unit that the metadata of a column state, or None."""
    found = next(filter(None, ((field.metadata or {}).get(name) for name in _UNITS)), b"")
    return found.decode("utf-8", "replace") or None


def _dtype(kind: Any) -> np.dtype[Any]:
    types, inner = pyarrow().types, innermost(kind)
    return np.dtype(np.float64 if types.is_floating(inner) or types.is_decimal(inner) else object)


def _lengths(column: Any) -> NDArray[np.int64]:
    """Return the lengths of the lists in a column, -1 where there is none; of texts, those of their JSON."""
    array = parsed(column.combine_chunks())
    if not depth_of(array.type):
        return np.full(len(array), -1)
    return np.asarray(pyarrow().compute.list_value_length(array).fill_null(-1)).astype(np.int64)


def _places(
    sample: Any, names: Sequence[str], said: Mapping[str, str], dialect: Dialect, label: str
) -> dict[str, str]:
    """Return the columns of what makes a structure; there are positions and numbers."""
    known = {**dialect.places, **said}
    kinds = dict(zip(names, sample.schema.types, strict=True))
    found: dict[str, str] = {}
    for place in (*GEOMETRY[::-1], _COUNTS):
        key = None
        if place in known or not dialect.exact:
            there = _candidates(place, names, kinds, found, sample)
            key = place_of(place, there if place not in known else names, known, label)
            if key is None and not dialect.exact and _OPTIMADE.get(place) in names:
                key = _OPTIMADE[place]
        if key is not None:
            found[place] = key
    for place in ("positions", "numbers"):
        if place not in found:
            raise InputError(_nothing(place, names), label)
        try:
            _lengths(sample[found[place]])
        except ColumnError as error:
            raise InputError(f"{found[place]}, the {place}, is text, and no JSON: {error}", label) from error
    return found


def _candidates(
    place: str, names: Sequence[str], kinds: Mapping[str, Any], found: Mapping[str, str], sample: Any
) -> list[str]:
    """Return the columns that could be a place, by their names; where several are, by their values, too."""
    there = [name for name in names if name in KNOWN[place]]
    if "nelements" in names:
        there = [name for name in there if name not in _OF_ELEMENTS]
    if place == _COUNTS:
        return [name for name in there if pyarrow().types.is_integer(kinds[name])]
    if any(depth_of(kinds[name]) for name in {*there, _OPTIMADE[place]} & {*names}):
        there = [name for name in there if depth_of(kinds[name])]  # what is text is no list in JSON
    if len(there) > 1 and place == "numbers" and "positions" in found:
        n_atoms = _lengths(sample[found["positions"]])
        there = [n for n in there if depth_of(kinds[n]) and np.array_equal(_lengths(sample[n]), n_atoms)]
    return there


def _nothing(place: str, names: Sequence[str]) -> str:
    if names and list(names) == [str(k) for k in range(len(names))]:
        return (
            "its columns are numbered, as those of features are: add them to a store with "
            "zstruct.features.add(store, name, file)"
        )
    return (
        f"no column is known as the {place}; say which it is, keys={{{place!r}: ...}}: there are "
        f"{said_where(names)}"
    )


def _level(
    key: str, name: str, column: Any, n_atoms: NDArray[np.int64], dialect: Dialect
) -> tuple[Level, bool]:
    """Return what the values of a column belong to, and whether they are of several lengths."""
    kind = column.type
    types = pyarrow().types
    known = [level for level in LEVELS if by_alias(name, level) is not None]
    if types.is_nested(innermost(kind)):
        return STRUCTURE, True
    if not depth_of(kind):
        of_atoms = known == [ATOM] and is_text(innermost(kind))
        return (dialect.levels.get(key) or (ATOM if of_atoms else STRUCTURE)), False
    lengths = _lengths(column)
    here = lengths >= 0
    constant = bool(here.any()) and np.ptp(lengths[here]) == 0
    level: Level | None = dialect.levels.get(key)
    if level is None and len(known) == 1:
        level = known[0]
    if level is None:
        fitting: dict[Level, bool] = {
            ATOM: bool(here.any()) and bool((lengths == n_atoms)[here].all()),
            STRUCTURE: constant,
        }
        n, width = len(lengths), int(lengths[here][0]) if constant else None
        if is_plural(name) and constant:
            level = STRUCTURE
        else:
            dtype = "f" if _dtype(kind).kind == "f" else "O" if is_text(innermost(kind)) else "i"
            level = level_of(name, (n, width or 0), dtype, fitting, width) or STRUCTURE
    return level, level == STRUCTURE and bool(here.any()) and not constant
