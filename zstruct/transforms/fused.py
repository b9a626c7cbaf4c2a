"""What the first transforms of all do to vectors of atoms, done while a gather copies them.

A batch that is turned and shaken afterwards is read and written once more; done on the way, the
arithmetic takes place while memory is waited for. The numbers are the same, to the last bit. Only
what a gather would copy as it is takes part; transforms do the rest to what has become of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.packed import PackedBatch
from zstruct.schema import Field
from zstruct.transforms.kernels import MIRROR, ROTATE, SHAKE, TURN, carry
from zstruct.transforms.noise import AddNoise
from zstruct.transforms.rotations import RandomReflection, RandomRotation, Turning, turn_all, turning
from zstruct.transforms.transform import Transform

__all__ = ["Carrying", "Motion", "motion_of"]

_NONE = np.uint64(0)


class Motion:
    """A rotation or reflection, noise after it, or both, for a gather to take along.

    Parameters
    ----------
    turn, shake
        The transforms.
    columns
        The columns to fill in, each with what to do to it (bits of `TURN` and `SHAKE`) and the numbers
        that an atom has in it.
    turns_more
        Whether others turn afterwards.
    rest
        The transforms that come after these.
    """

    def __init__(
        self,
        turn: RandomRotation | RandomReflection | None,
        shake: AddNoise | None,
        columns: Mapping[str, tuple[int, int]],
        turns_more: bool,
        rest: Sequence[Transform],
    ):
        self.names = tuple(columns)
        self.turned = frozenset(name for name, (action, _) in columns.items() if action & TURN)
        self.turn, self.shake, self.turns_more, self.rest = turn, shake, turns_more, tuple(rest)
        self.actions = np.array(list(columns.values()), np.int64)
        self.how = 0 if turn is None else ROTATE if isinstance(turn, RandomRotation) else MIRROR
        probability = turn.p if isinstance(turn, RandomReflection) else 1.0
        self.numbers = np.array([0.0 if shake is None else shake.std, probability])
        self._latest: tuple[int, NDArray[np.uint64]] | None = None
        self._compiled: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_compiled": None}

    @property
    def compiled(self) -> Any:
        """The kernel, found once: who asks for it each time waits for that, too."""
        if self._compiled is None:
            self._compiled = carry.compiled()
        return self._compiled

    def in_epoch(self, epoch: int) -> Carrying:
        """Return what carries it out for one batch of an epoch."""
        return Carrying(self, epoch)

    def streams(self, epoch: int) -> NDArray[np.uint64]:
        """Return the random streams of an epoch: of each column's noise, then of the matrices."""
        latest = self._latest
        if latest is None or latest[0] != epoch:
            turn, shake = self.turn, self.shake
            noise = [_NONE if shake is None else shake._stream(shake.seed, epoch, n) for n in self.names]
            matrices = _NONE if turn is None else turn._stream(turn.seed, epoch)
            self._latest = latest = (epoch, np.array([*noise, matrices], np.uint64))
        return latest[1]


class Carrying:
    """A motion in an epoch, for one batch: fills in its columns, and finishes it."""

    __slots__ = ("_epoch", "_matrices", "_motion", "names")

    def __init__(self, motion: Motion, epoch: int):
        self._motion, self._epoch, self.names = motion, epoch, motion.names

    def __call__(
        self,
        n: int,
        head: NDArray[np.int64],
        body: NDArray[np.uint8],
        columns: NDArray[np.int64],
        whose: NDArray[np.int64],
    ) -> None:
        """Fill in the columns; see `zstruct.loading.gather.column_writer.ColumnWriter`."""
        motion = self._motion
        self._matrices = np.empty((n if motion.how else 0, 3, 3))
        motion.compiled(
            columns, whose, motion.actions, motion.streams(self._epoch), motion.numbers, motion.how,
            self._matrices, n, head, body,
        )  # fmt: skip

    def finish(self, batch: PackedBatch) -> PackedBatch:
        """Return the batch with all else done that the transforms do."""
        motion = self._motion
        if motion.turn is not None and motion.turns_more:
            turn_all(motion.turn, batch, self._matrices, but=motion.turned)
        if motion.shake is not None:
            motion.shake.mark(batch)
        for transform in motion.rest:
            batch = transform.on_batch(batch, self._epoch)
        return batch


def motion_of(
    transforms: Sequence[Transform], fields: Mapping[str, Field], copied: Callable[[str], bool]
) -> Motion | None:
    """Return the motion that transforms begin with, if there is any.

    Parameters
    ----------
    transforms
        One after the other, bound to the fields.
    fields
        What batches have.
    copied
        Whether a gather copies a field as it is, per atom and in single precision.
    """
    # These very classes: one that somebody made of them may do otherwise.
    steps = list(transforms)
    turn: Any = steps.pop(0) if steps and _turns_on_the_way(steps[0]) else None
    turning_fields = {} if turn is None else _turning_fields(turn, fields)
    turned = {name for name, how in turning_fields.items() if _is_row(how, fields[name]) and copied(name)}
    afterwards = turning_fields.keys() - turned
    shake: Any = None
    if (
        steps
        and type(steps[0]) is AddNoise
        and steps[0].p >= 1.0
        and not afterwards.intersection(steps[0].fields)
    ):
        shake = steps.pop(0) if all(map(copied, steps[0].fields)) else None
    shaken = set() if shake is None else set(shake.fields)
    if not turned | shaken:
        return None
    columns = {
        name: (TURN * (name in turned) | SHAKE * (name in shaken), math.prod(known.shape))
        for name, known in fields.items()
        # Others are copied on the way, too, while noise is made.
        if name in turned | shaken or (shake is not None and copied(name))
    }
    return Motion(turn, shake, columns, bool(afterwards), steps)


def _turns_on_the_way(step: Transform) -> bool:
    """Return whether a transform is a turn that a gather can do; it knows of mirrors only who has one."""
    return type(step) is RandomReflection or (type(step) is RandomRotation and step.p >= 1.0)


def _turning_fields(
    turn: RandomRotation | RandomReflection, fields: Mapping[str, Field]
) -> dict[str, Turning]:
    """Return how fields turn, of those that do."""
    found = {
        name: turning(turn, name, known.shape) for name, known in fields.items() if known.kind == "float"
    }
    return {name: how for name, how in found.items() if how != "scalar"}


def _is_row(how: Turning, known: Field) -> bool:
    """Return whether a row of a field is one vector."""
    return how == "vector" and known.shape == (3,)
