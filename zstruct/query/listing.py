"""A list of structures with some of what is known of them, as `ase db` prints rows of a database."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import check, names, shown, whole
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import keywords
from zstruct.query.binding import to_read
from zstruct.query.quantities import QUANTITIES
from zstruct.query.reading import Column, read_column
from zstruct.query.selection import Selection, narrowed
from zstruct.query.table import StoreTable
from zstruct.store.labelled import labelled
from zstruct.store.store import Store
from zstruct.text import csv_text

__all__ = ["Listing", "listing", "parts_of_list"]

_FIRST = "structure"
_USUAL = ("formula", "n_atoms", "energy_per_atom", "fmax", "volume")


@dataclass(frozen=True, eq=False)
class Listing:
    """Result of `zstruct.listing`; printing it gives a table.

    Parameters
    ----------
    structures
        The structures that are listed, by their rows in the store, shape (n,).
    columns
        Values of each of them by column, None for missing ones.
    n_found
        Structures that were selected; some may not be listed.
    n_structures
        Structures of the store.
    """

    structures: NDArray[np.int64]
    columns: Mapping[str, Sequence[Any]]
    n_found: int
    n_structures: int

    def rows(self) -> list[tuple[Any, ...]]:
        """Return a row for each structure: which it is, and its columns."""
        return list(zip(self.structures.tolist(), *self.columns.values(), strict=True))

    def csv(self) -> str:
        """Return it as CSV with a header; numbers have all their digits, and what is missing is empty."""
        return csv_text({_FIRST: self.structures.tolist(), **self.columns})

    def __str__(self) -> str:
        texts = [[_written(value) for value in row] for row in self.rows()]
        cells = [[_FIRST, *self.columns], *texts]
        widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
        left = [any(isinstance(value, str) for value in column) for column in ((), *self.columns.values())]
        lines = [
            "|".join(
                cell.ljust(width) if is_text else cell.rjust(width)
                for cell, width, is_text in zip(row, widths, left, strict=True)
            )
            for row in cells
        ]
        n = len(self.structures)
        shown = f"{n:,}" if n == self.n_found else f"{n:,} of {self.n_found:,}"
        return "\n".join([*(line.rstrip() for line in lines), f"Rows: {shown}"])


def _written(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


@keywords()
def listing(
    store: str | os.PathLike[str] | Store,
    select: str | Selection | None = None,
    *,
    columns: Sequence[str] | None = None,
    sort: str | Sequence[str] | None = None,
    limit: int | None = 20,
    split: str | tuple[str, str] | None = None,
    labels: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Listing:
    """Return some structures of a store with what is asked for of each, as a table to print.

    Columns and the order are expressions of the language of selections: quantities, fields, elements, which
    are numbers of their atoms, components, and what is calculated of these.

    Parameters
    ----------
    store
        A store or its path.
    select
        An expression that holds for the structures to list, or a `Selection` of them. By default all.
    columns
        What to list of each: ``["formula", "energy_per_atom", "stress[xx]", "Ti / n_atoms"]``. By default
        formula, number of atoms, energy per atom, fmax and volume, as far as the store has them.
    sort
        What to sort them by, ``"fmax"``, or ``"fmax-"`` for the largest first; or several columns, a list or
        text with commas, ``"formula,fmax-"``, each of which sorts those that are equal in all before it.
        Those without a value come last. By default they are as they are in the store, or in the order of a
        selection by positions.
    limit
        How many to list at most; None or 0: all.
    split
        A label of the split "default", or the name of a split and a label.
    labels
        Name of labels in the store to take in place of its own.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Raises
    ------
    InputError
        If an expression makes no sense; points at the place.
    UnknownNameError
        If there is no such quantity or field; names the nearest.
    StaleGroupError
        If a split was drawn for other content than the store has now.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> out = tempfile.mkdtemp() + "/molecules.zarr"
    >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CO2", "CH4", "C2H6")]
    >>> report = zstruct.build(molecules, out, progress=False)
    >>> print(zstruct.listing(out, "C", columns=["formula", "H", "H / n_atoms"], sort="H-"))
    structure|formula|H|H / n_atoms
            3|C2H6   |6|       0.75
            2|CH4    |4|        0.8
            1|CO2    |0|          0
    Rows: 3
    """
    check(split=split)
    most = None if limit is None else whole("limit", limit, 0) or None
    opened = labelled(Store.of(store, storage_options), labels)
    whole_table = StoreTable(opened)
    if columns is None:
        wanted = [name for name in _USUAL if _is_there(name, whole_table)]
    else:
        wanted = list(names("columns", columns))
    selection = Selection().select(select, split=split)
    by = _criteria(sort)
    for expression in (*wanted, *by):
        to_read(expression, whole_table)  # what makes no sense is said before anything is read
    found = narrowed(selection, opened)
    rows = np.arange(opened.n_structures) if found is None else found
    kept = rows[:most]
    if by:
        kept = rows
        # Of a stable sort the last is the first criterion.
        for expression, descending in reversed(by.items()):
            kept = kept[_read(expression, opened, kept).order(descending=descending)]
        kept = kept[:most]
    read = {expression: _read(expression, opened, kept).listed() for expression in wanted}
    return Listing(kept, read, len(rows), opened.n_structures)


def _criteria(sort: str | Sequence[str] | None) -> dict[str, bool]:
    """Return what to sort by, the first criterion first, and whether the largest of each comes first."""
    if sort is None:
        return {}
    if not isinstance(sort, str | list | tuple) or not all(isinstance(one, str) for one in sort):
        raise ArgumentTypeError(
            "sort is a column, as 'fmax', or 'fmax-', or several, as 'formula,fmax-', or None, not "
            f"{shown(sort)}"
        )
    found: dict[str, bool] = {}
    for one in parts_of_list(sort) if isinstance(sort, str) else sort:
        by = one.strip().removesuffix("-")
        if by in found:
            raise InputError(f"sort names {by!r} twice")
        found[by] = by != one.strip()
    return found


def parts_of_list(text: str) -> list[str]:
    """Return expressions separated by commas, but for commas within brackets and quotes.

    Examples
    --------
    >>> parts_of_list("formula,cell[c, z],fmax-")
    ['formula', 'cell[c, z]', 'fmax-']
    """
    found = re.findall(r"""(?:\[[^\]]*\]|\([^)]*\)|'[^']*'|"[^"]*"|[^,])+""", text)
    return [one.strip() for one in found] or [text]


def _is_there(name: str, table: StoreTable) -> bool:
    needs = set(QUANTITIES[name].needs) - {"n_atoms"}
    return needs <= set(table.fields) or (needs == {"numbers"} and table.formulas is not None)


def _read(expression: str, store: Store, rows: NDArray[np.int64]) -> Column:
    """Return what an expression is of some structures, which are read in ascending order."""
    order = np.argsort(rows, kind="stable")
    table = StoreTable(store, rows[order], order)
    column = read_column(to_read(expression, table), table)
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return column.take(back)
