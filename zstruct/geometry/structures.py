"""Structures packed end to end: what descriptors work on, made of whatever users have.

This module knows what atoms look like in ASE, in batches and in samples (by their attributes and
keys, it imports none of these), and nothing of descriptors or stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.keywords import keywords
from zstruct.ragged import counts_to_offsets

__all__ = ["Structures", "check_images"]

# Atoms this near the origin, in angstrom, are not too many periods outside any sensible cell.
_NEAR, _MOST_PERIODS = 1e6, 1 << 29
_FARTHEST = 1e9  # angstrom; farther out a double no longer says where an atom is, and squares overflow


@keywords()
@dataclass(frozen=True, eq=False)
class Structures:
    """Structures packed end to end, in the dtypes that kernels take, all C-contiguous.

    Parameters
    ----------
    offsets
        Row edges of the structures, shape (n + 1,), int64.
    numbers
        Atomic numbers, shape (N,), int64.
    positions
        In angstrom, shape (N, 3), float64. Nothing is wrapped into the cell.
    cells
        Cell vectors in rows, in angstrom, shape (n, 3, 3), float64; zero where there is no cell.
    pbc
        Which cell vectors are periodic, shape (n, 3), bool.
    """

    offsets: NDArray[np.int64]
    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cells: NDArray[np.float64]
    pbc: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_atoms(self) -> int:
        """Atoms of all structures together."""
        return len(self.numbers)

    def part(self, start: int, stop: int) -> Structures:
        """Return structures ``start:stop``; the arrays are views where they can be."""
        a, b = int(self.offsets[start]), int(self.offsets[stop])
        return Structures(
            self.offsets[start : stop + 1] - a,
            self.numbers[a:b],
            self.positions[a:b],
            self.cells[start:stop],
            self.pbc[start:stop],
        )

    @classmethod
    def of(cls, structures: Any) -> Structures:
        """Return structures packed, from any of what users have.

        Parameters
        ----------
        structures
            One ``ase.Atoms``; a mapping with ``numbers`` and ``positions``, and ``cell`` and ``pbc`` if
            there are any, such as a sample of a dataset; a batch in the graph layout (a mapping that has
            ``ptr`` too); a ``PackedBatch`` of a dataset; a `Structures`; or a sequence of any of the
            first two.

        Raises
        ------
        TypeError
            If it is anything else.
        ValueError
            If arrays do not fit together, an atomic number is no integer, a position is not finite,
            more than 1e9 angstrom from the origin or too far outside the cell, or a structure is periodic
            along cell vectors that it does not have, or that are longer than that.

        Examples
        --------
        >>> import ase.build
        >>> packed = Structures.of([ase.build.molecule("H2O"), ase.build.bulk("Cu")])
        >>> packed.offsets, packed.numbers, packed.pbc.any(axis=1)
        (array([0, 3, 4]), array([ 8,  1,  1, 29]), array([False,  True]))
        """
        if isinstance(structures, Structures):
            return structures
        if hasattr(structures, "columns") and hasattr(structures, "offsets"):
            return _of_columns(structures.offsets, structures.columns)
        if isinstance(structures, Mapping):
            if "ptr" in structures:
                return _of_columns(structures["ptr"], structures)
            return _of_parts([_one(structures)])
        if hasattr(structures, "numbers") and hasattr(structures, "positions"):
            return _of_parts([_one(structures)])
        if isinstance(structures, Sequence | Iterable) and not isinstance(structures, str | bytes):
            return _of_parts([_one(structure) for structure in structures])
        raise TypeError(
            "structures are ase.Atoms, mappings with numbers and positions, or batches, not "
            f"{type(structures)}"
        )

    @classmethod
    def of_arrays(
        cls,
        offsets: ArrayLike,
        numbers: ArrayLike,
        positions: ArrayLike,
        cells: ArrayLike | None = None,
        pbc: ArrayLike | None = None,
    ) -> Structures:
        """Return structures of arrays of any dtype; without cells or pbc nothing is periodic.

        Parameters
        ----------
        offsets, numbers, positions, cells, pbc
            As of the class.

        Raises
        ------
        ValueError
            If the arrays do not fit together, an atomic number is no integer, a position is not finite,
            more than 1e9 angstrom from the origin or too far outside the cell, or a structure is periodic
            along cell vectors that it does not have, or that are longer than that.
        """
        edges = np.ascontiguousarray(offsets, dtype=np.int64)
        n, given = len(edges) - 1, np.asarray(numbers)
        if given.dtype.kind not in "iu" and not (
            given.dtype.kind == "f" and np.array_equal(given, np.rint(given))
        ):
            raise ValueError(f"numbers are atomic numbers, integers, not {given.dtype} values")
        made = cls(
            edges,
            np.ascontiguousarray(given, dtype=np.int64),
            np.ascontiguousarray(positions, dtype=np.float64),
            np.zeros((n, 3, 3)) if cells is None else np.ascontiguousarray(cells, dtype=np.float64),
            np.zeros((n, 3), bool) if pbc is None else np.ascontiguousarray(pbc, dtype=np.bool_),
        )
        _check(made)
        return made


_Part = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def _one(structure: Any) -> _Part:
    """Return numbers, positions, cell and pbc of one structure."""
    if isinstance(structure, Mapping):
        get: Any = structure.get
    elif hasattr(structure, "numbers"):

        def get(name: str) -> Any:
            return getattr(structure, name, None)
    else:
        raise TypeError(f"a structure is an ase.Atoms or a mapping, not {type(structure)}")
    numbers, positions, cell, pbc = (get(name) for name in ("numbers", "positions", "cell", "pbc"))
    if numbers is None or positions is None:
        raise TypeError("a structure needs numbers and positions")
    # ASE's Cell becomes an array by itself; a missing cell in a sample is NaN.
    cell = np.zeros((3, 3)) if cell is None else np.nan_to_num(np.asarray(cell, dtype=np.float64))
    pbc = np.zeros(3, bool) if pbc is None else np.broadcast_to(np.asarray(pbc, dtype=np.bool_), 3)
    return np.asarray(numbers), np.asarray(positions), cell, pbc


def _of_parts(parts: list[_Part]) -> Structures:
    numbers, positions, cells, pbc = zip(*parts, strict=True) if parts else ((), (), (), ())
    for i, (z, r) in enumerate(zip(numbers, positions, strict=True)):
        if z.ndim != 1 or r.shape != (len(z), 3):
            raise ValueError(f"structure {i} has numbers of shape {z.shape}, but positions of {r.shape}")
    for i, cell in enumerate(cells):
        if cell.shape != (3, 3):
            raise ValueError(f"structure {i} has a cell of shape {cell.shape}, not three vectors in rows")
    return Structures.of_arrays(
        counts_to_offsets([len(z) for z in numbers]),
        np.concatenate([np.empty(0, np.int64), *numbers]),
        np.concatenate([np.empty((0, 3)), *positions]),
        np.array(cells, dtype=np.float64).reshape(-1, 3, 3),
        np.array(pbc, dtype=np.bool_).reshape(-1, 3),
    )


def _of_columns(offsets: Any, columns: Mapping[str, Any]) -> Structures:
    for name in ("numbers", "positions"):
        if name not in columns:
            raise TypeError(f"structures need {name}, and the batch has {', '.join(columns)}")
    cells, pbc = (np.asarray(columns[n]) if n in columns else None for n in ("cell", "pbc"))
    return Structures.of_arrays(
        np.asarray(offsets),
        np.asarray(columns["numbers"]),
        np.asarray(columns["positions"]),
        None if cells is None else np.nan_to_num(cells),
        pbc,
    )


def _check(made: Structures) -> None:
    n, rows = len(made), made.n_atoms
    shapes = {
        "positions": (made.positions.shape, (rows, 3)),
        "cells": (made.cells.shape, (n, 3, 3)),
        "pbc": (made.pbc.shape, (n, 3)),
    }
    for name, (shape, expected) in shapes.items():
        if shape != expected:
            raise ValueError(f"{name} of {n} structures with {rows} atoms have shape {shape}, not {expected}")
    if made.offsets[0] != 0 or made.offsets[-1] != rows or np.any(np.diff(made.offsets) < 0):
        raise ValueError(f"the offsets are not the edges of structures with {rows} atoms in all")

    def owner(row: int) -> int:
        return int(np.searchsorted(made.offsets, row, side="right")) - 1

    lost = np.flatnonzero(~np.isfinite(made.positions).all(axis=1))
    if len(lost):
        raise ValueError(f"structure {owner(int(lost[0]))} has positions that are not finite")
    _check_lengths(made)
    _check_periods(made.cells, made.pbc)
    check_images(made)


def _check_periods(cells: NDArray[np.float64], pbc: NDArray[np.bool_]) -> None:
    """Refuse periods along vectors that span nothing: there would be no end of neighbours."""
    vectors = np.where(pbc[:, :, None], cells, 0.0)
    lengths = np.sqrt((vectors * vectors).sum(axis=2))
    lost = np.flatnonzero(((lengths == 0) & pbc | ~np.isfinite(lengths)).any(axis=1))
    if len(lost):
        raise ValueError(f"structure {lost[0]} is periodic along a cell vector that it does not have")
    # The volume that the directions span; where one is not periodic, it is one across the others.
    units = vectors / np.where(pbc, lengths, 1.0)[:, :, None]
    gram = units @ units.transpose(0, 2, 1) + (np.eye(3) * ~pbc[:, None, :])
    flat = np.flatnonzero(np.linalg.det(gram) < 1e-12)
    if len(flat):
        raise ValueError(f"structure {flat[0]} is periodic along cell vectors that are not independent")


def check_images(made: Structures) -> None:
    """Refuse what no neighbour can be told of: lengths beyond measure, and atoms many periods outside.

    Atoms so far outside a periodic cell are meant that no shift of 32 bits brings them back.

    Raises
    ------
    ValueError
        If there is one; names the structure.
    """
    largest = _check_lengths(made)
    if largest <= _NEAR:
        return
    for i in np.flatnonzero(made.pbc.any(axis=1)).tolist():
        positions = made.positions[made.offsets[i] : made.offsets[i + 1]]
        periods = positions @ np.linalg.pinv(made.cells[i][made.pbc[i]])
        if np.abs(periods).max(initial=0) > _MOST_PERIODS:
            raise ValueError(
                f"structure {i} has an atom {np.abs(periods).max():.2g} periods outside its cell: wrap it "
                "into the cell"
            )


def _check_lengths(made: Structures) -> float:
    """Refuse lengths beyond measure; return the largest coordinate."""
    vectors = np.abs(made.cells).max(axis=2, where=made.pbc[:, :, None], initial=0)
    if vectors.max(initial=0) > _FARTHEST:
        i = int(np.flatnonzero((vectors > _FARTHEST).any(axis=1))[0])
        raise ValueError(
            f"structure {i} is periodic along a cell vector of more than {_FARTHEST:.0e} angstrom: check "
            "its units, or take away the period"
        )
    largest = float(np.abs(made.positions).max(initial=0))
    if largest > _FARTHEST:
        row = int(np.flatnonzero((np.abs(made.positions) > _FARTHEST).any(axis=1))[0])
        i = int(np.searchsorted(made.offsets, row, side="right")) - 1
        raise ValueError(
            f"structure {i} has an atom more than {_FARTHEST:.0e} angstrom from the origin: check its units"
        )
    return largest
