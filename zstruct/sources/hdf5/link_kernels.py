"""Links of large groups of an HDF5 file, for kernels: a tree of nodes, and a heap of names.

It is how HDF5 keeps the links of groups unless newer versions are asked for; others are left to the library,
and so is whatever is not as it should be.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper, kernel
from zstruct.sources.hdf5.object_kernels import (
    ABSENT,
    ALL,
    DONE,
    FULL,
    HEAP,
    HEAP_SIGN,
    IS_GROUP,
    LEAF_SIGN,
    MISSING,
    MOST_CHUNKS,
    NOWHERE,
    OK,
    ROWS,
    SEEN,
    STRANGE,
    TABLE,
    TREE_SIGN,
    find_messages,
    little,
    there,
)

__all__ = ["LINK", "PLACES", "find_links"]

#: Columns of links: where the name is, how long it is, where the object is, or -1 for what is elsewhere.
LINK = 3
_LEVELS = 12
# What is remembered from call to call: where names are, and how many bytes; how many nodes were seen; how
# many are open, one in the other, and of each where it is, which of its entries is next, and its level.
_NAMES, _TEXTS, _VISITED, _DEPTH, _OPEN = range(5)
PLACES = _OPEN + 3 * (_LEVELS + 1)
_BEGUN, _LEFT = 1, 2  # in DONE
_NO_ROOM = 3  # what helpers return beside the usual


@helper
def _begin(data, size, loaded, group, places, state):
    """Find the tree of a group and its names."""
    chunks = np.zeros((MOST_CHUNKS, 2), dtype=np.int64)
    seen = np.zeros(SEEN, dtype=np.int64)
    found = find_messages(data, size, loaded, group, chunks, seen, state)
    if found != OK:
        return found
    tree, heap = seen[TABLE], seen[HEAP]
    if seen[IS_GROUP] != 1 or tree == NOWHERE:
        return STRANGE
    found = there(size, loaded, heap, 32, state)
    if found != OK:
        return found
    if little(data, heap, 4) != HEAP_SIGN or data[heap + 4]:
        return STRANGE
    places[_TEXTS], places[_NAMES] = little(data, heap + 8, 8), little(data, heap + 24, 8)
    found = there(size, loaded, places[_NAMES], places[_TEXTS], state)
    if found == OK:
        places[_DEPTH], places[_OPEN], places[_OPEN + 1], places[_OPEN + 2] = 1, tree, 0, -1
    return found


@helper
def _step(data, size, loaded, places, links, state):
    """Look at the next entry of the node that was opened last."""
    node = _OPEN + 3 * (places[_DEPTH] - 1)
    at, entry, level = places[node], places[node + 1], places[node + 2]
    found = there(size, loaded, at, 24, state)
    if found != OK:
        return found
    n = little(data, at + 6, 2)
    found = there(size, loaded, at, 32 + 16 * n, state)
    if found != OK:
        return found
    if little(data, at, 4) != TREE_SIGN or data[at + 4] or (level >= 0 and data[at + 5] != level):
        return STRANGE
    level = np.int64(data[at + 5])
    if entry == n:
        places[_DEPTH] -= 1
        return OK
    child = little(data, at + 32 + 16 * entry, 8)
    if level == 0:
        found = _add_links(data, size, loaded, child, places, links, state)
        if found != OK:
            return found
    elif level >= _LEVELS:
        return STRANGE
    places[node + 1] = entry + 1
    places[_VISITED] += 1
    if places[_VISITED] > size >> 3:  # what leads to itself
        return STRANGE
    if level > 0:
        places[node + 3], places[node + 4], places[node + 5] = child, 0, level - 1
        places[_DEPTH] += 1
    return OK


@helper
def _is_before(data, a, n_a, b, n_b):
    """Return whether a name sorts before another: the library finds no others."""
    for k in range(min(n_a, n_b)):
        if data[a + k] != data[b + k]:
            return data[a + k] < data[b + k]
    return n_a < n_b


@helper
def _add_links(data, size, loaded, leaf, places, links, state):
    """Add the links of a leaf of the tree, all or none."""
    found = there(size, loaded, leaf, 8, state)
    if found != OK:
        return found
    n = little(data, leaf + 6, 2)
    found = there(size, loaded, leaf, 8 + 40 * n, state)
    if found != OK:
        return found
    first = state[ROWS]
    if little(data, leaf, 4) != LEAF_SIGN or data[leaf + 4] != 1 or first + n > size >> 3:
        return STRANGE
    if first + n > len(links):
        return _NO_ROOM
    last, n_last = (links[first - 1, 0], links[first - 1, 1]) if first else (np.int64(0), np.int64(0))
    for k in range(n):
        entry = leaf + 8 + 40 * k
        begin, texts = little(data, entry, 8), places[_TEXTS]
        if begin < 0 or begin >= texts:
            return STRANGE
        name, most = places[_NAMES] + begin, texts - begin
        length = 0
        while length < most and data[name + length]:
            length += 1
        if length == 0 or length == most or not _is_before(data, last, n_last, name, length):
            return STRANGE
        last, n_last = name, length
        links[first + k, 0], links[first + k, 1] = name, length
        links[first + k, 2] = little(data, entry + 8, 8) if little(data, entry + 16, 4) <= 1 else -1
    state[ROWS] = first + n
    return OK


@kernel(takes=3)
def find_links(data, loaded, group, places, links, state):
    """Find the links of a group, as long as there are bytes and room.

    Parameters
    ----------
    data, loaded
        The bytes of a file, and which blocks are there.
    group
        Where the group is.
    places
        Goes along from call to call, shape (`PLACES`,); zeros in the beginning.
    links
        What is found, shape (m, `LINK`).
    state
        Goes along as well. In the end, ``state[DONE]`` is 1 if `state[ROWS]` links are all that there are;
        else the group is left to the library.

    Returns
    -------
    int
        Zero if it is done, or what there is too little of.
    """
    size = len(data)
    if state[DONE] == 0:
        found = _begin(data, size, loaded, group, places, state)
        if found == ABSENT:
            return MISSING
        state[DONE] = _BEGUN if found == OK else _LEFT
    while state[DONE] == _BEGUN and places[_DEPTH] > 0:
        found = _step(data, size, loaded, places, links, state)
        if found == ABSENT:
            return MISSING
        if found > ABSENT:
            return FULL
        if found == STRANGE:
            state[DONE] = _LEFT
    return ALL
