"""Which structures belong together: by a field, a formula, ranges of numbers, or a function.

Here structures get numbers, the same for those that have something in common. Who stays with whom, or is
dealt out where, is settled in `splits`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.errors import InputError
from zstruct.ragged import segment_ranges
from zstruct.random import hashes
from zstruct.schema import STRUCTURE
from zstruct.similarity.chosen import Chosen
from zstruct.similarity.duplicates import alike
from zstruct.store.store import Store

__all__ = ["By", "grouped", "stratified"]

By = str | Callable[[Store], ArrayLike]

_BLOCK_ATOMS = 1 << 22  # whose numbers are looked at together
_SHARING = 10  # structures for each value, on average, where whole numbers are not cut into ranges


def grouped(opened: Store, rows: NDArray[np.int64], by: By) -> NDArray[np.int64]:
    """Return a number for each of some structures, the same for those of one group.

    Raises
    ------
    InputError
        If structures can't be grouped so.
    """
    if by == "duplicate":
        whole = len(rows) == opened.n_structures
        return _numbered(alike(Chosen(opened, None if whole else rows)))
    if callable(by) or by == "formula":
        return _numbered(_values(opened, by)[rows])
    usable = _usable(opened, ("category", "int", "bool"))
    if by not in usable:
        raise InputError(
            f"structures can't be grouped by {by!r}, but at random, in order, by formula, duplicate, a "
            f"function, or a field with one text, integer or boolean for each; those of {opened.path} are "
            f"{', '.join(usable) or 'none'}"
        )
    return _parted(_numbered(_values(opened, by)[rows]), opened, rows, by)


def stratified(
    opened: Store, rows: NDArray[np.int64], criteria: Sequence[By], bins: int
) -> NDArray[np.int64]:
    """Return a number for each of some structures, the same for those of one stratum.

    Parameters
    ----------
    opened, rows
        The store, and which of its structures.
    criteria
        Each combination of their values is a stratum.
    bins
        Ranges that numbers of many values are cut into.

    Raises
    ------
    InputError
        If there are no such strata.
    """
    strata = np.zeros(len(rows), np.int64)
    for how in criteria:
        kind, values = _stratifying(opened, how)
        values = values[rows]
        many = kind == "float" or (kind == "int" and _has_many(values, int(bins)))
        codes = _ranges(values, int(bins)) if many else _numbered(values)
        codes = codes if callable(how) else _parted(codes, opened, rows, how)
        strata = np.unique(strata * (codes.max(initial=0) + 1) + codes, return_inverse=True)[1]
    return strata


def _stratifying(opened: Store, how: By) -> tuple[str, NDArray[Any]]:
    """Return a value for each structure of the store, and their kind; see `_kind`."""
    if callable(how):
        values = _values(opened, how)
        return {"f": "float", "i": "int", "u": "int"}.get(values.dtype.kind, "category"), values
    return _kind(opened, how), _values(opened, how)


def _kind(opened: Store, how: str) -> str:
    """Return whether strata are those of numbers of many values ("float"), maybe so ("int"), or not."""
    if how in ("n_atoms", "energy_per_atom"):
        return "float"
    if how == "formula":
        return "category"
    usable = _usable(opened, ("category", "int", "bool", "float"))
    if how not in usable:
        raise InputError(
            f"structures can't be stratified by {how!r}, but by formula, n_atoms, energy_per_atom, a "
            f"function, or a field with one text or number for each; those of {opened.path} are "
            f"{', '.join(usable) or 'none'}"
        )
    return opened.fields[how].kind


def _usable(opened: Store, kinds: Sequence[str]) -> list[str]:
    return [
        name
        for name, row in opened.fields.items()
        if row.level == STRUCTURE and row.kind in kinds and row.shape == ()
    ]


def _values(opened: Store, how: By) -> NDArray[Any]:
    """Return a value for each structure of the store."""
    if callable(how):
        try:
            values = np.asarray(how(opened))
        except Exception as error:  # whatever it is, it is counted
            reason = f"the function that was given raised {type(error).__name__}: {error}"
            raise InputError(reason) from error
        if values.shape != (opened.n_structures,):
            raise InputError(
                f"the function returned values of shape {values.shape}, not one for each of the "
                f"{opened.n_structures:,} structures of the store"
            )
        return values
    if how == "formula":
        return _formulas(opened)
    if how == "energy_per_atom":
        if "energy" not in opened.fields:
            raise InputError(f"strata by energy_per_atom need energies, and {opened.path} has none")
        per_atom: NDArray[Any] = opened.read("energy") / opened.read("n_atoms")
        return per_atom
    return opened.read(how)


def _has_many(values: NDArray[Any], bins: int) -> bool:
    """Return whether whole numbers have so many values that few structures share one."""
    n_values = len(np.unique(values))
    return n_values > bins and n_values * _SHARING > len(values)


def _ranges(values: NDArray[Any], bins: int) -> NDArray[np.int64]:
    """Return which of some ranges of equal number each value is in; missing ones are in one of their own."""
    codes = np.zeros(len(values), np.int64)
    known = np.flatnonzero(~np.isnan(values))
    ordered = np.sort(values[known])
    # The first of equal values has the rank of all.
    ranks = np.searchsorted(ordered, values[known], side="left")
    codes[known] = 1 + ranks * bins // max(1, len(known))
    return codes


def _numbered(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return a number for each value, the same for equal ones."""
    try:
        return np.unique(values, return_inverse=True)[1]
    except TypeError as error:
        raise InputError(f"the values that the function returned can't be compared: {error}") from error


def _parted(
    codes: NDArray[np.int64], opened: Store, rows: NDArray[np.int64], field: str
) -> NDArray[np.int64]:
    """Give structures without the whole number or boolean a code of their own: zero there means nothing."""
    if field not in opened.presence:
        return codes
    return np.where(opened.present(field)[rows], codes, codes.max(initial=0) + 1)


def _formulas(opened: Store) -> NDArray[np.uint64]:
    """Return a hash of the composition of each structure: the sum of one random number for each atom.

    Two of a million formulas would share a hash once in 10^7 stores, and then only stay together. Hashes
    order the groups, so splits of a store do not depend on whether it has a table of formulas.
    """
    of_element, offsets = hashes(256, 0), opened.read("offsets")
    found = []
    for first, last in segment_ranges(offsets, _BLOCK_ATOMS):
        numbers = opened.read("numbers", int(offsets[first]), int(offsets[last]))
        found.append(np.add.reduceat(of_element[numbers], offsets[first:last] - offsets[first]))
    return np.concatenate(found)
