"""Some consecutive structures of a table, with what has been read of them: nothing is read twice.

What is over structures is read for all of them when it is first needed. What has to be worked out from
atoms is worked out only for the structures that are asked about.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zstruct.compositions import element_counts
from zstruct.query.arithmetic import Values, numbers
from zstruct.query.quantities import QUANTITIES, Quantity
from zstruct.query.table import Table
from zstruct.ragged import segment_reduce
from zstruct.schema import ATOM

__all__ = ["Block", "Lookup", "Which", "part_of", "places_of", "size_of"]

T = TypeVar("T")

#: Some of the structures of a block, ascending: a range of them, or their places.
Which = slice | NDArray[np.int64]


def size_of(which: Which) -> int:
    """Return how many structures these are."""
    return which.stop - which.start if isinstance(which, slice) else len(which)


def places_of(which: Which) -> NDArray[np.int64]:
    """Return the places of structures in their block."""
    return np.arange(which.start, which.stop) if isinstance(which, slice) else which


def part_of(which: Which, left: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return some of the structures, numbered among them."""
    return left + which.start if isinstance(which, slice) else which[left]


@dataclass
class Lookup:
    """What is worked out once for all blocks of a table.

    Parameters
    ----------
    table
        The structures.
    elements
        Atomic numbers of all elements that are asked about.
    """

    table: Table
    elements: tuple[int, ...] = ()
    _found: dict[Any, Any] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.RLock, repr=False)

    def once(self, key: Any, work: Callable[[], T]) -> T:
        """Return what some work results in, and do it if that isn't known; several threads may ask."""
        if key not in self._found:
            with self._lock:
                if key not in self._found:
                    self._found[key] = work()
        found: T = self._found[key]
        return found

    def matches(self, name: str, texts: frozenset[str]) -> NDArray[np.bool_]:
        """Return which of the texts of a field are among some, by code; the last is False, for code -1."""
        return self.once(
            ("matches", name, texts),
            lambda: np.array([*(text in texts for text in self.texts(name)), False]),
        )

    def texts(self, name: str) -> Sequence[str]:
        """Return the texts of a field by code."""
        return self.once(("texts", name), lambda: self.table.texts(name))

    def translation(self, name: str, other: str) -> NDArray[np.int64]:
        """Return for every code of one field which code of another has its text; -2 for none."""

        def work() -> NDArray[np.int64]:
            codes = {text: code for code, text in enumerate(self.texts(other))}
            return np.array([*(codes.get(text, -2) for text in self.texts(name)), -2], dtype=np.int64)

        return self.once(("translation", name, other), work)

    def counts_by_formula(self, elements: tuple[int, ...]) -> NDArray[np.int64]:
        """Return how many atoms of some elements together a structure of each formula has."""

        def work() -> NDArray[np.int64]:
            formulas = self.table.formulas
            assert formulas is not None
            asked = np.zeros(1 + np.iinfo(np.uint8).max, dtype=bool)
            asked[list(elements)] = True
            counts = np.where(asked[formulas.numbers], formulas.counts, 0)
            return segment_reduce(counts.astype(np.int64), formulas.offsets, "sum")

        return self.once(("elements", elements), work)


class Block:
    """Structures ``start:stop`` of a table.

    Parameters
    ----------
    lookup
        The table, and what is known of all of it.
    start, stop
        Which of its structures.
    """

    def __init__(self, lookup: Lookup, start: int, stop: int):
        self.lookup, self.start, self.stop = lookup, start, stop
        self._rows: dict[str, NDArray[Any]] = {}
        self._missing: dict[str, NDArray[np.bool_] | None] = {}
        # Of quantities worked out from atoms: the values, and of which structures they are known.
        self._worked_out: dict[str, tuple[NDArray[Any], NDArray[np.bool_]]] = {}

    def rows(self, name: str) -> NDArray[Any]:
        """Return the rows of a field of structures, all of them."""
        if name not in self._rows:
            self._rows[name] = self.lookup.table.rows(name, self.start, self.stop)
        return self._rows[name]

    def missing(self, name: str) -> NDArray[np.bool_] | None:
        """Return which structures lack a field of integers or booleans; None: none do."""
        if name not in self._missing:
            structures = np.arange(self.start, self.stop)
            there = self.lookup.table.present(name, structures)
            self._missing[name] = None if there.all() else ~there
        return self._missing[name]

    def field(self, name: str, which: Which, component: tuple[int, ...] = ()) -> Values:
        """Return the numbers of a field, or of one of its components, for some of the structures."""
        rows = self.rows(name)[(which, *component)]
        if rows.dtype.kind == "f":
            return numbers(rows)
        missing = self.missing(name) if name in self.lookup.table.fields else None
        return numbers(rows, None if missing is None else missing[which])

    def positions(self, which: Which) -> NDArray[np.int64]:
        """Return the positions that users know some of the structures by."""
        return self.lookup.table.positions(places_of(which) + self.start)

    def present(self, name: str, which: Which) -> NDArray[np.bool_]:
        """Return which of some of the structures have a field."""
        return self.lookup.table.present(name, places_of(which) + self.start)

    def counts(self, elements: tuple[int, ...], which: Which) -> NDArray[np.int64]:
        """Return how many atoms of some elements together some of the structures have."""
        formulas = self.lookup.table.formulas
        if formulas is not None:
            return self.lookup.counts_by_formula(elements)[self.rows(formulas.codes)[which]]
        known = self.lookup.elements
        found = self._of_atoms("", which, "numbers", lambda edges, rows: element_counts(rows, edges, known))
        return found[:, [known.index(z) for z in elements]].sum(axis=1, dtype=np.int64)

    def quantity(self, quantity: Quantity, which: Which) -> Values:
        """Return a quantity of some of the structures."""
        assert quantity.compute is not None
        known = self.lookup.table.known(quantity.name)
        if known is not None:
            return numbers(self.rows(known)[which])
        if quantity.parts:
            return numbers(quantity.compute(*(self._part(name, which) for name in quantity.parts)))
        if quantity.level != ATOM:
            rows = [self.rows(name)[which] for name in quantity.needs]
            return numbers(quantity.compute(*rows))
        formulas = self.lookup.table.formulas
        if quantity.needs == ("numbers",) and formulas is not None:
            by_formula = self.lookup.once(
                quantity.name,
                lambda: quantity.compute(formulas.offsets, formulas.numbers),  # type: ignore[misc]
            )
            return numbers(by_formula[self.rows(formulas.codes)[which]])
        return numbers(
            self._of_atoms(quantity.name, which, quantity.needs[0], quantity.compute, quantity.also)
        )

    def _part(self, name: str, which: Which) -> NDArray[Any]:
        """Return what a quantity is computed from: another one, or rows."""
        quantity = QUANTITIES[name]
        return self.rows(name)[which] if name in quantity.needs else self.quantity(quantity, which).values

    def _of_atoms(
        self,
        key: str,
        which: Which,
        field: str,
        compute: Callable[..., NDArray[Any]],
        also: Sequence[str] = (),
    ) -> NDArray[Any]:
        """Return what is worked out from the atoms of some structures, of those only that are not known."""
        there = self.lookup.table.fields
        values, known = self._worked_out.get(key, (None, np.zeros(self.stop - self.start, dtype=bool)))
        new = part_of(which, np.flatnonzero(~known[which]))
        pieces = self.lookup.table.atoms(field, new + self.start) if len(new) else ()
        for atoms in pieces:
            here = new[atoms.part]
            found = compute(
                atoms.offsets, atoms.rows, *(self.rows(one)[here] if one in there else None for one in also)
            )
            if values is None:
                values = np.zeros((len(known), *found.shape[1:]), found.dtype)
            values[here] = found
        known[new] = True
        assert values is not None  # nobody asks about no structure
        self._worked_out[key] = values, known
        return values[which]
