"""Objects of an HDF5 file, for kernels: the bytes of the file, and the messages that objects are made of.

HDF5's library takes some fifty microseconds for every dataset, be it a single number. What most files are
made of is described by kernels for many groups at once, in four files: this one, those of datasets and of
groups, and that of links. Whatever else there is, or is not as it should be, is left to the library: nothing
is said of what is wrong. The layout is that of the HDF5 File Format Specification, version 3; places are
bytes from the beginning of the file. Of a file as much is in memory as was loaded: see
`zstruct.sources.hdf5.pages`.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper

__all__ = [
    "ABSENT", "ALL", "ATTRIBUTES", "BLOCK", "DONE", "FILLED", "FULL", "HEAP", "HEAP_SIGN", "IS_GROUP",
    "LAYOUT", "LEAF_SIGN", "LINKS", "MISSING", "MOST_CHUNKS", "MOST_LINKS", "NEED", "NEED_BYTES", "NOWHERE",
    "N_ATTRIBUTES", "N_LINKS", "OK", "PARENT", "ROWS", "SEEN", "SPACE", "STATE", "STRANGE", "TABLE",
    "TREE_SIGN", "TYPE", "WORDS", "checksum", "find_messages", "little", "sealed", "there", "word",
]  # fmt: skip

#: Bytes of the blocks in which files are loaded, as a power of two.
BLOCK = 14
#: Places in the state of a kernel: rows so far, words so far, inputs so far; bytes that are needed, and how
#: many; the word after the last one that was found.
ROWS, FILLED, DONE, NEED, NEED_BYTES, _GUESS = range(6)
STATE = 6
#: What kernels return: all is done; bytes are to be loaded; there is no room for more rows.
ALL, MISSING, FULL = range(3)
#: What helpers return: it is found; it is left to the library; it is not loaded.
OK, STRANGE, ABSENT = range(3)
#: An address that is none, as a signed number.
NOWHERE = -1
#: Columns of words, which are names and units: where, how long, and of a name the group that it is in or -1.
PARENT, WORDS = 2, 3

MOST_CHUNKS, MOST_LINKS, _MOST_ATTRIBUTES = 16, 256, 64
_MOST_BYTES = 1 << 17  # of a piece of an object: nobody is kept busy by what says that it is long

#: What is remembered of an object: where its messages of space, type and layout are and how long they are,
#: its table of symbols or of links and the heap of that, how many links and attributes it has, whether it is
#: a group (2 if its links are in a heap); where the links are, and the attributes, and how long.
SPACE, TYPE, LAYOUT, TABLE, HEAP, N_LINKS, N_ATTRIBUTES, IS_GROUP = 0, 2, 4, 6, 7, 8, 9, 10
LINKS = 12
ATTRIBUTES = LINKS + 2 * MOST_LINKS
SEEN = ATTRIBUTES + 2 * _MOST_ATTRIBUTES

#: What the table of symbols of a group is made of begins with: TREE, SNOD and HEAP as numbers.
TREE_SIGN, LEAF_SIGN, HEAP_SIGN = 0x45455254, 0x444F4E53, 0x50414548
_OHDR, _OCHK = 0x5244484F, 0x4B48434F  # OHDR and OCHK


@helper
def little(data, at, n):
    """Return the number of `n` bytes at a place; one that is too large is negative."""
    value = np.int64(0)
    for k in range(n):
        value |= np.int64(data[at + k]) << np.int64(8 * k)
    return value


@helper
def there(size, loaded, at, n, state):
    """Return whether bytes can be read, or what is to be done about it."""
    if at < 0 or n < 0 or n > size or at > size - n:
        return STRANGE
    if n == 0:
        return OK
    last = (at + n - 1) >> BLOCK
    for block in range(at >> BLOCK, last + 1):
        if not loaded[block]:
            state[NEED], state[NEED_BYTES] = at, n
            return ABSENT
    return OK


@helper
def _turned(x, k):
    return ((x << np.uint64(k)) | (x >> np.uint64(32 - k))) & np.uint64(0xFFFFFFFF)


@helper
def checksum(data, at, n):
    """Return Jenkins' lookup3 of bytes, as all newer structures of HDF5 end with it."""
    low = np.uint64(0xFFFFFFFF)
    a = (np.uint64(0xDEADBEEF) + np.uint64(n)) & low
    b, c = a, a
    while n > 12:
        a = (a + np.uint64(little(data, at, 4))) & low
        b = (b + np.uint64(little(data, at + 4, 4))) & low
        c = (c + np.uint64(little(data, at + 8, 4))) & low
        a = ((a - c) & low) ^ _turned(c, 4)
        c = (c + b) & low
        b = ((b - a) & low) ^ _turned(a, 6)
        a = (a + c) & low
        c = ((c - b) & low) ^ _turned(b, 8)
        b = (b + a) & low
        a = ((a - c) & low) ^ _turned(c, 16)
        c = (c + b) & low
        b = ((b - a) & low) ^ _turned(a, 19)
        a = (a + c) & low
        c = ((c - b) & low) ^ _turned(b, 4)
        b = (b + a) & low
        at += 12
        n -= 12
    if n == 0:
        return np.int64(c)
    a = (a + np.uint64(little(data, at, min(n, 4)))) & low
    if n > 4:
        b = (b + np.uint64(little(data, at + 4, min(n - 4, 4)))) & low
    if n > 8:
        c = (c + np.uint64(little(data, at + 8, min(n - 8, 4)))) & low
    c = ((c ^ b) - _turned(b, 14)) & low
    a = ((a ^ c) - _turned(c, 11)) & low
    b = ((b ^ a) - _turned(a, 25)) & low
    c = ((c ^ b) - _turned(b, 16)) & low
    a = ((a ^ c) - _turned(c, 4)) & low
    b = ((b ^ a) - _turned(a, 14)) & low
    c = ((c ^ b) - _turned(b, 24)) & low
    return np.int64(c)


@helper
def sealed(data, size, loaded, at, n, state):
    """Return whether bytes that a checksum follows are whole."""
    found = there(size, loaded, at, n + 4, state) if n < _MOST_BYTES else STRANGE
    if found != OK:
        return found
    return OK if checksum(data, at, n) == little(data, at + n, 4) else STRANGE


@helper
def find_messages(data, size, loaded, at, chunks, seen, state):
    """Find the messages of an object that say what it is."""
    seen[:LINKS] = 0
    seen[TABLE] = NOWHERE
    n_chunks, flags = 1, np.int64(0)
    found = there(size, loaded, at, 16, state)
    if found != OK:
        return found
    if data[at] == 1:
        new = False
        chunks[0, 0], chunks[0, 1] = at + 16, little(data, at + 8, 4)
        if data[at + 1]:
            return STRANGE
    elif little(data, at, 4) == _OHDR and data[at + 4] == 2:
        new = True
        flags = np.int64(data[at + 5])
        begin = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        wide = 1 << (flags & 3)
        found = there(size, loaded, begin, wide, state)
        if found != OK:
            return found
        length = little(data, begin, wide)
        begin += wide
        found = sealed(data, size, loaded, at, begin + length - at, state) if length >= 0 else STRANGE
        if found != OK:
            return found
        chunks[0, 0], chunks[0, 1] = begin, length
    else:
        return STRANGE
    chunk = 0
    while chunk < n_chunks:
        p, length = chunks[chunk, 0], chunks[chunk, 1]
        found = there(size, loaded, p, length, state) if length < _MOST_BYTES else STRANGE
        if found != OK:
            return found
        end = p + length
        chunk += 1
        head = 4 + (2 if flags & 4 else 0) if new else 8
        while p + head <= end:
            if new:
                kind, n, how = np.int64(data[p]), little(data, p + 1, 2), np.int64(data[p + 3])
            else:
                kind, n, how = little(data, p, 2), little(data, p + 2, 2), np.int64(data[p + 4])
            p += head
            if p + n > end:
                return STRANGE
            # What is shared is elsewhere; what must be known, and what was said by another program, is not.
            if how & 0x02 and kind != 0:
                return STRANGE
            if kind == 0x10:
                if n < 16 or n_chunks == MOST_CHUNKS:
                    return STRANGE
                begin, length = little(data, p, 8), little(data, p + 8, 8)
                if new:
                    found = there(size, loaded, begin, 8, state)
                    if found != OK:
                        return found
                    if length < 8 or little(data, begin, 4) != _OCHK:
                        return STRANGE
                    found = sealed(data, size, loaded, begin, length - 4, state)
                    if found != OK:
                        return found
                    begin, length = begin + 4, length - 8
                chunks[n_chunks, 0], chunks[n_chunks, 1] = begin, length
                n_chunks += 1
            elif kind == 0x01 or kind == 0x03 or kind == 0x08:
                place = SPACE if kind == 0x01 else TYPE if kind == 0x03 else LAYOUT
                if seen[place]:
                    return STRANGE
                seen[place], seen[place + 1] = p, n
            elif kind == 0x11:
                if n < 16:
                    return STRANGE
                seen[TABLE], seen[HEAP], seen[IS_GROUP] = little(data, p, 8), little(data, p + 8, 8), 1
            elif kind == 0x02:
                how = np.int64(data[p + 1] if n > 1 else 3)
                if how & 3 or n < 18 or data[p]:  # an order of links that is kept
                    return STRANGE
                seen[HEAP], seen[TABLE] = little(data, p + 2, 8), little(data, p + 10, 8)
                seen[IS_GROUP] = 1 if seen[HEAP] == NOWHERE else 2
            elif kind == 0x06:
                k = seen[N_LINKS]
                if k == MOST_LINKS:
                    return STRANGE
                seen[LINKS + 2 * k], seen[LINKS + 2 * k + 1] = p, n
                seen[N_LINKS], seen[IS_GROUP] = k + 1, 1
            elif kind == 0x0C:
                k = seen[N_ATTRIBUTES]
                if k == _MOST_ATTRIBUTES:
                    return STRANGE
                seen[ATTRIBUTES + 2 * k], seen[ATTRIBUTES + 2 * k + 1] = p, n
                seen[N_ATTRIBUTES] = k + 1
            elif kind == 0x15:
                skip = 2 + (2 if n > 1 and data[p + 1] & 1 else 0)
                if n < skip + 16 or little(data, p + skip, 8) != NOWHERE:
                    return STRANGE
            elif not (kind == 0 or kind == 4 or kind == 5 or kind == 0x0A or kind == 0x0D or kind == 0x0E
                      or kind == 0x12 or kind == 0x16):  # fmt: skip
                return STRANGE
            p += n
    return OK


@helper
def word(data, at, n, parent, words, state):
    """Return the number of a name or a unit, a new one if it is not known; -1 if there is no room."""
    filled = state[FILLED]
    guess = state[_GUESS]
    for k in range(filled):
        i = (guess + k) % filled  # names follow one another in all groups alike
        if words[i, 1] == n and words[i, PARENT] == parent:
            place = words[i, 0]
            same = True
            for j in range(n):
                if data[place + j] != data[at + j]:
                    same = False
                    break
            if same:
                state[_GUESS] = i + 1
                return i
    if filled == len(words):
        return np.int64(-1)
    words[filled, 0], words[filled, 1], words[filled, PARENT] = at, n, parent
    state[FILLED], state[_GUESS] = filled + 1, filled + 1
    return filled
