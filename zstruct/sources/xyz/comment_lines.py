"""Comment lines of extended XYZ, split into keys and values, which are read.

One call of a kernel splits the lines of all frames, another reads all numbers. The format's own keys are
known in any case; of a key that comes twice in a line, the last value counts.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import counts_to_offsets
from zstruct.sources.xyz import kernels
from zstruct.sources.xyz.bad_frames import Faults
from zstruct.sources.xyz.comments import NUMERIC, SPECIAL, Comments
from zstruct.sources.xyz.texts import decided, spell

__all__ = ["find_unclosed", "split_comments"]


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
        begins = edges[:-1]
        left = read(
            text, tokens, begins, begins.copy(), frame, spans, kinds, lengths, at, words, floats, pending
        )
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
        return np.array_equal(comments.value(row), comments.value(other), equal_nan=True)
    return spell(comments.text, *comments.spans[row]) == spell(comments.text, *comments.spans[other])


def _with_special_keys(comments: Comments) -> Comments:
    """Give the format's own keys their names, where a frame has them only in another case.

    What can't be such a value (``lattice=bcc``) stays a property of the name that it has.
    """
    by_name = {name.lower(): name for name in SPECIAL}
    others = [k for k, name in enumerate(comments.names) if name not in SPECIAL and name.lower() in by_name]
    if not others:
        return comments
    names = [*comments.names, *(name for name in SPECIAL if name not in comments.names)]
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
