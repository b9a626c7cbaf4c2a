"""Awkward arrays, in memory or in .parquet files, as arrays of structures end to end.

They are taken some structures at a time, without an object for each. Awkward is loaded when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError, MissingExtraError
from zstruct.features.external.order import WHOSE

__all__ = ["AwkwardValues", "awkward_values", "is_awkward", "parquet_values"]

_STEP = 4096  # structures at a time


@dataclass(frozen=True, eq=False)
class AwkwardValues:
    """What an Awkward array holds.

    Parameters
    ----------
    blocks
        Yields arrays of structures end to end, with their lengths; without these, rows of a table.
    left_out
        What else is in it.
    beside
        What returns arrays that say whose rows these are, by name.
    what
        What it is, for sentences.
    """

    blocks: Callable[[], Iterator[tuple[NDArray[Any], NDArray[np.int64] | None]]]
    left_out: tuple[str, ...] = ()
    beside: Mapping[str, Callable[[], NDArray[Any]]] = field(default_factory=dict)
    what: str = "values"


def is_awkward(values: Any) -> bool:
    """Return whether this is an Awkward array; nothing is imported to find out."""
    return type(values).__module__.split(".")[0] == "awkward" and hasattr(values, "layout")


def awkward_values(values: Any, key: str | None, what: str = "values") -> AwkwardValues:
    """Return what an Awkward array holds.

    Raises
    ------
    InputError
        If there is no telling which field is meant.
    """
    chosen, left = _field(list(values.fields), key, what)

    def blocks() -> Iterator[tuple[NDArray[Any], NDArray[np.int64] | None]]:
        for start in range(0, len(values), _STEP):
            part = values[start : start + _STEP]
            yield _packed(part if chosen is None else part[chosen], start, what)

    beside = {
        name: partial(_flat, values[name]) for name in values.fields if name in WHOSE and name != chosen
    }
    return AwkwardValues(blocks, left, beside, what)


def parquet_values(path: Path, key: str | None) -> AwkwardValues:
    """Return what a .parquet file holds, row group by row group.

    Raises
    ------
    MissingExtraError
        If Awkward or pyarrow is not installed.
    InputError
        If it is no such file, or there is no telling which column is meant.
    """
    try:
        import awkward
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            "features of .parquet files need awkward and pyarrow: pip install 'zstruct[parquet]'"
        ) from error
    faults = (OSError, ValueError, TypeError, pyarrow.ArrowException)
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            n_groups, columns = file.num_row_groups, list(file.schema_arrow.names)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except faults as error:
        raise InputError(f"{path} can't be read as a .parquet file: {error}") from error
    named = columns != [""]  # what was no record has one column without a name
    chosen, left = _field(columns if named else [], key, str(path))

    def blocks() -> Iterator[tuple[NDArray[Any], NDArray[np.int64] | None]]:
        start = 0
        for group in range(n_groups):
            only = {} if chosen is None else {"columns": [chosen]}
            try:
                part = awkward.from_parquet(path, row_groups=[group], **only)
            except faults as error:
                raise InputError(f"{path} can't be read: {error}") from error
            part = part if chosen is None else part[chosen]
            for first in range(0, len(part), _STEP):
                yield _packed(part[first : first + _STEP], start + first, str(path))
            start += len(part)

    def whose(name: str) -> NDArray[Any]:
        try:
            return _flat(awkward.from_parquet(path, columns=[name])[name])
        except faults as error:
            raise InputError(f"{path} can't be read: {error}") from error

    beside = {name: partial(whose, name) for name in columns if named and name in WHOSE and name != chosen}
    return AwkwardValues(blocks, left, beside, str(path))


def _flat(values: Any) -> NDArray[Any]:
    """Return all numbers of an array one after the other; those of no numbers say nothing."""
    import awkward

    try:
        return np.asarray(awkward.to_numpy(awkward.flatten(values, axis=None)))
    except (ValueError, TypeError):
        return np.empty(0)


def _field(fields: list[str], key: str | None, what: str) -> tuple[str | None, tuple[str, ...]]:
    """Return which field has the features, and what the others are."""
    if not fields:
        if key is not None:
            raise InputError(f"{what} has no {key!r}: it has no fields")
        return None, ()
    numbered = len(fields) > 1 and fields == [str(k) for k in range(len(fields))]
    if key is None:
        candidates = fields[:-1] if numbered else [name for name in fields if name not in WHOSE] or fields
        if len(candidates) != 1:
            raise InputError(f"{what} has {', '.join(candidates)}: say which to take, with key=")
        key = candidates[0]
    if key not in fields:
        raise InputError(f"{what} has no {key!r}; it has {', '.join(fields)}")
    last = fields[-1] if numbered else None
    left = [
        f"{name}, which is y in files of kinoml" if name == last else name for name in fields if name != key
    ]
    return key, tuple(left)


def _packed(part: Any, start: int, what: str) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Return the arrays of some structures end to end, with their lengths."""
    import awkward

    if part.ndim > 3 or part.fields:
        raise InputError(
            f"{what} has {part.type}: features are numbers in rows, at most two axes a structure"
        )
    lost = awkward.is_none(part)
    if awkward.any(lost):
        k = start + int(np.flatnonzero(awkward.to_numpy(lost))[0])
        if part.ndim > 1:
            raise InputError(
                f"{what} has nothing for structure {k}; a missing number is NaN, in an array of its size"
            )
    try:
        if part.ndim == 1:
            return _numbers(part, what), None
        counts = awkward.to_numpy(awkward.num(part, axis=1)).astype(np.int64)
        flat = awkward.flatten(part, axis=1)
        if part.ndim == 3 and len(flat):
            flat = awkward.to_regular(flat, axis=1)
        elif part.ndim == 3:
            return np.empty((0, 0)), counts
        return _numbers(flat, what), counts
    except (ValueError, TypeError, KeyError) as error:  # the last of texts, from older versions
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{what}, structures {start} to {start + len(part)}, is no table of numbers: "
            f"{str(error).partition(' (in compiled code')[0]}"
        ) from error


def _numbers(flat: Any, what: str) -> NDArray[Any]:
    """Return a rectangle of numbers; where one is missing, it is NaN."""
    import awkward

    found = awkward.to_numpy(flat, allow_missing=True)
    if isinstance(found, np.ma.MaskedArray):
        if np.ma.is_masked(found) and found.dtype.kind != "f":
            raise InputError(
                f"{what} lacks some of its {found.dtype} numbers: only floats can be missing, as NaN"
            )
        found = found.filled(np.nan) if found.dtype.kind == "f" else found.data
    return np.asarray(found)
