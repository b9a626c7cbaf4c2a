"""Which structures are trained on forces: a part of those that have them, another one in each epoch.

Derivatives of features cost far more than features: training on the forces of some structures at a
time is as good in the end. The choice is a pure function of seed and epoch, so that processes and
ranks agree without talking. This module knows nothing of batches' layouts.
"""

from __future__ import annotations

import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.packed import PackedBatch
from zstruct.errors import InputError
from zstruct.loading.dataset_options import Forces
from zstruct.random import permuted
from zstruct.store.store import Store

__all__ = ["USED", "ForcePolicy"]

#: The mask that says in batches which structures' forces are used.
USED = "use_forces"


class ForcePolicy:
    """Marks the structures of a batch whose forces are used.

    Parameters
    ----------
    store
        The store; structures without forces are never used.
    rows
        The structures that there are, None for all.
    forces
        Of how many, and how they are drawn.

    Raises
    ------
    InputError
        If the store has no forces.
    """

    def __init__(self, store: Store, rows: NDArray[np.int64] | None, forces: Forces):
        none = forces.fraction == 0 and forces.minimum == 0
        if "forces" not in store.fields and not none:
            raise InputError(f"training on forces needs some, and {store.path} has none")
        self.forces = forces
        self._has = np.zeros(store.n_structures, bool) if none else store.present("forces")
        self._choose_from(rows)

    def _choose_from(self, rows: NDArray[np.int64] | None) -> None:
        there = np.flatnonzero(self._has)
        self._there = there if rows is None else np.unique(rows[self._has[rows]])
        self._latest: tuple[int, NDArray[np.bool_]] | None = None

    def __repr__(self) -> str:
        every, fixed = self.forces.every, self.forces.sampling == "fixed"
        how = "others in every epoch" if every == 1 else f"others every {every} epochs"
        how = "the same" if fixed else how
        return f"forces of {self.n_used:,} of {len(self._there):,} structures, {how}"

    def among(self, rows: NDArray[np.int64]) -> Self:
        """Return the same policy for other structures of the store."""
        other = copy.copy(self)
        other._choose_from(rows)
        return other

    @property
    def n_used(self) -> int:
        """Structures whose forces are used in an epoch."""
        n = len(self._there)
        return min(n, max(round(self.forces.fraction * n), self.forces.minimum or 0))

    def used(self, epoch: int) -> NDArray[np.bool_]:
        """Return for every structure of the store whether its forces are used in an epoch."""
        drawing = 0 if self.forces.sampling == "fixed" else epoch // self.forces.every
        latest = self._latest
        if latest is None or latest[0] != drawing:
            used = np.zeros(len(self._has), dtype=bool)
            places = permuted(np.arange(self.n_used), len(self._there), self.forces.seed, drawing)
            used[self._there[places]] = True
            self._latest = latest = (drawing, used)
        return latest[1]

    def __call__(self, batch: PackedBatch, epoch: int) -> None:
        """Add the mask ``use_forces`` to a batch."""
        batch.columns[USED] = self.used(epoch)[batch.structures]
