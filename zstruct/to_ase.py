"""Make `ase.Atoms` of the values of one structure, exactly: the way back from what a build took in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.schema import ATOM, GEOMETRY, PROVENANCE, Field, given_name
from zstruct.store.spec import FORMULA
from zstruct.store.store import Store

__all__ = ["atoms_at", "atoms_of", "element_look", "original_name", "restored"]

_DTYPES = {"int": np.int64, "bool": np.bool_, "category": np.str_}


def atoms_of(
    values: Mapping[str, Any], per_atom: frozenset[str] | set[str], originals: Mapping[str, str]
) -> Any:
    """Return `ase.Atoms` with some values.

    Parameters
    ----------
    values
        By name, as `restored` returns them; a missing value is None.
    per_atom
        The names that have a row per atom.
    originals
        What a field was called where it came from; see `original_name`.

    Returns
    -------
    ase.Atoms
        Results of calculations in a `SinglePointCalculator`, the rest in ``arrays`` and ``info``.
    """
    from ase import Atoms
    from ase.calculators.calculator import all_properties
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = Atoms(**{name: values[name] for name in GEOMETRY if name in values})
    results = {}
    for name, value in values.items():
        if value is None or name in GEOMETRY or name == "move_mask":
            continue
        if name in all_properties:
            results[name] = value
        elif name in per_atom:
            atoms.arrays[originals.get(name, name)] = value
        else:
            atoms.info[originals.get(name, name)] = value
    free = values.get("move_mask")
    if free is not None:
        atoms.set_constraint(_constraints(free))
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def original_name(name: str, attrs: Mapping[str, Any]) -> str:
    """Return what a field of a store is called outside: the input's name, or for provenance one of our own.

    Parameters
    ----------
    name, attrs
        Name and attributes of the field.
    """
    return PROVENANCE.get(name) or str(attrs.get("original_name", given_name(name)))


def restored(value: Any, kind: str, per_atom: bool) -> Any:
    """Return a value in the type that it had before it was stored.

    Parameters
    ----------
    value
        The rows of the structure's atoms, or its one value; codes of categories replaced by texts.
    kind
        That of its field.
    per_atom
        Which of the two.
    """
    if kind == "category" and np.ndim(value) == 0:
        return str(value)  # never as an array, which would lose a NUL at its end
    rows = np.asarray(value)
    restored = rows.astype(_DTYPES.get(kind, rows.dtype))
    return restored if per_atom or restored.ndim > 0 else restored.item()


def atoms_at(store: Store, structure: int) -> Any:
    """Return a structure of a store as `ase.Atoms`, with all that the store has of it.

    Parameters
    ----------
    store
        The store.
    structure
        In ``range(store.n_structures)``.
    """
    start, stop = store.read("offsets", structure, structure + 2).tolist()
    values, per_atom, originals = {}, set(), {}
    for name, field in store.fields.items():
        if name == FORMULA:
            continue
        if field.level == ATOM:
            per_atom.add(name)
            value = store.read(name, start, stop)
        else:
            value = store.read(name, structure, structure + 1)[0]
        values[name] = _given(store, name, field, structure, value)
        originals[name] = original_name(name, store.array_attrs(name))
    return atoms_of(values, per_atom, originals)


def _given(store: Store, name: str, field: Field, structure: int, value: NDArray[Any]) -> Any:
    """Return a value as it was built, or None where it is missing."""
    if not store.present(name, structure, structure + 1)[0]:
        return None
    if field.kind == "category":
        texts = np.array([*store.categories(name), ""], dtype=object)  # the last one for codes of -1
        value = texts[value]
    return restored(value, field.kind, field.level == ATOM)


def _constraints(free: NDArray[np.bool_]) -> list[Any]:
    """Return the constraints that leave only the given atoms, or their axes, free to move."""
    from ase.constraints import FixAtoms, FixCartesian

    if free.ndim == 1:
        return [FixAtoms(np.flatnonzero(~free))]
    fixed, kind = np.unique(~free, axis=0, return_inverse=True)
    return [FixCartesian(np.flatnonzero(kind == k), mask=axes) for k, axes in enumerate(fixed) if axes.any()]


def element_look(z: int) -> dict[str, Any]:
    """Return how an element is drawn, by ASE's tables: symbol, colour, radius by which atoms are bound.

    What is beyond the tables looks as the last of them.
    """
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors

    red, green, blue = (round(255 * float(x)) for x in jmol_colors[min(z, len(jmol_colors) - 1)])
    radius = float(covalent_radii[min(z, len(covalent_radii) - 1)])
    return {"symbol": SYMBOLS[z] if z < len(SYMBOLS) else "X", "color": [red, green, blue], "radius": radius}
