"""What an expression is of each of some structures: numbers, texts, formulas, or whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.compositions import compositions, distinct_compositions
from zstruct.query.arithmetic import is_missing
from zstruct.query.binding import Asked
from zstruct.query.block import Block, Lookup, Which, places_of
from zstruct.query.operands import ConditionOperand, FieldOfTexts, FormulaOperand, NumberOperand, Word
from zstruct.query.table import Table

__all__ = ["Column", "read_column"]

_BLOCK = 1 << 18  # structures that are read together


@dataclass(frozen=True, eq=False)
class Column:
    """A value of each of some structures.

    Parameters
    ----------
    values
        Numbers, booleans or texts, shape (n,).
    missing
        Where they mean nothing, shape (n,).
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_]

    def take(self, which: NDArray[np.int64]) -> Column:
        """Return those of some of the structures."""
        return Column(self.values[which], self.missing[which])

    def order(self, *, descending: bool) -> NDArray[np.int64]:
        """Return the structures by their values; those of equal ones as they are, missing ones last."""
        _, ranks = np.unique(self.values, return_inverse=True)
        keys = -ranks if descending else ranks
        return np.lexsort((keys, self.missing))

    def listed(self) -> list[Any]:
        """Return values as Python has them, None for missing ones."""
        pairs = zip(self.values.tolist(), self.missing.tolist(), strict=True)
        return [None if missing else value for value, missing in pairs]


def read_column(asked: Asked, table: Table) -> Column:
    """Return what an expression, bound to a table, is of each of its structures."""
    lookup, n = Lookup(table, tuple(sorted(asked.elements))), len(table)
    values: list[NDArray[Any]] = []
    missing: list[NDArray[np.bool_]] = []
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        found = _of_block(asked, Block(lookup, start, stop), slice(0, stop - start))
        values.append(np.broadcast_to(found.values, stop - start))
        missing.append(np.broadcast_to(found.missing, stop - start))
    if not values:
        return Column(np.zeros(0), np.zeros(0, dtype=bool))
    return Column(np.concatenate(values), np.concatenate(missing))


def _of_block(asked: Asked, block: Block, which: Which) -> Column:
    match asked.operand:
        case NumberOperand(value):
            found = value.of(block, which)
            return Column(np.asarray(found.values), is_missing(found))
        case ConditionOperand(condition):
            holds = condition.holds(block, which)
            return Column(holds, ~(holds | condition.opposite().holds(block, which)))
        case FieldOfTexts(name):
            return _texts(block.rows(name)[which], block.lookup.texts(name))
        case FormulaOperand():
            formulas = block.lookup.table.formulas
            if formulas is not None:
                return _texts(block.rows(formulas.codes)[which], block.lookup.texts(formulas.codes))
            return _formulas(block, which)
        case Word(text):
            return Column(np.array(text, dtype=object), np.array(False))


def _texts(codes: NDArray[Any], texts: Any) -> Column:
    table = np.array([*texts, ""], dtype=object)  # code -1 finds the last
    return Column(table[codes], codes < 0)


def _formulas(block: Block, which: Which) -> Column:
    """Return formulas of structures that have no table of them."""
    found = np.full(block.stop - block.start, "", dtype=object)
    places = places_of(which)
    for atoms in block.lookup.table.atoms("numbers", places + block.start):
        texts, codes = distinct_compositions(*compositions(atoms.rows, atoms.offsets))
        found[places[atoms.part]] = np.array(texts, dtype=object)[codes]
    return Column(found[which], np.zeros(len(places), dtype=bool))
