"""Structures in arrays: no file is read, and no object made for each of them.

The arrays are cut into blocks as they are, and looked at there. Which of them belong to atoms and which to
structures is the business of `zstruct.sources.memory_arrays.table`.
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
from zstruct.sources.memory_arrays.table import ArrayTable, array_table
from zstruct.sources.source import SLICE_BYTES, Raw, Slice
from zstruct.text import counted

__all__ = ["ArraySource", "arrays"]

# Bytes of a block in double precision: blocks of half of this are parts as they are.
_BLOCK_BYTES = 16 << 20


class ArraySource:
    """Structures in arrays that fit together.

    Parameters
    ----------
    table
        The arrays.
    label
        What messages and provenance call them.
    """

    runs_in: Literal["threads", "processes", "here", "caller"] = "here"

    def __init__(self, table: ArrayTable, label: str):
        self.label = label
        self._table = table

    def __repr__(self) -> str:
        table = self._table
        labels = [key for key in (*table.atom, *table.structure) if key not in GEOMETRY]
        size = f"{counted(len(table), 'structure')} of {counted(int(table.offsets[-1]), 'atom')}"
        return f"arrays({size}: {', '.join(labels) or 'no labels'})"

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


@keywords()
def arrays(
    numbers: Any = None,
    positions: Any = None,
    offsets: Any = None,
    *,
    n_atoms: Any = None,
    levels: Mapping[str, Level] | None = None,
    label: str = "arrays",
    **columns: Any,
) -> ArraySource:
    """Return structures in arrays, an input of `zstruct.build`: the atoms of all of them lie end to end.

    Arrays are of NumPy or whatever becomes one: lists, tensors of torch, memory maps. They are not copied,
    and may be of any precision and byte order. Names, units, filters and missing labels are as in files: an
    energy may be called ``REF_energy``, and is missing where it is NaN, or masked (`numpy.ma`).

    Parameters
    ----------
    numbers
        Atomic numbers or chemical symbols, shape (n_atoms,).
    positions
        In angstrom, shape (n_atoms, 3). If all structures have the same number of atoms, the shape may be
        (n, atoms, 3), that of labels of atoms (n, atoms, ...), and that of `numbers` (atoms,); there are no
        offsets then.
    offsets
        Atoms of structure i are rows ``offsets[i]:offsets[i + 1]``, shape (n + 1,).
    n_atoms
        Atoms of each structure in place of `offsets`, shape (n,).
    levels
        Which arrays are per ``"atom"`` and which per ``"structure"``, by name, where neither name nor number
        of rows tells.
    label
        What messages and provenance call them.
    **columns
        ``cell``, its rows lattice vectors in angstrom, shape (n, 3, 3), or (3, 3) for all; ``pbc``, which a
        cell needs, shape (n, 3), or (3,) or one for all; and labels with a row for each atom or for each
        structure. Numbers and positions may have other names here, such as ``Z`` and ``R``.

    Raises
    ------
    InputError
        If arrays don't fit together: names the array, and the structure where it is one.
    ArgumentTypeError
        If something is no array of numbers or texts.

    Examples
    --------
    >>> arrays([8, 1, 1, 1, 1], np.zeros((5, 3)), [0, 3, 5], energy=[-14.2, -6.7], forces=np.ones((5, 3)))
    arrays(2 structures of 5 atoms: forces, energy)
    >>> arrays(["O", "H", "H"], np.zeros((2, 3, 3)), energy=[-14.2, -14.1], label="water")
    arrays(2 structures of 6 atoms: energy)
    >>> arrays([1, 1, 8, 1], np.zeros((4, 3)), [0, 1, 5])
    Traceback (most recent call last):
    ...
    zstruct.errors.InputError: arrays: offsets end at 5, and there are positions of 4 atoms
    """
    if not isinstance(label, str):
        raise ArgumentTypeError(f"label is a text, not {shown(label)}")
    if levels is not None and not isinstance(levels, Mapping):
        raise ArgumentTypeError(f"levels is a mapping by names of arrays, not {shown(levels)}")
    given = {"numbers": numbers, "positions": positions, **columns}
    there = {key: value for key, value in given.items() if value is not None}
    return ArraySource(array_table(there, offsets, n_atoms, levels or {}, label), label)
