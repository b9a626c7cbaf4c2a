"""What exporters are given: structures in blocks, and before the first of them what all will be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import counts_to_offsets
from zstruct.schema import Field

__all__ = ["Block", "Contents", "ranges_of"]


@dataclass(frozen=True)
class Contents:
    """What will be exported, known before the first block.

    Parameters
    ----------
    n_structures, n_atoms
        How many there are in all.
    fields
        The fields of each block, by name; units are the store's.
    categories
        The texts that the codes of category fields stand for.
    most_atoms
        Atoms of the largest structure.
    originals
        What fields were called where they came from: a file of another tool has these names.
    has_cells
        Whether any structure has a cell: else nothing is lost where a format has none.
    elements
        The atomic numbers in the store, ascending: those of all its structures, so that parts which are
        exported one by one number them alike.
    """

    n_structures: int
    n_atoms: int
    fields: Mapping[str, Field]
    categories: Mapping[str, list[str]]
    most_atoms: int
    originals: Mapping[str, str] = field(default_factory=dict)
    has_cells: bool = True
    elements: Sequence[int] = ()


@dataclass(frozen=True)
class Block:
    """Some structures, packed end to end.

    Parameters
    ----------
    n_atoms
        Atoms of each structure, shape (n,).
    columns
        Rows by field: (n_atoms.sum(), ...) per atom, (n, ...) per structure, in the dtype of the store.
    present
        Which structures have a field, shape (n,); fields that all of them have are left out.
    first
        The number of the first of them in the export, for messages.
    """

    n_atoms: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]
    present: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    first: int = 0

    def __len__(self) -> int:
        return len(self.n_atoms)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Atoms of structure i are rows ``offsets[i]:offsets[i + 1]``."""
        return counts_to_offsets(self.n_atoms)

    def has(self, name: str) -> NDArray[np.bool_]:
        """Return which structures have a field, shape (n,)."""
        given = self.present.get(name)
        there = np.full(len(self), name in self.columns) if given is None else given
        return there


def ranges_of(nbytes: NDArray[np.integer[Any]], most: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of structures of about so many bytes together; each has one structure at least.

    Parameters
    ----------
    nbytes
        Bytes of each structure, shape (n,).
    most
        Bytes of a range.
    """
    edges = np.cumsum(nbytes) // most
    cuts = [0, *(np.flatnonzero(np.diff(edges)) + 1).tolist(), len(edges)]
    yield from ((a, b) for a, b in itertools.pairwise(cuts) if b > a)
