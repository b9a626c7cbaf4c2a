"""Fingerprints of structures: a few numbers each, which like structures share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.geometry.structures import Structures
from zstruct.progress import Runner
from zstruct.similarity.chosen import Chosen
from zstruct.similarity.kernels.fingerprints import LENGTH, fingerprint

__all__ = ["Fingerprints", "fingerprints", "fingerprints_of", "read_only"]

_PIECE_ATOMS = 1 << 20  # that one task looks at


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Those of some structures.

    Parameters
    ----------
    values
        Lengths in angstrom that change by no more than twice as much as atoms are displaced, shape
        (n, 16), float32. The first is NaN if a structure can't be compared with any.
    kinds
        The same number for structures of the same composition, shape (n,), uint64.
    """

    values: NDArray[np.float32]
    kinds: NDArray[np.uint64]

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


def fingerprints(parts: Sequence[Chosen], runner: Runner) -> Fingerprints:
    """Return the fingerprints of structures of stores, one store after the other."""
    pieces = [_Piece(part, *ends) for part in parts for ends in part.pieces(_PIECE_ATOMS)]
    sizes = [piece.stop - piece.start for piece in pieces]
    edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    values, kinds = np.empty((edges[-1], LENGTH), np.float32), np.empty(edges[-1], np.uint64)
    runner.begin("fingerprints", sum(sizes), 0)
    for k, found in runner.run(_look, pieces, sizes):
        values[edges[k] : edges[k + 1]], kinds[edges[k] : edges[k + 1]] = found.values, found.kinds
    return Fingerprints(values, kinds)


def fingerprints_of(geometry: Structures) -> Fingerprints:
    """Return the fingerprints of structures in memory."""
    n = len(geometry.offsets) - 1
    values, kinds = np.empty((n, LENGTH)), np.empty(n, np.uint64)
    sizes = np.diff(geometry.offsets)
    # Seconds that Python takes for a structure and for a pair, by measurement.
    kernel = fingerprint.for_work(1e-3 * n + 5e-6 * float((sizes * sizes).sum()))
    kernel(*read_only(geometry), values, kinds)
    return Fingerprints(values.astype(np.float32), kinds)


def read_only(structures: Structures) -> tuple[NDArray[Any], ...]:
    """Return the arrays of structures as kernels take them: for writable ones they were compiled again."""
    found = structures.offsets, structures.numbers, structures.positions, structures.cells, structures.pbc
    views = tuple(array.view() for array in found)
    for view in views:
        view.flags.writeable = False
    return views


def _look(piece: _Piece) -> Fingerprints:
    return fingerprints_of(piece.part.read(piece.part.numbered(np.arange(piece.start, piece.stop))))
