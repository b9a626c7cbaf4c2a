"""Which structure of which store among the inputs each structure of a new store is, and rows of theirs.

Groups beside the content follow their structures by this, out of core: what is asked for is read in the order
of the stores, and put where it belongs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.building.part_blocks import PartBlock
from zstruct.building.plan import Plan
from zstruct.building.stored_blocks import StoredBlock, StoredInput
from zstruct.ragged import atom_rows, segment_ranges
from zstruct.store.scattered import gathered
from zstruct.store.spec import ArraySpec

__all__ = ["GatheredRows", "Origins"]

_TOGETHER_BYTES = 1 << 25


class Origins:
    """Where the structures of a new store come from.

    Parameters
    ----------
    plan
        What is in it.
    n_structures
        How many of its first structures are meant; by default all.
    known
        How many of the first structures of inputs are meant, by their place, where these are not all: others
        come from no store.

    Attributes
    ----------
    inputs
        The stores among the inputs that it has structures of, by their place.
    n_structures
        How many structures it has.
    n_others
        How many of its structures, before they were ordered, come from elsewhere.
    """

    def __init__(self, plan: Plan, n_structures: int | None = None, known: Mapping[int, int] | None = None):
        places = {id(source): place for place, source in plan.inputs.items()}
        self._plan, self._blocks = plan, plan.blocks
        inputs = [
            places[id(block.source)] if isinstance(block, StoredBlock) else block.input
            for block in self._blocks
        ]
        sizes = [block.n_structures for block in self._blocks]
        used = [(place, size) for place, size in zip(inputs, sizes, strict=True) if size]
        self.inputs: dict[int, StoredInput] = {
            place: plan.inputs[place] for place in sorted({p for p, _ in used if p is not None})
        }
        self.n_others = sum(size for place, size in used if place is None)
        self.n_structures = len(plan.counts) if n_structures is None else n_structures
        self._known = dict(known or {})
        self._places = np.array([-1 if place is None else place for place in inputs])
        self._chosen: dict[int, NDArray[np.int64] | None] = {}

    @property
    def is_ordered(self) -> bool:
        """Whether structures are in the order of the inputs."""
        return self._plan.order is None

    def first(self, n: int) -> Origins:
        """Return where so many of the first structures come from."""
        return Origins(self._plan, n, self._known)

    def knowing(self, known: Mapping[int, int]) -> Origins:
        """Return where structures come from, where of inputs only so many of the first ones are known."""
        return Origins(self._plan, self.n_structures, known) if known else self

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Row edges of the atoms of the structures."""
        return self._plan.offsets[: self.n_structures + 1]

    @property
    def n_atoms(self) -> int:
        """How many atoms the structures have."""
        return int(self._plan.offsets[self.n_structures])

    def n_known(self, place: int) -> int:
        """Return how many of the first structures of an input are meant."""
        return self._known.get(place, self.inputs[place].store.n_structures)

    def begins_with(self, place: int) -> int:
        """Return how many of the first structures are the first ones of an input."""
        beginning = self._plan.beginning
        if beginning is None or beginning.source is not self.inputs.get(place):
            return 0
        return min(beginning.n_structures, self.n_structures, self.n_known(place))

    def of(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the inputs that some structures come from, -1 for no store, and which they are there.

        Parameters
        ----------
        start, stop
            The structures of the new store.
        """
        order = self._plan.order
        ids = np.arange(start, stop) if order is None else np.asarray(order[start:stop])
        blocks = np.searchsorted(self._plan.structure_edges, ids, side="right") - 1
        positions = ids - self._plan.structure_edges[blocks]
        for k in np.unique(blocks).tolist():
            chosen = self._chosen_of(k)
            if chosen is not None:
                mine = blocks == k
                positions[mine] = chosen[positions[mine]]
        places = self._places[blocks]
        for place, n in self._known.items():
            places[(places == place) & (positions >= n)] = -1
        return places, positions

    def _chosen_of(self, k: int) -> NDArray[np.int64] | None:
        """Return which structures of its store a block has; None: all, or it has none of a store."""
        if k not in self._chosen:
            block = self._blocks[k]
            if isinstance(block, PartBlock):
                self._chosen[k] = None if block.input is None else block.places()
            else:
                self._chosen[k] = block.chosen
        return self._chosen[k]


class GatheredRows:
    """Rows of an array over all structures of a new store, that come from arrays of several others.

    Parameters
    ----------
    origins
        Where structures come from.
    spec
        The new array. Rows of structures that no array has are its fill value.
    arrays
        The arrays, by the places of their stores among the inputs.
    edges
        Row edges of the structures of each of these stores; none, if each structure has a row.
    offsets
        Row edges of the structures of the new store, if there are any.
    """

    def __init__(
        self,
        origins: Origins,
        spec: ArraySpec,
        arrays: Mapping[int, str],
        edges: Mapping[int, NDArray[np.int64]] | None = None,
        offsets: NDArray[np.int64] | None = None,
    ):
        self.spec, self._origins, self._arrays = spec, origins, dict(arrays)
        self._edges, self._offsets = edges, offsets
        self._spooled: NDArray[Any] | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return max(1, int(np.dtype(self.spec.dtype).itemsize * np.prod(self.spec.shape[1:], dtype=int)))

    @cached_property
    def _all(self) -> NDArray[np.int64]:
        n = self._origins.n_structures
        return np.arange(n + 1) if self._offsets is None else self._offsets

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows of the new array; called by several threads."""
        if self._spooled is not None:
            return np.array(self._spooled[start:stop])
        if start == stop:
            return np.empty((0, *self.spec.shape[1:]), self.spec.dtype)
        a, b, edges = start, stop, self._all
        if self._offsets is not None:
            a = int(np.searchsorted(edges, start, side="right")) - 1
            b = int(np.searchsorted(edges, stop, side="left"))
        out = self._empty(stop - start)
        places, positions = self._origins.of(a, b)
        for place in np.unique(places).tolist():
            if place in self._arrays:
                mine = np.flatnonzero(places == place)
                into = edges[a + mine]
                cut = np.maximum(0, start - into), np.maximum(0, edges[a + mine + 1] - stop)
                first, last = self._rows_of(place, positions[mine])
                self._put(out, place, first + cut[0], last - cut[1], into + cut[0] - start)
        return out

    def spool(self, file: Path) -> None:
        """Gather all rows into a file, from which they are read then: for structures in another order.

        Each chunk of the others is decoded about once. The file is for the caller to remove.
        """
        n = int(self.spec.shape[0])
        if not n * int(np.prod(self.spec.shape[1:], dtype=int)):
            return
        out = np.lib.format.open_memmap(file, "w+", np.dtype(self.spec.dtype), self.spec.shape)
        step = max(1, _TOGETHER_BYTES // self.row_bytes)
        for begin in range(0, n, step):
            out[begin : begin + step] = self.spec.fill_value
        places, positions = self._origins.of(0, self._origins.n_structures)
        for place in self._arrays:
            mine = np.flatnonzero(places == place)
            mine = mine[np.argsort(positions[mine], kind="stable")]
            first, last = self._rows_of(place, positions[mine])
            ends = np.concatenate([[0], np.cumsum(last - first)])
            for a, b in segment_ranges(ends, step):
                self._put(out, place, first[a:b], last[a:b], self._all[mine[a:b]])
        out.flush()
        self._spooled = out

    def _rows_of(
        self, place: int, positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the rows of structures of a store begin and end."""
        if self._edges is None:
            return positions, positions + 1
        edges = self._edges[place]
        return edges[positions], edges[positions + 1]

    def _put(
        self,
        out: NDArray[Any],
        place: int,
        first: NDArray[np.int64],
        last: NDArray[np.int64],
        into: NDArray[np.int64],
    ) -> None:
        """Read ranges of rows of a store and put them to where they begin in an array."""
        some = np.flatnonzero(last > first)
        order = some[np.argsort(first[some], kind="stable")]
        first, last, into = first[order], last[order], into[order]
        if not len(order):
            return
        source, array = self._origins.inputs[place], self._arrays[place]
        together = max(1, _TOGETHER_BYTES // self.row_bytes)
        rows = gathered(source.cursor(array).read, first, last, source.store.grid(array).chunk_rows, together)
        counts = last - first
        where: Any = slice(int(into[0]), int(into[0]) + len(rows))
        if not (into[1:] == into[:-1] + counts[:-1]).all():
            where = atom_rows(into, counts)
        out[where] = rows

    def _empty(self, n: int) -> NDArray[Any]:
        return np.full((n, *self.spec.shape[1:]), self.spec.fill_value, self.spec.dtype)
