"""Structures in arrays: no file is read, and no object made for each of them.

The arrays are cut into blocks as they are, and looked at there. Which of them belong to atoms and which to
structures is the business of `zstruct.sources.arrays.table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import keywords
from zstruct.ragged import segment_ranges
from zstruct.schema import GEOMETRY, Level
from zstruct.sources.array_columns import name_elements, rows_of_atoms, rows_of_structures
from zstruct.sources.arrays.table import array_table
from zstruct.sources.source import SLICE_BYTES, Raw, Slice
from zstruct.text import counted

__all__ = ["ArraySource"]

# Bytes of a block in double precision: blocks of half of this are parts as they are.
_BLOCK_BYTES = 16 << 20


@keywords()
class ArraySource:
    """Structures in arrays, the atoms of all of them one after the other.

    Arrays are of NumPy or whatever becomes one: lists, tensors of torch, memory maps. They are not copied,
    and may be of any precision and byte order. Names, units, filters and missing labels are as in files: an
    energy may be called ``REF_energy``, and is missing where it is NaN, or masked (`numpy.ma`).

    Parameters
    ----------
    arrays
        All arrays by name, in place of keywords.
    offsets
        Atoms of structure i are rows ``offsets[i]:offsets[i + 1]``, shape (n + 1,).
    n_atoms
        Atoms of each structure in place of `offsets`, shape (n,).
    levels
        Which arrays are per ``"atom"`` and which per ``"structure"``, by name, where neither name nor number
        of rows tells.
    label
        What messages and provenance call it.
    **columns
        ``positions`` in angstrom, shape (n_atoms, 3); ``numbers``, atomic numbers or chemical symbols, shape
        (n_atoms,); ``cell``, its rows lattice vectors in angstrom, shape (n, 3, 3), or (3, 3) for all;
        ``pbc``, which a cell needs, shape (n, 3), or (3,) or one for all; and labels with a row for each atom
        or for each structure. If all structures have the same number of atoms, positions may have the shape
        (n, atoms, 3), labels of atoms too, and ``numbers`` the shape (atoms,); there are no offsets then.

    Raises
    ------
    InputError
        If arrays don't fit together: names the array, and the structure where it is one.
    ArgumentTypeError
        If something is no array of numbers or texts.

    Examples
    --------
    >>> water = ArraySource(
    ...     positions=np.zeros((2, 3, 3)), numbers=["O", "H", "H"], energy=[-14.2, -14.1], label="water"
    ... )
    >>> water
    ArraySource(2 structures of 6 atoms: energy)
    >>> ArraySource(positions=np.zeros((4, 3)), numbers=[1, 1, 8, 1], offsets=[0, 1, 5])
    Traceback (most recent call last):
    ...
    zstruct.errors.InputError: arrays: offsets end at 5, and there are positions of 4 atoms
    """

    runs_in: Literal["threads", "processes", "here", "caller"] = "here"

    def __init__(
        self,
        arrays: Mapping[str, Any] | None = None,
        *,
        offsets: Any = None,
        n_atoms: Any = None,
        levels: Mapping[str, Level] | None = None,
        label: str = "arrays",
        **columns: Any,
    ):
        if not isinstance(label, str):
            raise ArgumentTypeError(f"label is a text, not {shown(label)}")
        for name, mapping in (("arrays", arrays), ("levels", levels)):
            if mapping is not None and not isinstance(mapping, Mapping):
                raise ArgumentTypeError(f"{name} is a mapping by names of arrays, not {shown(mapping)}")
        given = {key: value for key, value in {**(arrays or {}), **columns}.items() if value is not None}
        offsets = given.pop("offsets", None) if offsets is None else offsets
        n_atoms = given.pop("n_atoms", None) if n_atoms is None else n_atoms
        self.label = label
        self._table = array_table(given, offsets, n_atoms, levels or {}, label)

    def __repr__(self) -> str:
        table = self._table
        labels = [key for key in (*table.atom, *table.structure) if key not in GEOMETRY]
        size = f"{counted(len(table), 'structure')} of {counted(int(table.offsets[-1]), 'atom')}"
        return f"{type(self).__name__}({size}: {', '.join(labels) or 'no labels'})"

    def fingerprint(self) -> None:
        """Return None: arrays in memory leave no trace by which to know them again."""

    def scan(self) -> list[Slice]:
        """Return ranges of structures of about `SLICE_BYTES`.

        Raises
        ------
        InputError
            If there are no structures.
        """
        table = self._table
        if len(table) == 0:
            raise InputError("the arrays are empty: there are no structures", self.label)
        ranges = self._ranges(0, len(table), SLICE_BYTES)
        return [Slice(first, last, first, table.nbytes(first, last)) for first, last in ranges]

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures of a slice in blocks."""
        for first, last in self._ranges(piece.start, piece.stop, _BLOCK_BYTES):
            yield self._block(first, last)

    def _ranges(self, start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of structures of about so many bytes."""
        offsets = self._table.offsets[start : stop + 1]
        atoms = int(offsets[-1] - offsets[0])
        rows = max(1, atoms * nbytes // max(1, self._table.nbytes(start, stop)))
        for first, last in segment_ranges(offsets, rows):
            yield start + first, start + last

    def _block(self, first: int, last: int) -> Raw:
        table = self._table
        offsets = table.offsets[first : last + 1]
        rows, counts = slice(offsets[0], offsets[-1]), np.diff(offsets)
        raw = Raw(np.arange(first, last), counts)
        for key, values in table.atom.items():
            raw.atom[key] = rows_of_atoms(key, values[rows], offsets)
        name_elements(raw)
        for key, values in table.structure.items():
            mask = table.present.get(key)
            raw.structure[key] = rows_of_structures(
                key, values[first:last], None if mask is None else mask[first:last]
            )
        return raw
