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
from zstruct.query.block import Block, Which, part_of, size_of
from zstruct.query.values import ATOMS, COLUMN, Value

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

_MANY = 32  # times what is left is all, or more: it is not picked
_OPPOSITE = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}


class Condition(Protocol):
    """What holds for a structure, or does not, or nobody knows."""

    @property
    def cost(self) -> int:
        """How dear it is to ask, compared with others."""

    def holds(self, block: Block, which: Which) -> NDArray[np.bool_]:
        """Return for which of some structures it certainly holds."""

    def opposite(self) -> Condition:
        """Return what certainly holds where this certainly does not."""


@dataclass(frozen=True, slots=True)
class Constant:
    """What holds for all structures, or for none."""

    value: bool
    cost: int = 0

    def holds(self, block: Block, which: Which) -> NDArray[np.bool_]:
        """Return its value for each structure."""
        return np.full(size_of(which), self.value)

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

    def holds(self, block: Block, which: Which) -> NDArray[np.bool_]:
        """Return for which structures all hold."""
        return _narrowed(self.conditions, block, which, until=False)

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

    def holds(self, block: Block, which: Which) -> NDArray[np.bool_]:
        """Return for which structures any holds."""
        return _narrowed(self.conditions, block, which, until=True)

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

    def holds(self, block: Block, which: Which) -> NDArray[np.bool_]:
        """Return where both are given, and are as the sign says."""
        left, right = self.left.of(block, which), self.right.of(block, which)
        found = compared(self.sign, left, right)
        for value in (left, right):
            if value.missing is not None or self.sign == "!=":  # nothing else holds for NaN
                found = found & ~is_missing(value)
        n = size_of(which)
        return found if np.shape(found) == (n,) else np.broadcast_to(found, n).copy()

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

    def holds(self, block: Block, which: Which) -> NDArray[np.bool_]:
        """Return where it is given, and is one of them, or none."""
        found = self.value.of(block, which)
        inside = is_one_of(found, np.array(self.numbers))
        return np.broadcast_to((inside ^ self.negated) & ~is_missing(found), size_of(which))

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

    def holds(self, block: Block, which: Which) -> NDArray[np.bool_]:
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

    def holds(self, block: Block, which: Which) -> NDArray[np.bool_]:
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

    def holds(self, block: Block, which: Which) -> NDArray[np.bool_]:
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

    def holds(self, block: Block, which: Which) -> NDArray[np.bool_]:
        """Return which have it, or lack it."""
        if isinstance(self.what, str):
            there = block.present(self.what, which)
        else:
            there = np.broadcast_to(~is_missing(self.what.of(block, which)), size_of(which))
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

    def holds(self, block: Block, which: Which) -> NDArray[np.bool_]:
        """Return where the condition does not certainly hold, or does."""
        return ~self.condition.holds(block, which) ^ self.negated

    def opposite(self) -> Condition:
        """Return that the condition certainly holds, or does not."""
        return Unless(self.condition, not self.negated)


def _cost(condition: Condition) -> int:
    return condition.cost


def _narrowed(
    conditions: tuple[Condition, ...], block: Block, which: Which, *, until: bool
) -> NDArray[np.bool_]:
    """Return where all of some conditions hold; or, `until` one holds, where any does.

    The cheapest are asked first. Others are asked about what is not decided yet; about all, where that are
    many and it costs no more than a column: picking them would take longer.
    """
    n = size_of(which)
    found = np.full(n, not until)
    for k, one in enumerate(sorted(conditions, key=_cost)):
        n_left = n if k == 0 else n - np.count_nonzero(found) if until else np.count_nonzero(found)
        if n_left == 0:
            break
        if n_left == n or (one.cost < ATOMS and _MANY * n_left >= n):
            held = one.holds(block, which)
            found = found | held if until else found & held
        else:
            left = np.flatnonzero(found != until)
            found[left] = one.holds(block, part_of(which, left))
    return found
