"""Pairs of structures that are compared atom by atom, wherever their stores are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.geometry.structures import Structures
from zstruct.jit.arrays import read_only
from zstruct.similarity.arrays import arrays_of
from zstruct.similarity.chosen import Chosen, forces_together, together
from zstruct.similarity.fingerprints import Fingerprints
from zstruct.similarity.kernels.superposition import superpose
from zstruct.similarity.reduction import reduced

__all__ = ["WORK", "Numbered", "Pairs", "compare", "superposed"]

#: The most work for a pair, in atoms that are looked at for where another one came: some seconds.
WORK = 3e8


@dataclass(frozen=True, eq=False)
class Numbered:
    """Structures of several stores, counted through as their fingerprints are.

    Parameters
    ----------
    parts
        The stores.
    numbers
        Which structure each is, all counted through, shape (n,).
    which, at
        The number of the store of each, and its own there, each shape (n,).
    limits
        How far translations may displace atoms for its smaller cell, in angstrom, shape (n,); zero for a
        structure as it is.
    """

    parts: Sequence[Chosen]
    numbers: NDArray[np.int64]
    which: NDArray[np.int64]
    at: NDArray[np.int64]
    limits: NDArray[np.float64]

    @classmethod
    def of(cls, parts: Sequence[Chosen], prints: Fingerprints) -> Numbered:
        """Return the structures that fingerprints are of."""
        which = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        at = np.concatenate([part.numbered(np.arange(len(part))) for part in parts])
        own = prints.structures
        return cls(parts, own, which[own], at[own], prints.limits)

    def some(self, chosen: NDArray[np.int64]) -> Numbered:
        """Return some of them."""
        which, at = self.which[chosen], self.at[chosen]
        return Numbered(self.parts, self.numbers[chosen], which, at, self.limits[chosen])


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs that one task compares.

    Parameters
    ----------
    structures
        Those that are in some pair.
    first, second
        Two of them, each shape (n,).
    tolerance
        The largest displacement of an atom, in angstrom.
    forces
        Whether the forces on atoms are compared as well.
    """

    structures: Numbered
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    tolerance: float
    forces: bool

    @classmethod
    def of(
        cls, structures: Numbered, pairs: NDArray[np.int64], tolerance: float, forces: bool = False
    ) -> Pairs:
        """Return pairs, shape (n, 2), of all structures that there are."""
        used, places = np.unique(pairs, return_inverse=True)
        first, second = places.reshape(-1, 2).T.copy()
        return cls(structures.some(used), first, second, tolerance, forces)


def compare(pairs: Pairs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far atoms of pairs are displaced, and how much forces differ, as `superposed` does."""
    one = pairs.structures
    geometry = together(one.parts, one.which, one.at)
    forces = forces_together(one.parts, one.which, one.at) if pairs.forces else None
    return superposed(geometry, pairs.first, pairs.second, pairs.tolerance, one.limits, forces, WORK)


def superposed(
    geometry: Structures,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    tolerance: float,
    limits: NDArray[np.float64] | None = None,
    forces: NDArray[np.float64] | None = None,
    work: float = WORK,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far atoms are displaced when structures are brought upon others.

    Parameters
    ----------
    geometry
        The structures.
    first, second
        Pairs of them, each shape (n,).
    tolerance
        The largest displacement of an atom, in angstrom.
    limits
        How far translations may displace atoms for the smaller cells in which structures are compared, in
        angstrom; zero, or None, for structures as they are.
    forces
        Those on all atoms, shape (N, 3), NaN where there are none; None if they are not compared.
    work
        The most for a pair, in atoms that are looked at for where another one came.

    Returns
    -------
    displacements
        The largest one of an atom of each pair, in angstrom, shape (n,): of the first way to do it that is
        within the tolerance, or of that by which forces differ least; infinite where none is, and NaN where
        that was not known yet when the work was done. Of smaller
        cells all atoms are compared that come upon each other in crystals without an end.
    differences
        The largest difference of the forces on an atom, in their unit, shape (n,); NaN where there are none.
    """
    offsets, none = geometry.offsets, np.zeros((0, 3))
    spread, rows = none, None
    if limits is not None and limits.any():
        cells = reduced(geometry, limits)
        geometry, spread, rows = cells.structures, cells.spread, cells.rows
    if forces is None:
        forces = none
    elif rows is not None:
        forces = forces[rows]
    copies: list[NDArray[Any]] = [read_only(array) for array in (offsets, spread, forces)]
    found, differences = np.empty(len(first)), np.empty(len(first))
    superpose(first, second, *arrays_of(geometry), float(tolerance), float(work), *copies, found, differences)
    return found, differences
