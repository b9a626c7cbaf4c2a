"""Groups of an HDF5 file, for kernels: what is in small ones, which keep links in a table or beside them."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper, kernel
from zstruct.sources.hdf5.dataset_kernels import ADDRESS, GROUP, KIND, NAME, ODD, UNIT, describe_dataset
from zstruct.sources.hdf5.object_kernels import (
    ABSENT,
    ALL,
    DONE,
    FULL,
    HEAP,
    HEAP_SIGN,
    IS_GROUP,
    LAYOUT,
    LEAF_SIGN,
    LINKS,
    MISSING,
    MOST_CHUNKS,
    MOST_LINKS,
    N_ATTRIBUTES,
    N_LINKS,
    NOWHERE,
    OK,
    PARENT,
    ROWS,
    SEEN,
    STRANGE,
    TABLE,
    TREE_SIGN,
    checksum,
    find_messages,
    little,
    sealed,
    there,
    word,
)  # fmt: skip

__all__ = ["describe", "tell_groups"]

_MOST_NODES, _MOST_ROWS = 64, 1000
_MOST_NAMES = 1 << 16  # bytes of all names
_NO_ROOM = 3  # what helpers return beside the usual
_FRHP, _FHDB, _BTHD, _BTLF = 0x50485246, 0x42444846, 0x44485442, 0x464C5442


@helper
def _add(data, size, loaded, group, name, n, target, chunks, seen, words, rows, state):
    """Describe what a link leads to."""
    first, parent, deep = group
    found = find_messages(data, size, loaded, target, chunks, seen, state)
    if found != OK:
        return found
    filled = state[ROWS]
    if filled - first == _MOST_ROWS:
        return STRANGE
    if filled == len(rows):
        return np.int64(_NO_ROOM)
    row = rows[filled]
    number = word(data, name, n, parent, words, state)
    if number < 0:
        return STRANGE
    if seen[IS_GROUP]:
        row[:] = 0
        row[KIND], row[ADDRESS], row[UNIT] = GROUP, target, -1
        if deep and seen[N_ATTRIBUTES]:
            return STRANGE
    else:
        found = describe_dataset(data, size, loaded, seen, words, row, state)
        if found != OK:
            return found
    row[NAME] = number
    state[ROWS] = filled + 1
    return OK


@helper
def _links(data, size, loaded, group, at, places, chunks, seen, words, rows, state):
    """Describe all that is in the group at a place."""
    found = find_messages(data, size, loaded, at, chunks, seen, state)
    if found != OK:
        return found
    if not seen[IS_GROUP] or seen[N_ATTRIBUTES] or seen[LAYOUT]:
        return STRANGE
    if seen[IS_GROUP] == 2:
        return _of_heap(data, size, loaded, group, seen[TABLE], seen[HEAP], chunks, seen, words, rows,
                        state)  # fmt: skip
    if seen[TABLE] != NOWHERE:
        return _of_table(data, size, loaded, group, seen[TABLE], seen[HEAP], chunks, seen, words, rows,
                         state)  # fmt: skip
    n = seen[N_LINKS]
    for k in range(n):
        places[k, 0], places[k, 1] = seen[LINKS + 2 * k], seen[LINKS + 2 * k + 1]
    for k in range(n):
        found = _link(data, size, loaded, group, places[k, 0], places[k, 1], chunks, seen, words, rows, state)
        if found != OK:
            return found
    return OK


@helper
def _link(data, size, loaded, group, p, n, chunks, seen, words, rows, state):
    """Describe what a link of `n` bytes leads to."""
    end = p + n
    if n < 12 or data[p] != 1:
        return STRANGE
    how = np.int64(data[p + 1])
    if how & 4 or (how & 8 and data[p + 2]):
        return STRANGE
    wide = 1 << (how & 3)
    p += 2 + (1 if how & 8 else 0) + (1 if how & 16 else 0)
    length = little(data, p, wide)
    p += wide
    if length <= 0 or length > end - p - 8:
        return STRANGE
    return _add(data, size, loaded, group, p, length, little(data, p + length, 8), chunks, seen, words, rows,
                state)  # fmt: skip


@helper
def _of_heap(data, size, loaded, group, tree, heap, chunks, seen, words, rows, state):
    """Describe what is in a group that has its links in a heap of one block, and a table of one leaf."""
    found = sealed(data, size, loaded, heap, 142, state)
    if found == OK:
        found = sealed(data, size, loaded, tree, 34, state)
    if found != OK:
        return found
    if little(data, heap, 4) != _FRHP or data[heap + 4] or little(data, tree, 4) != _BTHD or data[tree + 4]:
        return STRANGE
    # Identifiers of 7 bytes, no filters, places of 32 bits, one block; records of 11 bytes, no depth.
    if little(data, heap + 5, 4) != 7 or little(data, heap + 128, 2) != 32 or little(data, heap + 140, 2):
        return STRANGE
    if data[tree + 5] != 5 or little(data, tree + 10, 2) != 11 or little(data, tree + 12, 2):
        return STRANGE
    block, nbytes = little(data, heap + 132, 8), little(data, heap + 112, 8)
    leaf, n = little(data, tree + 16, 8), little(data, tree + 24, 2)
    found = there(size, loaded, block, nbytes, state) if 21 < nbytes <= _MOST_NAMES else STRANGE
    if found == OK:
        found = sealed(data, size, loaded, leaf, 6 + 11 * n, state)
    if found != OK:
        return found
    if little(data, block, 4) != _FHDB or little(data, leaf, 4) != _BTLF or data[leaf + 5] != 5:
        return STRANGE
    if data[heap + 9] & 2:
        copied = data[block : block + nbytes].copy()
        copied[17:21] = 0
        if checksum(copied, 0, nbytes) != little(data, block + 17, 4):
            return STRANGE
    for k in range(n):
        record = leaf + 6 + 11 * k + 4
        at, length = little(data, record + 1, 4), little(data, record + 5, 2)
        if data[record] or at < 17 or at + length > nbytes:
            return STRANGE
        found = _link(data, size, loaded, group, block + at, length, chunks, seen, words, rows, state)
        if found != OK:
            return found
    return OK


@helper
def _of_table(data, size, loaded, group, tree, heap, chunks, seen, words, rows, state):
    """Describe what is in a group that has a table of symbols."""
    found = there(size, loaded, heap, 32, state)
    if found != OK:
        return found
    if little(data, heap, 4) != HEAP_SIGN or data[heap + 4]:
        return STRANGE
    names, texts = little(data, heap + 24, 8), little(data, heap + 8, 8)
    found = there(size, loaded, names, texts, state) if texts < _MOST_NAMES else STRANGE
    if found == OK:
        found = there(size, loaded, tree, 24, state)
    if found != OK:
        return found
    nodes = little(data, tree + 6, 2)
    if little(data, tree, 4) != TREE_SIGN or data[tree + 4] or data[tree + 5] or nodes > _MOST_NODES:
        return STRANGE
    found = there(size, loaded, tree, 32 + 16 * nodes, state)
    if found != OK:
        return found
    for node in range(nodes):
        at = little(data, tree + 32 + 16 * node, 8)
        found = there(size, loaded, at, 8, state)
        if found != OK:
            return found
        n = little(data, at + 6, 2)
        if little(data, at, 4) != LEAF_SIGN or data[at + 4] != 1 or n > MOST_LINKS:
            return STRANGE
        found = there(size, loaded, at, 8 + 40 * n, state)
        if found != OK:
            return found
        for k in range(n):
            entry = at + 8 + 40 * k
            begin = little(data, entry, 8)
            if begin < 0 or begin >= texts or little(data, entry + 16, 4) > 1:
                return STRANGE
            length = 0
            while begin + length < texts and data[names + begin + length]:
                length += 1
            if length == 0 or begin + length == texts:
                return STRANGE
            found = _add(data, size, loaded, group, names + begin, length, little(data, entry + 8, 8), chunks,
                         seen, words, rows, state)  # fmt: skip
            if found != OK:
                return found
    return OK


@kernel(takes=8)
def describe(data, loaded, groups, deep, spans, rows, words, state):
    """Describe what is in groups, as long as there are bytes and room.

    Parameters
    ----------
    data, loaded
        The bytes of a file, and which blocks of `BLOCK` are there.
    groups
        Where the groups are, -1 for those that are left to the library.
    deep
        Whether groups in these groups are described, too, under names that have theirs as `PARENT`.
    spans
        The rows of each group, shape (n, 2); `ODD` twice if it is left to the library.
    rows, words
        What is found, shapes (m, `COLUMNS`) and (k, `WORDS`).
    state
        Goes along from call to call; zeros in the beginning.

    Returns
    -------
    int
        Zero if all is done, or what there is too little of.
    """
    size = len(data)
    chunks = np.zeros((MOST_CHUNKS, 2), dtype=np.int64)
    seen = np.zeros(SEEN, dtype=np.int64)
    places = np.zeros((MOST_LINKS, 2), dtype=np.int64)
    while state[DONE] < len(groups):
        k = state[DONE]
        first = state[ROWS]
        group = (first, np.int64(-1), deep)
        found = _links(data, size, loaded, group, groups[k], places, chunks, seen, words, rows, state)
        inner = first
        while deep and found == OK and inner < state[ROWS]:
            if rows[inner, KIND] == GROUP:
                if words[rows[inner, NAME], PARENT] >= 0:
                    found = np.int64(STRANGE)
                    break
                group = (first, rows[inner, NAME], deep)
                found = _links(data, size, loaded, group, rows[inner, ADDRESS], places, chunks, seen, words,
                               rows, state)  # fmt: skip
            inner += 1
        if found == ABSENT:
            state[ROWS] = first
            return MISSING
        if found > ABSENT:
            state[ROWS] = first
            return FULL
        if found == OK:
            spans[k, 0], spans[k, 1] = first, state[ROWS]
        else:
            state[ROWS] = first
            spans[k, 0] = spans[k, 1] = ODD
        state[DONE] = k + 1
    return ALL


@kernel(takes=4)
def tell_groups(data, loaded, addresses, found, state):
    """Find out which objects are groups: 1, 0 for others, -1 where that is left to the library."""
    size = len(data)
    chunks = np.zeros((MOST_CHUNKS, 2), dtype=np.int64)
    seen = np.zeros(SEEN, dtype=np.int64)
    while state[DONE] < len(addresses):
        k = state[DONE]
        how = find_messages(data, size, loaded, addresses[k], chunks, seen, state)
        if how == ABSENT:
            return MISSING
        if how == OK:
            found[k] = 1 if seen[IS_GROUP] else 0 if seen[LAYOUT] else -1
        state[DONE] = k + 1
    return ALL
