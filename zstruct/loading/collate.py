"""Join samples into batches: the layouts that models take.

`graph` puts the atoms of all structures end to end, `padded` gives each structure the same number
of rows, `as_list` leaves them apart. All are plain functions, so a ``DataLoader`` with worker
processes can carry them (`functools.partial` sets their options). They take what the dataset
returns for a list of indices, or a list of samples from anywhere. Nothing here knows of stores.

Batches are made with NumPy, not torch: torch would start its thread pool for such small copies,
which slows them down wherever several processes or threads make batches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import from_numpy

from zstruct.loading.batch import PackedBatch, Pairs, PerPair, Sample
from zstruct.loading.gather import spread
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, FIELDS

__all__ = ["as_list", "graph", "padded"]

#: Names that batches give to tensors of their own.
OWN = ("structure", "n_atoms", "batch", "ptr", "mask")

Batch = dict[str, torch.Tensor]
Samples = PackedBatch | Sequence[Mapping[str, Any]]


def graph(samples: Samples, *, per_atom: Collection[str] = ()) -> Batch:
    """Join structures into one graph: atoms end to end, per-structure values stacked.

    Parameters
    ----------
    samples
        A `PackedBatch`, or a sequence of samples: mappings of tensors or arrays.
    per_atom
        Names with a row per atom, beside those that are known to have one: a sample of a zstruct
        dataset says so itself, a plain dict is judged by the names in the field table.

    Returns
    -------
    dict of str to torch.Tensor
        The fields, (sum of n_atoms, ...) per atom and (B, ...) per structure, and ``batch``, the
        structure that each atom belongs to, ``ptr`` (B + 1,), the row edges of the structures,
        ``n_atoms`` (B,), and ``structure`` (B,), their indices in the store where known; all int64.
        Indices of pairs, such as ``edge_index`` (2, E), count the atoms of the batch; what pairs
        carry is (E, ...). Tensors may share memory with a `PackedBatch`.

    Raises
    ------
    ValueError
        If there is no sample, or if samples differ in their fields or shapes.

    Examples
    --------
    >>> water = {"numbers": torch.tensor([8, 1, 1]), "energy": torch.tensor(-14.2)}
    >>> proton = {"numbers": torch.tensor([1]), "energy": torch.tensor(0.0)}
    >>> batch = graph([water, proton])
    >>> batch["numbers"], batch["batch"], batch["ptr"]
    (tensor([8, 1, 1, 1]), tensor([0, 0, 0, 1]), tensor([0, 3, 4]))
    """
    packed = samples if type(samples) is PackedBatch else _packed(samples, per_atom)
    batch = {name: from_numpy(column) for name, column in packed.columns.items()}
    for pairs in packed.pairs:
        batch[pairs.name] = from_numpy(pairs.index)
        for name, column in pairs.columns.items():
            batch[name] = from_numpy(column)
    batch["n_atoms"] = from_numpy(packed.n_atoms)
    if packed.structures is not None:
        batch["structure"] = from_numpy(packed.structures)
    batch["batch"] = from_numpy(packed.batch)
    batch["ptr"] = from_numpy(packed.offsets)
    return batch


def padded(samples: Samples, num_atoms: int | None = None, *, per_atom: Collection[str] = ()) -> Batch:
    """Join structures into rectangular tensors, filled up with zeros.

    Parameters
    ----------
    samples
        A `PackedBatch`, or a sequence of samples: mappings of tensors or arrays.
    num_atoms
        Rows for each structure, A; by default those of the largest structure of the batch.
    per_atom
        Names with a row per atom, beside those that are known to have one (see `graph`).

    Returns
    -------
    dict of str to torch.Tensor
        The fields, (B, A, ...) per atom and (B, ...) per structure, and ``mask`` (B, A), true for
        real atoms, ``n_atoms`` (B,), and ``structure`` (B,), their indices in the store where
        known. Padding is zero or false.

    Raises
    ------
    ValueError
        If a structure has more than `num_atoms` atoms, if there is no sample, if samples differ in
        their fields or shapes, or if they have pairs of atoms, which have no place in rectangles.

    Examples
    --------
    >>> batch = padded([{"numbers": torch.tensor([8, 1, 1])}, {"numbers": torch.tensor([1])}])
    >>> batch["numbers"]
    tensor([[8, 1, 1],
            [1, 0, 0]])
    >>> batch["mask"]
    tensor([[ True,  True,  True],
            [ True, False, False]])
    """
    packed = _packed(samples, per_atom)
    if packed.pairs:
        names = " and ".join(pairs.name for pairs in packed.pairs)
        raise ValueError(f"a padded batch has no rows for {names}: use layout='graph' (collate.graph)")
    counts = packed.n_atoms
    largest = int(counts.max(initial=0))
    if num_atoms is None:
        num_atoms = largest
    elif largest > num_atoms:
        i = int(counts.argmax())
        which = f"sample {i} of the batch"
        if packed.structures is not None:
            which = f"structure {packed.structures[i]} of the store"
        raise ValueError(f"{which} has {largest} atoms, more than num_atoms={num_atoms}; raise num_atoms")
    batch = {
        name: from_numpy(spread(column, packed.offsets, num_atoms) if name in packed.per_atom else column)
        for name, column in packed.columns.items()
    }
    batch["mask"] = from_numpy(np.arange(num_atoms) < counts[:, None])
    batch["n_atoms"] = from_numpy(packed.n_atoms)
    if packed.structures is not None:
        batch["structure"] = from_numpy(packed.structures)
    return batch


def as_list(samples: Samples) -> list[Mapping[str, Any]]:
    """Return the samples as a list, each on its own."""
    return list(samples)


def _packed(samples: Samples, per_atom: Collection[str]) -> PackedBatch:
    """Return samples end to end."""
    if isinstance(samples, PackedBatch):
        return samples
    if isinstance(samples, Mapping):
        raise TypeError("a collate function takes a list of samples, not one: give the loader a batch_size")
    if len(samples) == 0:
        raise ValueError("there is no sample to make a batch of")
    first = samples[0]
    for i, sample in enumerate(samples):
        if sample.keys() != first.keys():
            raise ValueError(
                f"sample {i} of the batch has {', '.join(sample)}, but sample 0 has {', '.join(first)}; "
                "all samples of a batch need the same fields"
            )
    known = {name for name in first if name in FIELDS and FIELDS[name].level == ATOM}
    known |= first.per_atom if isinstance(first, Sample) else set()
    atomwise = frozenset(name for name in first if name in known or name in per_atom)
    parts = {name: [_array(name, sample[name]) for sample in samples] for name in first}
    counts = np.array(
        [_count(i, sample, {n: parts[n][i] for n in atomwise}) for i, sample in enumerate(samples)], np.int64
    )
    offsets = counts_to_offsets(counts)
    pairs = _pairs(first.per_pair, parts, offsets) if isinstance(first, Sample) else ()
    paired = {name for found in pairs for name in (found.name, *found.columns)}
    columns = {name: _join(name, parts[name], name in atomwise) for name in first if name not in paired}
    structures = [sample.structure if isinstance(sample, Sample) else None for sample in samples]
    whence = None if None in structures else np.array(structures, dtype=np.int64)
    batch = np.repeat(np.arange(len(counts)), counts)
    return PackedBatch(whence, offsets, counts, batch, columns, atomwise, pairs)


def _pairs(
    per_pair: PerPair, parts: Mapping[str, list[NDArray]], offsets: NDArray[np.int64]
) -> tuple[Pairs, ...]:
    """Return the pairs of samples end to end, counting the atoms of the batch."""
    made = []
    for name, carried in per_pair.items():
        edges = counts_to_offsets([index.shape[1] for index in parts[name]])
        rows = [index + first for index, first in zip(parts[name], offsets[:-1], strict=True)]
        columns = {column: _join(column, parts[column], True) for column in carried}
        made.append(Pairs(name, edges, np.concatenate(rows, axis=1), columns))
    return tuple(made)


def _array(name: str, value: Any) -> NDArray:
    array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} holds {array.dtype} values, which no tensor can hold")
    return array


def _count(i: int, sample: Mapping[str, Any], rows: dict[str, NDArray]) -> int:
    """Return the atoms of a sample."""
    found = {name: len(array) for name, array in rows.items() if array.ndim > 0}
    if isinstance(sample, Sample):
        found["n_atoms"] = sample.n_atoms
    if len(set(found.values())) != 1 or len(rows) > len(found):
        raise ValueError(f"sample {i} of the batch does not say how many atoms it has: {found}")
    return next(iter(found.values()))


def _join(name: str, arrays: list[NDArray], per_atom: bool) -> NDArray:
    try:
        return np.concatenate(arrays) if per_atom else np.stack(arrays)
    except ValueError as error:
        shapes = ", ".join(map(str, dict.fromkeys(array.shape for array in arrays)))
        raise ValueError(
            f"the samples have {name} in shapes that do not join, {shapes}; if it has a row per atom, "
            f"say so with per_atom=[{name!r}]"
        ) from error
