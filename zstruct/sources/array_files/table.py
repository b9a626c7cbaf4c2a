"""The arrays of a file as structures: blocks of them, read when they are asked for.

Arrays are packed, the atoms of all structures one after the other, or a grid with a place for each atom of
each structure, of which some may be empty (padding). How it is told what an array is, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import counts_to_offsets, segment_ranges
from zstruct.schema import ATOM, Level
from zstruct.sources.array_columns import rows_of_atoms, rows_of_structures
from zstruct.sources.array_files.geometry import fill_elements, periodicity
from zstruct.sources.array_files.names import said_where
from zstruct.sources.array_files.stored import StoredArray
from zstruct.sources.source import Raw, RawColumn

__all__ = ["Label", "Table"]


@dataclass(frozen=True)
class Label:
    """A label of the structures of a file.

    Parameters
    ----------
    name
        What it is called from here on.
    level
        What its rows belong to.
    unit
        As in `RawColumn`.
    sign
        What its values are multiplied with.
    mask
        The array that says which structures have it.
    fault
        A sentence if its values can't be stored.
    """

    name: str
    level: Level
    unit: str | None
    sign: float = 1.0
    mask: str | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Table:
    """What the arrays of a file are.

    Parameters
    ----------
    n
        How many structures there are.
    places
        The arrays of numbers, positions, cell and pbc, as far as each structure has rows there.
    offsets
        Row edges of structures, where arrays are packed.
    width
        Places for atoms in each structure, where arrays are a grid.
    counts
        Atoms of each structure of a grid, where that is said.
    shared
        The same, and what is the same for all structures: numbers, cell, pbc.
    units
        Those of positions and cell, as in `RawColumn`.
    labels
        By the array's name.
    left
        Arrays that have a row neither for each atom nor for each structure.
    row_bytes
        Bytes of all arrays for an atom, and for a structure, in the precision in which they are worked on.
    in_order
        Whether rows can only be read from the first to the last.
    """

    n: int
    places: dict[str, str]
    offsets: NDArray[np.int64] | None = None
    width: int | None = None
    counts: NDArray[np.int64] | None = None
    shared: dict[str, NDArray[Any]] = field(default_factory=dict)
    units: dict[str, str | None] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    row_bytes: tuple[int, int] = (0, 0)
    in_order: bool = False

    def nbytes(self, first: int, last: int) -> int:
        """Return the bytes of some structures."""
        atoms, structures = self.row_bytes
        if self.offsets is not None:
            rows = int(self.offsets[last] - self.offsets[first])
        else:
            rows = (last - first) * (self.width or 0)
        return rows * atoms + (last - first) * structures

    def ranges(self, start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of structures of about so many bytes."""
        if stop <= start:
            return
        total = max(1, self.nbytes(start, stop))
        if self.offsets is None:
            each = max(1, (stop - start) * nbytes // total)
            for first in range(start, stop, each):
                yield first, min(first + each, stop)
            return
        edges = self.offsets[start : stop + 1] + np.arange(stop - start + 1)  # empty structures count, too
        for first, last in segment_ranges(edges, max(1, int(edges[-1] - edges[0]) * nbytes // total)):
            yield start + first, start + last

    def block(self, arrays: Mapping[str, StoredArray], first: int, last: int) -> Raw:
        """Return some structures.

        Parameters
        ----------
        arrays
            The arrays of the file.
        first, last
            Which structures.
        """
        m = last - first
        faults: dict[str, NDArray[np.bool_]] = {}
        if self.offsets is not None:
            edges = self.offsets[first : last + 1]
            start, stop, counts = int(edges[0]), int(edges[-1]), np.diff(edges)
            rows: Callable[[StoredArray], NDArray[Any]] = lambda array: array.rows(start, stop)  # noqa: E731
            numbers = rows(arrays[self.places["numbers"]])
        else:
            numbers, there, counts = self._grid(arrays, first, last, faults)
            rows = _of_grid(first, last, self.width or 0, there)
        raw = Raw(np.arange(first, last), counts)
        offsets = counts_to_offsets(counts)
        raw.atom["numbers"] = rows_of_atoms("numbers", numbers, offsets)
        fill_elements(raw, faults)
        positions = rows(arrays[self.places["positions"]])
        raw.atom["positions"] = [RawColumn(positions, unit=self.units.get("positions"))]
        cell, pbc = (self._of_all(name, arrays, first, last) for name in ("cell", "pbc"))
        periodicity(raw, cell, pbc, self.units.get("cell"))
        for key, label in self.labels.items():
            self._add(raw, key, label, arrays, (first, last), rows)
        if self.left:
            sentence = (
                f"left out: {said_where(self.left)}, with a row neither for each atom nor for each structure"
            )
            raw.remarks[sentence] = np.ones(m, dtype=bool)
        return raw

    def _grid(
        self, arrays: Mapping[str, StoredArray], first: int, last: int, faults: dict[str, NDArray[np.bool_]]
    ) -> tuple[NDArray[Any], NDArray[np.int64] | None, NDArray[np.int64]]:
        """Return atomic numbers of a block of a grid, which places have an atom, and how many."""
        m, width = last - first, self.width or 0
        z = self.shared.get("numbers")
        known = arrays[self.places["numbers"]].rows(first, last) if z is None else z
        z = np.broadcast_to(known, (m, width))
        full = z != 0 if z.dtype.kind in "iuf" else _texts(z)
        counts = full.sum(axis=1, dtype=np.int64)
        if self.counts is not None:
            said = self.counts[first:last]
            full = np.arange(width) < said[:, None]
            here = (z != 0 if z.dtype.kind in "iuf" else _texts(z)) != full
            wrong = here.any(axis=1)
            if wrong.any():
                i = int(np.argmax(wrong))
                faults[f"it is said to have {said[i]} atoms, and has {counts[i]} atomic numbers"] = wrong
            counts = said
        if full.all():
            return z.reshape(-1), None, counts
        there = np.flatnonzero(full.reshape(-1))
        return z.reshape(-1)[there], there, counts

    def _of_all(
        self, name: str, arrays: Mapping[str, StoredArray], first: int, last: int
    ) -> NDArray[Any] | None:
        if name in self.shared:
            return np.broadcast_to(self.shared[name], (last - first, *self.shared[name].shape))
        return arrays[self.places[name]].rows(first, last) if name in self.places else None

    def _add(
        self,
        raw: Raw,
        key: str,
        label: Label,
        arrays: Mapping[str, StoredArray],
        where: tuple[int, int],
        rows: Callable[[StoredArray], NDArray[Any]],
    ) -> None:
        """Add a label to a block."""
        columns = raw.atom if label.level == ATOM else raw.structure
        if label.fault is not None:
            raw.structure[label.name] = [RawColumn(np.zeros(len(raw.n_atoms)), fault=label.fault)]
            return
        values = rows(arrays[key]) if label.level == ATOM else arrays[key].rows(*where)
        present = None if label.mask is None else arrays[label.mask].rows(*where).astype(bool).reshape(-1)
        if values.dtype == np.uint64:
            if values.size and values.max() >= 2**63:
                reason = f"{label.name} has {values.max()}, which is too large for int64"
                raw.structure[label.name] = [RawColumn(np.zeros(len(raw.n_atoms)), fault=reason)]
                return
            values = values.astype(np.int64)
        if label.sign != 1.0:
            values = label.sign * values
        if label.level == ATOM:
            made = rows_of_atoms(label.name, values, counts_to_offsets(raw.n_atoms))
            for column in made:
                column.present = present if column.present is None else column.present
        else:
            made = rows_of_structures(label.name, values, present)
        for column in made:
            column.unit = label.unit if column.texts is None else None
        if made:
            columns[label.name] = made


def _texts(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which texts are not empty."""
    there: NDArray[np.bool_] = (
        values.astype(bool) if values.dtype.kind == "O" else values != values.dtype.type()
    )
    return there


def _of_grid(
    first: int, last: int, width: int, there: NDArray[np.int64] | None
) -> Callable[[StoredArray], NDArray[Any]]:
    """Return what reads the rows of the atoms of a block out of a grid."""

    def rows(array: StoredArray) -> NDArray[Any]:
        values = array.rows(first, last)
        values = values.reshape((last - first) * width, *values.shape[2:])
        return values if there is None else values.take(there, axis=0)

    return rows
