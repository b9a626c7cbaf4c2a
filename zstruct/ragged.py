"""Packed ragged tables: offsets arithmetic, segment reductions and the `Packed` block.

Structures of different sizes are stored end to end: the atoms of structure i are the rows
``offsets[i]:offsets[i + 1]`` of every per-atom array. This module is numpy only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.errors import InputError
from zstruct.schema import ATOM, Field, merge

__all__ = [
    "Packed",
    "as_texts",
    "atom_rows",
    "by_appearance",
    "chosen_rows",
    "concatenate",
    "convert",
    "counts_to_offsets",
    "segment_ranges",
    "segment_reduce",
]

_EXACT = 2**53  # whole numbers up to this are floats
_REDUCERS = {"sum": np.add, "mean": np.add, "max": np.maximum, "min": np.minimum}


def counts_to_offsets(counts: ArrayLike) -> NDArray[np.int64]:
    """Return the ``len(counts) + 1`` row edges of segments of the given lengths.

    Examples
    --------
    >>> counts_to_offsets([3, 1, 2])
    array([0, 3, 4, 6])
    """
    lengths = np.asarray(counts, dtype=np.int64)
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def atom_rows(starts: ArrayLike, counts: ArrayLike) -> NDArray[np.int64]:
    """Return the rows ``start, start + 1, ... start + count - 1`` of every segment, end to end.

    Examples
    --------
    >>> atom_rows([10, 0], [2, 3])
    array([10, 11,  0,  1,  2])
    """
    lengths = np.asarray(counts, dtype=np.int64)
    edges = counts_to_offsets(lengths)
    shift = np.asarray(starts, dtype=np.int64) - edges[:-1]
    return np.arange(edges[-1], dtype=np.int64) + np.repeat(shift, lengths)


def chosen_rows(
    offsets: NDArray[np.int64], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of some segments, end to end, and how many each has.

    Examples
    --------
    >>> chosen_rows(np.array([0, 2, 5]), np.array([1, 0]))
    (array([2, 3, 4, 0, 1]), array([3, 2]))
    """
    counts = offsets[chosen + 1] - offsets[chosen]
    return atom_rows(offsets[chosen], counts), counts


def segment_ranges(offsets: NDArray[np.int64], rows: int) -> Iterator[tuple[int, int]]:
    """Yield ranges ``first, last`` of consecutive segments that have no more than `rows` rows together.

    Every range has a segment, be it larger than that.

    Examples
    --------
    >>> list(segment_ranges(np.array([0, 2, 4, 9, 10]), 4))
    [(0, 2), (2, 3), (3, 4)]
    """
    first, n = 0, len(offsets) - 1
    while first < n:
        last = int(np.searchsorted(offsets, offsets[first] + rows, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last


def segment_reduce(values: ArrayLike, offsets: ArrayLike, how: str) -> NDArray[Any]:
    """Reduce the rows of each segment to one row.

    Parameters
    ----------
    values
        Per-atom values, shape (n_atoms, ...).
    offsets
        Row edges of the segments, shape (n_segments + 1,).
    how
        ``"sum"``, ``"mean"``, ``"max"`` or ``"min"``.

    Returns
    -------
    NDArray
        Shape (n_segments, ...). An empty segment sums to zero; its mean, max and min are NaN.

    Raises
    ------
    ValueError
        If `how` is none of the four.

    Examples
    --------
    >>> segment_reduce([1.0, 2.0, 5.0], [0, 2, 3], "sum")
    array([3., 5.])
    """
    if how not in _REDUCERS:
        raise ValueError(f"reduce knows {', '.join(map(repr, _REDUCERS))}, not {how!r}")
    rows, edges = np.asarray(values), np.asarray(offsets, dtype=np.int64)
    counts = np.diff(edges)
    full = counts > 0
    floating = how == "mean" or (not full.all() and how != "sum")
    dtype = np.result_type(rows.dtype, np.float32) if floating else rows.dtype
    if how == "sum":
        dtype = np.add.reduce(np.zeros(1, dtype)).dtype  # numpy's own rule for small integers
    out = np.full((len(counts), *rows.shape[1:]), 0 if how == "sum" else np.nan if floating else 0, dtype)
    if full.any():
        out[full] = _REDUCERS[how].reduceat(rows[: edges[-1]], edges[:-1][full], axis=0, dtype=dtype)
    if how == "mean":
        out[full] /= counts[full].reshape(-1, *[1] * (rows.ndim - 1))
    return out


@dataclass
class Packed:
    """A block of structures, packed: what sources yield, parts hold and stores are made of.

    Parameters
    ----------
    n_atoms
        Atoms of each structure, shape (n,).
    columns
        Rows by field name: (sum of `n_atoms`, ...) for per-atom fields, (n, ...) for
        per-structure fields. Categories are integer codes.
    fields
        The row of the field table for every column.
    present
        Which structures have the field, shape (n,); a field without an entry is in all of them.
    categories
        The texts that the codes of a category field stand for.
    """

    n_atoms: NDArray[np.int64]
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    fields: dict[str, Field] = field(default_factory=dict)
    present: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    categories: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.n_atoms)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Row edges of the structures in the per-atom columns, shape (n + 1,)."""
        return counts_to_offsets(self.n_atoms)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(c.nbytes for c in self.columns.values())

    def add(self, spec: Field, values: NDArray[Any], present: NDArray[np.bool_] | None = None) -> None:
        """Add a column; `present` may be left out where every structure has it."""
        self.columns[spec.name], self.fields[spec.name] = values, spec
        if present is not None and not present.all():
            self.present[spec.name] = present

    def has(self, name: str) -> NDArray[np.bool_]:
        """Return which structures have a field that the block has, shape (n,)."""
        mask = self.present.get(name)
        return np.ones(len(self), dtype=bool) if mask is None else mask

    def select(self, keep: NDArray[np.bool_] | Sequence[int]) -> Packed:
        """Return the block with only the structures of a boolean mask or list of indices."""
        index = np.asarray(keep)
        if index.dtype == bool:
            if index.all():
                return self
            index = np.flatnonzero(index)
        counts = self.n_atoms[index]
        rows = atom_rows(self.offsets[:-1][index], counts)
        return Packed(
            counts,
            {
                name: column[rows if self.fields[name].level == ATOM else index]
                for name, column in self.columns.items()
            },
            dict(self.fields),
            {name: mask[index] for name, mask in self.present.items()},
            dict(self.categories),
        )


def as_texts(values: NDArray[Any], texts: list[str] | None) -> tuple[NDArray[Any], list[str]]:
    """Return codes and texts of a column; numbers and booleans are written out."""
    if texts is not None:
        return values, texts
    unique, first, codes = np.unique(values, return_index=True, return_inverse=True)
    order, ordered = by_appearance(first, codes)
    return ordered.reshape(values.shape), [str(v) for v in unique[order].tolist()]


def convert(
    values: NDArray[Any], target: Field, texts: list[str] | None = None, index: dict[str, int] | None = None
) -> NDArray[Any]:
    """Return rows of a column as the rows of a field that `merge` made of it and others.

    Parameters
    ----------
    values
        Rows of the column.
    target
        The merged field.
    texts
        What the codes in `values` stand for, if it holds codes.
    index
        Text → code of the merged field; texts it lacks are added. Needed for categories.
    """
    if target.kind != "category":
        if target.kind == "float" and values.dtype.kind in "iu":
            _refuse_rounding(values, target)
        return values.astype(target.dtype, copy=False)
    assert index is not None
    codes, names = as_texts(values, texts)
    lookup = [index.setdefault(name, len(index)) for name in names]
    return np.array([*lookup, -1], dtype=np.int32)[codes]


def _refuse_rounding(values: NDArray[Any], target: Field) -> None:
    """Raise if whole numbers would not survive beside fractions: from 2^53 on floats skip some."""
    large = (values > _EXACT) | (values < -_EXACT)
    if large.any():
        raise InputError(
            f"{target.name} is {values[large].flat[0]} in one structure and no whole number in another; "
            f"one array can't hold both without rounding: leave it out with exclude=[{target.name!r}]"
        )


def by_appearance(
    first: NDArray[np.intp], codes: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Return distinct values in the order in which rows bring them, and the codes of rows in that order.

    Parameters
    ----------
    first, codes
        Of values that are ordered otherwise, as `numpy.unique` returns them.

    Examples
    --------
    >>> _, first, codes = np.unique([7, 3, 7], return_index=True, return_inverse=True)
    >>> by_appearance(first, codes)
    (array([1, 0]), array([0, 1, 0], dtype=int32))
    """
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return order, rank[codes]


def concatenate(blocks: Sequence[Packed]) -> Packed:
    """Join blocks end to end; a field that some lack is missing there.

    Raises
    ------
    InputError
        If a field comes in shapes that one array can't hold.
    """
    if len(blocks) == 1:
        return blocks[0]
    joined = Packed(np.concatenate([b.n_atoms for b in blocks]))
    names = dict.fromkeys(name for block in blocks for name in block.columns)
    for name in names:
        spec = next(b.fields[name] for b in blocks if name in b.fields)
        for block in blocks:
            spec = merge(spec, block.fields.get(name, spec))
        index: dict[str, int] = {}
        rows, masks = [], []
        for block in blocks:
            n_rows = int(block.n_atoms.sum()) if spec.level == ATOM else len(block)
            if name in block.columns:
                rows.append(convert(block.columns[name], spec, block.categories.get(name), index))
                masks.append(block.has(name))
            else:
                rows.append(np.full((n_rows, *spec.shape), spec.missing, spec.dtype))
                masks.append(np.zeros(len(block), dtype=bool))
        joined.add(spec, np.concatenate(rows), np.concatenate(masks))
        if spec.kind == "category":
            joined.categories[name] = list(index)
    return joined
