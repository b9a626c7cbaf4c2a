"""Batches with other units and other names than the store's, for libraries that have their own.

Conversions keep what belongs together: whoever asks for another unit of energy gets forces and stresses in
it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.batch.packed import PackedBatch, Pairs
from zstruct.errors import ArgumentTypeError
from zstruct.precision import narrowed
from zstruct.schema import FIELDS
from zstruct.units import Conversion

__all__ = ["assembled", "in_single", "in_units"]


def in_units(packed: PackedBatch, units: Mapping[str, str] | None) -> PackedBatch:
    """Return structures in other units.

    Parameters
    ----------
    packed
        Structures in the units of the field table: eV, angstrom, e.
    units
        New units by quantity or by field: ``{"energy": "kcal/mol", "length": "bohr"}``. All fields
        follow the quantities: forces are kcal/mol/bohr then. A field that is named has the unit
        given, whatever the quantities say. Values are those of `ase.units`.

    Raises
    ------
    InputError
        If a unit is unknown or of the wrong dimension, or if a field has none.
    TypeError
        If `units` is no dict.
    ValueError
        If positions or cells are named: they belong together.

    Examples
    --------
    >>> import numpy as np
    >>> from zstruct.batch.pack import pack
    >>> packed = pack([{"numbers": np.ones(1), "energy": np.array(1.0), "forces": np.ones((1, 3))}])
    >>> in_units(packed, {"energy": "meV", "length": "nm"}).columns["forces"]
    array([[10000., 10000., 10000.]])
    """
    if units is None:
        return packed
    if not isinstance(units, Mapping) or not all(isinstance(name, str) for name in units):
        raise ArgumentTypeError(f"units is a dict of units by quantity or field, not {shown(units)}")
    if not units:
        return packed
    for name in ("positions", "cell"):
        if name in units:
            raise ValueError(
                f"units={{{name!r}: {units[name]!r}}}: positions and cells change together: "
                "give the unit of 'length'"
            )
    conversion = Conversion.to(units)

    def scaled(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        scales = {name: conversion.scale(name, FIELDS.get(name)) for name in columns}
        return {n: column if scales[n] == 1 else column * scales[n] for n, column in columns.items()}

    return PackedBatch(
        packed.structures,
        packed.offsets,
        packed.n_atoms,
        scaled(packed.columns),
        packed.per_atom,
        tuple(Pairs(p.name, p.offsets, p.index, scaled(p.columns)) for p in packed.pairs),
        packed.wide,
        packed.atoms,
        ragged=packed.ragged,
        origin=packed.origin,
    )


def in_single(packed: PackedBatch) -> PackedBatch:
    """Return structures with the energies that nobody asked for in double precision as the positions are.

    Raises
    ------
    InputError
        If a number is too large for that.
    """
    wide = packed.wide & packed.columns.keys()
    positions = packed.columns.get("positions")
    dtype = np.dtype(np.float32) if positions is None else positions.dtype
    if not wide or dtype != np.float32:
        return packed
    columns = {n: narrowed(n, c, dtype) if n in wide else c for n, c in packed.columns.items()}
    return replace(packed, columns=columns, wide=frozenset())


def assembled(
    layout: str,
    fields: Mapping[str, Any],
    table: Mapping[str, str],
    own: Mapping[str, Any],
    names: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Return fields and what a layout adds in one dict, under the names wanted.

    Parameters
    ----------
    layout
        Its name, for messages.
    fields
        Values by the store's names.
    table
        The layout's names of fields that it calls otherwise.
    own
        What the layout adds, by name.
    names
        The layout's names that are to be others, with these.

    Raises
    ------
    ValueError
        If two things would have one name, or if `names` has a name that the batch has not.
    TypeError
        If `names` is no dict of names.

    Examples
    --------
    >>> assembled("pyg", {"numbers": 1}, {"numbers": "z"}, {"ptr": 2}, {"z": "Z"})
    {'Z': 1, 'ptr': 2}
    """
    theirs = {name: table.get(name, name) for name in fields}
    for name, key in theirs.items():
        if key in own or (key != name and key in fields):
            raise ValueError(
                f"the field {key!r} has a name that {layout} batches use themselves; "
                "choose the fields to load without it (fields=...)"
            )
    batch = {key: fields[name] for name, key in theirs.items()}
    batch |= own
    names = {} if names is None else names
    if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names.values()):
        raise TypeError(f"names is a dict of new names by the {layout} batch's own, not {names!r}")
    for key in names:
        if key not in batch:
            raise ValueError(f"names has {key!r}, but the {layout} batch has only {', '.join(batch)}")
    renamed = {names.get(key, key): value for key, value in batch.items()}
    if len(renamed) < len(batch):
        raise ValueError(f"names={dict(names)} gives two things in a {layout} batch the same name")
    return renamed
