"""Comment lines of extended XYZ: keys and values of all frames, then columns by key.

Lines are split and numbers read by `xyz_kernels`, one call for all frames; Python works per key,
and per value only for JSON that is more than a flat list of numbers. What the keys mean is not
known here, but for the three that are the format's own: Lattice, pbc and Properties.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import counts_to_offsets
from zstruct.sources import xyz_kernels as kernels
from zstruct.sources.base import RawColumn
from zstruct.sources.columns import structure_columns

__all__ = ["Comments", "Faults", "geometry", "intern", "spell", "split_comments"]

_SPECIAL = ("Lattice", "pbc", "Properties")
#: Columns of a block that a key must not take; such a key gets the prefix ``input_``.
RESERVED = ("numbers", "positions", "cell", "pbc")
_MARK = "_JSON "
_NUMERIC = 1 << kernels.V_INT | 1 << kernels.V_FLOAT | 1 << kernels.V_J_INTS | 1 << kernels.V_J_FLOATS
_INTEGERS = 1 << kernels.V_INT | 1 << kernels.V_J_INTS


class Faults:
    """Which frames of a block are bad, and the first reason for each."""

    def __init__(self, n: int):
        self.mask = np.zeros(n, dtype=bool)
        self.reasons: dict[int, str] = {}

    def add(self, frame: int, reason: str) -> None:
        """Note that a frame is bad."""
        self.mask[frame] = True
        self.reasons.setdefault(frame, reason)


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
        in `words`, shape (m,); see `xyz_kernels.read_values`.
    words
        Elements of all values, as the bits of int64 or float64.
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
        """Return the columns of all keys but the format's own."""
        table: dict[str, list[RawColumn]] = {}
        edges = self.edges.tolist()
        flags = np.left_shift(1, self.kinds.astype(np.int64))
        for k, name in enumerate(self.names):
            if name in _SPECIAL:
                continue
            columns = self._columns_of(name, edges[k], edges[k + 1], flags)
            if columns:
                table[f"input_{name}" if name in RESERVED else name] = columns
        return table

    def _columns_of(self, name: str, start: int, stop: int, flags: NDArray[np.int64]) -> list[RawColumn]:
        """Return the columns of the values `start` to `stop`, which are one key's."""
        kinds = int(np.bitwise_or.reduce(flags[start:stop]))
        rows = np.arange(start, stop)
        if kinds & 1 << kernels.V_EMPTY:
            rows = rows[self.kinds[start:stop] != kernels.V_EMPTY]
            kinds &= ~(1 << kernels.V_EMPTY)
        if len(rows) == 0:
            return []
        if name.lower() == "uid":
            return [self._text_column(rows, self.spans[rows])]
        is_bool = bool(kinds & 1 << kernels.V_BOOL)
        if kinds & 1 << kernels.V_TEXT or (is_bool and kinds & _NUMERIC):
            return [self._text_column(rows, self._without_mark(rows))]
        if kinds & 1 << kernels.V_JSON:
            return self._json_columns(name, rows)
        lengths = self.lengths[rows]
        if (lengths == lengths[0]).all():
            return [self._numeric_column(rows, int(lengths[0]), kinds)]
        columns = []
        for length in dict.fromkeys(lengths.tolist()):
            some = rows[lengths == length]
            columns.append(self._numeric_column(some, length, int(np.bitwise_or.reduce(flags[some]))))
        return columns

    def _numeric_column(self, rows: NDArray[np.int64], length: int, kinds: int) -> RawColumn:
        return self._scatter(self.numeric_rows(rows, length, kinds), rows, None)

    def numeric_rows(self, rows: NDArray[np.int64], length: int, kinds: int) -> NDArray:
        """Return values with equally many elements as int64, float64 or bool; `kinds` as flags."""
        words = self.elements(rows, length)
        values: NDArray
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

    def _without_mark(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        spans = self.spans[rows]
        spans[self.kinds[rows] >= kernels.V_JSON, 0] += len(_MARK)
        return spans

    def _json_columns(self, name: str, rows: NDArray[np.int64]) -> list[RawColumn]:
        """Return the columns of a key whose values are JSON here and there, and no plain text."""
        values: list[Any] = []
        broken: list[int] = []
        for row in rows.tolist():
            if self.kinds[row] != kernels.V_JSON:
                values.append(self._value(row))
                continue
            written = spell(self.text, *self.spans[row]).removeprefix(_MARK)
            try:
                value = json.loads(written)
                array = np.array(value)
            except json.JSONDecodeError:
                broken.append(row)
                continue
            except (ValueError, OverflowError, RecursionError):  # lists that make no array
                return [self._text_column(rows, self._without_mark(rows))]
            if array.dtype.kind not in "fib":
                return [self._text_column(rows, self._without_mark(rows))]
            values.append(array)
        gone = np.isin(rows, broken)
        columns = structure_columns(name, values, self.frame[rows[~gone]], self.n) if values else []
        if broken:
            fault = f"the value of {name!r} begins with {_MARK.strip()} but is not JSON"
            columns.append(RawColumn(np.zeros(self.n), self._mask(rows[gone]), fault=fault))
        return columns

    def _value(self, row: int) -> Any:
        """Return one value as a number, a boolean or an array."""
        return self.numeric_rows(np.array([row]), int(self.lengths[row]), 1 << int(self.kinds[row]))[0]

    def _scatter(self, values: NDArray, rows: NDArray[np.int64], texts: list[str] | None) -> RawColumn:
        if len(rows) == self.n:
            return RawColumn(values, None, texts)
        out = np.zeros((self.n, *values.shape[1:]), dtype=values.dtype)
        out[self.frame[rows]] = values
        return RawColumn(out, self._mask(rows), texts)

    def _mask(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        mask = np.zeros(self.n, dtype=bool)
        mask[self.frame[rows]] = True
        return mask


def spell(text: NDArray[np.uint8], start: int, stop: int) -> str:
    """Return a piece of the text as a string; bytes that are not UTF-8 are written as escapes."""
    return text[start:stop].tobytes().decode("utf-8", "backslashreplace")


def intern(text: NDArray[np.uint8], spans: NDArray[np.int64]) -> tuple[NDArray[np.int32], list[str]]:
    """Return codes for pieces of the text and the strings they stand for, by first appearance."""
    codes = np.empty(len(spans), dtype=np.int32)
    room = 1 << 10
    while True:
        table = np.full(2 * room, -1, dtype=np.int32)
        hashes = np.empty(room, dtype=np.uint64)
        places = np.empty((room, 2), dtype=np.int64)
        n = kernels.intern(text, spans, table, hashes, places, codes)
        if n >= 0:
            return codes, [spell(text, *place) for place in places[:n].tolist()]
        room *= 8


def split_comments(text: NDArray[np.uint8], lines: NDArray[np.int64]) -> Comments:
    """Split comment lines into keys and values, and read the values.

    Parameters
    ----------
    text
        The bytes; lines with escapes or odd quotes are overwritten by their unquoted form.
    lines
        Start and end of each comment line, shape (n, 2).
    """
    n = len(lines)
    longest = int((lines[:, 1] - lines[:, 0]).max(initial=0)) // 2 + 2
    true_at = len(text) - kernels.PAD // 2
    text[true_at : true_at + 2] = ord("T"), ord("\n")
    pairs, recent = np.empty((longest, 4), dtype=np.int64), np.full(64, -1, dtype=np.int64)
    tokens = np.empty((8 * n + longest, 4), dtype=np.int64)
    room = 1 << 10 | longest
    table, hashes, places, last = _key_table(room)
    state = np.zeros(2, dtype=np.int64)
    done = 0
    while True:
        done = kernels.split_comments(
            text, lines, done, state, true_at, tokens, pairs, table, hashes, places, last, recent
        )
        if done == n:
            break
        if state[0] + longest > len(tokens):
            tokens = np.concatenate([tokens, np.empty_like(tokens)])
        if state[1] + longest > len(hashes):
            room *= 4
            table, new_hashes, new_places, new_last = _key_table(room)
            for new, old in ((new_hashes, hashes), (new_places, places), (new_last, last)):
                new[: len(old)] = old
            hashes, places, last = new_hashes, new_places, new_last
            kernels.refill(table, hashes, int(state[1]))
    tokens = tokens[: state[0]]
    names = [spell(text, *place) for place in places[: state[1]].tolist()]
    edges = counts_to_offsets(np.bincount(tokens[:, 1], minlength=len(names)))
    m = len(tokens)
    frame, lengths, at = (np.empty(m, dtype=np.int64) for _ in range(3))
    spans, kinds = np.empty((m, 2), dtype=np.int64), np.empty(m, dtype=np.uint8)
    words = np.empty(int((tokens[:, 3] - tokens[:, 2]).sum()) // 2 + m + 1, dtype=np.int64)
    floats = words.view(np.float64)
    room = 1 << 10
    while True:
        pending = np.empty((room, 3), dtype=np.int64)
        left = kernels.read_values(
            text, tokens, edges[:-1].copy(), frame, spans, kinds, lengths, at, words, floats, pending
        )
        if left <= room:
            break
        room *= 8
    for place, start, stop in pending[:left].tolist():
        floats[place] = float(text[start:stop].tobytes())
    return Comments(text, n, names, edges, frame, spans, kinds, lengths, at, words)


def _key_table(
    room: int,
) -> tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    size = 1 << (2 * room).bit_length()
    return (
        np.full(size, -1, dtype=np.int32),
        np.empty(room, dtype=np.uint64),
        np.empty((room, 2), dtype=np.int64),
        np.empty(room, dtype=np.int64),
    )


def geometry(comments: Comments, faults: Faults) -> dict[str, RawColumn]:
    """Return the columns ``cell`` and ``pbc``; what can't be one makes its frame bad.

    A Lattice without a pbc is periodic in all directions.
    """
    table: dict[str, RawColumn] = {}
    where = comments.values_of("Lattice")
    in_cell = np.zeros(comments.n, dtype=bool)
    if where.stop > where.start:
        cell = np.zeros((comments.n, 9))
        rows = np.arange(where.start, where.stop)
        flags = np.left_shift(1, comments.kinds[rows].astype(np.int64))
        good = (flags & _NUMERIC > 0) & (comments.lengths[rows] == 9)
        for row in rows[~good].tolist():
            written = spell(comments.text, *comments.spans[row])
            faults.add(int(comments.frame[row]), f"Lattice must be nine numbers, not {written[:80]!r}")
        rows = rows[good]
        in_cell[comments.frame[rows]] = True
        if len(rows):
            kinds = int(np.bitwise_or.reduce(flags))
            cell[comments.frame[rows]] = comments.numeric_rows(rows, 9, kinds)
            table["cell"] = RawColumn(cell.reshape(-1, 3, 3), None if in_cell.all() else in_cell)
    pbc = np.repeat(in_cell[:, None], 3, axis=1)
    where = comments.values_of("pbc")
    rows = np.arange(where.start, where.stop)
    rows = rows[comments.kinds[rows] != kernels.V_EMPTY]
    kind, length = comments.kinds[rows], comments.lengths[rows]
    good = np.isin(kind, (kernels.V_BOOL, kernels.V_INT, kernels.V_J_INTS)) & np.isin(length, (0, 1, 3))
    for row in rows[~good].tolist():
        written = spell(comments.text, *comments.spans[row])
        faults.add(int(comments.frame[row]), f"pbc must be one or three of T and F, not {written[:80]!r}")
    three, one = rows[good & (length == 3)], rows[good & (length < 3)]
    pbc[comments.frame[three]] = comments.elements(three, 3) != 0
    pbc[comments.frame[one]] = comments.elements(one, 1) != 0
    known = in_cell.copy()
    known[comments.frame[rows]] = True
    if known.any():
        table["pbc"] = RawColumn(pbc, None if known.all() else known)
    return table
