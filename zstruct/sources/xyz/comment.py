"""Comment lines of extended XYZ: keys and values of all frames, then columns by key.

Lines are split and numbers read by `xyz_kernels`, one call for all frames; Python works per key,
and per value only for JSON that is more than a flat list of numbers. What the keys mean is not
known here, but for the three that are the format's own, in any case: Lattice, pbc and Properties.
The comment of a plain XYZ file is a value too, ``comment``.
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

__all__ = ["Comments", "Faults", "decided", "find_unclosed", "intern", "spell", "split_comments"]

_SPECIAL = ("Lattice", "pbc", "Properties")
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


class Faults:
    """Which frames of a block are bad, and the first reason for each; which have lines partly unread."""

    def __init__(self, n: int):
        self.mask = np.zeros(n, dtype=bool)
        self.unread = np.zeros(n, dtype=bool)
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
    doubled
        Which values were preceded, in the same frame, by another value of their key, shape (m,).
    marks
        What is known of each line, shape (n,); see `xyz_kernels.split_comments`.
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
            if name in _SPECIAL:
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
            return [self._text_column(rows, self._without_mark(rows))]
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

    def numeric_rows(self, rows: NDArray[np.int64], length: int, kinds: int) -> NDArray:
        """Return values with equally many elements as int64, float64 or bool; `kinds` as flags."""
        n_rows, n_columns = length >> kernels.ROWS, length & ((1 << kernels.ROWS) - 1)
        words = self.elements(rows, max(n_rows, 1) * n_columns)
        words = words.reshape(-1, n_rows, n_columns) if n_rows else words
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
        n = kernels.intern.for_work(1e-5 * len(spans))(text, spans, table, hashes, places, codes)
        if n >= 0:
            view = text.data  # NumPy's slices take longer than the texts themselves
            return codes, [str(view[i:j], "utf-8", "backslashreplace") for i, j in places[:n].tolist()]
        room *= 8


def decided(text: NDArray[np.uint8], start: int, stop: int) -> float:
    """Return a number that the kernels left undecided; Python knows no D for the exponent."""
    return float(text[start:stop].tobytes().lower().replace(b"d", b"e"))


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
    longest_line = int((lines[:, 1] - lines[:, 0]).max(initial=0))
    longest = longest_line // 2 + 2
    true_at = len(text) - kernels.PAD // 2
    text[true_at : true_at + 2] = ord("T"), ord("\n")
    pairs, recent = np.empty((longest, 4), dtype=np.int64), np.full(64, -1, dtype=np.int64)
    tokens = np.empty((8 * n + longest, 4), dtype=np.int64)
    room = 1 << 10 | longest
    table, hashes, places, last = _key_table(room)
    marks, remarks = np.zeros(n, dtype=np.uint8), np.zeros((n, 2), dtype=np.int64)
    kept = np.zeros(2 * longest_line + kernels.PAD, dtype=np.uint8)
    state = np.zeros(4, dtype=np.int64)
    work = 1e-6 * float((lines[:, 1] - lines[:, 0]).sum())  # seconds of Python, for each of two kernels
    split, done = kernels.split_comments.for_work(work), 0
    while True:
        done = split(
            text, lines, done, state, true_at, tokens, pairs, table, hashes, places, last, recent,
            marks, kept, remarks,
        )  # fmt: skip
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
            kernels.refill.for_work(1e-5 * len(hashes))(table, hashes, int(state[1]))
        if state[2] + longest_line + kernels.PAD > len(kept):
            kept = np.concatenate([kept, np.zeros_like(kept)])
    tokens = tokens[: state[0]]
    names = [spell(text, *place) for place in places[: state[1]].tolist()]
    edges = counts_to_offsets(np.bincount(tokens[:, 1], minlength=len(names)))
    m = len(tokens)
    frame, lengths, at = (np.empty(m, dtype=np.int64) for _ in range(3))
    spans, kinds = np.empty((m, 2), dtype=np.int64), np.empty(m, dtype=np.uint8)
    words = np.empty(int((lines[:, 1] - lines[:, 0]).sum()) // 2 + m + 1, dtype=np.int64)
    floats = words.view(np.float64)
    read, room = kernels.read_values.for_work(work), 1 << 10
    while True:
        pending = np.empty((room, 3), dtype=np.int64)
        left = read(text, tokens, edges[:-1].copy(), frame, spans, kinds, lengths, at, words, floats, pending)
        if left <= room:
            break
        room *= 8
    for place, start, stop in pending[:left].tolist():
        floats[place] = decided(text, start, stop)
    doubled = np.zeros(m, dtype=bool)
    comments = Comments(
        text, n, names, edges, frame, spans, kinds, lengths, at, words, doubled, marks, kept, remarks
    )
    if state[3]:
        comments = _without_doubles(comments)
    return _with_special_keys(comments)


def _without_doubles(comments: Comments) -> Comments:
    """Keep the last of several values that a key has in one frame, and note where they differ."""
    key = np.repeat(np.arange(len(comments.names)), np.diff(comments.edges))
    follows = (comments.frame[1:] == comments.frame[:-1]) & (key[1:] == key[:-1])
    first = np.flatnonzero(np.concatenate([[True], ~follows]))
    counts = np.diff([*first, len(key)])
    keep, doubled = np.zeros(len(key), dtype=bool), np.zeros(len(key), dtype=bool)
    keep[first[counts == 1]] = True
    for start, count in zip(first[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
        rows = range(start, start + count)
        last = max(rows, key=lambda row: (comments.kinds[row] != kernels.V_EMPTY, row))
        keep[last] = True
        doubled[last] = any(
            comments.kinds[row] != kernels.V_EMPTY and not _equal(comments, row, last) for row in rows
        )
    return _reordered(replace(comments, doubled=doubled), key[keep], np.flatnonzero(keep))


def _equal(comments: Comments, row: int, other: int) -> bool:
    """Whether two values are equal as they are read."""
    same = (comments.kinds[row], comments.lengths[row]) == (comments.kinds[other], comments.lengths[other])
    if same and 1 << int(comments.kinds[row]) & (NUMERIC | 1 << kernels.V_BOOL):
        return np.array_equal(comments._value(row), comments._value(other), equal_nan=True)
    return spell(comments.text, *comments.spans[row]) == spell(comments.text, *comments.spans[other])


def _with_special_keys(comments: Comments) -> Comments:
    """Give the format's own keys their names, where a frame has them only in another case.

    What can't be such a value (``lattice=bcc``) stays a property of the name that it has.
    """
    by_name = {name.lower(): name for name in _SPECIAL}
    others = [k for k, name in enumerate(comments.names) if name not in _SPECIAL and name.lower() in by_name]
    if not others:
        return comments
    names = [*comments.names, *(name for name in _SPECIAL if name not in comments.names)]
    key = np.repeat(np.arange(len(comments.names)), np.diff(comments.edges))
    for k in others:
        special = names.index(by_name[names[k].lower()])
        taken = np.zeros(comments.n, dtype=bool)
        taken[comments.frame[key == special]] = True
        flags = np.left_shift(1, comments.kinds.astype(np.int64))
        wanted = {"Lattice": NUMERIC, "Properties": 1 << kernels.V_TEXT}.get(names[special], ~0)
        key[(key == k) & ~taken[comments.frame] & (flags & wanted > 0)] = special
    order = np.lexsort((comments.frame, key))
    return _reordered(replace(comments, names=names), key[order], order)


def _reordered(comments: Comments, key: NDArray[np.int64], order: NDArray[np.int64]) -> Comments:
    """Return some of the values in another order; `key` is the key of each."""
    counts = np.bincount(key, minlength=len(comments.names))
    used = np.flatnonzero(counts)
    return replace(
        comments,
        names=[comments.names[k] for k in used],
        edges=counts_to_offsets(counts[used]),
        frame=comments.frame[order],
        spans=comments.spans[order],
        kinds=comments.kinds[order],
        lengths=comments.lengths[order],
        at=comments.at[order],
        doubled=comments.doubled[order],
    )


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


def find_unclosed(comments: Comments, faults: Faults) -> None:
    """Make frames bad in which a quote or bracket that is never closed swallows the keys behind it."""
    for frame in np.flatnonzero(comments.marks & kernels.UNCLOSED).tolist():
        line = spell(comments.kept, *comments.remarks[frame])
        if comments.marks[frame] & kernels.EXTENDED or re.search(r"(?i)\b(properties|lattice)\s*=", line):
            faults.add(frame, "a quote or bracket in the comment line is opened and never closed")
