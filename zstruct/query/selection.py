"""`Selection`: how some structures of a store were chosen, as an object that does it again anywhere.

Each call of `select` on a view adds a `Choice`. How structures are read is not known here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, ParamSpec

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError
from zstruct.keywords import keywords, takes
from zstruct.query.choice import Choice
from zstruct.query.free_atoms import FreeAtoms
from zstruct.store.store import Store

if TYPE_CHECKING:
    from zstruct.query.table import StoreTable
    from zstruct.query.values import Totals

__all__ = ["Selection", "asked", "narrowed"]


P = ParamSpec("P")


def _chained(options: Callable[P, Choice]) -> Callable[P, Selection]:
    """Let what makes a choice also take a selection or a sample first; return all of it as a selection."""

    @functools.wraps(options, updated=())
    def asked(*given: P.args, **named: P.kwargs) -> Selection:
        if len(given) > 1:
            raise ArgumentTypeError(
                f"select takes one expression, or positions, not {len(given)}: join conditions by and, as in "
                'select("Ti and O")'
            )
        first = given[0] if given else named.get("which")
        before: tuple[Choice, ...] = ()
        if isinstance(first, Selection):
            before, given, named = first.choices, (), named | {"which": None}  # type: ignore[assignment]
        elif hasattr(first, "picks") and named.get("sample") is None:
            given, named = (), named | {"which": None, "sample": first}  # type: ignore[assignment]
        choice = options(*given, **named)
        return Selection((*before, choice) if choice else before)

    return asked


#: What one call of `select` asks for: the options of a `Choice`, or a selection or a sample and these.
asked = _chained(Choice)


@keywords()
@dataclass(frozen=True, slots=True)
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

    @takes(asked)
    def select(self, selection: Selection) -> Selection:
        """Return what is left when some more is asked for.

        In place of an expression there may be another selection: its choices follow those of this one.

        Raises
        ------
        ArgumentTypeError, InputError, UnknownNameError
            As for `Choice`.
        """
        return Selection((*self.choices, *selection.choices))

    def __bool__(self) -> bool:
        return bool(self.choices)

    def __repr__(self) -> str:
        return "Selection()" + "".join(f".select({choice})" for choice in self.choices)

    def __str__(self) -> str:
        texts = [str(choice) for choice in self.choices]
        return ", then ".join(f"{'with' if one.startswith('where=') else 'where'} {one}" for one in texts)

    def structures(
        self,
        store: Store,
        rows: NDArray[np.int64] | None = None,
        references: Totals | Literal[False] | None = None,
    ) -> NDArray[np.int64]:
        """Return which structures of a store are chosen.

        Parameters
        ----------
        store
            The store.
        rows
            Those to choose from, shape (n,), in any order; None: all.
        references
            Energies of free atoms, less which `max_energy` is one of, such as `zstruct.open_references`
            returns. None: the ``atomic_energies`` that the store was built with, if it was. False: nothing.

        Returns
        -------
        NDArray[Any]
            Their positions in the store, shape (n_chosen,), in the order in which they were before, or of
            the positions that were given.

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
        ArgumentTypeError
            If `references` are none.
        """
        if not (references is None or references is False or hasattr(references, "subtract")):
            raise ArgumentTypeError(
                "references are those that zstruct.open_references returns, None for those of the build, or "
                f"False for none, not {shown(references)}"
            )
        found = narrowed(self, store, rows, references)
        return np.arange(store.n_structures) if found is None else found


def narrowed(
    selection: Selection,
    store: Store,
    rows: NDArray[np.int64] | None = None,
    references: Totals | Literal[False] | None = None,
) -> NDArray[np.int64] | None:
    """Return what `Selection.structures` does, but None for all structures of a store in their order."""
    if not selection:
        return rows
    from zstruct.query.evaluation import chosen  # most readers of a store select nothing

    if references is None:
        references = FreeAtoms.of_build(store.attrs.get("atomic_energies"))
    for choice in selection.choices:
        rest = choice.conditions
        if rest:
            found = chosen(rest, _table(store, rows), None if references is False else references)
            if found is not None:
                rows = found if rows is None else rows[found]
        if choice.sample is not None:
            rows = choice.sample.picks(store, rows).structures
    return rows


def _table(store: Store, rows: NDArray[np.int64] | None) -> StoreTable:
    """Return a table of some structures of a store, which are read in ascending order whatever theirs is."""
    from zstruct.query.table import StoreTable

    if rows is None or (rows[1:] >= rows[:-1]).all():
        return StoreTable(store, rows)
    order = np.argsort(rows, kind="stable")
    return StoreTable(store, rows[order], order)
