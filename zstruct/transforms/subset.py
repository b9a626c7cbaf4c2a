"""Some structures of a batch, chosen at random, changed apart from the others.

This module knows none of the transforms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import real
from zstruct.batch.packed import PackedBatch, Pairs, Ragged
from zstruct.ragged import chosen_rows, counts_to_offsets
from zstruct.transforms.kernels import keys_of

__all__ = ["indices", "on_some", "probability"]


def probability(p: Any) -> float:
    """Return a probability of any kind of number as Python's.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is not between 0 and 1.
    """
    found = real("p", p)
    if found is None:
        raise TypeError("p is a number, not None")
    if not 0.0 <= found <= 1.0:
        raise ValueError(f"p is a probability, between 0 and 1, not {p!r}")
    return found


def indices(batch: PackedBatch) -> NDArray[np.int64]:
    """Return the indices of structures in the store, or in the batch where they came from none."""
    return np.arange(len(batch)) if batch.structures is None else batch.structures


def on_some(
    batch: PackedBatch, p: float, stream: np.uint64, change: Callable[[PackedBatch], PackedBatch]
) -> PackedBatch:
    """Change each structure with some probability.

    Parameters
    ----------
    batch
        The structures.
    p
        The probability; 1: all of them, at once.
    stream
        The random stream that chooses them, by their indices in the store.
    change
        Changes a batch. It may add masks, which are false for the others, and nothing else.

    Raises
    ------
    ValueError
        If it adds anything else, or changes shapes, dtypes or numbers of atoms.
    """
    if p >= 1.0:
        return change(batch)
    keys = np.empty(len(batch), np.uint64)
    keys_of(indices(batch), stream, keys)
    chosen = np.flatnonzero((keys >> np.uint64(11)) * 2.0**-53 < p)
    # Also where nobody is: one structure tells which masks there are, and is thrown away.
    one = chosen if len(chosen) else np.arange(min(1, len(batch)))
    part = change(_taken(batch, one))
    for name in part.columns.keys() - batch.columns.keys():
        column = part.columns[name]
        if column.dtype != np.bool_ or name in part.per_atom:
            raise ValueError(f"{name} can't be added to some structures only, as it is no mask")
        batch.columns[name] = np.zeros((len(batch), *column.shape[1:]), np.bool_)
    if len(chosen):
        _put(batch, chosen, part)
    return batch


def _taken(batch: PackedBatch, chosen: NDArray[np.int64]) -> PackedBatch:
    """Return a batch of some structures, in memory of its own."""
    rows, counts = chosen_rows(batch.offsets, chosen)
    pairs = []
    offsets = counts_to_offsets(counts)
    for p in batch.pairs:
        some, lengths = chosen_rows(p.offsets, chosen)
        moved = np.repeat(offsets[:-1] - batch.offsets[chosen], lengths)
        columns = {name: column[some] for name, column in p.columns.items()}
        pairs.append(Pairs(p.name, counts_to_offsets(lengths), p.index[:, some] + moved, columns))
    ragged = []
    for own in batch.ragged:
        some, lengths = chosen_rows(own.offsets, chosen)
        ragged.append(Ragged(own.name, counts_to_offsets(lengths), own.values[some]))
    return replace(
        batch,
        structures=indices(batch)[chosen],
        offsets=offsets,
        n_atoms=counts,
        columns={n: c[rows] if n in batch.per_atom else c[chosen] for n, c in batch.columns.items()},
        pairs=tuple(pairs),
        ragged=tuple(ragged),
        atoms=tuple(batch.atoms[i] for i in chosen.tolist()) if batch.atoms else (),
    )


def _put(batch: PackedBatch, chosen: NDArray[np.int64], part: PackedBatch) -> None:
    """Put some structures back into a batch."""
    rows, _ = chosen_rows(batch.offsets, chosen)
    if not np.array_equal(part.n_atoms, batch.n_atoms[chosen]):
        raise ValueError("a transform of some structures can't change how many atoms they have")
    for name, column in part.columns.items():
        old = batch.columns[name]
        if column.dtype != old.dtype or column.shape[1:] != old.shape[1:]:
            raise ValueError(f"the shape or dtype of {name} can't be changed in some structures only")
        if not old.flags.writeable:
            batch.columns[name] = old = old.copy()
        old[rows if name in batch.per_atom else chosen] = column
    for whole, some in zip(batch.pairs, part.pairs, strict=True):
        places, _ = chosen_rows(whole.offsets, chosen)
        for name, column in some.columns.items():
            whole.columns[name][places] = column
    for all_rows, some_rows in zip(batch.ragged, part.ragged, strict=True):
        places, lengths = chosen_rows(all_rows.offsets, chosen)
        if not np.array_equal(lengths, np.diff(some_rows.offsets)):
            raise ValueError(f"rows of {all_rows.name} can't become more or fewer in some structures only")
        all_rows.values[places] = some_rows.values
