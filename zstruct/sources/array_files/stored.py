"""An array in a file: its shape is known before, its rows are read when they are asked for.

Which format the file has is not known here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.schema import ATOM, STRUCTURE, Level
from zstruct.sources.options import PLACES

__all__ = ["OWN", "PLACE", "Dialect", "Header", "StoredArray", "own_dialect", "shown", "whole_numbers"]

#: The array in which files that zstruct has written say what the others are: rows of array, property, level,
#: unit and mask, which may be empty.
OWN = "zstruct_fields"
#: The level of what makes a structure there.
PLACE = "place"


class Header(Protocol):
    """What is known of an array before it is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype; of objects if its rows are texts of any length."""

    @property
    def unit(self) -> str | None:
        """The unit that the file states beside it; None if it states none."""

    @property
    def fault(self) -> str | None:
        """A sentence if its values can't be read."""


class StoredArray(Header, Protocol):
    """An array in a file."""

    @property
    def in_order(self) -> bool:
        """Whether rows can only be read one after the other, as of what is compressed as a whole."""

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Return some rows; an array without axes is its own row."""


@dataclass(frozen=True)
class Dialect:
    """What is known of the arrays of a file beside their names and shapes.

    Parameters
    ----------
    places
        Where what makes a structure is: the array's name by that of `PLACES`.
    names
        What labels are called, by the array's name.
    units
        Units of labels by the array's name; None for the store's.
    masks
        The array that says which structures have a label, by that of the label.
    hidden
        Arrays that are said otherwise, and are no labels.
    levels
        What rows belong to, by the array's name, where the file says it.
    exact
        Whether the file says all this of itself: names stay as they are, and labels without a unit are in the
        store's. The user must say units otherwise.
    """

    places: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    units: dict[str, str | None] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    levels: dict[str, Level] = field(default_factory=dict)
    exact: bool = False


def own_dialect(rows: Any, there: Collection[str], label: str) -> Dialect:
    """Return what zstruct says of the arrays that it has written.

    Parameters
    ----------
    rows
        Texts: array, property, level, unit and mask of each.
    there
        The names of all arrays.
    label
        The file, for messages.

    Raises
    ------
    InputError
        If it is something else.
    """
    if len(rows.shape) != 2 or rows.shape[1] != 5:
        raise InputError(f"{OWN} should be texts of shape (arrays, 5), not of shape {rows.shape}", label)
    if not all(isinstance(one, str) for one in rows.reshape(-1).tolist()):
        raise InputError(f"{OWN} should be texts, and something in it is none", label)
    table = [row for row in rows.tolist() if row[0] in there]
    places = {name: key for key, name, level, _, _ in table if level == PLACE and name in PLACES}
    labels = [row for row in table if row[2] in (ATOM, STRUCTURE)]
    known = {*places.values(), *(row[0] for row in labels)}
    return Dialect(
        places,
        {key: name for key, name, _, _, _ in labels},
        {key: unit or None for key, _, _, unit, _ in table},
        {key: mask for key, _, _, _, mask in labels if mask in there},
        frozenset(set(there) - known),
        {key: level for key, _, level, _, _ in labels},
        exact=True,
    )


def shown(array: StoredArray) -> str:
    """Return kind and shape of an array, for messages."""
    return f"{array.dtype.name} of shape {tuple(array.shape)}"


def whole_numbers(name: str, array: StoredArray, label: str) -> NDArray[np.int64]:
    """Return an array of whole numbers in one row, or in one column.

    Raises
    ------
    InputError
        If it is none.
    """
    shape = tuple(array.shape)
    if (
        array.fault is not None
        or array.dtype.kind not in "iuf"
        or shape not in ((*shape[:1],), (*shape[:1], 1))
    ):
        raise InputError(f"{name} should be whole numbers in one row, not {shown(array)}", label)
    values = array.rows(0, shape[0]).reshape(-1) if shape else np.zeros(0)
    with np.errstate(invalid="ignore"):
        whole: NDArray[np.int64] = values.astype(np.int64)
    if not np.array_equal(whole, values):
        raise InputError(f"{name} should be whole numbers, and some are not", label)
    return whole
