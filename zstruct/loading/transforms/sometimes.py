"""`RandomApply`: a transform for some structures of a batch, chosen at random."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.loading.batch import PackedBatch, Pairs
from zstruct.loading.transforms.base import Transform, as_transform, indices, seed_of
from zstruct.loading.transforms.kernels import keys_of
from zstruct.ragged import chosen_rows, counts_to_offsets
from zstruct.schema import Field

__all__ = ["RandomApply"]


class RandomApply(Transform):
    """Applies a transform to each structure with some probability.

    A mask that the transform adds, such as ``stale``, is false for the others.

    Parameters
    ----------
    transform
        A transform, or anything that `as_transform` takes. It may add masks, but no other fields, and
        leaves shapes and dtypes as they are.
    probability
        That a structure is transformed.
    seed
        Chooses which, with the epoch and the index of the structure.

    Raises
    ------
    ValueError
        If `probability` is none.

    Examples
    --------
    >>> from zstruct.loading.transforms import AddNoise
    >>> RandomApply(AddNoise(0.05), probability=0.25)
    RandomApply(AddNoise(std=0.05, fields=('positions',), seed=0), probability=0.25, seed=0)
    """

    def __init__(self, transform: Any, probability: float = 0.5, seed: int = 0):
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"probability is between 0 and 1, not {probability}")
        self.transform = as_transform(transform)._placed((0,))
        self.probability, self.seed = probability, seed_of(seed)

    def __repr__(self) -> str:
        return f"RandomApply({self.transform!r}, probability={self.probability}, seed={self.seed})"

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Transform some structures; see `Transform.on_batch`."""
        keys = np.empty(len(batch), np.uint64)
        keys_of(indices(batch), self._stream(self.seed, epoch), keys)
        chosen = np.flatnonzero((keys >> np.uint64(11)) * 2.0**-53 < self.probability)
        # Also where nobody is: one structure tells which masks there are, and is thrown away.
        one = chosen if len(chosen) else np.arange(min(1, len(batch)))
        part = self.transform.on_batch(_taken(batch, one), epoch)
        for name in part.columns.keys() - batch.columns.keys():
            column = part.columns[name]
            if column.dtype != np.bool_ or name in part.per_atom:
                raise ValueError(f"RandomApply can't add {name} to some structures only, as it is no mask")
            batch.columns[name] = np.zeros((len(batch), *column.shape[1:]), np.bool_)
        if len(chosen):
            _put(batch, chosen, part)
        return batch

    def bound(self, fields: Mapping[str, Field], extras: Collection[str] = ()) -> Self:
        """Return the transform for batches of a store; see `Transform.bound`."""
        bound = super().bound(fields, extras)
        bound.transform = self.transform.bound(fields, extras)
        return bound

    def _waits(self, computes: bool) -> bool:
        return self.transform._waits(computes)

    def _placed(self, place: tuple[int, ...]) -> Self:
        placed = super()._placed(place)
        placed.transform = self.transform._placed((*place, 0))
        return placed


def _taken(batch: PackedBatch, chosen: NDArray[np.int64]) -> PackedBatch:
    """Return a batch of some structures, in memory of its own."""
    rows, counts = chosen_rows(batch.offsets, chosen)
    pairs = []
    offsets = counts_to_offsets(counts)
    for p in batch.pairs:
        some, lengths = chosen_rows(p.offsets, chosen)
        moved = np.repeat(offsets[:-1] - batch.offsets[chosen], lengths)
        columns = {name: column[some] for name, column in p.columns.items()}
        pairs.append(Pairs(p.name, counts_to_offsets(lengths), p.index[:, some] + moved, columns))
    return replace(
        batch,
        structures=indices(batch)[chosen],
        offsets=offsets,
        n_atoms=counts,
        batch=np.repeat(np.arange(len(chosen)), counts),
        columns={n: c[rows] if n in batch.per_atom else c[chosen] for n, c in batch.columns.items()},
        pairs=tuple(pairs),
    )


def _put(batch: PackedBatch, chosen: NDArray[np.int64], part: PackedBatch) -> None:
    """Put some structures back into a batch."""
    rows, _ = chosen_rows(batch.offsets, chosen)
    if not np.array_equal(part.n_atoms, batch.n_atoms[chosen]):
        raise ValueError("RandomApply can't change how many atoms structures have")
    for name, column in part.columns.items():
        old = batch.columns[name]
        if column.dtype != old.dtype or column.shape[1:] != old.shape[1:]:
            raise ValueError(f"RandomApply can't change the shape or dtype of {name} in some structures only")
        if not old.flags.writeable:
            batch.columns[name] = old = old.copy()
        old[rows if name in batch.per_atom else chosen] = column
    for whole, some in zip(batch.pairs, part.pairs, strict=True):
        places, _ = chosen_rows(whole.offsets, chosen)
        for name, column in some.columns.items():
            whole.columns[name][places] = column
