"""Columns of Arrow as arrays: numbers, texts, and lists of these in which all but the outer are alike.

What columns mean is not known here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.sources.parquet.file import pyarrow

__all__ = ["Cells", "ColumnError", "cells_of", "depth_of", "innermost", "is_storable", "is_text", "parsed"]


class ColumnError(Exception):
    """What is wrong with the values of a column."""


@dataclass
class Cells:
    """What is in a column for the rows of a batch.

    Parameters
    ----------
    values
        Numbers, booleans, or codes of `texts`: one for each row, or those of all lists one after the other.
    present
        Which rows are not null, shape (n,).
    lengths
        Of the lists, shape (n,), zero where there is none; None if rows are no lists.
    texts
        What codes stand for; -1 is null.
    holes
        Which of the values are null, where that can't be seen of them.
    """

    values: NDArray[Any]
    present: NDArray[np.bool_]
    lengths: NDArray[np.int64] | None = None
    texts: list[str] | None = None
    holes: NDArray[np.bool_] | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """The lengths of lists.

        Raises
        ------
        TypeError
            If rows are no lists.
        """
        if self.lengths is None:
            raise TypeError("these are no lists")
        return self.lengths

    def rows_with_holes(self) -> NDArray[np.bool_]:
        """Return which rows have a null within, shape (n,)."""
        found = np.zeros(len(self.present), dtype=bool)
        if self.holes is not None and self.lengths is not None:
            owners = np.repeat(np.arange(len(found)), self.lengths)
            found[owners[self.holes.reshape(len(owners), -1).any(axis=1)]] = True
        return found

    def chosen(self, rows: NDArray[np.bool_]) -> NDArray[Any]:
        """Return the values of some rows, which are lists."""
        return self.values if rows.all() else self.values[np.repeat(rows, self.counts)]


def _is_list(kind: Any) -> bool:
    types = pyarrow().types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def depth_of(kind: Any) -> int:
    """Return how many lists are in one another in a type of Arrow."""
    kind = _plain(kind)
    return 1 + depth_of(kind.value_type) if _is_list(kind) else 0


def innermost(kind: Any) -> Any:
    """Return the type of what is in the innermost lists, or the type itself."""
    kind = _plain(kind)
    if pyarrow().types.is_dictionary(kind):
        return kind.value_type
    return innermost(kind.value_type) if _is_list(kind) else kind


def _plain(kind: Any) -> Any:
    """Return what extension types, such as arrays of Hugging Face, are stored as."""
    return kind.storage_type if hasattr(kind, "storage_type") else kind


def is_storable(kind: Any) -> bool:
    """Tell whether values of a type are numbers, texts or records of these, and no bytes."""
    types, inner = pyarrow().types, innermost(kind)
    return not (
        types.is_binary(inner)
        or types.is_large_binary(inner)
        or types.is_fixed_size_binary(inner)
        or types.is_null(inner)
    )


def is_text(kind: Any) -> bool:
    """Tell whether a type is that of texts."""
    types = pyarrow().types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def parsed(array: Any) -> Any:
    """Return a column of texts as that of the lists which they are, in JSON; one of something else as it is.

    Raises
    ------
    ColumnError
        If a text is no JSON, or these are of different kinds.
    """
    pa = pyarrow()
    if depth_of(array.type) or not is_text(innermost(array.type)):
        return array
    try:
        return pa.array([None if text is None else json.loads(text) for text in array.to_pylist()])
    except (ValueError, RecursionError, OverflowError, pa.ArrowException) as error:
        raise ColumnError(str(error)) from error


def cells_of(array: Any) -> Cells | None:
    """Return what is in a column; None if it is neither numbers nor texts, or if inner lists differ."""
    if hasattr(array, "storage"):
        array = array.storage
    present = np.asarray(array.is_valid())
    if not _is_list(array.type):
        return _leaf(array, present)
    lengths, array = _within(array)
    inner: list[int] = []
    n = len(array)
    while _is_list(array.type):
        sizes, flat = _within(array)
        if array.null_count or (len(sizes) and sizes.min() != sizes.max()):
            return None
        inner.append(int(sizes[0]) if len(sizes) else 0)
        array = flat
    made = _leaf(array, np.asarray(array.is_valid()))
    if made is None:
        return None
    shape = (n, *inner)
    made.values = made.values.reshape(shape)
    made.holes = None if made.present.all() or made.values.dtype.kind == "f" else ~made.present.reshape(shape)
    made.present, made.lengths = present, lengths
    return made


def _within(array: Any) -> tuple[NDArray[np.int64], Any]:
    """Return the lengths of lists, and what is in them."""
    lengths = pyarrow().compute.list_value_length(array).fill_null(0)
    return np.asarray(lengths).astype(np.int64), array.flatten()


def _leaf(array: Any, present: NDArray[np.bool_]) -> Cells | None:
    """Return values that are no lists."""
    pa = pyarrow()
    types = pa.types
    kind = array.type
    if types.is_temporal(kind):
        array, kind = array.cast(pa.string()), pa.string()
    elif types.is_decimal(kind):
        array, kind = array.cast(pa.float64()), pa.float64()
    if types.is_dictionary(kind) or is_text(kind):
        if types.is_dictionary(kind) and not is_text(kind.value_type):
            return _leaf(array.dictionary_decode(), present)
        coded = array if types.is_dictionary(kind) else array.dictionary_encode()
        if coded.dictionary.null_count:
            coded = array.dictionary_decode().dictionary_encode()
        codes = np.asarray(coded.indices.fill_null(-1)).astype(np.int32)
        return Cells(codes, present, texts=coded.dictionary.to_pylist())
    if types.is_floating(kind):
        values = array.to_numpy(zero_copy_only=False)
        return Cells(values.astype(np.float64) if values.dtype == np.float16 else values, present)
    if types.is_integer(kind) or types.is_boolean(kind):
        filled = array.fill_null(False if types.is_boolean(kind) else 0) if array.null_count else array
        return Cells(filled.to_numpy(zero_copy_only=False), present)
    return None
