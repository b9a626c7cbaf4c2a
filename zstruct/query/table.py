"""What a condition is asked of: structures in a row, whose fields are read when they are needed.

`Table` is what has to be known of them, wherever they are; `StoreTable` are those of a store, or some of
them. Nothing is known here of conditions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import array_of
from zstruct.errors import InputError, ZstructError
from zstruct.parallel import cpu_count
from zstruct.query.formulas import Formulas, formulas_of, has_formulas
from zstruct.query.index import Index, index_of
from zstruct.query.quantities import FORMULA
from zstruct.ragged import counts_to_offsets, segment_ranges, segment_reduce
from zstruct.schema import ATOM, Field
from zstruct.store.scattered import read_scattered, read_segments
from zstruct.store.splits import open_part
from zstruct.store.store import Store

__all__ = ["Atoms", "StoreTable", "Table"]

_PIECE_ATOMS = 1 << 20  # read together


class Atoms(NamedTuple):
    """The rows of atoms of some structures.

    Parameters
    ----------
    part
        Which of the structures that were asked for.
    offsets
        Their edges in the rows, shape (n + 1,).
    rows
        Of the field that was asked for, shape (n_atoms, ...).
    """

    part: slice
    offsets: NDArray[np.int64]
    rows: NDArray[Any]


class Table(Protocol):
    """Structures in a row, from 0 on."""

    @property
    def name(self) -> str:
        """What they are, for sentences: "the store train.zarr"."""

    @property
    def fields(self) -> Mapping[str, Field]:
        """The fields that they may have."""

    def obstacle(self, name: str) -> str | None:
        """Return why something of this name is no field, though it is there; None: it is not there."""

    @property
    def formulas(self) -> Formulas | None:
        """Their compositions, or None where only their atoms say so."""

    @property
    def n_threads(self) -> int:
        """How many threads may read it at once."""

    def known(self, quantity: str) -> str | None:
        """Return what has the rows of a quantity that need not be computed; None: it has to be."""

    def __len__(self) -> int:
        """Return how many there are."""

    def positions(self, structures: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions that users know some of them by."""

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows of a field of structures or of ``n_atoms``, shape (n, ...); texts as codes."""

    def present(self, name: str, structures: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some structures, ascending, have a field."""

    def texts(self, name: str) -> Sequence[str]:
        """Return the texts that the codes of a field stand for."""

    def atoms(self, name: str, structures: NDArray[np.int64]) -> Iterator[Atoms]:
        """Yield the rows of a field of the atoms of some structures, ascending, some at a time."""


class StoreTable:
    """The structures of a store, or some of them.

    Parameters
    ----------
    store
        The store.
    structures
        Which, shape (n,), in ascending order; a structure may be there more than once. None: all.
    positions
        By what positions users know them; from 0 on if not given.
    computing
        Whether all quantities are computed, also those that the store's index has.
    """

    def __init__(
        self,
        store: Store,
        structures: NDArray[np.int64] | None = None,
        positions: NDArray[np.int64] | None = None,
        *,
        computing: bool = False,
    ):
        self.store, self._structures, self._positions = store, structures, positions
        self._computing = computing

    def __len__(self) -> int:
        return self.store.n_structures if self._structures is None else len(self._structures)

    @property
    def name(self) -> str:
        """The store's path."""
        return f"the store {self.store.path}"

    @property
    def fields(self) -> Mapping[str, Field]:
        """The fields of the store."""
        return self.store.fields

    def obstacle(self, name: str) -> str | None:
        """Return None: all that a store has for structures or atoms is a field."""
        return None

    @cached_property
    def formulas(self) -> Formulas | None:
        """The store's table of formulas; those of format 1.0 have none."""
        return formulas_of(self.store, self.known(FORMULA) or FORMULA) if has_formulas(self.store) else None

    @property
    def n_threads(self) -> int:
        """As many as there are processors, of a store in a local directory."""
        return cpu_count() if os.path.isdir(self.store.path) else 1

    @cached_property
    def _index(self) -> Index | None:
        return None if self._computing else index_of(self.store)

    def known(self, quantity: str) -> str | None:
        """Return the array of the store's index that has a quantity, if one has."""
        return None if self._index is None else self._index.array(quantity)

    def positions(self, structures: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions that users know some of the structures by."""
        return structures if self._positions is None else self._positions[structures]

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return the rows of a field, or of an array of the index, of structures ``start:stop``."""
        store = self.store if self._index is None else self._index.store_of(name, self.store)
        if self._structures is None:
            return store.read(name, start, stop)
        return read_scattered(store, name, self._structures[start:stop])

    def present(self, name: str, structures: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some structures, ascending, have a field; reads it if the store does not know."""
        store, field = self.store, self.store.fields[name]
        chosen = structures if self._structures is None else self._structures[structures]
        if store.coverage(name) == store.n_structures or len(chosen) == 0:
            return np.ones(len(chosen), dtype=bool)
        if name in store.presence:
            return read_scattered(store, store.presence[name], chosen).astype(bool, copy=False)
        if field.level != ATOM:
            return field.given(read_scattered(store, name, chosen))
        found = np.zeros(len(chosen), dtype=bool)
        for atoms in self.atoms(name, structures):
            found[atoms.part] = segment_reduce(field.given(atoms.rows), atoms.offsets, "sum") > 0
        return found

    def texts(self, name: str) -> Sequence[str]:
        """Return the texts that the codes of a field stand for."""
        return self.store.categories(FORMULA if name == self.known(FORMULA) else name)

    def atoms(self, name: str, structures: NDArray[np.int64]) -> Iterator[Atoms]:
        """Yield the rows of a field of the atoms of some structures, ascending, some megabytes at a time."""
        if len(structures) == 0:
            return
        chosen = structures if self._structures is None else self._structures[structures]
        starts = read_scattered(self.store, "offsets", chosen)
        offsets = counts_to_offsets(read_scattered(self.store, "n_atoms", chosen))
        stops = starts + np.diff(offsets)
        for a, b in segment_ranges(offsets, _PIECE_ATOMS):
            rows = read_segments(self.store, name, starts[a:b], stops[a:b])
            yield Atoms(slice(a, b), offsets[a : b + 1] - offsets[a], rows)

    def mask(self, where: Any) -> NDArray[np.bool_]:
        """Return which of the structures pass a test.

        Parameters
        ----------
        where
            A function of the store that returns a boolean for each of its structures, or such booleans.

        Raises
        ------
        InputError
            If it raises or returns anything else.
        """
        try:
            found = array_of("where", where(self.store) if callable(where) else where)
        except Exception as error:
            reason = f"the filter given as where= raised {type(error).__name__}: {error}"
            if isinstance(error, AttributeError):
                reason += "; here it is a function of the zstruct.Store, in ds.zs.select of the Dataset"
            raise (error if isinstance(error, ZstructError) else InputError(reason)) from error
        if found.dtype != bool or found.shape != (self.store.n_structures,):
            raise InputError(
                f"where is a boolean for each of the {self.store.n_structures:,} structures of the store, or "
                f"a function that returns that, not {found.dtype} values of shape {found.shape}"
            )
        return found if self._structures is None else found[self._structures]

    def part(self, name: str, label: str) -> NDArray[np.bool_]:
        """Return which of the structures are in a part of a split.

        Raises
        ------
        InputError
            If there is no such split or part.
        StaleGroupError
            If it was drawn for other content than the store has now.
        """
        inside = open_part(self.store, name, label)
        return inside if self._structures is None else inside[self._structures]
