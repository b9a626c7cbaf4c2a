"""`interleaved`: batches of several stores as one, in the order that was asked for.

Where structures can't be gathered at once, each store makes a batch of its own; here their rows find their
places.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.packed import PackedBatch, Pairs, Ragged
from zstruct.loading.gather.mixed_kernels import weave
from zstruct.ragged import counts_to_offsets

__all__ = ["Piece", "interleaved"]

_NONE = np.empty(0, np.int64)
_MOVE = 2e-6  # seconds that Python takes to move the rows of a structure


class Piece(NamedTuple):
    """Some structures of a batch.

    Attributes
    ----------
    members
        Their places in the batch, ascending, shape (n,).
    batch
        They, packed.
    columns
        Their columns, of the same names and dtypes in all pieces.
    """

    members: NDArray[np.int64]
    batch: PackedBatch
    columns: Mapping[str, NDArray[Any]]


def interleaved(pieces: Sequence[Piece], n: int, per_atom: Collection[str]) -> PackedBatch:
    """Return the structures of several pieces as one batch.

    Parameters
    ----------
    pieces
        Batches with the same pairs and the same rows of structures' own; together all of the members.
    n
        Structures in all.
    per_atom
        The names of columns that have a row for each atom.
    """
    if len(pieces) == 1:
        batch = pieces[0].batch
        batch.columns = dict(pieces[0].columns)
        batch.per_atom = frozenset(per_atom)
        return batch
    whose, places = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for k, piece in enumerate(pieces):
        whose[piece.members], places[piece.members] = k, np.arange(len(piece.members))
    rows = _Rows.of(pieces, whose, places, [piece.batch.offsets for piece in pieces])
    ones = np.ones(n, np.int64)
    single = _Rows(whose, places, ones, np.arange(n))
    first = pieces[0]
    columns = {
        name: (rows if name in per_atom else single).woven([piece.columns[name] for piece in pieces])
        for name in first.columns
    }
    pairs = []
    for k, p in enumerate(first.batch.pairs):
        parts = [piece.batch.pairs[k] for piece in pieces]
        found = _Rows.of(pieces, whose, places, [part.offsets for part in parts])
        index = np.empty((2, found.n_rows), np.int64)
        moved = rows.edges - rows.starts  # of the atoms of each structure
        for end in range(2):
            found.put([part.index[end] for part in parts], index[end], moved)
        carried = {name: found.woven([part.columns[name] for part in parts]) for name in p.columns}
        pairs.append(Pairs(p.name, counts_to_offsets(found.counts), index, carried))
    ragged = []
    for k, own in enumerate(first.batch.ragged):
        several = [piece.batch.ragged[k] for piece in pieces]
        found = _Rows.of(pieces, whose, places, [part.offsets for part in several])
        values = found.woven([part.values for part in several])
        ragged.append(Ragged(own.name, counts_to_offsets(found.counts), values))
    atoms: tuple[Any, ...] = ()
    if first.batch.atoms:
        of_pieces = [piece.batch.atoms for piece in pieces]
        atoms = tuple(of_pieces[k][i] for k, i in zip(whose.tolist(), places.tolist(), strict=True))
    return PackedBatch(
        None,
        counts_to_offsets(rows.counts),
        rows.counts,
        columns,
        frozenset(per_atom),
        tuple(pairs),
        atoms=atoms,
        ragged=tuple(ragged),
    )


class _Rows(NamedTuple):
    """Where the rows of structures are in their pieces, and where they go to."""

    whose: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    edges: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        pieces: Sequence[Piece],
        whose: NDArray[np.int64],
        places: NDArray[np.int64],
        offsets: Sequence[NDArray[np.int64]],
    ) -> _Rows:
        starts, counts = np.zeros_like(whose), np.zeros_like(whose)
        for piece, edges in zip(pieces, offsets, strict=True):
            starts[piece.members], counts[piece.members] = edges[:-1], np.diff(edges)
        return cls(whose, starts, counts, counts_to_offsets(counts)[:-1])

    @property
    def n_rows(self) -> int:
        return int(self.counts.sum())

    def woven(self, arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Return the rows of several arrays in one."""
        out = np.empty((self.n_rows, *arrays[0].shape[1:]), arrays[0].dtype)
        self.put(arrays, out)
        return out

    def put(
        self, arrays: Sequence[NDArray[Any]], out: NDArray[Any], shifts: NDArray[np.int64] = _NONE
    ) -> None:
        """Copy the rows of several arrays to their places, and add to each the shift of its structure."""
        if out.size == 0:
            return
        same = [np.ascontiguousarray(array, out.dtype) for array in arrays]  # which the addresses are of
        sources = np.array([array.ctypes.data for array in same], np.int64)
        row_bytes = out.dtype.itemsize * math.prod(out.shape[1:])
        run = weave.for_work(_MOVE * len(self.whose))
        into = out.reshape(-1).view(np.uint8)
        run(sources, self.whose, self.starts, self.counts, row_bytes, into, self.edges, shifts)
