"""The sample of a store: some of its structures, with what is known of each, for pages that can't read all.

It is a small group of the store, ``index/sample``, that of one content; how it is shown is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.query.binding import to_read
from zstruct.query.index import index_of
from zstruct.query.quantities import FORMULA, QUANTITIES
from zstruct.query.reading import Column, read_column
from zstruct.query.table import StoreTable
from zstruct.reporting.live_strata import Strata
from zstruct.store.chunks import grid_with
from zstruct.store.group_publication import find_group
from zstruct.store.groups import keep
from zstruct.store.spec import CATEGORIES, INDEX, ArraySpec, categories_specs
from zstruct.store.store import Store
from zstruct.text import counted

__all__ = ["NAME", "Sample", "kept_sample"]

#: What the group is called, within those of indexes.
NAME = "sample"
_GROUP = f"{INDEX}/{NAME}"
_ROW, _LABEL = "row", "group"
_PIECE = 1 << 20  # structures that are looked at together
_CHUNK_ROWS = 1 << 16
_FIRST = ("config_type", "head")  # fields that say what groups there are, before others
_LAST = "source"
_FEW = 20  # sources beyond which formulas tell more: often each structure has a file of its own
_MOST = 256  # texts of a field by which structures are grouped
_EXTREMES = 25  # on either side of a quantity
# Of each structure, and, if they need not be computed from atoms, with the extremes.
_USUAL = ("n_atoms", "energy_per_atom", "fmax", "volume")
_IF_KNOWN = ("shortest_distance",)


@dataclass(frozen=True)
class Sample:
    """The sample of a store.

    Parameters
    ----------
    n
        Structures in it.
    columns
        What it has of each, besides where it is in the store.
    description
        How they were drawn, in words.
    made
        Whether this call made it; it may have been there.
    """

    n: int
    columns: tuple[str, ...]
    description: str
    made: bool


def kept_sample(store: Store, size: int, by: str | None) -> Sample:
    """Return the sample of a store, and put it into the store unless it is there.

    Parameters
    ----------
    store
        The store, in a local directory.
    size
        How many structures it should have.
    by
        The category whose texts group them; None: the first that the store has of usual ones.

    Raises
    ------
    InputError
        If the store can't be written into.
    """
    table = StoreTable(store)
    names = _columns(store)
    field = _grouping(store) if by is None else by
    asked = {"size": size, "by": field, "quantities": list(names)}
    found = find_group(store, INDEX, NAME)
    if found is not None and found[1]["store_digest"] == store.digest and found[1].get("asked") == asked:
        said = found[1]
        return Sample(int(said["n"]), tuple(said["columns"]), str(said["description"]), False)
    known = [name for name in names if _is_known(name, table)]
    most = min(_EXTREMES, size // (4 * max(1, len(known))))  # that they are half of the sample at most
    extremes = _extremes(table, known, most)
    strata = Strata.of(_sizes(store, field), size - len(extremes))
    rows = np.union1d(strata.rows(lambda: _codes(store, field)), extremes)
    description = _described(store, len(rows), most, strata, field)
    arrays = [_column(_ROW, rows, {"long_name": "position of the structure in the store"})]
    table = StoreTable(store, rows)
    arrays += _texts(FORMULA, read_column(to_read(FORMULA, table), table), "chemical formula")
    for name in names:
        column = read_column(to_read(name, table), table)
        if not column.missing.all():
            arrays.append(_numbers(name, column))
    if field is not None:
        arrays += _texts(_LABEL, read_column(to_read(f"field('{field}')", table), table), field, field)
    columns = [spec.path for spec, _ in arrays if not spec.path.startswith(CATEGORIES)]
    attrs = {"asked": asked, "n": len(rows), "columns": columns, "description": description}
    try:
        keep(store, INDEX, NAME, "sample", attrs, arrays, True)
    except InputError as error:
        raise InputError(f"{error}; the sample that a page begins with is kept in the store") from error
    return Sample(len(rows), tuple(columns), description, True)


def _columns(store: Store) -> tuple[str, ...]:
    """Return the quantities that the sample of a store has."""
    index = index_of(store)
    known = tuple(name for name in _IF_KNOWN if index is not None and name in index.columns)
    there = {*store.fields, "n_atoms"}
    return tuple(name for name in (*_USUAL, *known) if set(QUANTITIES[name].needs) <= there)


def _is_known(name: str, table: StoreTable) -> bool:
    """Return whether a quantity of all structures can be had without atoms and cells."""
    return table.known(name) is not None or name in ("n_atoms", "energy_per_atom")


def _grouping(store: Store) -> str | None:
    """Return the field whose texts group structures best: there are some, and not too many."""
    categories = [name for name, field in store.fields.items() if field.kind == "category"]
    usual = sorted(set(categories) - {*_FIRST, _LAST, FORMULA})
    sizes = {name: store.shape(f"{CATEGORIES}/{name}/offsets")[0] - 1 for name in categories}
    last = (FORMULA, _LAST) if sizes.get(_LAST, 0) > _FEW else (_LAST, FORMULA)
    return next((name for name in (*_FIRST, *usual, *last) if 2 <= sizes.get(name, 0) <= _MOST), None)


def _codes(store: Store, field: str | None) -> Iterator[NDArray[np.int64]]:
    for start in range(0, store.n_structures, _PIECE):
        stop = min(start + _PIECE, store.n_structures)
        if field is None:
            yield np.zeros(stop - start, np.int64)
        else:
            yield store.read(field, start, stop).astype(np.int64)


def _sizes(store: Store, field: str | None) -> NDArray[np.int64]:
    if field is None:
        return np.array([store.n_structures])
    n = store.shape(f"{CATEGORIES}/{field}/offsets")[0]  # one more than texts: some have none
    return sum((np.bincount(codes + 1, minlength=n) for codes in _codes(store, field)), np.zeros(n, np.int64))


def _extremes(table: StoreTable, names: list[str], most: int) -> NDArray[np.int64]:
    """Return the structures with the smallest and the largest of each quantity."""
    found = [np.zeros(0, np.int64)]
    for name in names:
        rows, values = np.zeros(0, np.int64), np.zeros(0)
        for start in range(0, len(table), _PIECE):
            piece = np.arange(start, min(start + _PIECE, len(table)))
            column = _floats(read_column(to_read(name, part := StoreTable(table.store, piece)), part))
            there = np.isfinite(column)
            rows, values = np.append(rows, piece[there]), np.append(values, column[there])
            order = np.argsort(values, kind="stable")
            if len(order) > 2 * most:
                order = np.append(order[:most], order[len(order) - most :])
            rows, values = rows[order], values[order]
        found.append(rows)
    return np.unique(np.concatenate(found))


def _floats(column: Column) -> NDArray[np.float64]:
    return np.where(column.missing, np.nan, column.values.astype(np.float64))


def _described(store: Store, n: int, most: int, strata: Strata, field: str | None) -> str:
    if n == store.n_structures:
        return "The one structure of the store." if n == 1 else f"All {counted(n, 'structure')} of the store."
    groups = np.count_nonzero(strata.sizes)
    by = (
        f", of {groups:,} groups by {field} at least {strata.drawn[strata.sizes > 0].min():,} each"
        if field
        else ""
    )
    far = f"; among them those with the {most} smallest and largest values of each quantity" if most else ""
    return f"A sample of {n:,} of {store.n_structures:,} structures, drawn evenly over the store{by}{far}."


def _column(name: str, values: NDArray[Any], attrs: dict[str, Any]) -> tuple[ArraySpec, NDArray[Any]]:
    fill = np.nan if values.dtype.kind == "f" else -1
    grid = grid_with(len(values), _CHUNK_ROWS)
    return ArraySpec(name, ("sample",), values.shape, values.dtype.name, attrs, fill, grid), values


def _numbers(name: str, column: Column) -> tuple[ArraySpec, NDArray[Any]]:
    quantity = QUANTITIES[name]
    values = column.values.astype(np.int32) if name == "n_atoms" else _floats(column)
    return _column(name, values, {"long_name": quantity.description, "units": quantity.unit})


def _texts(
    name: str, column: Column, about: str, field: str | None = None
) -> list[tuple[ArraySpec, NDArray[Any]]]:
    texts, codes = np.unique(column.values[~column.missing], return_inverse=True)
    all_codes = np.full(len(column.values), -1, np.int32)
    all_codes[~column.missing] = codes
    attrs = {"long_name": about} | ({} if field is None else {"category_of": field})
    return [_column(name, all_codes, attrs), *categories_specs(name, texts.tolist())]
