"""`Completion`: what is left to do to structures once they are gathered: transforms, features, edges.

Where several stores ask for the same, and it depends on nothing but a structure, it is done to structures of
all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from zstruct.batch.packed import PackedBatch
from zstruct.errors import InputError
from zstruct.loading.gather.column_writer import ColumnWriter
from zstruct.precision import narrowed
from zstruct.schema import Field

if TYPE_CHECKING:
    from zstruct.loading.derived.extras import Extras
    from zstruct.loading.gather.gather import Gather
    from zstruct.loading.gather.mixed import MixedGather
    from zstruct.transforms.fused import Motion
    from zstruct.transforms.transform import Transform

__all__ = ["Completion", "Writer"]

#: Whether a gather copies a field as it is, per atom and in single precision.
Copied = Callable[[str], bool]


class Writer(ColumnWriter, Protocol):
    """Does what the first transforms do while structures are gathered, and the rest afterwards."""

    def finish(self, batch: PackedBatch) -> PackedBatch:
        """Return the batch with all done to it that transforms do to what was gathered."""


class Completion:
    """Completes batches that were gathered.

    Parameters
    ----------
    before, after
        The transforms of what was gathered, and those that come last.
    extras
        What there is beside fields, where the gather does not bring all of it; None: nothing.
    hidden
        The columns that were gathered and are not wanted.
    casts
        Those that are wanted in another dtype, and in which.
    motion
        What a gather can do of the first transforms; None: nothing.
    """

    def __init__(
        self,
        before: Sequence[Transform],
        after: Sequence[Transform],
        extras: Extras | None,
        hidden: Sequence[str],
        casts: Mapping[str, np.dtype],
        motion: Motion | None,
    ):
        self.before, self.after, self.extras = tuple(before), tuple(after), extras
        self.hidden, self.casts, self.motion = tuple(hidden), dict(casts), motion

    @classmethod
    def of(
        cls,
        transform: Transform | None,
        fields: Mapping[str, Field],
        extras: Extras | None,
        hidden: Sequence[str],
        casts: Mapping[str, np.dtype],
        copied: Copied,
    ) -> Self:
        """Return what completes batches of a store.

        Parameters
        ----------
        transform
            What users ask for; None: nothing.
        fields
            The fields of batches.
        extras
            What there is beside fields; None: nothing.
        hidden, casts
            As for the class.
        copied
            Of each field.

        Raises
        ------
        InputError, ValueError
            If what there is can't be transformed.
        """
        rest = None if extras is None or extras.is_gathered else extras
        if transform is None:
            return cls((), (), rest, hidden, casts, None)
        from zstruct.transforms.compose import steps_of
        from zstruct.transforms.fused import motion_of

        computes, stored = (False, ()) if extras is None else (extras.computes, extras.stored_names)
        if computes and "deriv_values" in stored:
            raise InputError("stored derivatives can't be transformed beside what is computed: compute both")
        # What is computed has to see what transforms do, and what was stored has to change along.
        steps = steps_of(transform)
        last = next((k for k, step in enumerate(steps) if step._waits(computes)), len(steps))
        before = [step.bound(fields, stored) for step in steps[:last]]
        after = [step.bound(fields, () if extras is None else extras.names) for step in steps[last:]]
        motion = motion_of(before, fields, copied) if rest is None else None
        return cls(before, after, rest, hidden, casts, motion)

    def for_all(
        self,
        others: Sequence[Completion],
        fields: Mapping[str, Field],
        casts: Mapping[str, np.dtype],
        copied: Copied,
    ) -> Completion | None:
        """Return what does to structures of several stores what each store's own completion does to its own.

        Parameters
        ----------
        others
            The completions of the other stores; None is returned if they do anything else.
        fields, casts, copied
            Of all stores, as for `of`.
        """
        if all(one.is_idle for one in (self, *others)):
            return Completion((), (), None, (), casts, None)
        if not all(self._does_as(other) for other in others):
            return None
        before, after = ([step.bound(fields) for step in steps] for steps in (self.before, self.after))
        motion = None
        if before and self.extras is None:
            from zstruct.transforms.fused import motion_of

            motion = motion_of(before, fields, copied)
        return Completion(before, after, self.extras, self.hidden, casts, motion)

    def _does_as(self, other: Completion) -> bool:
        """Return whether it makes no difference to any structure which of the two completes it."""
        mine, theirs = (*self.before, *self.after), (*other.before, *other.after)
        if (len(self.before), len(mine)) != (len(other.before), len(theirs)):
            return False
        if self.extras is not None and not (other.extras is not None and self.extras.does_as(other.extras)):
            return False
        alike = self.hidden == other.hidden and self.casts == other.casts
        alike &= (self.extras is None) == (other.extras is None)
        return alike and all(one.does_as(two) for one, two in zip(mine, theirs, strict=True))

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do, but for columns that are wanted in another dtype."""
        return self.extras is None and not (self.before or self.after or self.hidden)

    def writer(self, gather: Gather | MixedGather, epoch: int) -> Writer | None:
        """Return what a gather is to call, and `__call__` to be told of; None unless it has all decoded."""
        if self.motion is None or not gather.everything:
            return None
        return self.motion.in_epoch(epoch)

    def __call__(self, batch: PackedBatch, epoch: int, writer: Writer | None = None) -> PackedBatch:
        """Return a batch that was gathered, completed.

        Parameters
        ----------
        batch
            The structures, each with its number in its own store.
        epoch
            What random transforms depend on.
        writer
            Took part in the gather; None: none did.
        """
        extras = self.extras
        if extras is not None and not extras.computes:
            batch = extras.complete(batch)
        if writer is not None:
            batch = writer.finish(batch)
        else:
            for step in self.before:
                batch = step.on_batch(batch, epoch)
        if extras is not None and extras.computes:
            batch = extras.complete(batch)
        for name in self.hidden:
            batch.columns.pop(name, None)  # a function may have left it out
        for name, kind in self.casts.items():
            if name in batch.columns:
                batch.columns[name] = narrowed(name, batch.columns[name], kind)
        if self.hidden:
            batch.per_atom -= set(self.hidden)
        for step in self.after:
            batch = step.on_batch(batch, epoch)
        return batch
