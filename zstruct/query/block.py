"""Some consecutive structures of a table, with what has been read of them: nothing is read twice.

What is over structures is read for all of them when it is first needed. What has to be worked out from
atoms is worked out only for the structures that are asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zstruct.compositions import element_counts
from zstruct.query.arithmetic import Values, numbers
from zstruct.query.quantities import Quantity
from zstruct.query.table import Table
from zstruct.schema import ATOM

__all__ = ["Block", "Lookup"]

T = TypeVar("T")


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

    def once(self, key: Any, work: Callable[[], T]) -> T:
        """Return what some work results in, and do it if that isn't known."""
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
            which = np.isin(formulas.numbers, elements)
            kinds = np.repeat(np.arange(len(formulas.offsets) - 1), np.diff(formulas.offsets))
            sums = np.zeros(len(formulas.offsets) - 1, dtype=np.int64)
            np.add.at(sums, kinds[which], formulas.counts[which])
            return sums

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

    def field(self, name: str, which: NDArray[np.int64], component: tuple[int, ...] = ()) -> Values:
        """Return the numbers of a field, or of one of its components, for some of the structures."""
        rows = self.rows(name)[(which, *component)]
        if rows.dtype.kind == "f":
            return numbers(rows)
        missing = self.missing(name) if name in self.lookup.table.fields else None
        return numbers(rows, None if missing is None else missing[which])

    def positions(self, which: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions that users know some of the structures by."""
        return self.lookup.table.positions(self.start, self.stop)[which]

    def present(self, name: str, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some of the structures have a field."""
        return self.lookup.table.present(name, which + self.start)

    def counts(self, elements: tuple[int, ...], which: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many atoms of some elements together some of the structures have."""
        formulas = self.lookup.table.formulas
        if formulas is not None:
            return self.lookup.counts_by_formula(elements)[self.rows(formulas.codes)[which]]
        known = self.lookup.elements
        found = self._of_atoms("", which, "numbers", lambda edges, rows: element_counts(rows, edges, known))
        return found[:, [known.index(z) for z in elements]].sum(axis=1, dtype=np.int64)

    def quantity(self, quantity: Quantity, which: NDArray[np.int64]) -> Values:
        """Return a quantity of some of the structures."""
        assert quantity.compute is not None
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
        return numbers(self._of_atoms(quantity.name, which, quantity.needs[0], quantity.compute))

    def _of_atoms(
        self, key: str, which: NDArray[np.int64], field: str, compute: Callable[..., NDArray[Any]]
    ) -> NDArray[Any]:
        """Return what is worked out from the atoms of some structures, of those only that are not known."""
        values, known = self._worked_out.get(key, (None, np.zeros(self.stop - self.start, dtype=bool)))
        new = which[~known[which]]
        pieces = self.lookup.table.atoms(field, new + self.start) if len(new) else ()
        for atoms in pieces:
            found = compute(atoms.offsets, atoms.rows)
            if values is None:
                values = np.zeros((len(known), *found.shape[1:]), found.dtype)
            values[new[atoms.part]] = found
        known[new] = True
        assert values is not None  # nobody asks about no structure
        self._worked_out[key] = values, known
        return values[which]
