"""Transforms of positions that change no distance: atoms wrapped into their cells, structures centred.

Energies and forces stay right, and so do edges.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import real, shown
from zstruct.batch.packed import PackedBatch
from zstruct.errors import ArgumentTypeError
from zstruct.keywords import keywords
from zstruct.schema import Field
from zstruct.transforms.kernels import wrap
from zstruct.transforms.random_streams import seed_of
from zstruct.transforms.subset import on_some, probability
from zstruct.transforms.transform import Transform, column_of, flat

__all__ = ["Center", "Wrap"]


@keywords()
@dataclass(frozen=True, eq=False)
class Wrap(Transform):
    """Moves atoms into their cells, along the lattice vectors that are periodic.

    ``edge_shift`` is corrected, so that vectors between neighbours stay what they were.

    Parameters
    ----------
    eps
        How far outside an atom may stay, in parts of the cell: as in `ase.geometry.wrap_positions`, an
        atom at -1e-12 is not sent to the other side.
    p, seed
        The probability that a structure is wrapped, and what chooses which, with the epoch.

    Raises
    ------
    ValueError
        If there are no positions, cells or periodic directions.

    Examples
    --------
    >>> cell, pbc = np.eye(3) * 4.0, np.array([True, True, False])
    >>> atom = {"positions": np.array([[5.0, -1.0, 9.0]]), "cell": cell, "pbc": pbc}
    >>> Wrap()(atom)["positions"]
    array([[1., 3., 9.]])
    """

    eps: float = 1e-7
    p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        eps = real("eps", self.eps)
        if eps is None or not math.isfinite(eps):
            raise ValueError(f"eps is a part of the cell, not {self.eps}")
        object.__setattr__(self, "p", probability(self.p))
        object.__setattr__(self, "seed", seed_of(self.seed))

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Wrap periodic structures; see `Transform.on_batch`."""
        return on_some(batch, self.p, self._stream(self.seed, epoch, "p"), self._wrap)

    def _wrap(self, batch: PackedBatch) -> PackedBatch:
        positions = column_of(self, batch, "positions")
        cells, periodic = _cells(self, batch), _periodic(self, batch)
        moved = np.empty((len(positions), 3))
        inverses, values = _inverses(cells), flat(batch.columns, "positions")
        wrap(values, batch.offsets, cells, inverses, periodic, float(self.eps), moved.reshape(-1))
        for pairs in batch.pairs:
            if "edge_shift" in pairs.columns:
                shift = pairs.columns["edge_shift"]
                shift += (moved[pairs.index[1]] - moved[pairs.index[0]]).astype(shift.dtype)
        return batch

    def _check(self, fields: Mapping[str, Field], extras: Collection[str]) -> None:
        _need(self, fields, ("positions", "cell", "pbc"))


@keywords()
@dataclass(frozen=True, eq=False)
class Center(Transform):
    """Moves each structure so that its centre is at the origin, or in the middle of its cell.

    Dipole moments stay as they are, although those of charged structures depend on the origin.

    Parameters
    ----------
    weights
        ``"mean"``: the mean of all positions. ``"mass"``: the centre of mass, with standard masses
        where ``masses`` are not given.
    at
        ``"origin"``, or ``"cell"``: the middle of the cell, which is the origin where there is none.
    periodic
        Whether to move periodic structures as well. By default they stay: where they begin has no
        meaning, and the mean of their atoms depends on the images chosen.
    p, seed
        The probability that a structure is moved, and what chooses which, with the epoch.

    Raises
    ------
    ValueError
        If an option is none of these, or if what it needs is not there.

    Examples
    --------
    >>> Center()({"positions": np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0]])})["positions"]
    array([[ 0. ,  0. , -0.5],
           [ 0. ,  0. ,  0.5]])
    """

    weights: Literal["mean", "mass"] = "mean"
    at: Literal["origin", "cell"] = "origin"
    periodic: bool = False
    p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", probability(self.p))
        object.__setattr__(self, "seed", seed_of(self.seed))
        if not isinstance(self.periodic, bool | np.bool_):
            raise ArgumentTypeError(f"periodic is True or False, not {shown(self.periodic)}")
        texts = isinstance(self.weights, str) and isinstance(self.at, str)
        if not texts or self.weights not in ("mean", "mass") or self.at not in ("origin", "cell"):
            raise ValueError(
                "weights is 'mean' or 'mass' and at is 'origin' or 'cell', "
                f"not {shown(self.weights)} and {shown(self.at)}"
            )

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Centre structures; see `Transform.on_batch`."""
        return on_some(batch, self.p, self._stream(self.seed, epoch, "p"), self._move)

    def _move(self, batch: PackedBatch) -> PackedBatch:
        positions = column_of(self, batch, "positions")
        weights = np.ones(len(positions)) if self.weights == "mean" else self._masses(batch)
        n = len(batch)
        total = np.maximum(np.bincount(batch.batch, weights, n), 1e-300)  # structures without atoms
        move = np.empty((n, 3))
        for k in range(3):
            move[:, k] = -np.bincount(batch.batch, weights * positions[:, k], n) / total
        if self.at == "cell":
            move += _cells(self, batch).sum(axis=1) / 2
        if "pbc" in batch.columns and not self.periodic:
            move[_periodic(self, batch).any(axis=1)] = 0.0
        positions += move[batch.batch].astype(positions.dtype)
        return batch

    def _masses(self, batch: PackedBatch) -> NDArray[np.float64]:
        from ase.data import atomic_masses

        standard = atomic_masses[column_of(self, batch, "numbers")]
        given = batch.columns.get("masses", np.full(len(standard), np.nan))
        return np.where(np.isnan(given), standard, given)

    def _check(self, fields: Mapping[str, Field], extras: Collection[str]) -> None:
        _need(self, fields, ("positions",))
        if self.weights == "mass":
            _need(self, fields, ("numbers",))
        if self.at == "cell":
            _need(self, fields, ("cell",))


def _need(transform: Transform, fields: Mapping[str, Field], names: tuple[str, ...]) -> None:
    if absent := [name for name in names if name not in fields]:
        raise ValueError(
            f"{type(transform).__name__} needs {', '.join(absent)}, but batches have only {', '.join(fields)}"
        )


def _cells(transform: Transform, batch: PackedBatch) -> NDArray[np.float64]:
    """Return the cells, zero where there is none."""
    cells = column_of(transform, batch, "cell").astype(np.float64)
    cells[np.isnan(cells).any(axis=(1, 2))] = 0.0
    return cells


def _periodic(transform: Transform, batch: PackedBatch) -> NDArray[np.bool_]:
    """Return which vectors are periodic; where nobody said so (NaN), they are not."""
    return column_of(transform, batch, "pbc") == 1


def _inverses(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what makes lattice coordinates of positions; missing vectors are orthogonal to the others."""
    inverses = np.zeros_like(cells)
    lengths = np.linalg.norm(cells, axis=2).prod(axis=1)
    full = np.abs(np.linalg.det(cells)) > 1e-12 * lengths
    inverses[full] = np.linalg.inv(cells[full])
    inverses[~full] = np.linalg.pinv(cells[~full])
    return inverses
