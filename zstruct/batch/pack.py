"""Samples end to end, whatever holds them: what all layouts begin with.

Batches of the dataset are packed already; `pack` makes the same of a list of samples from anywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.packed import ATOMS, PackedBatch, Pairs, PerPair, Ragged, Sample
from zstruct.batch.tensors import as_array
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, FIELDS

__all__ = ["Batch", "Samples", "no_pairs", "no_ragged", "pack", "which"]

#: What plain dicts call what a dataset adds to fields: pairs of atoms with what each of them carries, and
#: what has a row per atom.
_PAIRS: PerPair = {"edge_index": ("edge_shift", "edge_vec", "edge_dist"), "deriv_index": ("deriv_values",)}
_ROWS = frozenset({"features"})

Samples = PackedBatch | Sequence[Mapping[str, Any]]

#: Tensors by name, or arrays where NumPy was asked for.
Batch = dict[str, Any]


def pack(samples: Samples, per_atom: Collection[str] = ()) -> PackedBatch:
    """Return samples end to end.

    Parameters
    ----------
    samples
        A `PackedBatch`, which is returned as it is, or a sequence of samples: mappings of tensors or
        arrays.
    per_atom
        Names with a row per atom, beside those that are known to have one: a sample of a zstruct
        dataset says so itself, a plain dict is judged by its names: those of the field table, and
        ``features``, ``edge_index`` and the like, which datasets add.

    Raises
    ------
    ValueError
        If there is no sample, or if samples differ in their fields or shapes. A mask that only some
        have, such as ``has_forces``, is true for the others.
    TypeError
        If it is one sample or none at all, or if samples hold what no tensor can hold.

    Examples
    --------
    >>> pack([{"numbers": [8, 1, 1]}, {"numbers": [1]}])
    PackedBatch(2 structures, 4 atoms: numbers)
    """
    if isinstance(samples, PackedBatch):
        return samples
    if isinstance(samples, Mapping):
        raise TypeError("a collate function takes a list of samples, not one: give the loader a batch_size")
    if not isinstance(samples, Sequence) or not all(isinstance(sample, Mapping) for sample in samples):
        raise TypeError(
            f"a collate function takes a list of samples, which are dicts, or a PackedBatch, not {samples!r}"
        )
    if len(samples) == 0:
        raise ValueError("there is no sample to make a batch of")
    if any(hasattr(sample.get(ATOMS), "get_positions") for sample in samples):  # not of that name only
        return _with_atoms(samples, per_atom)
    first = samples[0]
    names = _names(samples)
    known = {name for name in first if name in FIELDS and FIELDS[name].level == ATOM}
    known |= first.per_atom if isinstance(first, Sample) else _ROWS
    atomwise = frozenset(name for name in names if name in known or name in per_atom)
    parts = {name: [_array(name, sample.get(name, True)) for sample in samples] for name in names}
    counts = np.array(
        [_count(i, sample, {n: parts[n][i] for n in atomwise}) for i, sample in enumerate(samples)], np.int64
    )
    offsets = counts_to_offsets(counts)
    pairs = _pairs(first.per_pair if isinstance(first, Sample) else _pairs_in(names), parts, offsets)
    own = first.ragged if isinstance(first, Sample) else frozenset()
    ragged = tuple(_ragged(name, parts[name]) for name in names if name in own)
    apart = own.union(name for found in pairs for name in (found.name, *found.columns))
    columns = {name: _join(name, parts[name], name in atomwise) for name in names if name not in apart}
    structures = [sample.structure if isinstance(sample, Sample) else None for sample in samples]
    whence = None if None in structures else np.array(structures, dtype=np.int64)
    wide = first.wide if isinstance(first, Sample) else frozenset()
    wide &= columns.keys()
    return PackedBatch(whence, offsets, counts, columns, atomwise, pairs, wide, ragged=ragged)


def _with_atoms(samples: Sequence[Mapping[str, Any]], per_atom: Collection[str]) -> PackedBatch:
    """Return samples end to end that carry their structures, too; these stay objects of ASE."""
    without: list[Mapping[str, Any]] = []
    for sample in samples:
        tensors = {name: value for name, value in sample.items() if name != ATOMS}
        without.append(sample.with_tensors(tensors) if isinstance(sample, Sample) else tensors)
    packed = pack(without, per_atom)
    if all(ATOMS in sample for sample in samples):
        packed.atoms = tuple(sample[ATOMS] for sample in samples)
    return packed


def no_pairs(packed: PackedBatch, layout: str) -> None:
    """Raise if structures have pairs of atoms, which have no place in rectangles."""
    if packed.pairs:
        names = " and ".join(pairs.name for pairs in packed.pairs)
        raise ValueError(f"a {layout} batch has no rows for {names}: use layout='graph' (layouts.graph)")


def no_ragged(packed: PackedBatch, layout: str) -> None:
    """Raise if there are rows of structures' own, for which a layout has no place."""
    if packed.ragged:
        names = " and ".join(rows.name for rows in packed.ragged)
        raise ValueError(
            f"a {layout} batch has no place for {names} with rows of each structure's own: use "
            "layout='graph' or 'padded'"
        )


def which(packed: PackedBatch, i: int) -> str:
    """Return the words for a structure of a batch: its index in the store, where that is known."""
    if packed.structures is None:
        return f"sample {i} of the batch"
    return f"structure {packed.structures[i]} of the store"


def _names(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of what samples have, the same for all but for masks."""
    first = samples[0]
    added = (name for sample in samples for name in sample if name not in first)
    masks = (name for name in added if name.startswith("has_") and name.removeprefix("has_") in first)
    names = [*first, *dict.fromkeys(masks)]
    for i, sample in enumerate(samples):
        missing = [name for name in names if name not in sample]
        # Where a mask is missing, whatever it is about is there.
        if len(sample) + len(missing) != len(names) or any(
            not name.startswith("has_") or name.removeprefix("has_") not in sample for name in missing
        ):
            raise ValueError(
                f"sample {i} of the batch has {', '.join(sample)}, but sample 0 has {', '.join(first)}; "
                "all samples of a batch need the same fields"
            )
    return names


def _pairs_in(names: Collection[str]) -> PerPair:
    """Return which pairs of atoms plain dicts have."""
    return {
        index: tuple(n for n in carried if n in names) for index, carried in _PAIRS.items() if index in names
    }


def _pairs(
    per_pair: PerPair, parts: Mapping[str, list[NDArray[Any]]], offsets: NDArray[np.int64]
) -> tuple[Pairs, ...]:
    """Return the pairs of samples end to end, counting the atoms of the batch."""
    made = []
    for name, carried in per_pair.items():
        for i, index in enumerate(parts[name]):
            if index.ndim != 2 or len(index) != 2 or index.dtype.kind not in "iu":
                raise ValueError(
                    f"sample {i} of the batch has {name} of {index.dtype} and shape {index.shape}, not "
                    "integers of shape (2, pairs)"
                )
        edges = counts_to_offsets([index.shape[1] for index in parts[name]])
        rows = [index + first for index, first in zip(parts[name], offsets[:-1], strict=True)]
        columns = {column: _join(column, parts[column], True) for column in carried}
        made.append(Pairs(name, edges, np.concatenate(rows, axis=1), columns))
    return tuple(made)


def _ragged(name: str, arrays: list[NDArray[Any]]) -> Ragged:
    """Return rows of structures end to end."""
    for i, array in enumerate(arrays):
        if array.ndim == 0:
            raise ValueError(f"sample {i} of the batch has a number as {name}, which should have rows")
    return Ragged(name, counts_to_offsets([len(array) for array in arrays]), _join(name, arrays, True))


def _array(name: str, value: Any) -> NDArray[Any]:
    array = as_array(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} holds {array.dtype} values, which no tensor can hold")
    return array


def _count(i: int, sample: Mapping[str, Any], rows: dict[str, NDArray[Any]]) -> int:
    """Return the atoms of a sample."""
    found = {name: len(array) for name, array in rows.items() if array.ndim > 0}
    if isinstance(sample, Sample):
        found["n_atoms"] = sample.n_atoms
    if len(set(found.values())) != 1 or len(rows) > len(found):
        raise ValueError(f"sample {i} of the batch does not say how many atoms it has: {found}")
    return next(iter(found.values()))


def _join(name: str, arrays: list[NDArray[Any]], per_atom: bool) -> NDArray[Any]:
    try:
        return np.concatenate(arrays) if per_atom else np.stack(arrays)
    except ValueError as error:
        shapes = ", ".join(map(str, dict.fromkeys(array.shape for array in arrays)))
        raise ValueError(
            f"the samples have {name} in shapes that do not join, {shapes}; if it has a row per atom, "
            f"say so with per_atom=[{name!r}]"
        ) from error
