"""What the layouts of SchNetPack, MACE and fairchem have in common. None of these libraries is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.pack import Batch, which
from zstruct.batch.packed import PackedBatch
from zstruct.batch.tensors import converter
from zstruct.errors import InputError
from zstruct.precision import narrowed
from zstruct.voigt import voigt_to_full

__all__ = [
    "columns_of",
    "completed_cells",
    "heads_among",
    "integers",
    "need",
    "spread",
    "tensors",
    "with_indices",
]

HEAD = "head"


def need(packed: PackedBatch, layout: str, *names: str) -> None:
    """Raise if structures lack one of some fields."""
    for name in names:
        if name not in packed.columns:
            raise ValueError(f"a {layout} batch needs the field {name!r}: ask the dataset for it, too")


def columns_of(packed: PackedBatch, dtype: np.dtype | None = None) -> dict[str, NDArray[Any]]:
    """Return the columns, with stresses as matrices, and what no layout has a name for.

    That is what pairs carry, and rows of structures' own with their edges: ``features``, ``features_ptr``.

    Floating-point numbers are in `dtype`, if that is given.

    Raises
    ------
    InputError
        If a number is too large for that.
    """
    fields = with_indices(packed.columns)
    if "stress" in fields:
        fields["stress"] = voigt_to_full(fields["stress"])
    for pairs in packed.pairs:
        if pairs.name != "edge_index":
            fields[pairs.name] = pairs.index
        fields |= {name: column for name, column in pairs.columns.items() if name != "edge_shift"}
    for rows in packed.ragged:
        fields |= {rows.name: rows.values, f"{rows.name}_ptr": rows.offsets}
    if dtype is None:
        return fields
    return {n: narrowed(n, c, dtype) if c.dtype.kind == "f" else c for n, c in fields.items()}


def heads_among(packed: PackedBatch, known: Sequence[str], what: str) -> NDArray[np.int64]:
    """Return for each structure which of some heads, given by their names, is its own, shape (n,).

    Parameters
    ----------
    packed
        The structures.
    known
        The names.
    what
        What they are, for sentences.

    Raises
    ------
    InputError
        If structures have no heads with names, or if one is none of these.
    """
    origin = packed.origin
    if HEAD not in packed.columns or origin is None or HEAD not in origin.fields:
        raise InputError(
            f"{what} are by the names of heads, and structures have none: put datasets together by their "
            "names, as "
            'in zstruct.Mixture({"pbe": ..., "r2scan": ...}), or load a field \'head\''
        )
    names = origin.heads or origin.texts(HEAD)
    places = np.array([known.index(name) if name in known else -1 for name in names] + [-1], np.int64)
    found = places[packed.columns[HEAD]]
    lost = np.flatnonzero(found < 0)
    if len(lost):
        code = packed.columns[HEAD][lost[0]]
        said = f"the head {names[code]!r}" if code >= 0 else "no head"
        raise InputError(f"{which(packed, int(lost[0]))} has {said}; {what} has {', '.join(known) or 'none'}")
    return found


def with_indices(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return columns with atomic numbers as int64, which models index with, whatever they were loaded as."""
    fields = dict(columns)
    if "numbers" in fields:
        fields["numbers"] = fields["numbers"].astype(np.int64, copy=False)
    return fields


def spread(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return values once for each component, (n, *shape)."""
    return np.broadcast_to(values.reshape(-1, *[1] * len(shape)), (len(values), *shape))


def integers(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return whole numbers, zero for those that are missing."""
    return np.nan_to_num(values).round().astype(np.int64)


def tensors(batch: Mapping[str, Any]) -> Batch:
    """Return a batch with its arrays as tensors."""
    made = converter(as_numpy=False)
    return {name: made(value) if isinstance(value, np.ndarray) else value for name, value in batch.items()}


def completed_cells(cells: NDArray[Any]) -> NDArray[Any]:
    """Return cells whose missing vectors are made up, at right angles to the others."""
    n_missing = 3 - np.count_nonzero(cells.any(axis=2), axis=1)
    if not n_missing.any():
        return cells
    from ase.geometry.cell import complete_cell

    filled = cells.copy()
    filled[n_missing == 3] = np.eye(3)
    for i in np.flatnonzero((n_missing > 0) & (n_missing < 3)):
        filled[i] = complete_cell(cells[i])
    return filled
