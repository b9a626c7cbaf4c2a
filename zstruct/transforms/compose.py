"""Several transforms as one, and whatever users give in place of a transform.

Random ones draw by their place in the list, so that two of the same seed differ.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self

from zstruct.arguments import shown
from zstruct.batch.packed import PackedBatch
from zstruct.errors import ArgumentTypeError
from zstruct.keywords import keywords
from zstruct.schema import Field
from zstruct.transforms.transform import OnSample, Transform

__all__ = ["Compose", "as_transform", "steps_of"]


@keywords()
class Compose(Transform):
    """Several transforms, one after the other.

    Parameters
    ----------
    transforms
        Transforms, or anything that `as_transform` takes. Random ones draw different numbers at
        different places, also with the same seed.

    Examples
    --------
    >>> from zstruct.transforms import Center, Wrap
    >>> Compose([Wrap(), Center(periodic=True, p=0.5)])
    Compose([Wrap(eps=1e-07, p=1.0, seed=0), \
Center(weights='mean', at='origin', periodic=True, p=0.5, seed=0)])
    """

    def __init__(self, transforms: Iterable[Any]):
        listed = isinstance(transforms, Iterable) and getattr(transforms, "ndim", 1) > 0
        if not listed or isinstance(transforms, str | bytes | Mapping):
            raise ArgumentTypeError(f"Compose takes a list of transforms, not {shown(transforms)}")
        self.transforms = tuple(as_transform(t)._placed((k,)) for k, t in enumerate(list(transforms)))

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Apply all transforms; see `Transform.on_batch`."""
        for transform in self.transforms:
            batch = transform.on_batch(batch, epoch)
        return batch

    def bound(self, fields: Mapping[str, Field], extras: Collection[str] = ()) -> Self:
        """Return the transforms for batches of a store; see `Transform.bound`."""
        return self._with(t.bound(fields, extras) for t in self.transforms)

    def _waits(self, computes: bool) -> bool:
        return any(transform._waits(computes) for transform in self.transforms)

    def _placed(self, place: tuple[int, ...]) -> Self:
        return self._with(t._placed((*place, k)) for k, t in enumerate(self.transforms))

    def _with(self, transforms: Iterable[Transform]) -> Self:
        changed = copy.copy(self)
        changed.transforms = tuple(transforms)
        return changed


@keywords()
def as_transform(what: Any) -> Transform:
    """Return a transform for what users may give in place of one.

    Parameters
    ----------
    what
        A transform; a function of samples (see `OnSample`); a list of these (see `Compose`); or
        None, which changes nothing.

    Raises
    ------
    TypeError
        If it is anything else.

    Examples
    --------
    >>> as_transform(None)
    Compose([])
    """
    if isinstance(what, Transform):
        return what
    if what is None:
        return Compose([])
    if isinstance(what, list | tuple):
        return Compose(what)
    if callable(what):
        return OnSample(what)
    raise TypeError(f"a transform is a Transform, a function of samples, or a list of these, not {what!r}")


def steps_of(transform: Transform) -> list[Transform]:
    """Return transforms one by one, those of lists in lists, too."""
    if type(transform) is not Compose:  # whoever made a class of it may do otherwise
        return [transform]
    return [step for inner in transform.transforms for step in steps_of(inner)]
