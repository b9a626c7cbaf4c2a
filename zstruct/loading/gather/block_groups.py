"""The blocks that a batch needs, in groups that fit into the budget of a cache together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zstruct.loading.cache.blocks import Table
from zstruct.loading.cache.cache import BlockCache
from zstruct.loading.gather.kernels import mark
from zstruct.ragged import atom_rows

__all__ = ["block_groups", "blocks_between", "mark_blocks"]

_MARK = 5e-8  # seconds that NumPy takes to find the blocks of a structure, about


def block_groups(
    cache: BlockCache, table: Table, starts: NDArray[np.int64], counts: NDArray[np.int64] | int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Cut a request into groups whose blocks fit into the budget together, with those blocks.

    Usually one group. Where the budget is small, each group takes what lies in neighbouring
    blocks, so that no block is decoded twice for one request.
    """
    first, last = _block_ends(table, starts, counts)
    needed = blocks_between(first, last)
    if cache.flat is not None or table.nbytes(needed) <= cache.cache_bytes:
        return [(np.arange(len(starts)), needed)]
    # Half of the budget, for the blocks of the other dimension want to stay as well.
    together = max(1, cache.cache_bytes // (2 * table.row_bytes * table.block_rows))
    group = np.searchsorted(needed, first) // together
    members = [np.flatnonzero(group == g) for g in np.unique(group)]
    return [(those, blocks_between(first[those], last[those])) for those in members]


def mark_blocks(
    structures: NDArray[np.int64],
    offsets: NDArray[np.int64],
    atom_rows: int,
    rows: int,
    atom_marks: NDArray[np.uint8],
    marks: NDArray[np.uint8],
) -> None:
    """Mark the blocks that some structures, and their atoms, are in.

    Parameters
    ----------
    structures
        Structures of the store.
    offsets
        Atom edges of all of them.
    atom_rows, rows
        Atoms and structures of a block.
    atom_marks, marks
        For each block of atoms and of structures, 1 where it is needed; none where none are asked for.
    """
    mark.for_work(_MARK * len(structures), _marked)(structures, offsets, atom_rows, rows, atom_marks, marks)


def _marked(
    structures: NDArray[np.int64],
    offsets: NDArray[np.int64],
    atom_rows: int,
    rows: int,
    atom_marks: NDArray[np.uint8],
    marks: NDArray[np.uint8],
) -> None:
    """Do what the kernel does, as NumPy does it."""
    if len(marks):
        marks[structures // rows] = 1
    if len(atom_marks):
        starts, stops = offsets[structures], offsets[structures + 1]
        some = stops > starts
        atom_marks[blocks_between(starts[some] // atom_rows, (stops[some] - 1) // atom_rows)] = 1


def blocks_between(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sorted blocks from `first` to `last` of any structure, each once."""
    if len(first) == 0:
        return first
    low = first.min()
    there = np.zeros(last.max() - low + 1, bool)
    there[first - low] = there[last - low] = True
    if (long := last - first > 1).any():
        there[atom_rows(first[long], last[long] - first[long]) - low] = True
    return np.flatnonzero(there) + low


def _block_ends(
    table: Table, starts: NDArray[np.int64], counts: NDArray[np.int64] | int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and the last block of every run of rows, of which all may have as many."""
    first = starts // table.block_rows
    last = np.maximum(starts + counts - 1, starts) // table.block_rows
    return np.minimum(first, table.n_blocks - 1), np.minimum(last, table.n_blocks - 1)
