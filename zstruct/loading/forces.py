"""Which structures are trained on forces: a part of those that have them, another one in each epoch.

Derivatives of features cost far more than features: training on the forces of some structures at a
time is as good in the end. The choice is a pure function of seed and epoch, so that processes and
ranks agree without talking. This module knows nothing of batches' layouts.
"""

from __future__ import annotations

import copy
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import real, shown, whole
from zstruct.batch.packed import PackedBatch
from zstruct.errors import ArgumentTypeError
from zstruct.random import permuted
from zstruct.store.store import Store

__all__ = ["USED", "ForcePolicy", "ForceSampling"]

ForceSampling = Literal["random", "fixed"]

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
    fraction
        Of the structures with forces, at least 0, which uses none, at most 1.
    sampling
        ``"random"``: others every `every` epochs; ``"fixed"``: always the same.
    every
        Epochs before others are drawn.
    minimum
        Structures to use at least, as far as there are so many; None: one, unless `fraction` is 0.
    seed
        Chooses which.

    Raises
    ------
    TypeError
        If a number is none.
    ValueError
        If a value makes no sense, or the store has no forces.
    """

    def __init__(
        self,
        store: Store,
        rows: NDArray[np.int64] | None,
        fraction: float,
        sampling: ForceSampling,
        every: int,
        minimum: int | None,
        seed: int,
    ):
        if not 0 <= real("force_fraction", fraction) <= 1:
            raise ValueError(f"force_fraction is at least 0 and at most 1, not {fraction!r}")
        minimum = int(fraction > 0) if minimum is None else minimum
        if not isinstance(sampling, str) or sampling not in ("random", "fixed"):
            raise ValueError(f"force_sampling is 'random' or 'fixed', not {shown(sampling)}")
        for name, value in (("force_resample_epochs", every), ("force_seed", seed)):
            if value is None:
                raise ArgumentTypeError(f"{name} is a whole number, not None")
        every, seed = whole("force_resample_epochs", every, 1), whole("force_seed", seed, 0)
        minimum = whole("force_min_structures", minimum, 0)
        none = fraction == 0 and minimum == 0
        if "forces" not in store.fields and not none:
            raise ValueError(f"force_fraction needs forces, and {store.path} has none")
        self.fraction, self.sampling, self.every = fraction, sampling, every
        self.minimum, self.seed = minimum, seed
        self._has = np.zeros(store.n_structures, bool) if none else store.present("forces")
        self._choose_from(rows)

    def _choose_from(self, rows: NDArray[np.int64] | None) -> None:
        there = np.flatnonzero(self._has)
        self._there = there if rows is None else np.unique(rows[self._has[rows]])
        self._latest: tuple[int, NDArray[np.bool_]] | None = None

    def __repr__(self) -> str:
        how = "the same" if self.sampling == "fixed" else f"others every {self.every} epochs"
        how = "others in every epoch" if self.sampling == "random" and self.every == 1 else how
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
        return min(n, max(round(self.fraction * n), self.minimum))

    def used(self, epoch: int) -> NDArray[np.bool_]:
        """Return for every structure of the store whether its forces are used in an epoch."""
        drawing = 0 if self.sampling == "fixed" else epoch // self.every
        latest = self._latest
        if latest is None or latest[0] != drawing:
            used = np.zeros(len(self._has), dtype=bool)
            places = permuted(np.arange(self.n_used), len(self._there), self.seed, drawing)
            used[self._there[places]] = True
            self._latest = latest = (drawing, used)
        return latest[1]

    def __call__(self, batch: PackedBatch, epoch: int) -> None:
        """Add the mask ``use_forces`` to a batch."""
        batch.columns[USED] = self.used(epoch)[batch.structures]
