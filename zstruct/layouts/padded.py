"""Structures in rectangles: the same number of rows for each, filled up with zeros."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from zstruct.batch.pack import Batch, Samples, no_pairs, pack
from zstruct.batch.packed import ATOMS
from zstruct.batch.tensors import converter
from zstruct.keywords import keywords
from zstruct.layouts.padding import real_rows, rectangle, rows_of
from zstruct.layouts.vocabulary import Names, vocabulary_of

__all__ = ["padded"]


@keywords()
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
        known. Features with rows of each structure's own are (B, most rows, F), with ``features_mask`` (B,
        most rows). ``atoms``, a list of `ase.Atoms`, if the dataset was asked for these. Padding is zero or
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
    for own in packed.ragged:
        lengths = np.diff(own.offsets)
        most = int(lengths.max(initial=0))
        batch[own.name] = made(rectangle(own.values, own.offsets, most))
        batch[f"{own.name}_mask"] = made(real_rows(lengths, most))
    batch["mask"] = made(real_rows(packed.n_atoms, rows))
    batch["n_atoms"] = made(packed.n_atoms)
    if packed.structures is not None:
        batch["structure"] = made(packed.structures)
    if packed.atoms:
        batch[ATOMS] = list(packed.atoms)
    return batch
