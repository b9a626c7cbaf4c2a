"""`RandomApply`: a transform for some structures of a batch, chosen at random."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Self

from zstruct.batch.packed import PackedBatch
from zstruct.keywords import keywords
from zstruct.schema import Field
from zstruct.transforms.compose import as_transform
from zstruct.transforms.random_streams import seed_of
from zstruct.transforms.subset import on_some, probability
from zstruct.transforms.transform import Transform

__all__ = ["RandomApply"]


@keywords()
class RandomApply(Transform):
    """Applies a transform to each structure with some probability.

    A mask that the transform adds, such as ``stale``, is false for the others.

    Parameters
    ----------
    transform
        A transform, or anything that `as_transform` takes, such as a list. It may add masks, but no
        other fields, and leaves shapes and dtypes as they are.
    p
        The probability that a structure is transformed.
    seed
        Chooses which, with the epoch and the index of the structure.

    Raises
    ------
    ValueError
        If `p` is no probability.

    Examples
    --------
    >>> from zstruct.transforms import AddNoise
    >>> RandomApply(AddNoise(0.05), p=0.25)
    RandomApply(AddNoise(std=0.05, fields=('positions',), seed=0, p=1.0), p=0.25, seed=0)
    """

    def __init__(self, transform: Any, p: float = 0.5, seed: int = 0):
        self.p, self.seed = probability(p), seed_of(seed)
        self.transform = as_transform(transform)._placed((0,))

    def __repr__(self) -> str:
        return f"RandomApply({self.transform!r}, p={self.p}, seed={self.seed})"

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Transform some structures; see `Transform.on_batch`."""
        stream = self._stream(self.seed, epoch)
        return on_some(batch, self.p, stream, lambda part: self.transform.on_batch(part, epoch))

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
