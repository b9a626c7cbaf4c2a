"""Elements of inputs that only number their atoms: types become atomic numbers on the user's word.

Some programs (LAMMPS first) call atoms 1, 2, 3, and which elements these are stands elsewhere. A
type is never taken for an atomic number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import element_number
from zstruct.elements import SYMBOLS, atomic_number
from zstruct.errors import InputError
from zstruct.ragged import counts_to_offsets, segment_reduce
from zstruct.sources.normalize.checks import Bad
from zstruct.sources.source import Raw, RawColumn

__all__ = ["TYPES", "element_table", "numbers_from_types", "unknown_elements"]

#: What the properties of an input list if its atoms have types.
TYPES = "atom types"

# What stands for a type by its place in a list: some formats count from one, others from zero.
_ORDINAL = "{}."
_HOW = "elements={{{0}: 'Ti', {1}: 'O'}}, or elements=['Ti', 'O'] for the types {0}, {1}, ..."


def element_table(elements: Mapping[Any, Any] | Iterable[Any] | None) -> dict[str, str]:
    """Return chemical symbols by type, as the user gives them.

    Parameters
    ----------
    elements
        Symbols by type (a number or a name), or those of the first type, the second ... in a list: the
        types 1, 2, ... of most formats, 0, 1, ... of those that count from zero.

    Raises
    ------
    InputError
        If it is something else, or one of them is no element.

    Examples
    --------
    >>> element_table(["ti", "O"]), element_table({"OW": "O", 3: 14})
    ({'1.': 'Ti', '2.': 'O'}, {'OW': 'O', '3': 'Si'})
    """
    if elements is None:
        return {}
    if isinstance(elements, str) or not isinstance(elements, (Mapping, list, tuple)):
        raise InputError(f"elements={elements!r}: give {_HOW.format(1, 2)}")
    pairs = elements.items() if isinstance(elements, Mapping) else _listed(elements)
    table: dict[str, str] = {}
    for key, element in pairs:
        number = element_number(element)
        if not number:
            called = repr(key) if isinstance(elements, Mapping) else key.removesuffix(".")
            raise InputError(f"elements: type {called} is {element!r}, which is no chemical element")
        if isinstance(key, bool) or not isinstance(key, (str, int, np.integer)) or not str(key).strip():
            raise InputError(f"elements: {key!r} is no type; give {_HOW.format(1, 2)}")
        if table.setdefault(str(key).strip(), SYMBOLS[number]) != SYMBOLS[number]:
            raise InputError(f"elements: the type {key!r} can't be two elements")
    return table


def _listed(elements: Iterable[Any]) -> Iterable[tuple[str, Any]]:
    """Return the elements of a list by what stands for the first, the second type: `_ORDINAL`."""
    return ((_ORDINAL.format(k), element) for k, element in enumerate(elements, start=1))


def _by_name(elements: Mapping[str, str], first: int) -> dict[str, str]:
    """Return symbols by type, where the first type of a list has this number."""
    listed = {_ORDINAL.format(k): str(first + k - 1) for k in range(1, len(elements) + 1)}
    return {listed.get(name, name): symbol for name, symbol in elements.items()}


def numbers_from_types(raw: Raw, elements: Mapping[str, str], bad: Bad) -> list[RawColumn]:
    """Return the column of atomic numbers of a block, types replaced by the elements they are.

    Parameters
    ----------
    raw
        The block, with types.
    elements
        Symbols by type, from `element_table`.
    bad
        Where structures with types that are in no table are noted.
    """
    column = raw.types
    assert column is not None
    names, codes = _named(column)
    elements = _by_name(elements, raw.first_type)
    known = np.array([atomic_number(elements.get(name, _plain(name))) or 0 for name in names], dtype=np.int64)
    n = len(raw.n_atoms)
    here = np.ones(n, dtype=bool) if column.present is None else column.present
    rows = np.repeat(here, raw.n_atoms)
    offsets = counts_to_offsets(raw.n_atoms)
    unknown = segment_reduce((known[codes] == 0) & rows, offsets, "max").astype(bool)
    for i in np.flatnonzero(unknown).tolist():
        codes_here = np.unique(codes[offsets[i] : offsets[i + 1]])
        lost = [names[c] for c in codes_here.tolist() if not known[c]]
        bad.add(np.arange(n) == i, _unknown(lost, elements, raw.first_type))
    given = raw.atom["numbers"][0].values
    return [RawColumn(np.where(rows, known[codes], given).astype(np.uint8))]


def _plain(name: str) -> str:
    """Return the symbol in a name that is nothing but an element and its number, such as O1; else nothing."""
    match = re.fullmatch(r"([A-Z][a-z]?)\d*", name, re.ASCII)
    return match[1] if match else ""


def _named(column: RawColumn) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct types as text, and which of them every atom has."""
    if column.texts is not None:
        return column.texts, column.values.astype(np.int64)
    values, codes = np.unique(column.values, return_inverse=True)
    return [str(v) for v in values.tolist()], codes.astype(np.int64)


def _unknown(lost: list[str], elements: Mapping[str, str], first: int) -> str:
    shown = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
    what = "atom types are" if len(lost) > 1 else "the atom type is"
    if elements:
        return f"{what} {shown}, which elements= does not say; it says {dict(elements)}"
    how = _HOW.format(first, first + 1)
    return f"{what} {shown}, and the input does not say which elements; say it with {how}"


def unknown_elements(numbers: NDArray[Any], n_atoms: NDArray[np.int64]) -> dict[int, str]:
    """Return which structures have what is no atomic number, each with a sentence.

    Parameters
    ----------
    numbers
        Whole numbers of any kind, one per atom.
    n_atoms
        Atoms of each structure, shape (n,).

    Examples
    --------
    >>> unknown_elements(np.array([1, 300, 8]), np.array([2, 1]))
    {0: '300 is no atomic number'}
    """
    wrong = (numbers < 0) | (numbers >= len(SYMBOLS))
    if not wrong.any():
        return {}
    owner = np.repeat(np.arange(len(n_atoms)), n_atoms)
    rows = np.flatnonzero(wrong)[::-1]
    return {int(owner[row]): f"{numbers[row]} is no atomic number" for row in rows.tolist()}
