"""Which structures of a table a choice asks for: block by block, so that memory stays bounded."""

from __future__ import annotations

from dataclasses import replace
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.errors import InputError
from zstruct.memory import keep_freed
from zstruct.query.binding import Bound, bound
from zstruct.query.block import Block, Lookup, Which, part_of
from zstruct.query.by_formula import by_formula
from zstruct.query.choice import Choice
from zstruct.query.conditions import All, Compare, Condition, Unless
from zstruct.query.names import count_of, lack_of, quantity_of
from zstruct.query.positions import positions_of
from zstruct.query.quantities import ELEMENTS, QUANTITIES
from zstruct.query.table import Table
from zstruct.query.values import ATOMS, Literal, ReferencedEnergy, Totals

__all__ = ["Selectable", "chosen", "holding"]

# Structures that are asked about together: so many that their columns stay in the cache of a processor, or
# more, if rows of their atoms are read.
_BLOCK, _BLOCK_OF_ATOMS = 1 << 17, 1 << 18
_MOST_BLOCKS = 8  # that one task asks about, one after the other


class Selectable(Table, Protocol):
    """A table that also knows parts of splits and users' functions."""

    def part(self, name: str, label: str) -> NDArray[np.bool_]:
        """Return which of the structures are in a part of a split."""

    def mask(self, where: Any) -> NDArray[np.bool_]:
        """Return which of the structures pass a test of the user's."""


def chosen(choice: Choice, table: Selectable, references: Totals | None = None) -> NDArray[np.int64] | None:
    """Return the positions of the structures that a choice asks for; None: all of them.

    Parameters
    ----------
    choice
        What is asked for.
    table
        What is selected from.
    references
        Energies of free atoms, less which its `max_energy` is one of.
    """
    n = len(table)
    given: NDArray[np.int64] | None = None
    rest = choice
    if choice.which is not None and not isinstance(choice.which, str):
        given, rest = positions_of(choice.which, n), replace(choice, which=None)
    if not rest:
        return given
    among = _beforehand(choice, table)
    if given is not None:
        asked = np.zeros(n, dtype=bool)
        asked[given] = True
        inside = asked[table.positions(np.arange(n))]
        among = inside if among is None else among & inside
    found = table.positions(holding(_condition(rest, table, references), table, among))
    if given is not None:
        holds = np.zeros(n, dtype=bool)
        holds[found] = True
        return given[holds[given]]
    return None if len(found) == n else np.sort(found, kind="stable")


def _beforehand(choice: Choice, table: Selectable) -> NDArray[np.bool_] | None:
    """Return which structures a split and the user's function leave; None: all."""
    among = None
    if choice.split is not None:
        name, label = ("default", choice.split) if isinstance(choice.split, str) else choice.split
        among = table.part(name, label)
    if choice.where is not None:
        passing = table.mask(choice.where)
        among = passing if among is None else among & passing
    return among


def _condition(choice: Choice, table: Table, references: Totals | None) -> Bound:
    """Return everything else that a choice asks for as one condition."""
    found: list[Condition] = []
    elements: frozenset[int] = frozenset()
    if isinstance(choice.which, str):
        whole = bound(choice.which, table)
        found, elements = [whole.condition], whole.elements
    if choice.elements is not None:
        numbers = tuple(ELEMENTS[symbol] for symbol in choice.elements)
        total = quantity_of(QUANTITIES["n_atoms"], table)
        found.append(Compare(count_of(numbers, table), "==", total))
        elements |= set(numbers)
    limits = {
        "max_energy": ("energy_per_atom", "energy"),
        "max_force": ("fmax", "forces"),
        "max_force_component": ("max_force_component", "forces"),
    }
    for name, (quantity, field) in limits.items():
        limit = getattr(choice, name)
        if limit is None:
            continue
        if field not in table.fields:
            raise InputError(f"{name} needs {field}, and {lack_of([field], table)}")
        value = quantity_of(QUANTITIES[quantity], table)
        if name == "max_energy" and references is not None:
            value = ReferencedEnergy(references, ATOMS)
        found.append(Unless(Compare(value, ">", Literal(limit))))
    return Bound(All(tuple(found)), elements)


def holding(bound: Bound, table: Table, among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Return the structures for which a condition certainly holds, ascending.

    Parameters
    ----------
    bound
        The condition, bound to this table.
    table
        The structures.
    among
        Which of them to ask about. None: all.
    """
    lookup = Lookup(table, tuple(sorted(bound.elements)))
    condition = by_formula(bound.condition, table)

    def held(start: int) -> NDArray[np.int64]:
        stop = min(start + rows, n)
        which: Which = slice(0, stop - start)
        if among is not None:
            which = np.flatnonzero(among[start:stop])
            if len(which) == 0:
                return which
        found = np.flatnonzero(condition.holds(Block(lookup, start, stop), which))
        return part_of(which, found) + start

    def held_by(blocks: range) -> NDArray[np.int64]:
        return np.concatenate([held(start) for start in blocks])

    n, n_threads = len(table), table.n_threads
    rows = _BLOCK if condition.cost < ATOMS else _BLOCK_OF_ATOMS
    starts = range(0, n, rows)
    if not starts:
        return np.zeros(0, dtype=np.int64)
    keep_freed()
    if min(len(starts), n_threads) == 1:
        return held_by(starts)
    many = max(1, min(_MOST_BLOCKS, len(starts) // (4 * n_threads)))
    tasks = [starts[k : k + many] for k in range(0, len(starts), many)]
    done = parallel.run(held_by, tasks, runs_in="here", workers=n_threads)
    return np.concatenate([part for _, part in sorted(done, key=itemgetter(0))])
