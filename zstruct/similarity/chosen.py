"""The structures that are compared: of one store or of several, counted through, and read where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.geometry.structures import Structures
from zstruct.ragged import chosen_rows, counts_to_offsets
from zstruct.store.datasets import store_and_rows, structures_once
from zstruct.store.scattered import read_scattered, read_segments
from zstruct.store.store import Store

__all__ = ["Chosen", "forces_together", "together"]


@dataclass(frozen=True, eq=False)
class Chosen:
    """Some structures of one store.

    Parameters
    ----------
    store
        The store.
    rows
        Which of its structures, ascending, each once, shape (n,); None for all.
    """

    store: Store
    rows: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, given: Any, storage_options: Mapping[str, Any] | None) -> Chosen:
        """Return those of a store, of its path, or of a dataset.

        Raises
        ------
        InputError
            If it is something else.
        """
        if isinstance(given, Chosen):
            return given
        store, rows = store_and_rows(given, storage_options)
        return cls(store, structures_once(store, rows))

    def __len__(self) -> int:
        return self.store.n_structures if self.rows is None else len(self.rows)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Row edges of all structures of the store."""
        return self.store.read("offsets")

    def numbered(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which structures of the store are at some positions here."""
        return positions if self.rows is None else self.rows[positions]

    def pieces(self, atoms: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of positions that have about so many atoms."""
        counts = np.diff(self.offsets)
        edges = counts_to_offsets(counts if self.rows is None else counts[self.rows])
        cuts = np.searchsorted(edges, np.arange(0, int(edges[-1]) + atoms, atoms))
        cuts = np.unique(np.minimum(cuts, len(self)))
        yield from zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)

    def read(self, chosen: NDArray[np.int64]) -> Structures:
        """Return where the atoms of some structures of the store are; they are given in ascending order."""
        starts, stops = self.offsets[chosen], self.offsets[chosen + 1]
        fields, n = self.store.fields, len(chosen)
        cells, pbc = np.zeros((n, 3, 3)), np.zeros((n, 3), bool)
        if "cell" in fields:
            cells = read_scattered(self.store, "cell", chosen)
        if "pbc" in fields:
            pbc = read_scattered(self.store, "pbc", chosen)
        return Structures(
            counts_to_offsets(stops - starts),
            read_segments(self.store, "numbers", starts, stops).astype(np.int64),
            read_segments(self.store, "positions", starts, stops).astype(np.float64, copy=False),
            cells.astype(np.float64, copy=False),
            pbc,
        )

    def forces(self, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the forces on atoms of some structures, in ascending order; NaN where there are none."""
        starts, stops = self.offsets[chosen], self.offsets[chosen + 1]
        if "forces" not in self.store.fields:
            return np.full((int((stops - starts).sum()), 3), np.nan)
        return read_segments(self.store, "forces", starts, stops).astype(np.float64, copy=False)

    def has_forces(self, chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some structures of the store have forces, ascending: all atoms have, or none."""
        if "forces" not in self.store.fields:
            return np.zeros(len(chosen), bool)
        if self.store.coverage("forces") == self.store.n_structures:
            return np.ones(len(chosen), bool)
        first = self.offsets[chosen]
        there: NDArray[np.bool_] = np.isfinite(read_segments(self.store, "forces", first, first + 1)[:, 0])
        return there

    def column(self, name: str, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return a field of some structures of the store, NaN where it is missing."""
        if name not in self.store.fields:
            return np.full(len(chosen), np.nan)
        return read_scattered(self.store, name, chosen).astype(np.float64)


def together(parts: Sequence[Chosen], which: NDArray[np.int64], at: NDArray[np.int64]) -> Structures:
    """Return where the atoms of structures of several stores are, in the order that is asked for.

    Parameters
    ----------
    parts
        The structures of each store.
    which, at
        The number of the store, and which of its structures, each shape (n,).
    """
    chosen, back = _by_store(parts, which, at)
    found = [part.read(here) for part, here in chosen]
    offsets = counts_to_offsets(np.concatenate([np.diff(one.offsets) for one in found]))
    rows, sizes = chosen_rows(offsets, back)
    return Structures(
        counts_to_offsets(sizes),
        np.concatenate([one.numbers for one in found])[rows],
        np.concatenate([one.positions for one in found])[rows],
        np.concatenate([one.cells for one in found])[back],
        np.concatenate([one.pbc for one in found])[back],
    )


def forces_together(
    parts: Sequence[Chosen], which: NDArray[np.int64], at: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the forces on the atoms that `together` returns, shape (N, 3); NaN where there are none."""
    chosen, back = _by_store(parts, which, at)
    sizes = np.concatenate([part.offsets[here + 1] - part.offsets[here] for part, here in chosen])
    rows, _ = chosen_rows(counts_to_offsets(sizes), back)
    return np.concatenate([part.forces(here) for part, here in chosen])[rows]


def _by_store(
    parts: Sequence[Chosen], which: NDArray[np.int64], at: NDArray[np.int64]
) -> tuple[list[tuple[Chosen, NDArray[np.int64]]], NDArray[np.int64]]:
    """Return which structures are wanted of which store, ascending, and where among these each one is."""
    order = np.lexsort((at, which))
    chosen = [(part, at[order][which[order] == k]) for k, part in enumerate(parts)]
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return [(part, here) for part, here in chosen if len(here)], back
