"""Structures that are there already: those that equal an earlier one in all but their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zstruct.building.parse_stored import some_of
from zstruct.building.part_blocks import PartBlock
from zstruct.building.repeats import Entry, Masks, Repeats, entries_of
from zstruct.ragged import Packed
from zstruct.sources import Source
from zstruct.sources.store.columns import stored_columns
from zstruct.sources.store.reading import read_packed
from zstruct.sources.store.source import StoreSource
from zstruct.store.hashes import IDENTITY, structure_hashes

__all__ = ["find_duplicates"]

_REPORTED = 100  # structures that are named one by one


def find_duplicates(
    parts: Sequence[Path], sources: Sequence[Source], dtype: str | None, *, grows: bool
) -> tuple[Masks, Repeats]:
    """Find structures that equal an earlier one in numbers, positions, cell and periodicity, bit for bit.

    In memory are 60 bytes, about, for each structure that is not in a store that is extended.

    Parameters
    ----------
    parts
        The parts, in order.
    sources
        The sources, in order.
    dtype
        The precision in which positions are stored; None: as they are.
    grows
        Whether the first source is a store that is extended: its own structures all stay.

    Returns
    -------
    Masks
        Which structures are to stay.
    Repeats
        What is said of the others.
    """
    all_entries = entries_of(parts)
    flat = [(k, j, entry) for k, entries in enumerate(all_entries) for j, entry in enumerate(entries)]
    old = [grows and entry.input == 0 for _, _, entry in flat]
    hashes = [
        np.concatenate([*_hashes(entry, sources, dtype)])
        for (_, _, entry), is_old in zip(flat, old, strict=True)
        if not is_old
    ]
    masks: list[list[NDArray[np.bool_] | None]] = [[None] * len(entries) for entries in all_entries]
    if not hashes:
        return masks, Repeats()
    new = _New.of(np.concatenate(hashes))
    del hashes
    for (_, _, entry), is_old in zip(flat, old, strict=True):
        if is_old:
            for some in _hashes(entry, sources, dtype):
                new.find(some)
    repeated = new.repeated()
    named: list[tuple[str, int]] = []
    start = 0
    for (k, j, entry), is_old in zip(flat, old, strict=True):
        if is_old:
            continue
        n = _length(entry)
        mine = repeated[start : start + n]
        start += n
        if mine.any():
            masks[k][j] = ~mine
            rows = np.flatnonzero(mine)[: _REPORTED - len(named)]
            named += [_named(entry, sources, row) for row in rows.tolist()]
    return masks, Repeats(n_duplicates=int(repeated.sum()), duplicates=named)


@dataclass(eq=False)
class _New:
    """The hashes of new structures, sorted, and which of them are known."""

    order: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    groups: NDArray[np.int64]
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, hashes: NDArray[np.uint64]) -> _New:
        """Sort them; those that are equal stay in their order."""
        order = np.lexsort((hashes[:, 1], hashes[:, 0]))
        ordered = hashes[order]
        groups = np.zeros(len(order), dtype=np.int64)
        np.cumsum((ordered[1:] != ordered[:-1]).any(axis=1), out=groups[1:])
        return cls(order, ordered, groups, np.zeros(len(order), dtype=bool))

    def find(self, hashes: NDArray[np.uint64]) -> None:
        """Mark those that are among others."""
        at = np.searchsorted(self.hashes[:, 0], hashes[:, 0])
        wanted = hashes
        while len(at):
            here = at < len(self.hashes)
            at, wanted = at[here], wanted[here]
            here = self.hashes[at, 0] == wanted[:, 0]
            at, wanted = at[here], wanted[here]
            self.known[self.groups[at[self.hashes[at, 1] == wanted[:, 1]]]] = True
            at = at + 1

    def repeated(self) -> NDArray[np.bool_]:
        """Return which are known, or equal an earlier one, in the order in which they came."""
        again = self.known[self.groups]
        again[1:] |= self.groups[1:] == self.groups[:-1]
        found = np.empty_like(again)
        found[self.order] = again
        return found


def _length(entry: Entry) -> int:
    if isinstance(entry, PartBlock):
        return entry.n_structures
    return len(entry.rows())


def _hashes(entry: Entry, sources: Sequence[Source], dtype: str | None) -> Iterator[NDArray[np.uint64]]:
    """Yield the hashes of what makes the structures of an entry, some at a time."""
    if isinstance(entry, PartBlock):
        yield _identity(entry.packed([name for name in IDENTITY if name in entry.fields]), dtype)
        return
    source = sources[entry.input]
    assert isinstance(source, StoreSource)
    columns = {name: one for name, one in stored_columns(source.store).items() if name in IDENTITY}
    for rows in some_of(source, entry.rows()):
        yield _identity(read_packed(source.store, columns, rows), dtype)


def _identity(packed: Packed, dtype: str | None) -> NDArray[np.uint64]:
    if dtype is not None:
        packed.columns["positions"] = packed.columns["positions"].astype(dtype, copy=False)
    return structure_hashes(packed, IDENTITY)


def _named(entry: Entry, sources: Sequence[Source], row: int) -> tuple[str, int]:
    """Return the input that a structure is from, and its place there."""
    if isinstance(entry, PartBlock):
        code = int(entry.rows("source", row, row + 1)[0])
        return entry.categories["source"][code], int(entry.rows("frame", row, row + 1)[0])
    return sources[entry.input].label, int(entry.rows()[row])
