"""A column in the kind and shape of its field, or the frames in which it can't be.

One number for a row of one, nine for a tensor, six for a symmetric one, text for a category: what means the
same is taken; what does not makes the frames that have it bad.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import as_texts, counts_to_offsets, segment_reduce
from zstruct.schema import (
    STRUCTURE,
    Field,
    Kind,
    Level,
    infer,
)
from zstruct.sources.normalize.checks import (
    NOT_SYMMETRIC,
    Bad,
    not_symmetric,
)
from zstruct.sources.numerals import numbers
from zstruct.sources.source import Raw, RawColumn
from zstruct.voigt import full_to_voigt

__all__ = ["conformed_to", "kind_of", "untangled"]


def untangled(known: Field | None, level: Level, column: RawColumn) -> list[RawColumn]:
    """Part the numbers in a column of text from what is none, where the field wants numbers.

    A source hands over text as soon as one structure of a block has text. That structure is bad;
    the others are not.
    """
    per_structure = level == STRUCTURE and column.values.ndim == 1
    if known is None or known.kind == "category" or column.texts is None or not per_structure:
        return [column]
    here = column.values >= 0 if column.present is None else column.present & (column.values >= 0)
    arrays = [numbers(text) for text in column.texts]
    shapes = [None if array is None else array.shape for array in arrays]
    pieces = []
    for shape in sorted({*shapes}, key=lambda shape: (shape is not None, shape)):
        alike = np.array([one == shape for one in shapes])
        of = here & alike[column.values]
        if shape is None:
            pieces.append(RawColumn(column.values, of, column.texts))
            continue
        table = np.full((len(shapes), *shape), np.nan)
        table[alike] = [array for array, same in zip(arrays, alike, strict=True) if same]
        pieces.append(RawColumn(table[column.values], of))
    return [piece for piece in pieces if piece.present is not None and piece.present.any()]


def conformed_to(
    name: str, level: Level, known: Field | None, column: RawColumn, raw: Raw, bad: Bad
) -> tuple[Field | None, RawColumn]:
    """Return the field and the column in its shape; frames where that fails become bad."""
    kind = kind_of(column)
    shape = column.values.shape[1:]
    here = np.ones(len(raw.n_atoms), dtype=bool) if column.present is None else column.present
    if column.fault is not None:
        bad.add(here, column.fault)
        return None, column
    if known is None:
        return infer(name, level, kind, shape), column
    if known.kind == "category":
        if kind == "category" and shape == ():
            return known, column
        if shape == ():
            codes, texts = as_texts(column.values, None)
            return known, RawColumn(codes, column.present, texts)
    if shape == known.shape and (kind, known.kind) == ("float", "int"):
        with np.errstate(invalid="ignore"):
            whole = (column.values == np.rint(column.values)) & (np.abs(column.values) < 2**53)
        bad.add(here & ~_all(whole, level, raw), f"{name}: the values should be whole numbers")
        return known, RawColumn(np.where(whole, column.values, 0.0), column.present)
    if shape == known.shape and (kind == known.kind or {kind, known.kind} == {"int", "float"}):
        return known, column
    if known.kind in ("float", "int") and kind in ("float", "int"):
        values = column.values
        if known.or_vector and shape == (3,):
            return known.as_vector(), column
        if known.shape == () and shape == (1,):
            return known, RawColumn(values[:, 0], column.present)
        if known.shape == (3, 3) and shape == (9,):  # Fortran order, the extxyz convention
            return known, RawColumn(values.reshape(-1, 3, 3).transpose(0, 2, 1), column.present)
        if name == "stress" and shape in ((9,), (3, 3)):
            return known, RawColumn(_to_voigt(values, here, bad), column.present)
    found = "text" if kind == "category" else f"{kind} values of shape {shape} per {level}"
    wanted = f"{known.kind} values of shape {known.shape} per {known.level}"
    sample = ""
    if kind == "category" and column.texts and shape == ():
        first = np.flatnonzero(here)[:1]
        sample = (
            f" ({column.texts[int(column.values[first[0]])]!r})" if level == STRUCTURE and len(first) else ""
        )
    bad.add(here, f"{name} should be {wanted}, but the input has {found}{sample}")
    return None, column


def _all(rows: NDArray[np.bool_], level: Level, raw: Raw) -> NDArray[np.bool_]:
    """Return for which structures all rows are true."""
    if level == STRUCTURE:
        return rows
    return segment_reduce(rows, counts_to_offsets(raw.n_atoms), "min").astype(bool)


def kind_of(column: RawColumn) -> Kind:
    """Return the kind of the values in a column."""
    if column.texts is not None:
        return "category"
    kinds: dict[str, Kind] = {"f": "float", "i": "int", "u": "int", "b": "bool"}
    return kinds[column.values.dtype.kind]


def _to_voigt(values: NDArray[Any], here: NDArray[np.bool_], bad: Bad) -> NDArray[Any]:
    full = values.reshape(-1, 3, 3).astype(np.float64)
    if values.ndim == 2:
        full = full.transpose(0, 2, 1)  # nine numbers come in Fortran order
    bad.add(here & not_symmetric(full), NOT_SYMMETRIC.format("stress"))
    return full_to_voigt(full)
