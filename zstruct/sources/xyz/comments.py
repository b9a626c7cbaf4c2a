"""The values in comment lines of extended XYZ, by key, and the columns that they become.

Python works per key, and per value only for JSON that is more than a flat list of numbers. What the keys
mean is not known here, but for the three that are the format's own: Lattice, pbc and Properties. The
comment of a plain XYZ file is a value too, ``comment``.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import counts_to_offsets
from zstruct.schema import GEOMETRY
from zstruct.sources.columns import structure_columns
from zstruct.sources.source import RawColumn
from zstruct.sources.xyz import kernels
from zstruct.sources.xyz.texts import intern, spell

__all__ = ["NUMERIC", "RESERVED", "SPECIAL", "TWICE", "Comments"]

SPECIAL = ("Lattice", "pbc", "Properties")
_REMARK = "comment"
#: A sentence about a key that has several values.
TWICE = "{!r} comes twice with different values"
#: Columns of a block that a key must not take; such a key gets the prefix ``input_``.
RESERVED = GEOMETRY
_MARK = "_JSON "
#: Kinds of values, as flags, that are numbers.
NUMERIC = 1 << kernels.V_INT | 1 << kernels.V_FLOAT | 1 << kernels.V_J_INTS | 1 << kernels.V_J_FLOATS
_EXACT = 2**53  # whole numbers below this are floats
_INTEGERS = 1 << kernels.V_INT | 1 << kernels.V_J_INTS


@dataclass(frozen=True)
class Comments:
    """The values in the comment lines of some frames, grouped by key.

    Parameters
    ----------
    text
        The bytes.
    n
        Number of frames.
    names
        The keys, in the order of their first appearance.
    edges
        Key k has the values ``edges[k]:edges[k + 1]``.
    frame
        Frame of each value, ascending within a key; shape (m,).
    spans
        Start and end of each value in the text, shape (m, 2).
    kinds, lengths, at
        What each value is, its number of elements (0 for a scalar) and where the first of them is
        in `words`, shape (m,); see `zstruct.sources.xyz.kernels.read_values`.
    words
        Elements of all values, as the bits of int64 or float64.
    doubled
        Which values were preceded, in the same frame, by another value of their key, shape (m,).
    marks
        What is known of each line, shape (n,); see `zstruct.sources.xyz.kernels.split_comments`.
    kept, remarks
        Bytes, and start and end of each plain comment in them, shape (n, 2).
    """

    text: NDArray[np.uint8]
    n: int
    names: list[str]
    edges: NDArray[np.int64]
    frame: NDArray[np.int64]
    spans: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    at: NDArray[np.int64]
    words: NDArray[np.int64]
    doubled: NDArray[np.bool_]
    marks: NDArray[np.uint8]
    kept: NDArray[np.uint8]
    remarks: NDArray[np.int64]

    def select(self, keep: NDArray[np.bool_]) -> Comments:
        """Return the values of only some frames, given by a mask."""
        if keep.all():
            return self
        here = keep[self.frame]
        number = np.cumsum(keep) - 1
        counts = np.diff(counts_to_offsets(here)[self.edges])
        used = np.flatnonzero(counts)
        return Comments(
            self.text,
            int(keep.sum()),
            [self.names[k] for k in used],
            counts_to_offsets(counts[used]),
            number[self.frame[here]],
            self.spans[here],
            self.kinds[here],
            self.lengths[here],
            self.at[here],
            self.words,
            self.doubled[here],
            self.marks[keep],
            self.kept,
            self.remarks[keep],
        )

    def values_of(self, name: str) -> slice:
        """Return which values belong to a key."""
        if name not in self.names:
            return slice(0, 0)
        k = self.names.index(name)
        return slice(int(self.edges[k]), int(self.edges[k + 1]))

    def elements(self, rows: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """Return the words of values that have the same number of elements, shape (rows, length)."""
        at = self.at[rows]
        return self.words[at[:, None] + np.arange(length)] if length else self.words[at]

    def columns(self) -> dict[str, list[RawColumn]]:
        """Return the columns of all keys but the format's own, and the plain comments."""
        table: dict[str, list[RawColumn]] = {}
        edges = self.edges.tolist()
        flags = np.left_shift(1, self.kinds.astype(np.int64))
        for k, name in enumerate(self.names):
            if name in SPECIAL:
                continue
            rows = np.arange(edges[k], edges[k + 1])
            twice = self.doubled[edges[k] : edges[k + 1]]
            columns = self._columns_of(name, rows[~twice] if twice.any() else rows, flags)
            if twice.any():
                columns += [
                    replace(column, fault=f"{TWICE.format(name)}; leave it out with exclude=[{name!r}]")
                    for column in self._columns_of(name, rows[twice], flags)
                ]
            if columns:
                table[f"input_{name}" if name in RESERVED else name] = columns
        here = self.remarks[:, 1] > 0
        if here.any():
            others = (_without(column, here) for column in table.get(_REMARK, []))  # they are in the remark
            table[_REMARK] = [*(column for column in others if column is not None), self._remarks(here)]
        return table

    def _remarks(self, here: NDArray[np.bool_]) -> RawColumn:
        codes = np.full(self.n, -1, dtype=np.int32)
        codes[here], texts = intern(self.kept, self.remarks[here])
        return RawColumn(codes, None if here.all() else here, texts)

    def _columns_of(self, name: str, rows: NDArray[np.int64], flags: NDArray[np.int64]) -> list[RawColumn]:
        """Return the columns of some values of one key."""
        kinds = int(np.bitwise_or.reduce(flags[rows]))
        if kinds & 1 << kernels.V_EMPTY:
            rows = rows[self.kinds[rows] != kernels.V_EMPTY]
            kinds &= ~(1 << kernels.V_EMPTY)
        if len(rows) == 0:
            return []
        if name.lower() == "uid":
            return [self._text_column(rows, self.spans[rows])]
        is_bool = bool(kinds & 1 << kernels.V_BOOL)
        if kinds & 1 << kernels.V_TEXT or (is_bool and kinds & NUMERIC):
            return [self._texts(rows)]
        if kinds & 1 << kernels.V_JSON:
            return self._json_columns(name, rows)
        lengths = self.lengths[rows]
        columns = []
        for length in dict.fromkeys(lengths.tolist()):
            columns += self._numeric_columns(name, rows[lengths == length], length)
        return columns

    def _numeric_columns(self, name: str, rows: NDArray[np.int64], length: int) -> list[RawColumn]:
        """Return the columns of numbers with equally many elements; no whole number is rounded."""
        kinds = np.left_shift(1, self.kinds[rows].astype(np.int64))
        all_kinds = int(np.bitwise_or.reduce(kinds))
        values = self.numeric_rows(rows, length, all_kinds)
        if values.dtype.kind != "f":
            return [self._scatter(values, rows, None)]
        large = (np.abs(values) >= _EXACT).reshape(len(rows), -1).any(axis=1)
        if not large.any():
            return [self._scatter(values, rows, None)]
        columns = [self._scatter(values[~large], rows[~large], None)] if not large.all() else []
        whole = large & ((kinds & _INTEGERS) != 0)
        if whole.any():  # beside fractions, which is for others to judge
            columns.append(
                self._scatter(self.numeric_rows(rows[whole], length, _INTEGERS), rows[whole], None)
            )
        rest = np.flatnonzero(large & ~whole)
        lost = np.array([_is_rounded(spell(self.text, *self.spans[row])) for row in rows[rest]], dtype=bool)
        if not lost.all():
            columns.append(self._scatter(values[rest[~lost]], rows[rest[~lost]], None))
        if lost.any():
            fault = (
                f"{name!r} is a whole number of more than 64 bits, which can't be kept without rounding; "
                f"leave it out with exclude=[{name!r}]"
            )
            columns.append(RawColumn(np.zeros(self.n), self._mask(rows[rest[lost]]), fault=fault))
        return columns

    def numeric_rows(self, rows: NDArray[np.int64], length: int, kinds: int) -> NDArray[Any]:
        """Return values with equally many elements as int64, float64 or bool; `kinds` as flags."""
        n_rows, n_columns = length >> kernels.ROWS, length & ((1 << kernels.ROWS) - 1)
        words = self.elements(rows, max(n_rows, 1) * n_columns)
        words = words.reshape(-1, n_rows, n_columns) if n_rows else words
        values: NDArray[Any]
        if kinds & 1 << kernels.V_BOOL:
            values = words.astype(bool)
        elif not kinds & ~_INTEGERS:
            values = words
        else:
            values = words.view(np.float64)
            if kinds & _INTEGERS:
                whole = np.isin(self.kinds[rows], (kernels.V_INT, kernels.V_J_INTS))
                values = values.copy()
                values[whole] = words[whole]
        return values

    def _text_column(self, rows: NDArray[np.int64], spans: NDArray[np.int64]) -> RawColumn:
        codes, texts = intern(self.text, spans)
        return self._scatter(codes, rows, texts)

    def _texts(self, rows: NDArray[np.int64]) -> RawColumn:
        """Return a column of texts: of JSON the text that it is, or what stands behind its mark."""
        spans = self.spans[rows]
        marked = self.kinds[rows] >= kernels.V_JSON
        spans[marked, 0] += len(_MARK)
        if not (marked.any() and (self.text[spans[marked, 0]] == ord('"')).any()):
            return self._text_column(rows, spans)
        codes, texts = intern(self.text, spans)
        index: dict[str, int] = {}
        places = np.full((len(texts), 2), -1, dtype=np.int32)
        for code, mark in dict.fromkeys(zip(codes.tolist(), marked.tolist(), strict=True)):
            text = _meant(texts[code]) if mark else texts[code]
            places[code, int(mark)] = index.setdefault(text, len(index))
        return self._scatter(places[codes, marked.astype(np.int64)], rows, list(index))

    def _json_columns(self, name: str, rows: NDArray[np.int64]) -> list[RawColumn]:
        """Return the columns of a key whose values are JSON here and there, and no plain text."""
        values: list[Any] = []
        broken: list[int] = []
        for row in rows.tolist():
            if self.kinds[row] != kernels.V_JSON:
                values.append(self.value(row))
                continue
            written = spell(self.text, *self.spans[row]).removeprefix(_MARK)
            try:
                value = json.loads(written)
                array = np.array(value)
            except json.JSONDecodeError:
                broken.append(row)
                continue
            except (ValueError, OverflowError, RecursionError):  # lists that make no array
                return [self._texts(rows)]
            if array.dtype.kind not in "fib":
                return [self._texts(rows)]
            values.append(array)
        gone = np.isin(rows, broken)
        columns = structure_columns(name, values, self.frame[rows[~gone]], self.n) if values else []
        if broken:
            fault = f"the value of {name!r} begins with {_MARK.strip()} but is not JSON"
            columns.append(RawColumn(np.zeros(self.n), self._mask(rows[gone]), fault=fault))
        return columns

    def value(self, row: int) -> Any:
        """Return one value as a number, a boolean or an array."""
        return self.numeric_rows(np.array([row]), int(self.lengths[row]), 1 << int(self.kinds[row]))[0]

    def _scatter(self, values: NDArray[Any], rows: NDArray[np.int64], texts: list[str] | None) -> RawColumn:
        if len(rows) == self.n:
            return RawColumn(values, None, texts)
        out = np.zeros((self.n, *values.shape[1:]), dtype=values.dtype)
        out[self.frame[rows]] = values
        return RawColumn(out, self._mask(rows), texts)

    def _mask(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        mask = np.zeros(self.n, dtype=bool)
        mask[self.frame[rows]] = True
        return mask


def _meant(written: str) -> str:
    """Return the text that is written as JSON; other JSON stays as it is."""
    if written.startswith('"'):
        try:
            value = json.loads(written)
        except ValueError:
            return written
        if isinstance(value, str):
            return value
    return written


def _is_rounded(value: str) -> bool:
    """Return whether a value is of whole numbers alone, and there is one that no float is equal to."""
    words = re.findall(r"[^\s,;\[\](){}\"]+", value)
    if not all(re.fullmatch(r"[-+]?[0-9]+", word) for word in words):
        return False
    return any(math.isinf(float(word)) or int(word) != int(float(word)) for word in words)


def _without(column: RawColumn, frames: NDArray[np.bool_]) -> RawColumn | None:
    """Return a column without some frames; None if no other frame has it."""
    present = ~frames if column.present is None else column.present & ~frames
    return replace(column, present=present) if present.any() else None
