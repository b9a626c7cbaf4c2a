"""What depends on the formula of a structure alone is asked of each formula once, not of each structure.

These are the numbers of atoms of elements, of all atoms, and of elements. A store has few formulas, and a
small code for each structure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.query.block import Block, Lookup, Which
from zstruct.query.conditions import All, Anyone, Compare, Condition, Constant, Given, IsNumber, Unless
from zstruct.query.formulas import Formulas
from zstruct.query.table import Atoms, Table
from zstruct.query.values import COLUMN, Absolute, Arithmetic, Computed, Count, Literal, Value
from zstruct.ragged import segment_reduce
from zstruct.schema import Field

__all__ = ["by_formula"]

_OF_FORMULAS = ("n_atoms", "n_elements")  # quantities


def by_formula(condition: Condition, table: Table) -> Condition:
    """Return a condition of a table whose parts that depend on formulas alone are asked of these."""
    return _asked(condition) if _names_elements(condition) and table.formulas is not None else condition


def _asked(condition: Condition) -> Condition:
    if _of_formulas(condition):
        return _OfFormula(condition) if _names_elements(condition) else condition
    if isinstance(condition, Unless):
        return Unless(_asked(condition.condition), condition.negated)
    if isinstance(condition, All | Anyone):
        some = tuple(one for one in condition.conditions if _of_formulas(one))
        others = tuple(_asked(one) for one in condition.conditions if not _of_formulas(one))
        if any(map(_names_elements, some)):
            some = (_OfFormula(type(condition)(some)),)
        return type(condition)((*some, *others))
    return condition


def _names_elements(node: Any) -> bool:
    """Return whether formulas are needed: numbers of atoms alone take no more to read than their codes."""
    match node:
        case Count():
            return True
        case Computed():
            return node.quantity.name == "n_elements"
        case tuple():
            return any(map(_names_elements, node))
    return is_dataclass(node) and any(_names_elements(getattr(node, one.name)) for one in fields(node))


def _of_formulas(node: Condition | Value | str) -> bool:
    """Return whether a condition or a value depends on formulas alone."""
    match node:
        case Literal() | Count() | Constant():
            return True
        case Computed():
            return node.quantity.name in _OF_FORMULAS
        case Absolute(one) | IsNumber(one) | Unless(one) | Given(one):
            return _of_formulas(one)
        case Arithmetic(first, rest):
            return all(map(_of_formulas, (first, *(value for _, value in rest))))
        case Compare(left, _, right):
            return _of_formulas(left) and _of_formulas(right)
        case All(some) | Anyone(some):
            return all(map(_of_formulas, some))
    return False


@dataclass(frozen=True, slots=True)
class _OfFormula:
    """A condition that is asked of formulas."""

    condition: Condition
    cost: int = COLUMN

    def holds(self, block: Block, which: Which) -> NDArray[np.bool_]:
        """Return for which structures it holds."""
        formulas = block.lookup.table.formulas
        assert formulas is not None

        def ask() -> NDArray[np.bool_]:
            table = _FormulaTable(formulas)
            n = len(table)
            return self.condition.holds(Block(Lookup(table), 0, n), slice(0, n))

        held = block.lookup.once(id(self), ask)  # which lives as long as blocks are asked
        return held.take(block.rows(formulas.codes)[which])  # takes half of what indexing does

    def opposite(self) -> Condition:
        """Return the opposite, asked of formulas."""
        return _OfFormula(self.condition.opposite())


class _FormulaTable:
    """Formulas, as a table of one structure of each."""

    name = "the formulas"
    fields: Mapping[str, Field] = {}
    n_threads = 1

    def __init__(self, formulas: Formulas):
        self.formulas: Formulas | None = formulas
        self._codes, self._offsets, self._counts = formulas.codes, formulas.offsets, formulas.counts

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @cached_property
    def _n_atoms(self) -> NDArray[Any]:
        return segment_reduce(self._counts.astype(np.int64), self._offsets, "sum")

    def obstacle(self, name: str) -> str | None:
        return None

    def known(self, quantity: str) -> str | None:
        return None

    def positions(self, structures: NDArray[np.int64]) -> NDArray[np.int64]:
        return structures

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        return np.arange(start, stop) if name == self._codes else self._n_atoms[start:stop]

    def present(self, name: str, structures: NDArray[np.int64]) -> NDArray[np.bool_]:
        raise NotImplementedError

    def texts(self, name: str) -> Sequence[str]:
        raise NotImplementedError

    def atoms(self, name: str, structures: NDArray[np.int64]) -> Iterator[Atoms]:
        raise NotImplementedError
