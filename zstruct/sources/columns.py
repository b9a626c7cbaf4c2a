"""From Python values, one per frame, to columns of a `Raw` block.

Sources that meet their frames as Python objects (ASE, databases) collect one list of values per
property and have it turned into typed columns here, a whole block at a time. This module knows
numbers, texts and shapes; it does not know what a property is called or means.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import by_appearance
from zstruct.sources.source import RawColumn

__all__ = ["Values", "atom_columns", "by_key", "structure_columns", "with_gaps"]

#: Values of one property and the structures of the block they belong to (None: all of them).
Values = tuple[list[Any], NDArray[np.int64] | None]

_FLOATS = {float, np.float64, np.float32}
_INTS = {int, np.int64, np.int32}
_BOOLS = {bool, np.bool_}
_TEXTS = {str, np.str_}
_KINDS = {"f": "number", "i": "number", "u": "number", "b": "bool", "U": "text"}


def by_key(rows: Sequence[Mapping[str, Any]]) -> dict[str, Values]:
    """Turn one mapping per structure into the values of each key.

    Parameters
    ----------
    rows
        The properties of every structure of a block.

    Returns
    -------
    dict
        For every key its values and the structures that have it. None is no value.

    Examples
    --------
    >>> by_key([{"a": 1}, {"a": 2}])
    {'a': ([1, 2], None)}
    >>> by_key([{"a": 1, "b": None}, {"a": 2, "b": 3}])["b"]
    ([3], array([1]))
    """
    patterns: dict[tuple[str, ...], list[int]] = {}
    names = set(map(tuple, rows))
    if len(names) == 1:
        table: dict[str, Values] = {k: (list(map(itemgetter(k), rows)), None) for k in names.pop()}
    else:
        for i, row in enumerate(rows):
            patterns.setdefault(tuple(row), []).append(i)
        values: dict[str, list[Any]] = {}
        index: dict[str, list[int]] = {}
        for pattern, members in patterns.items():
            for key in pattern:
                values.setdefault(key, []).extend(rows[i][key] for i in members)
                index.setdefault(key, []).extend(members)
        table = {}
        for key, found in values.items():
            order = np.argsort(index[key], kind="stable")
            table[key] = [found[i] for i in order], np.array(index[key], dtype=np.int64)[order]
    return {k: v for k, v in ((k, _without_none(*v)) for k, v in table.items()) if v[0]}


def _without_none(values: list[Any], index: NDArray[np.int64] | None) -> Values:
    if type(None) not in set(map(type, values)):
        return values, index
    keep = [i for i, value in enumerate(values) if value is not None]
    here = np.array(keep, dtype=np.int64)
    return [values[i] for i in keep], here if index is None else index[here]


def structure_columns(
    key: str, values: list[Any], index: NDArray[np.int64] | None, n: int
) -> list[RawColumn]:
    """Return the columns of a per-structure property.

    Numbers, booleans and texts, alone or in arrays and lists of any one shape, each make a
    column. What has no such form (dictionaries, ragged lists) becomes JSON text, empty lists are
    no value, and what JSON can't express makes a column with a `RawColumn.fault`.

    Parameters
    ----------
    key
        The property, for messages.
    values
        One value per structure of `index`.
    index
        Structures that the values belong to; None for all `n`.
    n
        Structures in the block.

    Examples
    --------
    >>> structure_columns("x", [1, 2.5], None, 2)[0].values
    array([1. , 2.5])
    >>> structure_columns("x", ["a", "b", "a"], None, 3)[0].texts
    ['a', 'b']
    """
    types = set(map(type, values))
    if types <= _FLOATS:
        return [_scatter(np.array(values, dtype=np.float64), index, n)]
    if types <= _BOOLS:
        return [_scatter(np.array(values, dtype=bool), index, n)]
    if types <= _TEXTS:
        return [_text(values, index, n)]
    if types <= _INTS:
        whole = np.array(values)
        if whole.dtype == np.int64 or whole.dtype == np.int32:
            return [_scatter(whole.astype(np.int64, copy=False), index, n)]
    where = np.arange(n) if index is None else index
    groups: dict[tuple[str, Any], tuple[list[Any], list[int]]] = {}
    for i, value in zip(where.tolist(), values, strict=True):
        kind, shape, plain = _classify(key, value)
        members = groups.setdefault((kind, shape), ([], []))
        members[0].append(plain)
        members[1].append(i)
    columns = []
    for (kind, shape), (found, rows) in groups.items():
        here = None if len(rows) == n else np.array(rows, dtype=np.int64)
        if kind == "fault":
            columns.append(_faulty(shape, rows, n))
        elif kind == "text":
            columns.append(_text(found, here, n))
        elif kind != "nothing":
            columns.append(_scatter(_numeric(np.array(found)), here, n))
    return columns


def _classify(key: str, value: Any) -> tuple[str, Any, Any]:
    """Return kind, shape (or a fault's sentence) and plain form of one value."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return "text", (), str(value)
    try:
        array = np.asarray(value)
        kind = _KINDS.get(array.dtype.kind, "")
    except (ValueError, TypeError, OverflowError):  # ragged lists, odd objects
        kind = ""
    if kind and array.size == 0:
        return "nothing", (), None
    if kind == "number" and array.dtype.kind in "iu":
        kind = _size(array)
    if kind in ("number", "large", "bool"):
        return kind, array.shape, array
    if kind == "text" and array.shape == ():
        return "text", (), str(value)
    try:
        return "text", (), json.dumps(value, default=_plain)
    except (TypeError, ValueError, RecursionError):
        name = type(value).__name__
        return "fault", f"the property {key!r} is a {name}, which can't be stored; {_advice(key)}", None


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiubU":
        return value.tolist()
    if hasattr(value, "todict"):  # ASE's objects, a space group for instance
        return value.todict()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _advice(key: str) -> str:
    return f"remove it or leave it out with exclude=[{key!r}]"


def _numeric(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind in "iu":
        return values.astype(np.int64, copy=False)
    return values if values.dtype == bool else values.astype(np.float64, copy=False)


def _size(values: NDArray[Any]) -> str:
    """Return whether whole numbers are exact as floats ("number"), as int64 ("large"), or not ("huge").

    Large ones make a column of their own, since fractions beside them would have them rounded.
    """
    if not values.size:
        return "number"
    low, high = int(values.min()), int(values.max())
    if low >= -(2**53) and high <= 2**53:
        return "number"
    return "large" if low >= -(2**63) and high < 2**63 else "huge"


def _scatter(values: NDArray[Any], index: NDArray[np.int64] | None, n: int) -> RawColumn:
    if index is None:
        return RawColumn(values)
    rows = np.zeros((n, *values.shape[1:]), dtype=values.dtype)
    rows[index] = values
    return RawColumn(rows, _mask(index, n))


def _mask(index: NDArray[np.int64] | Sequence[int], n: int) -> NDArray[np.bool_]:
    present = np.zeros(n, dtype=bool)
    present[index] = True
    return present


def _text(values: Iterable[str], index: NDArray[np.int64] | None, n: int) -> RawColumn:
    codes: dict[str, int] = {}
    numbers = np.array([codes.setdefault(str(v), len(codes)) for v in values], dtype=np.int32)
    column = _scatter(numbers, index, n)
    column.texts = list(codes)
    return column


def _faulty(sentence: str, rows: Sequence[int], n: int) -> RawColumn:
    return RawColumn(np.zeros(n), _mask(rows, n), fault=sentence)


def atom_columns(
    key: str, values: list[Any], index: NDArray[np.int64] | None, n_atoms: NDArray[np.int64]
) -> list[RawColumn]:
    """Return the columns of a per-atom property.

    Parameters
    ----------
    key
        The property, for messages.
    values
        One array per structure of `index`, its first axis running over the atoms.
    index
        Structures that the values belong to; None for all.
    n_atoms
        Atoms of every structure of the block, shape (n,).

    Examples
    --------
    >>> counts = np.array([1, 2])
    >>> atom_columns("q", [np.array([0.5])], np.array([0]), counts)[0].values
    array([0.5, 0. , 0. ])
    """
    n = len(n_atoms)
    where = np.arange(n) if index is None else index
    arrays = [v if type(v) is np.ndarray and v.ndim else _array(v) for v in values]
    shapes = list(map(attrgetter("shape"), arrays))
    lengths = np.fromiter(map(itemgetter(0), shapes), dtype=np.int64, count=len(arrays))
    kinds = {_KINDS.get(dtype.kind, "") for dtype in set(map(attrgetter("dtype"), arrays))}
    rest = {shape[1:] for shape in set(shapes)}
    if len(kinds) == len(rest) == 1 and 0 not in min(rest) and np.array_equal(lengths, n_atoms[where]):
        return [_rows(key, arrays, None if len(where) == n else where, n_atoms)]
    groups: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for i, array in enumerate(arrays):
        short = len(array) != n_atoms[where[i]]
        kind = _size(array) if array.dtype.kind in "iu" else _KINDS.get(array.dtype.kind, "")
        group = ("short", ()) if short else (kind, array.shape[1:])
        groups.setdefault(group, []).append(i)
    columns = []
    for (kind, shape), members in groups.items():
        rows = where[members]
        if 0 in shape:
            continue  # no numbers for each atom: nothing to keep
        if kind == "short":
            columns += [_faulty(_mismatch(key, arrays[i], n_atoms[where[i]]), [where[i]], n) for i in members]
        else:
            here = None if len(rows) == n else rows
            columns.append(_rows(key, [arrays[i] for i in members], here, n_atoms))
    return columns


def _array(value: Any) -> NDArray[Any]:
    """Return a value that should be an array; one that is none has no rows."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return np.empty(0)
    return array if array.ndim else np.empty(0)


def _mismatch(key: str, array: NDArray[Any], n_atoms: int) -> str:
    return f"the per-atom property {key!r} has {len(array)} rows for {n_atoms} atoms; {_advice(key)}"


def _rows(
    key: str, arrays: list[NDArray[Any]], index: NDArray[np.int64] | None, n_atoms: NDArray[np.int64]
) -> RawColumn:
    """Join the arrays of the structures `index`, which agree in kind and shape."""
    n = len(n_atoms)
    joined = np.concatenate(arrays)
    texts = None
    if joined.dtype.kind in "OSU":
        as_text = _strings(joined) if joined.ndim == 1 else None
        if as_text is not None:
            unique, first, codes = np.unique(as_text, return_index=True, return_inverse=True)
            order, joined = by_appearance(first, codes)
            texts = [str(t) for t in unique[order].tolist()]
    if texts is None and (
        joined.dtype.kind not in "fiub" or (joined.dtype == np.uint64 and joined.max() >= 2**63)
    ):
        what = f"the per-atom property {key!r} holds {joined.dtype.name} values, which can't be stored"
        rows = range(n) if index is None else index.tolist()
        return _faulty(f"{what}; {_advice(key)}", rows, n)
    if texts is None:
        joined = _numeric(joined)
    if index is None:
        return RawColumn(joined, None, texts)
    present = _mask(index, n)
    values = np.zeros((int(n_atoms.sum()), *joined.shape[1:]), dtype=joined.dtype)
    values[np.repeat(present, n_atoms)] = joined
    return RawColumn(values, present, texts)


def _strings(values: NDArray[Any]) -> NDArray[Any] | None:
    """Return an array of texts as numpy texts, or None if something in it is no text."""
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "O" and not all(isinstance(v, str) for v in values):
        return None
    return values.astype(str)


def with_gaps(values: Sequence[Any]) -> Any:
    """Return what atoms have, one each, as an array; missing numbers are NaN.

    Examples
    --------
    >>> with_gaps([1, None]), with_gaps([[0, 0, 1.5], None])[1]
    (array([ 1., nan]), array([nan, nan, nan]))
    """
    given = [value for value in values if value is not None]
    if len(given) == len(values):
        return np.asarray(values)
    try:
        example = np.asarray(given[0], dtype=np.float64)
        nothing = np.full(example.shape, np.nan)
        return np.array([nothing if value is None else value for value in values], dtype=np.float64)
    except (ValueError, TypeError):
        return np.array([*values, None], dtype=object)[:-1]  # which is refused by its name
