"""Neighbour lists of packed structures: whole, piece by piece, or by an object that holds the cutoff.

The public side of the kernels in `zstruct.geometry.kernels.neighbors`: it allocates what they fill.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown, whole
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.geometry.structures import Structures
from zstruct.jit.arrays import read_only
from zstruct.keywords import keywords
from zstruct.ragged import chosen_rows, counts_to_offsets

__all__ = [
    "PAIRS",
    "NeighborList",
    "Neighbors",
    "apart",
    "neighbor_list",
    "neighbor_pieces",
    "of_centres",
    "some",
    "together",
]

# Of a piece: 0.85 MB, which stay in a cache, as does most of what is computed for them; and what is
# that small is allocated from memory that the process has already.
PAIRS = 1 << 14
_FARTHEST = 1_000  # angstrom; periodic images would outnumber what memory holds, or integers count


@keywords()
@dataclass(frozen=True)
class NeighborList:
    """Full neighbour lists within a cutoff.

    Parameters
    ----------
    cutoff
        Neighbours are nearer than this, in angstrom.

    Raises
    ------
    InputError
        If the cutoff is not a positive number of at most 1,000 angstrom.

    Examples
    --------
    >>> import ase.build
    >>> neighbors = NeighborList(3.0).compute(ase.build.bulk("Cu"))
    >>> neighbors.n_pairs, neighbors.distances.round(3).max(), neighbors.shifts.sum(axis=0)
    (12, np.float64(2.553), array([0, 0, 0]))
    """

    cutoff: float

    def __post_init__(self) -> None:
        _check_cutoff(self.cutoff)
        object.__setattr__(self, "cutoff", float(self.cutoff))  # of numpy's numbers, JSON takes none

    def compute(self, structures: Any) -> Neighbors:
        """Return the neighbours of all atoms of anything that `Structures.of` takes, as `neighbor_list`."""
        return neighbor_list(Structures.of(structures), self.cutoff)


@keywords()
def neighbor_list(
    structures: Structures, cutoff: float, start: int = 0, stop: int | None = None
) -> Neighbors:
    """Return the neighbours of the atoms in packed rows ``start:stop``.

    Neighbours are images with distance < `cutoff`, as in ASE's ``neighbor_list``, where the
    distance is that of the vector returned. A pair is there from both of its ends, with exactly
    opposite vectors. An atom is a neighbour of its own images, never of itself; two atoms at the
    same place are neighbours.

    The neighbours of an atom come in the order in which the search meets them. It depends on the
    structure and the cutoff only, not on `start`, `stop` or on what else is packed.

    Parameters
    ----------
    structures
        Packed structures.
    cutoff
        In angstrom, positive, at most 1,000.
    start, stop
        Rows of atoms; all of them by default.

    Raises
    ------
    InputError
        If the cutoff is none of that, or there are no such rows.

    Examples
    --------
    >>> import ase.build
    >>> found = neighbor_list(Structures.of(ase.build.molecule("H2O")), 1.2)
    >>> found.centres, found.indices
    (array([0, 0, 1, 2]), array([1, 2, 0, 0]))
    """
    start, stop = _range(structures, start, stop)
    room = min(PAIRS, 64 * (stop - start))
    return _Search(structures, cutoff).find(start, stop, room, whole=True)


def neighbor_pieces(
    structures: Structures, cutoff: float, pairs: int = PAIRS, start: int = 0, stop: int | None = None
) -> Iterator[Neighbors]:
    """Yield the neighbours of the atoms in packed rows ``start:stop``, in pieces of about so many pairs.

    Together, in order, they are what `neighbor_list` returns. A piece has the neighbours of
    consecutive atoms, of many small structures or of a part of a large one; it has at least one
    atom, and no more than `pairs` pairs or atoms unless one atom has more neighbours. Any number of
    threads may each work on an iterator of their own.

    Parameters
    ----------
    structures
        Packed structures.
    cutoff
        In angstrom, as for `neighbor_list`.
    pairs
        Most pairs of a piece, 52 bytes each.
    start, stop
        Rows of atoms; all of them by default.

    Examples
    --------
    >>> import ase.build
    >>> water = Structures.of([ase.build.molecule("H2O")] * 3)
    >>> [(piece.start, len(piece), piece.n_pairs) for piece in neighbor_pieces(water, 1.2, pairs=7)]
    [(0, 4, 6), (4, 5, 6)]
    """
    row, stop = _range(structures, start, stop)
    search = _Search(structures, cutoff)
    while row < stop:
        piece = search.find(row, min(row + pairs, stop), pairs, whole=False)
        yield piece
        row += len(piece)


def _range(structures: Structures, start: int, stop: int | None) -> tuple[int, int]:
    """Return the first row of atoms and the one after the last, of those that there are."""
    if not isinstance(structures, Structures):
        raise ArgumentTypeError(f"structures are packed, by Structures.of, not {shown(structures)}")
    n = structures.n_atoms
    last = n if stop is None else whole("stop", stop, 0, n)
    return whole("start", start, 0, last) or 0, last


def _check_cutoff(cutoff: Any) -> None:
    number = isinstance(cutoff, int | float | np.number) and not isinstance(cutoff, bool)
    if not (number and not np.iscomplex(cutoff) and 0 < cutoff <= _FARTHEST):
        raise InputError(
            f"the cutoff of a neighbour list is a positive number of angstrom, at most {_FARTHEST:,}, "
            f"not {shown(cutoff)}"
        )


class _Search:
    """A search; it keeps the last structure laid out, so that its next atoms are done soon."""

    def __init__(self, structures: Structures, cutoff: float):
        _check_cutoff(cutoff)
        # Imported late: numba takes its time.
        from zstruct.geometry.kernels.neighbors import empty_space, search
        from zstruct.geometry.kernels.simd import SPARE

        arrays = (structures.offsets, structures.positions, structures.cells, structures.pbc)
        views = [read_only(array) for array in arrays]
        self._search: Any = search.for_work(lambda: _work(structures, cutoff))
        self._space, self._arguments, self._spare = empty_space(), (*views, float(cutoff)), SPARE

    def find(self, start: int, stop: int, room: int, whole: bool) -> Neighbors:
        """Return the neighbours of rows ``start:stop``, or of the first of them: those there is room for."""
        edges = np.zeros(stop - start + 1, np.int64)
        arrays = _allocate(room + self._spare)
        row, pairs = start, 0
        while True:
            row, pairs, self._space = self._search(
                *self._arguments, row, stop, pairs, self._space, edges[row - start + 1 :], *arrays
            )
            if row == stop or (not whole and row > start):
                break
            if not whole:
                stop = row + 1  # an atom with more neighbours than a piece is a piece
            # As many as atoms had so far, on the average; in any case half more.
            mean = pairs / max(1, row - start)
            room = max(int(1.05 * mean * (stop - start)), room + room // 2 + 16)
            larger = _allocate(room + self._spare)
            for old, new in zip(arrays, larger, strict=True):
                new[:pairs] = old[:pairs]
            arrays = larger
        # Copied only where much memory would be held in vain.
        fit = [a[:pairs] if 4 * pairs >= 3 * room else a[:pairs].copy() for a in arrays]
        return Neighbors(start, edges[: row - start + 1], *fit)


def _work(structures: Structures, cutoff: float) -> float:
    """Return the seconds that Python takes to find all neighbours, roughly; infinite where unclear."""
    sizes, periodic = np.diff(structures.offsets), structures.pbc.sum(axis=1)
    with np.errstate(all="ignore"):
        volumes = np.abs(np.linalg.det(structures.cells))
        around, images = 4.2 * cutoff**3 / volumes, (np.cbrt(volumes) + 2 * cutoff) ** 3 / volumes
        inside = sizes * sizes * 1e-4 * around + sizes * 3e-5 * images
    each = np.select([periodic == 0, periodic == 3], [sizes * sizes * 1e-5, inside], np.inf)
    seconds = float((1e-4 * sizes + each).sum())
    return seconds if np.isfinite(seconds) else np.inf


def _allocate(n: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    return np.empty(n, np.int64), np.empty((n, 3), np.int32), np.empty((n, 3)), np.empty(n)


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The neighbours of consecutive atoms of `Structures`, in CSR form.

    The neighbours of the atom in row ``start + a`` are pairs ``offsets[a] : offsets[a + 1]``. The
    list is full: each pair appears from both of its ends. The vector of a pair is
    ``positions[j] + shift @ cell - positions[i]``, with positions as they were given.

    Parameters
    ----------
    start
        Row of the first atom (centre) in the packed structures.
    offsets
        Pair edges of the m centres, shape (m + 1,), int64.
    indices
        Packed row of each neighbour, shape (p,), int64.
    shifts
        Cell vectors that separate the neighbour from its atom in the cell, shape (p, 3), int32.
    vectors
        From centre to neighbour in angstrom, shape (p, 3), float64.
    distances
        In angstrom, shape (p,), float64.
    """

    start: int
    offsets: NDArray[np.int64]
    indices: NDArray[np.int64]
    shifts: NDArray[np.int32]
    vectors: NDArray[np.float64]
    distances: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_pairs(self) -> int:
        """Pairs of all centres together."""
        return len(self.indices)

    @property
    def centres(self) -> NDArray[np.int64]:
        """Packed row of the centre of each pair, shape (p,)."""
        return np.repeat(np.arange(self.start, self.start + len(self)), np.diff(self.offsets))


_NONE = np.empty(0, np.int64)


def some(structures: Structures, chosen: NDArray[np.int64]) -> Structures:
    """Return some of packed structures."""
    rows, counts = chosen_rows(structures.offsets, chosen)
    return Structures(
        counts_to_offsets(counts),
        structures.numbers[rows],
        structures.positions[rows],
        structures.cells[chosen],
        structures.pbc[chosen],
    )


def apart(found: Neighbors, offsets: NDArray[np.int64]) -> list[tuple[Any, ...]]:
    """Return for each structure the neighbours of its atoms: how many, and the arrays of the pairs."""
    counts, edges = np.diff(found.offsets), found.offsets[offsets]
    made: list[tuple[Any, ...]] = []
    for i, (start, stop) in enumerate(itertools.pairwise(offsets.tolist())):
        pairs = slice(edges[i], edges[i + 1])
        parts = (found.shifts[pairs], found.vectors[pairs], found.distances[pairs])
        copies = (part.copy() for part in parts)
        made.append((counts[start:stop].copy(), found.indices[pairs] - start, *copies))
    return made


def together(parts: list[tuple[Any, ...]], offsets: NDArray[np.int64]) -> Neighbors:
    """Return the neighbours of structures end to end."""
    none = (_NONE, _NONE, np.empty((0, 3), np.int32), np.empty((0, 3)), np.empty(0))
    columns: list[Any] = [np.concatenate(arrays) for arrays in zip(none, *parts, strict=True)]
    counts, indices, shifts, vectors, distances = columns
    indices += np.repeat(offsets[:-1], [len(part[1]) for part in parts])
    return Neighbors(0, counts_to_offsets(counts), indices, shifts, vectors, distances)


def of_centres(found: Neighbors, chosen: NDArray[np.bool_]) -> Neighbors:
    """Return the neighbours of some atoms only; the others have none."""
    counts = np.diff(found.offsets)
    pairs = np.repeat(chosen, counts)
    return Neighbors(
        found.start,
        counts_to_offsets(np.where(chosen, counts, 0)),
        found.indices[pairs],
        found.shifts[pairs],
        found.vectors[pairs],
        found.distances[pairs],
    )
