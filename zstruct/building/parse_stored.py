"""The parse step of structures of a store: which pass. They are copied only where their order changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.building.filters import Filters
from zstruct.building.part_blocks import StoredEntry
from zstruct.building.parts import PartWriter
from zstruct.compositions import add_formulas
from zstruct.ragged import Packed, counts_to_offsets, segment_ranges
from zstruct.schema import ATOM, FIELDS, Field
from zstruct.sources import Slice
from zstruct.sources.normalize.normalize import ReadOptions
from zstruct.sources.store.columns import StoredColumn, stored_columns
from zstruct.sources.store.reading import read_packed, structures_with
from zstruct.sources.store.source import StoreSource
from zstruct.store.scattered import read_scattered, read_segments
from zstruct.store.store import Store

__all__ = ["Taken", "some_of", "take_stored", "use_texts"]

_BLOCK_BYTES = 32 << 20  # of structures that are looked at together


@dataclass(frozen=True)
class Taken:
    """What was taken of a slice of a store.

    Parameters
    ----------
    n_structures, n_atoms
        How many.
    dropped
        How many each filter left out.
    """

    n_structures: int
    n_atoms: int
    dropped: Mapping[str, int]


def take_stored(
    part: PartWriter,
    source: StoreSource,
    place: int,
    piece: Slice,
    options: ReadOptions,
    filters: Filters,
    *,
    copies: bool,
) -> Taken:
    """Append the structures of a slice of a store that pass to a part.

    Parameters
    ----------
    part
        The part.
    source
        The store, and which of its structures.
    place
        Its place among the inputs.
    piece
        The slice.
    options, filters
        What the user said.
    copies
        Whether the part gets copies of them; else it says only where they are, if these positions ascend.

    Raises
    ------
    InputError
        If a filter can't be asked.
    """
    store = source.store
    columns = stored_columns(store, options.keys, options.exclude)
    lacks = [name for name in ("formula", "source", "frame") if name not in columns]
    if source.chosen is None and not filters and not lacks and not copies:
        offsets = store.read("offsets", piece.start, piece.stop + 1)
        part.add_stored(StoredEntry(place, piece.start, piece.stop))
        return Taken(piece.stop - piece.start, int(offsets[-1] - offsets[0]), {})
    rows = np.arange(piece.start, piece.stop)
    rows = rows if source.chosen is None else source.chosen[rows]
    copies = copies or bool((rows[1:] < rows[:-1]).any())
    dropped: Counter[str] = Counter()
    passing: list[NDArray[np.int64]] = []
    needed = filters.needs(columns) if filters else []
    wanted = columns if copies else {name: columns[name] for name in needed}
    n_atoms = 0
    for some in some_of(source, rows) if copies or filters else [rows]:
        packed = _read(store, wanted, some)
        if filters:
            keep, why = filters.passing(packed, source.label, some)
            packed, some = packed.select(keep), some[keep]
            dropped.update(why)
        n_atoms += int(packed.n_atoms.sum())
        passing.append(some)
        if copies and len(some):
            _complete(packed, source, some)
            part.add(packed, (place, some))
    chosen = np.concatenate(passing)
    if not copies and len(chosen):
        part.add_stored(_entry(source, place, piece, chosen, n_atoms, columns, lacks))
    return Taken(len(chosen), n_atoms, dict(dropped))


def _read(store: Store, columns: Mapping[str, StoredColumn], rows: NDArray[np.int64]) -> Packed:
    """Return structures in any order."""
    order = np.argsort(rows, kind="stable")
    packed = read_packed(store, columns, rows[order])
    return packed if (order[1:] > order[:-1]).all() else packed.select(np.argsort(order).tolist())


def some_of(source: StoreSource, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield some of the structures after the other, of bounded size."""
    store = source.store
    each = max(1, sum(store.nbytes(name) for name in store.columns) // max(1, store.n_atoms))
    each_once, back = np.unique(rows, return_inverse=True)
    offsets = counts_to_offsets(read_scattered(store, "n_atoms", each_once)[back])
    for first, last in segment_ranges(offsets, max(1, _BLOCK_BYTES // each)):
        yield rows[first:last]


def _complete(packed: Packed, source: StoreSource, rows: NDArray[np.int64]) -> None:
    """Add what every structure of a build has and those of old stores have not; leave out texts of others."""
    if "source" not in packed.columns or "frame" not in packed.columns:
        packed.add(FIELDS["source"], np.zeros(len(packed), dtype=np.int32))
        packed.categories["source"] = [source.label]
        packed.add(FIELDS["frame"], rows.astype(np.int64))
    if "formula" not in packed.columns:
        add_formulas(packed)
    use_texts(packed)


def use_texts(packed: Packed) -> None:
    """Leave out the texts of categories that no structure has."""
    for name, texts in packed.categories.items():
        codes = _first_codes(packed.columns[name])
        table = np.full(len(texts) + 1, -1, dtype=np.int32)
        table[codes] = np.arange(len(codes))
        packed.columns[name] = table[packed.columns[name]]
        packed.categories[name] = [texts[code] for code in codes.tolist()]


def _entry(
    source: StoreSource,
    place: int,
    piece: Slice,
    chosen: NDArray[np.int64],
    n_atoms: int,
    columns: Mapping[str, StoredColumn],
    lacks: list[str],
) -> StoredEntry:
    """Return what a part says of structures that stay in their store."""
    store = source.store
    coverage = {name: _coverage(store, column, chosen) for name, column in columns.items()}
    used = {name: _used(store, c, chosen) for name, c in columns.items() if c.field.kind == "category"}
    added: dict[str, tuple[Field, NDArray[Any], list[str] | None]] = {}
    if lacks:
        packed = read_packed(store, {name: columns[name] for name in ("numbers",)}, chosen)
        _complete(packed, source, chosen)
        for name in lacks:
            added[name] = packed.fields[name], packed.columns[name], packed.categories.get(name)
            coverage[name] = len(chosen)
    return StoredEntry(place, piece.start, piece.stop, chosen, n_atoms, coverage, used, added)


def _coverage(store: Store, column: StoredColumn, chosen: NDArray[np.int64]) -> int:
    if store.coverage(column.array) == store.n_structures:
        return len(chosen)
    return int(np.count_nonzero(structures_with(store, column, chosen)))


def _used(store: Store, column: StoredColumn, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the codes of a category that some structures have, as they first occur."""
    if column.field.level == ATOM:
        starts = read_scattered(store, "offsets", chosen)
        stops = starts + read_scattered(store, "n_atoms", chosen)
        codes = read_segments(store, column.array, starts, stops)
    else:
        codes = read_scattered(store, column.array, chosen)
    return _first_codes(codes)


def _first_codes(codes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the codes of texts that occur, in the order in which they do."""
    found, first = np.unique(codes, return_index=True)
    ordered: NDArray[np.int64] = found[np.argsort(first)].astype(np.int64)
    return ordered[ordered >= 0]
