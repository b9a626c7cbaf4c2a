"""`Selection`: how some structures of a store were chosen, as an object that does it again anywhere.

Each call of `select` on a view adds a `Choice`. How structures are read is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zstruct.keywords import takes
from zstruct.query.choice import Choice
from zstruct.query.table import StoreTable
from zstruct.query.values import Totals
from zstruct.store.store import Store

__all__ = ["Selection"]


@dataclass(frozen=True, eq=False, slots=True)
class Selection:
    """How structures were chosen: one choice after the other, each from what the one before left.

    Parameters
    ----------
    choices
        What was asked for, in this order.

    Examples
    --------
    >>> Selection().select("Ti > 2", split="train").select(slice(0, 100))
    Selection().select("Ti > 2", split="train").select(slice(0, 100))
    >>> print(Selection().select("Ti > 2", max_force=3.0))
    where "Ti > 2", max_force=3.0
    """

    choices: tuple[Choice, ...] = ()

    @takes(Choice)
    def select(self, choice: Choice) -> Selection:
        """Return what is left when some more is asked for.

        Raises
        ------
        ArgumentTypeError, InputError, UnknownNameError
            As for `Choice`.
        """
        return Selection((*self.choices, choice)) if choice else self

    def __bool__(self) -> bool:
        return bool(self.choices)

    def __repr__(self) -> str:
        return "Selection()" + "".join(f".select({choice})" for choice in self.choices)

    def __str__(self) -> str:
        return ", then ".join(f"where {choice}" for choice in self.choices)

    def structures(
        self,
        store: Store,
        rows: NDArray[np.int64] | None = None,
        references: Totals | None = None,
    ) -> NDArray[np.int64] | None:
        """Return which structures of a store are chosen; None: all of them.

        Parameters
        ----------
        store
            The store.
        rows
            Those to choose from, shape (n,), in any order; None: all.
        references
            Energies of free atoms, less which `max_energy` is one of.

        Returns
        -------
        NDArray[Any] or None
            In the order in which they were before, or of the positions that were given.

        Raises
        ------
        InputError
            If the store has not what is asked for; points at the place in an expression.
        UnknownNameError
            If there is no such quantity; names the nearest.
        IndexError
            If there are no such positions.
        StaleGroupError
            If a split was drawn for other content than the store has now.
        """
        for choice in self.choices:
            found = choice.positions(_table(store, rows), references)
            if found is not None:
                rows = found if rows is None else rows[found]
        return rows


def _table(store: Store, rows: NDArray[np.int64] | None) -> StoreTable:
    """Return a table of some structures of a store, which are read in ascending order whatever theirs is."""
    if rows is None or (rows[1:] >= rows[:-1]).all():
        return StoreTable(store, rows)
    order = np.argsort(rows, kind="stable")
    return StoreTable(store, rows[order], order)
