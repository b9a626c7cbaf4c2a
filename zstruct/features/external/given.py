"""What users give as features, as rows that fit a store: arrays, tensors, lists, iterators, files.

What can be sliced is read where it is; all else is put end to end in a file first. Stores are not known here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.features.external.files import npy_array, npz_array, npz_values
from zstruct.features.external.numbers import array_from, as_numbers
from zstruct.features.external.order import check_labels, check_whose
from zstruct.features.external.ragged_arrays import (
    AwkwardValues,
    awkward_values,
    is_awkward,
    parquet_values,
)
from zstruct.features.external.rows import Counts, FeatureLevel, Rows, of_pieces, of_table
from zstruct.features.external.spool import Spool
from zstruct.schema import ATOM, STRUCTURE

__all__ = ["Given", "rows_of"]

_SPOOL = "rows"


class Given(NamedTuple):
    """Rows, the names that what was given has for the features, and what else was in it."""

    rows: Rows
    names: list[str] | None = None
    left_out: tuple[str, ...] = ()


def rows_of(
    values: Any,
    counts: Counts,
    scratch: Path,
    level: FeatureLevel | None,
    key: str | None,
    dtype: str | None,
) -> Given:
    """Return what was given as rows.

    Parameters
    ----------
    values, level, key, dtype
        As for `zstruct.features.add`.
    counts
        Of the store.
    scratch
        A directory for what has to be put end to end first.

    Raises
    ------
    InputError
        If it does not fit the store, or there is no telling how.
    """
    spool = Spool(scratch / _SPOOL, dtype)
    check_labels(values)
    if isinstance(values, str | os.PathLike):
        return _of_file(Path(os.path.expanduser(values)), counts, spool, level, key, dtype)
    if is_awkward(values):
        return _of_awkward(awkward_values(values, key), counts, spool, level, dtype)
    if key is not None:
        raise InputError("key says which array of a file, or which field of an Awkward array, to take")
    if isinstance(values, Mapping | bytes | set | frozenset):
        raise ArgumentTypeError(f"values are arrays or a file of them, not {shown(values)}")
    if isinstance(values, list | tuple):
        return Given(_of_list(values, counts, spool, level, dtype))
    names = (
        [str(name) for name in values.columns]
        if hasattr(values, "to_numpy") and hasattr(values, "columns")
        else None
    )
    if not (_is_sliceable(values) and names is None) and not hasattr(values, "__next__"):
        if not hasattr(values, "__array__") and not hasattr(values, "detach"):
            if not isinstance(values, Iterable):
                raise ArgumentTypeError(f"values are arrays or a file of them, not {shown(values)}")
            values = iter(values)
        else:
            values = array_from(values, "values")
    if hasattr(values, "__next__"):
        return Given(_of_iterator(values, counts, spool, level))
    if isinstance(values, np.ma.MaskedArray):
        values = array_from(values, "values")
    return Given(_of_array(values, counts, spool, level, dtype), names)


def _is_sliceable(values: Any) -> bool:
    """Return whether this gives rows when it is sliced, so that it need not be in memory as a whole."""
    return isinstance(getattr(values, "dtype", None), np.dtype) and hasattr(values, "shape")


def _of_array(
    values: Any, counts: Counts, spool: Spool, level: FeatureLevel | None, dtype: str | None
) -> Rows:
    if len(values.shape) == 0:
        raise InputError("values are one number, not rows of them")
    if len(values.shape) == 3 and values.shape[0] == counts.structures:
        with spool:
            for k in range(values.shape[0]):
                spool.add(array_from(values[k], f"structure {k}"), f"structure {k}")
        return of_pieces(spool, counts, level)
    return of_table(values, counts, level, dtype)


def _of_list(
    values: Any, counts: Counts, spool: Spool, level: FeatureLevel | None, dtype: str | None
) -> Rows:
    arrays = [array_from(value, f"item {k} of the values") for k, value in enumerate(values)]
    if arrays and all(array.ndim == 0 for array in arrays):
        return of_table(np.array(arrays), counts, level, dtype)
    if len(arrays) and dtype is None:  # of all, for a list may have integers among its floats
        common = np.result_type(*([a.dtype for a in arrays if a.size] or arrays))
        arrays = [as_numbers(array, common) for array in arrays]
    with spool:
        for k, array in enumerate(arrays):
            spool.add(array, f"item {k} of the values")
    return of_pieces(spool, counts, level)


def _of_iterator(values: Iterator[Any], counts: Counts, spool: Spool, level: FeatureLevel | None) -> Rows:
    if level is None:
        raise InputError(
            "an iterator does not say how many rows there will be: pass level='atom' or level='structure' "
            "for blocks of rows in order, level='row' for one array after the other for each structure"
        )
    limit = None if level == "row" else {ATOM: counts.atoms, STRUCTURE: counts.structures}[level]
    with spool:
        for k, value in enumerate(values):
            spool.add(array_from(value, f"block {k}"), f"block {k}")
            if limit is not None and spool.n_rows > limit:
                break  # told below; it may never end
    if limit is None:
        return of_pieces(spool, counts, level)
    return of_table(spool.rows(spool.width if spool.ndim == 2 else 1), counts, level, None)


def _of_awkward(
    values: AwkwardValues, counts: Counts, spool: Spool, level: FeatureLevel | None, dtype: str | None
) -> Given:
    for name, found in values.beside.items():
        check_whose(name, found(), counts, values.what)
    by_structure = False
    with spool:
        for k, (block, lengths) in enumerate(values.blocks()):
            by_structure = lengths is not None
            spool.add(block, f"part {k} of the values", lengths)
    if not by_structure:
        return Given(of_table(spool.rows(1), counts, level, dtype), None, values.left_out)
    return Given(of_pieces(spool, counts, level), None, values.left_out)


def _of_file(
    path: Path, counts: Counts, spool: Spool, level: FeatureLevel | None, key: str | None, dtype: str | None
) -> Given:
    kind = path.suffix.lower()
    if kind == ".parquet":
        return _of_awkward(parquet_values(path, key), counts, spool, level, dtype)
    if kind == ".npy":
        if key is not None:
            raise InputError(f"key={key!r}: the .npy file {path} holds one array")
        return Given(_of_array(npy_array(path), counts, spool, level, dtype))
    if kind != ".npz":
        raise InputError(
            f"features come from files called .npz, .npy or .parquet, not from {path}: read it yourself and "
            "give the array"
        )
    found = npz_values(path, key)
    for name in found.beside:
        check_whose(name, npz_array(path, name), counts, str(path))
    with spool:
        for piece, what in found.pieces():
            spool.add(piece, what)
    if found.by_structure:
        rows = of_pieces(spool, counts, level)
    else:
        table: NDArray[Any] = spool.rows(spool.width if spool.ndim == 2 else 1)
        rows = of_table(table, counts, level, None)
    return Given(rows, None, found.left_out)
