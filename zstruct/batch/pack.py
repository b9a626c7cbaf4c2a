"""Samples end to end, whatever holds them: what all layouts begin with.

Batches of the dataset are packed already; `pack` makes the same of a list of samples from anywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.origin import Origin
from zstruct.batch.packed import ATOMS, PackedBatch, Pairs, PerPair, Ragged, Sample
from zstruct.batch.tensors import as_array
from zstruct.batch.union import Columns, Union
from zstruct.errors import InputError
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
        arrays. Samples of several datasets of zstruct may differ in their fields: what a store lacks is
        missing, and masks say so.
    per_atom
        Names with a row per atom, beside those that are known to have one: a sample of a zstruct
        dataset says so itself, a plain dict is judged by its names: those of the field table, and
        ``features``, ``edge_index`` and the like, which datasets add.

    Raises
    ------
    ValueError
        If there is no sample, or if samples differ in their fields or shapes. A mask that only some
        have, such as ``has_forces``, is true for the others.
    InputError
        If fields of several datasets can't be one: of other shapes, kinds or units, or codes of other texts.
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
    origins = _origins(samples)
    if len(origins) > 1:
        samples = _of_several(samples, origins, per_atom)
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
    origin = origins[0] if len(origins) == 1 else None
    return PackedBatch(whence, offsets, counts, columns, atomwise, pairs, wide, ragged=ragged, origin=origin)


def _origins(samples: Sequence[Mapping[str, Any]]) -> list[Origin]:
    """Return where samples come from; nothing where that is not known of all."""
    found = [getattr(sample, "origin", None) for sample in samples]
    known = {id(origin): origin for origin in found if origin is not None}
    return [] if None in found else list(known.values())


def _of_several(samples: Sequence[Any], origins: Sequence[Origin], more: Collection[str]) -> list[Sample]:
    """Return samples of several datasets with the same names: what some lack is missing there."""
    numbers = {id(origin): k for k, origin in enumerate(origins)}
    firsts = {id(sample.origin): sample for sample in reversed(samples)}
    first, *others = (firsts[id(origin)] for origin in origins)
    for other in others:
        for what in ("per_pair", "ragged"):
            if getattr(first, what) != getattr(other, what):
                raise InputError(
                    f"structures of {first.origin.name} come with {_beside(first)}, and those of "
                    f"{other.origin.name} with {_beside(other)}: give both datasets the same features, "
                    "neighbors and derivatives"
                )
    union = Union.of([_columns(firsts[id(origin)], more) for origin in origins])
    for origin, changes in zip(origins, union.changes, strict=True):
        for name in changes:
            # Batches of one of them alone would have other codes, or another unit: nobody could tell.
            raise InputError(
                f"{name} has other {'texts' if name in union.texts else 'units'} in {origin.name} than in "
                f"{origins[0].name}: put them together by zstruct.Mixture, which makes them one for all "
                "batches, or leave it out (fields=...)"
            )
    per_atom = frozenset(name for name, column in union.columns.items() if column.level == ATOM)
    found = []
    for sample in samples:
        columns = union.adapted(numbers[id(sample.origin)], _rows(sample, more), 1, sample.n_atoms)
        tensors: dict[str, Any] = {n: c if n in per_atom else c[0, ...] for n, c in columns.items()}
        tensors |= {name: sample[name] for name in _apart(sample)}
        known = (sample.structure, sample.n_atoms, per_atom, sample.per_pair, union.wide, sample.ragged)
        found.append(Sample(tensors, *known, sample.origin))
    return found


def _columns(sample: Sample, more: Collection[str]) -> Columns:
    assert sample.origin is not None
    return Columns.of(sample.origin, _rows(sample, more), sample.per_atom.union(more), sample.wide)


def _rows(sample: Sample, more: Collection[str]) -> dict[str, NDArray[Any]]:
    """Return what a sample has per atom, be it one of `more`, and per structure, with an axis for that."""
    apart, per_atom = _apart(sample), sample.per_atom.union(more)
    arrays = {name: _array(name, value) for name, value in sample.items() if name not in apart}
    return {name: array if name in per_atom else array[None] for name, array in arrays.items()}


def _apart(sample: Sample) -> frozenset[str]:
    """Return the names of what a sample has neither per atom nor per structure."""
    return sample.ragged.union(name for index, more in sample.per_pair.items() for name in (index, *more))


def _beside(sample: Sample) -> str:
    return ", ".join(sorted(_apart(sample))) or "no pairs of atoms"


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
    structure = int(packed.structures[i])
    return f"structure {structure} of the store" if packed.origin is None else packed.origin.words(structure)


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
