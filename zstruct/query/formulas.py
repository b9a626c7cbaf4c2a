"""The formulas of a store: the different compositions of its structures, of which each has one."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from zstruct.query.quantities import FORMULA
from zstruct.store.store import Store

__all__ = ["Formulas", "formulas_of", "has_formulas", "n_formulas"]


class Formulas(NamedTuple):
    """The different compositions of structures, of which each has one.

    Parameters
    ----------
    codes
        The field, or the array of an index, that says which of them a structure has.
    offsets
        Where the elements of each begin and end, shape (n_formulas + 1,).
    numbers, counts
        Atomic numbers of these elements, and how many atoms of each one structure has.
    """

    codes: str
    offsets: NDArray[Any]
    numbers: NDArray[Any]
    counts: NDArray[Any]


_TABLES = [f"formulas/{name}" for name in Formulas._fields[1:]]


def has_formulas(store: Store) -> bool:
    """Return whether a store has a table of formulas; those of format 1.0 have none."""
    return FORMULA in store.fields and {*_TABLES} <= {*store.array_names()}


def n_formulas(store: Store) -> int:
    """Return how many formulas a store has, of one that has them."""
    return store.shape(_TABLES[0])[0] - 1


def formulas_of(store: Store, codes: str) -> Formulas:
    """Return the formulas of a store that has them, of which an array has the codes."""
    return Formulas(codes, *map(store.read, _TABLES))
