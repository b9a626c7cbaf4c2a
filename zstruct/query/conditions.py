"""Conditions, as they are asked of many structures at once.

A condition says for which structures it certainly holds, and what its opposite is. The opposite of a
comparison is a comparison, and neither holds where a value is missing: so `not` needs no third truth value.
What is dear to read is read last, and only for the structures that are not decided yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct.query.arithmetic import compared, is_missing, is_one_of
from zstruct.query.block import Block
from zstruct.query.values import COLUMN, Value

__all__ = [
    "All",
    "Anyone",
    "Compare",
    "Condition",
    "Constant",
    "Flag",
    "Given",
    "IsNumber",
    "IsText",
    "SameText",
    "Unless",
]

_OPPOSITE = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}


class Condition(Protocol):
    """What holds for a structure, or does not, or nobody knows."""

    @property
    def cost(self) -> int:
        """How dear it is to ask, compared with others."""

    def holds(self, block: Block, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for which of some structures it certainly holds."""

    def opposite(self) -> Condition:
        """Return what certainly holds where this certainly does not."""


@dataclass(frozen=True, slots=True)
class Constant:
    """What holds for all structures, or for none."""

    value: bool
    cost: int = 0

    def holds(self, block: Block, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return its value for each structure."""
        return np.full(len(which), self.value)

    def opposite(self) -> Condition:
        """Return the other value."""
        return Constant(not self.value)


@dataclass(frozen=True, slots=True)
class All:
    """All of some conditions; those that come later are asked about fewer and fewer structures."""

    conditions: tuple[Condition, ...]

    @property
    def cost(self) -> int:
        """That of the dearest."""
        return max((one.cost for one in self.conditions), default=0)

    def holds(self, block: Block, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for which structures all hold."""
        left = np.arange(len(which))
        for one in sorted(self.conditions, key=_cost):
            if len(left) == 0:
                break
            left = left[one.holds(block, which[left])]
        found = np.zeros(len(which), dtype=bool)
        found[left] = True
        return found

    def opposite(self) -> Condition:
        """Return that any does not hold."""
        return Anyone(tuple(one.opposite() for one in self.conditions))


@dataclass(frozen=True, slots=True)
class Anyone:
    """Any of some conditions; those that come later are asked about fewer and fewer structures."""

    conditions: tuple[Condition, ...]

    @property
    def cost(self) -> int:
        """That of the dearest."""
        return max((one.cost for one in self.conditions), default=0)

    def holds(self, block: Block, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for which structures any holds."""
        found = np.zeros(len(which), dtype=bool)
        for one in sorted(self.conditions, key=_cost):
            left = np.flatnonzero(~found)
            if len(left) == 0:
                break
            found[left] = one.holds(block, which[left])
        return found

    def opposite(self) -> Condition:
        """Return that none holds."""
        return All(tuple(one.opposite() for one in self.conditions))


@dataclass(frozen=True, slots=True)
class Compare:
    """Two numbers, compared."""

    left: Value
    sign: str
    right: Value

    @property
    def cost(self) -> int:
        """That of both numbers."""
        return self.left.cost + self.right.cost

    def holds(self, block: Block, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return where both are given, and are as the sign says."""
        left, right = self.left.of(block, which), self.right.of(block, which)
        found = compared(self.sign, left, right)
        found = found & ~is_missing(left) & ~is_missing(right)
        return np.broadcast_to(found, len(which)).copy() if np.shape(found) != which.shape else found

    def opposite(self) -> Condition:
        """Return the comparison by the opposite sign."""
        return Compare(self.left, _OPPOSITE[self.sign], self.right)


@dataclass(frozen=True, slots=True)
class IsNumber:
    """Whether a number is one of some, all of them whole or all floats."""

    value: Value
    numbers: tuple[int, ...] | tuple[float, ...]
    negated: bool = False

    @property
    def cost(self) -> int:
        """That of the number."""
        return self.value.cost

    def holds(self, block: Block, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return where it is given, and is one of them, or none."""
        found = self.value.of(block, which)
        inside = is_one_of(found, np.array(self.numbers))
        return np.broadcast_to((inside ^ self.negated) & ~is_missing(found), len(which))

    def opposite(self) -> Condition:
        """Return that it is none of them, or one."""
        return IsNumber(self.value, self.numbers, not self.negated)


@dataclass(frozen=True, slots=True)
class IsText:
    """Whether the text of a field is one of some."""

    name: str
    texts: frozenset[str]
    negated: bool = False
    cost: int = COLUMN

    def holds(self, block: Block, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return where it is given, and is one of them, or none."""
        codes = block.rows(self.name)[which]
        inside = block.lookup.matches(self.name, self.texts)[codes]
        return (inside ^ self.negated) & (codes >= 0)

    def opposite(self) -> Condition:
        """Return that it is none of them, or one."""
        return IsText(self.name, self.texts, not self.negated)


@dataclass(frozen=True, slots=True)
class SameText:
    """Whether two fields have the same text."""

    name: str
    other: str
    negated: bool = False
    cost: int = 2 * COLUMN

    def holds(self, block: Block, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return where both are given, and are equal, or not."""
        codes, others = block.rows(self.name)[which], block.rows(self.other)[which]
        same = block.lookup.translation(self.name, self.other)[codes] == others
        return (same ^ self.negated) & (codes >= 0) & (others >= 0)

    def opposite(self) -> Condition:
        """Return that they are not, or are."""
        return SameText(self.name, self.other, not self.negated)


@dataclass(frozen=True, slots=True)
class Flag:
    """Whether a boolean field, or one component of it, is true, or false."""

    name: str
    component: tuple[int, ...] = ()
    value: bool = True
    cost: int = COLUMN

    def holds(self, block: Block, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return where it is given, and is as it should be."""
        found = block.field(self.name, which, self.component)
        as_it_should = np.not_equal(found.values, 0) ^ (not self.value)
        return np.asarray(as_it_should & ~is_missing(found))

    def opposite(self) -> Condition:
        """Return that it is the other."""
        return Flag(self.name, self.component, not self.value)


@dataclass(frozen=True, slots=True)
class Given:
    """Whether structures have a field, or a number; either this or its opposite holds."""

    what: str | Value
    cost: int
    negated: bool = False

    def holds(self, block: Block, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which have it, or lack it."""
        if isinstance(self.what, str):
            there = block.present(self.what, which)
        else:
            there = np.broadcast_to(~is_missing(self.what.of(block, which)), len(which))
        return there ^ self.negated

    def opposite(self) -> Condition:
        """Return that they lack it, or have it."""
        return Given(self.what, self.cost, not self.negated)


@dataclass(frozen=True, slots=True)
class Unless:
    """What holds wherever a condition does not certainly hold: a limit lets pass what has no value."""

    condition: Condition
    negated: bool = False

    @property
    def cost(self) -> int:
        """That of the condition."""
        return self.condition.cost

    def holds(self, block: Block, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return where the condition does not certainly hold, or does."""
        return ~self.condition.holds(block, which) ^ self.negated

    def opposite(self) -> Condition:
        """Return that the condition certainly holds, or does not."""
        return Unless(self.condition, not self.negated)


def _cost(condition: Condition) -> int:
    return condition.cost
