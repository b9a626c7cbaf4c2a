"""Structures in rectangles: the same number of rows for each, filled up with zeros."""

from __future__ import annotations

import math
from collections.abc import Collection
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.batch.pack import Batch, Samples, no_pairs, pack, which
from zstruct.batch.packed import ATOMS, PackedBatch
from zstruct.batch.tensors import converter
from zstruct.layouts.kernels import mark_pairs, mark_rows, pad
from zstruct.layouts.vocabulary import Names, vocabulary_of

__all__ = ["padded", "real_pairs", "real_rows", "rectangle", "rows_of"]

_UINT8 = np.dtype(np.uint8)

_MOST = 1 << 31  # rows


def rows_of(packed: PackedBatch, num_atoms: int | None) -> int:
    """Return the rows that each structure of a padded batch has.

    Parameters
    ----------
    packed
        The structures.
    num_atoms
        The rows asked for; by default as many as the largest structure needs.

    Raises
    ------
    ValueError
        If a structure has more atoms than that, or it is no number of rows.
    """
    largest = int(packed.n_atoms.max(initial=0))
    if num_atoms is None:
        return largest
    if isinstance(num_atoms, bool) or not isinstance(num_atoms, Integral) or not 0 <= num_atoms < _MOST:
        raise ValueError(f"num_atoms is a whole number of rows, not {shown(num_atoms)}")
    if largest > num_atoms:
        large = which(packed, int(packed.n_atoms.argmax()))
        raise ValueError(f"{large} has {largest} atoms, more than num_atoms={num_atoms}; raise num_atoms")
    return int(num_atoms)


def rectangle(column: NDArray, offsets: NDArray[np.int64], n_rows: int) -> NDArray:
    """Return packed rows as (structures, `n_rows`, ...), zero where a structure has fewer.

    Parameters
    ----------
    column
        Shape (offsets[-1], ...).
    offsets
        Row edges of the structures, none longer than `n_rows`.
    n_rows
        Rows for each structure.

    Returns
    -------
    ndarray
        Shares memory with `column` where nothing has to be filled up.

    Examples
    --------
    >>> rectangle(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 3]), 2)
    array([[1., 0.],
           [2., 3.]])
    """
    n, rest = len(offsets) - 1, column.shape[1:]
    if len(column) == n * n_rows:
        return column.reshape(n, n_rows, *rest)
    if not column.flags.carray:
        column = column.copy()  # what the kernel is compiled for
    out = np.empty((n, n_rows, *rest), column.dtype)
    pad(_bytes(column), offsets, n_rows, column.itemsize * math.prod(rest), _bytes(out))
    return out


def _bytes(array: NDArray) -> NDArray[np.uint8]:
    return np.ndarray(array.nbytes, _UINT8, array)


def real_rows(counts: NDArray[np.int64], n_rows: int) -> NDArray[np.bool_]:
    """Return which rows belong to atoms, (structures, `n_rows`).

    Examples
    --------
    >>> real_rows(np.array([1, 2]), 2)
    array([[ True, False],
           [ True,  True]])
    """
    out = np.empty((len(counts), n_rows), np.bool_)
    mark_rows(counts, out)
    return out


def real_pairs(counts: NDArray[np.int64], n_rows: int) -> NDArray[np.int32]:
    """Return 1 for each pair of different rows that both belong to atoms, (structures, rows, rows - 1).

    Examples
    --------
    >>> real_pairs(np.array([1, 2]), 2)
    array([[[0],
            [0]],
    <BLANKLINE>
           [[1],
            [1]]], dtype=int32)
    """
    out = np.empty((len(counts), n_rows, max(n_rows - 1, 0)), np.int32)
    mark_pairs(counts, out)
    return out


def padded(
    samples: Samples,
    num_atoms: int | None = None,
    *,
    names: Names | None = None,
    as_numpy: bool = False,
    per_atom: Collection[str] = (),
) -> Batch:
    """Join structures into rectangular tensors, filled up with zeros.

    Parameters
    ----------
    samples
        A `PackedBatch`, or a sequence of samples: mappings of tensors or arrays.
    num_atoms
        Rows for each structure, A; by default those of the largest structure of the batch.
    names
        As for `graph`.
    as_numpy
        Whether to return NumPy arrays instead of tensors; torch is not loaded then.
    per_atom
        Names with a row per atom, beside those that are known to have one (see `graph`).

    Returns
    -------
    dict of str to torch.Tensor or numpy.ndarray
        The fields, (B, A, ...) per atom and (B, ...) per structure, and ``mask`` (B, A), true for
        real atoms, ``n_atoms`` (B,), and ``structure`` (B,), their indices in the store where
        known. ``atoms``, a list of `ase.Atoms`, if the dataset was asked for these. Padding is zero or
        false. Tensors may share memory with a `PackedBatch`.

    Raises
    ------
    ValueError
        If a structure has more than `num_atoms` atoms, if there is no sample, if samples differ in
        their fields or shapes, if they have pairs of atoms, which have no place in rectangles, or if
        `names` gives two things one name, or names what is not there.

    Examples
    --------
    >>> batch = padded([{"numbers": [8, 1, 1]}, {"numbers": [1]}])
    >>> batch["numbers"]
    tensor([[8, 1, 1],
            [1, 0, 0]])
    >>> batch["mask"]
    tensor([[ True,  True,  True],
            [ True, False, False]])
    """
    packed = pack(samples, per_atom)
    no_pairs(packed, "padded")
    if names is not None:
        words = vocabulary_of(names)
        return words.said("padded", padded(words.prepared(packed), num_atoms, as_numpy=True), as_numpy)
    rows = rows_of(packed, num_atoms)
    made = converter(as_numpy)
    batch = {
        name: made(rectangle(column, packed.offsets, rows) if name in packed.per_atom else column)
        for name, column in packed.columns.items()
    }
    batch["mask"] = made(real_rows(packed.n_atoms, rows))
    batch["n_atoms"] = made(packed.n_atoms)
    if packed.structures is not None:
        batch["structure"] = made(packed.structures)
    if packed.atoms:
        batch[ATOMS] = list(packed.atoms)
    return batch
