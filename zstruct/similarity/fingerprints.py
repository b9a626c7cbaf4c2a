"""Fingerprints of structures: a few numbers each, which like structures share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zstruct.geometry.structures import Structures
from zstruct.progress import Runner
from zstruct.ragged import chosen_rows, counts_to_offsets
from zstruct.similarity.arrays import arrays_of
from zstruct.similarity.chosen import Chosen
from zstruct.similarity.kernels.fingerprints import LENGTH, fingerprint
from zstruct.similarity.reduction import reduced

__all__ = ["Fingerprints", "fingerprints", "fingerprints_of"]

_PIECE_ATOMS = 1 << 20  # that one task looks at


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Those of some structures, and behind them those of their smaller cells, if these are looked for.

    Parameters
    ----------
    values
        Lengths in angstrom that change by no more than twice as much as atoms are displaced, shape
        (n, 16), float32. The first is NaN if a structure can't be compared with any.
    kinds
        The same number for structures of the same composition, shape (n,), uint64.
    structures
        Which structure each is of, shape (n,), int64.
    limits
        How far translations may displace atoms for its smaller cell, in angstrom, shape (n,); zero for a
        structure as it is.
    """

    values: NDArray[np.float32]
    kinds: NDArray[np.uint64]
    structures: NDArray[np.int64]
    limits: NDArray[np.float64]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which of them can be compared, shape (n,)."""
        return np.isfinite(self.values[:, 0])


@dataclass(frozen=True, eq=False)
class _Piece:
    """A range of structures that one task looks at."""

    part: Chosen
    start: int
    stop: int
    limits: Sequence[float]


def fingerprints(parts: Sequence[Chosen], runner: Runner, limits: Sequence[float] = ()) -> Fingerprints:
    """Return the fingerprints of structures of stores, one store after the other.

    Parameters
    ----------
    parts
        The structures.
    runner
        Where they are looked at.
    limits
        How far translations may displace atoms, in angstrom, ascending: for each the smaller cells of those
        that have other ones by it have fingerprints, too.
    """
    pieces = [_Piece(part, *ends, limits) for part in parts for ends in part.pieces(_PIECE_ATOMS)]
    sizes = [piece.stop - piece.start for piece in pieces]
    edges = counts_to_offsets(sizes)
    values, kinds = np.empty((edges[-1], LENGTH), np.float32), np.empty(edges[-1], np.uint64)
    smaller = {}
    runner.begin("fingerprints", sum(sizes), 0)
    for k, found in runner.run(_look, pieces, sizes):
        n = sizes[k]
        values[edges[k] : edges[k + 1]], kinds[edges[k] : edges[k + 1]] = found.values[:n], found.kinds[:n]
        if len(found.kinds) > n:
            structures = found.structures[n:] + edges[k]
            smaller[k] = Fingerprints(found.values[n:], found.kinds[n:], structures, found.limits[n:])
    whole = Fingerprints(values, kinds, np.arange(edges[-1]), np.zeros(edges[-1]))
    return _joined([whole, *(smaller[k] for k in sorted(smaller))])


def fingerprints_of(geometry: Structures) -> Fingerprints:
    """Return the fingerprints of structures in memory."""
    n = len(geometry.offsets) - 1
    values, kinds = np.empty((n, LENGTH)), np.empty(n, np.uint64)
    sizes = np.diff(geometry.offsets)
    # Seconds that Python takes for a structure and for a pair, by measurement.
    kernel = fingerprint.for_work(1e-3 * n + 5e-6 * float((sizes * sizes).sum()))
    kernel(*arrays_of(geometry), values, kinds)
    return Fingerprints(values.astype(np.float32), kinds, np.arange(n), np.zeros(n))


def _look(piece: _Piece) -> Fingerprints:
    geometry = piece.part.read(piece.part.numbered(np.arange(piece.start, piece.stop)))
    found: list[Fingerprints] = []
    sizes = before = np.diff(geometry.offsets)
    smaller = np.ones(len(sizes), bool)
    for limit in reversed(piece.limits):  # what a larger one leaves as it is, a smaller one does, too
        cells = reduced(geometry, np.where(smaller, limit, 0.0)).structures
        left = np.diff(cells.offsets)
        smaller = left < sizes
        other = np.flatnonzero(smaller & (left != before))
        if len(other):
            prints = fingerprints_of(_some(cells, other))
            found.insert(0, Fingerprints(prints.values, prints.kinds, other, np.full(len(other), limit)))
        before = left
    return _joined([fingerprints_of(geometry), *found])


def _some(structures: Structures, which: NDArray[np.int64]) -> Structures:
    rows, sizes = chosen_rows(structures.offsets, which)
    numbers, positions = structures.numbers[rows], structures.positions[rows]
    return Structures(
        counts_to_offsets(sizes), numbers, positions, structures.cells[which], structures.pbc[which]
    )


def _joined(parts: Sequence[Fingerprints]) -> Fingerprints:
    if len(parts) == 1:
        return parts[0]
    columns = ("values", "kinds", "structures", "limits")
    return Fingerprints(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))
