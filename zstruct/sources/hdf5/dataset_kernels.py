"""Datasets of an HDF5 file, for kernels: what their values are, and where, if they are in one piece."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper, kernel
from zstruct.sources.hdf5.object_kernels import (
    ABSENT,
    ALL,
    ATTRIBUTES,
    DONE,
    FULL,
    LAYOUT,
    MISSING,
    N_ATTRIBUTES,
    N_LINKS,
    OK,
    SPACE,
    STRANGE,
    TYPE,
    little,
    there,
    word,
)  # fmt: skip

__all__ = [
    "ADDRESS", "BOOL", "COLUMNS", "DIMS", "FLOAT", "GROUP", "INT", "KIND", "LETTERS", "NAME", "ODD", "SIZE",
    "TEXT", "UINT", "UNIT", "copy_values", "describe_dataset", "find_texts",
]  # fmt: skip

_MOST_AXES = 4

#: Columns of what is found: its name, the kind and the bytes of a value, how many axes, their lengths, what
#: is stated as the unit, -1 if nothing is, and where the values are.
NAME, KIND, SIZE, DIMS, UNIT, ADDRESS = 0, 1, 2, 3, 4 + _MOST_AXES, 5 + _MOST_AXES
COLUMNS = 6 + _MOST_AXES
#: Kinds of values, and that of groups. A TEXT is of any length, and what is there refers to it; LETTERS are a
#: text of so many bytes.
INT, UINT, FLOAT, BOOL, TEXT, LETTERS, GROUP = range(7)
#: What stands for places that are left to the library.
ODD = -1

_MOST_LETTERS = 1 << 16
_MOST_HEAP = 1 << 26
_GCOL = 0x4C4F4347  # as a number
_FALSE, _TRUE, _UNITS = (np.frombuffer(text, np.uint8) for text in (b"FALSE\0", b"TRUE\0", b"units"))


@helper
def _datatype(data, at, n, row):
    """Find what values are, at a datatype that is `n` bytes at most."""
    if n < 8:
        return STRANGE
    version, kind = np.int64(data[at]) >> 4, np.int64(data[at]) & 15
    bits, nbytes = little(data, at + 1, 3), little(data, at + 4, 4)
    row[SIZE] = nbytes
    if version < 1 or version > 5 or nbytes < 1:
        return STRANGE
    p = at + 8
    if kind == 0:
        if n < 12 or bits & ~8 or little(data, p, 2) or little(data, p + 2, 2) != 8 * nbytes:
            return STRANGE
        row[KIND] = INT if bits & 8 else UINT
        return OK if nbytes == 1 or nbytes == 2 or nbytes == 4 or nbytes == 8 else STRANGE
    if kind == 1:
        wide = 52 if nbytes == 8 else 23 if nbytes == 4 else 10 if nbytes == 2 else 0
        exponent = 8 * nbytes - wide - 1
        row[KIND] = FLOAT
        if n < 20 or wide == 0 or bits != (0x20 | (8 * nbytes - 1) << 8):
            return STRANGE
        if little(data, p, 2) or little(data, p + 2, 2) != 8 * nbytes:
            return STRANGE
        if data[p + 4] != wide or data[p + 5] != exponent or data[p + 6] or data[p + 7] != wide:
            return STRANGE
        return OK if little(data, p + 8, 4) == (1 << (exponent - 1)) - 1 else STRANGE
    if kind == 8:
        row[KIND] = BOOL
        return OK if nbytes == 1 and bits == 2 and _is_boolean(data, p, n - 8, version) else STRANGE
    if kind == 9:
        row[KIND] = TEXT
        whole = nbytes == 16 and bits & 15 == 1 and bits >> 4 & 15 <= 1 and bits >> 8 <= 1
        letters = n >= 16 and (data[p] & 15 == 0 or data[p] & 15 == 3) and little(data, p + 4, 4) == 1
        return OK if whole and letters else STRANGE
    if kind == 3:
        row[KIND] = LETTERS
        return OK if nbytes <= _MOST_LETTERS and bits & 15 <= 1 and bits >> 4 <= 1 else STRANGE
    return STRANGE


@helper
def _is_boolean(data, p, n, version):
    """Return whether an enumeration is that of False and True, as h5py writes it."""
    first, second = (8, 8) if version < 3 else (6, 5)
    if n < 12 + first + second + 2 or data[p] & 15 or little(data, p + 4, 4) != 1:
        return False
    at = p + 12
    for k in range(6):
        if data[at + k] != _FALSE[k] or (k < 5 and data[at + first + k] != _TRUE[k]):
            return False
    at += first + second
    return data[at] == 0 and data[at + 1] == 1


@helper
def _space(data, at, n, row):
    """Find the axes of a dataset; return how many values it has, -1 if that can't be told."""
    if n < 4:
        return np.int64(-1)
    version, axes = np.int64(data[at]), np.int64(data[at + 1])
    if version == 1:
        p = at + 8
    elif version == 2:
        p = at + 4
        if data[at + 3] > 1 or (data[at + 3] == 0) != (axes == 0):
            return np.int64(-1)
    else:
        return np.int64(-1)
    if axes > _MOST_AXES or p + 8 * axes > at + n:
        return np.int64(-1)
    row[DIMS] = axes
    row[DIMS + 1 : DIMS + 1 + _MOST_AXES] = 0
    total = np.int64(1)
    for k in range(axes):
        length = little(data, p + 8 * k, 8)
        if length < 0 or length > 1 << 40 or total > 1 << 40:
            return np.int64(-1)
        row[DIMS + 1 + k] = length
        total *= length
    return total


@helper
def _stated(data, size, loaded, seen, words, row, state):
    """Find the unit that attributes state."""
    row[UNIT] = -1
    for k in range(seen[N_ATTRIBUTES]):
        p, n = seen[ATTRIBUTES + 2 * k], seen[ATTRIBUTES + 2 * k + 1]
        if n < 9:
            return STRANGE
        version = np.int64(data[p])
        lengths = little(data, p + 2, 2), little(data, p + 4, 2), little(data, p + 6, 2)
        if version < 1 or version > 3 or (version > 1 and data[p + 1]):
            return STRANGE
        at, end = p + (9 if version == 3 else 8), p + n
        padded = 7 if version == 1 else 0
        name = at
        at += (lengths[0] + padded) & ~padded
        kind = at
        at += (lengths[1] + padded) & ~padded
        space = at
        at += (lengths[2] + padded) & ~padded
        if at > end:
            return STRANGE
        length = 0
        while length < lengths[0] and data[name + length]:
            length += 1
        if length != 4 and length != 5:
            continue
        is_unit = True
        for j in range(length):
            is_unit &= data[name + j] == _UNITS[j]
        if not is_unit:
            continue
        if row[UNIT] >= 0 or _datatype(data, kind, lengths[1], row) != OK:
            return STRANGE
        if _space(data, space, lengths[2], row) != 1:
            return STRANGE
        nbytes = row[SIZE]
        if at + nbytes > end:
            return STRANGE
        if row[KIND] == TEXT:
            found = _text(data, size, loaded, at, row, state)
            if found != OK:
                return found
            at, nbytes = row[ADDRESS], row[SIZE]
        elif row[KIND] != LETTERS:
            return STRANGE
        length = 0
        while length < nbytes and data[at + length]:
            length += 1
        row[UNIT] = word(data, at, length, np.int64(-2), words, state)
        if row[UNIT] < 0:
            return STRANGE
    return OK


@helper
def _text(data, size, loaded, at, row, state):
    """Find where a text of any length is, and how long, at a reference to it."""
    length, heap, number = little(data, at, 4), little(data, at + 4, 8), little(data, at + 12, 4)
    row[ADDRESS], row[SIZE] = 0, 0
    if length == 0 or heap == 0:
        return OK
    found = there(size, loaded, heap, 16, state)
    if found != OK:
        return found
    if little(data, heap, 4) != _GCOL or data[heap + 4] != 1:
        return STRANGE
    total = little(data, heap + 8, 8)
    found = there(size, loaded, heap, total, state) if 0 <= total <= _MOST_HEAP else STRANGE
    if found != OK:
        return found
    p, end = heap + 16, heap + total
    while p + 16 <= end:
        nbytes = little(data, p + 8, 8)
        if little(data, p, 2) == number and number:
            if length > nbytes or p + 16 + length > end:
                return STRANGE
            row[ADDRESS], row[SIZE] = p + 16, length
            return OK
        if nbytes < 0 or nbytes > end - p or little(data, p, 2) == 0:
            return STRANGE
        p += 16 + ((nbytes + 7) & ~7)
    return STRANGE


@helper
def describe_dataset(data, size, loaded, seen, words, row, state):
    """Describe a dataset."""
    found = _stated(data, size, loaded, seen, words, row, state)
    if found != OK:
        return found
    if not (seen[SPACE] and seen[TYPE] and seen[LAYOUT]) or seen[N_LINKS]:
        return STRANGE
    if _datatype(data, seen[TYPE], seen[TYPE + 1], row) != OK:
        return STRANGE
    total = _space(data, seen[SPACE], seen[SPACE + 1], row)
    p, n = seen[LAYOUT], seen[LAYOUT + 1]
    if total < 0 or n < 4 or data[p] < 3 or data[p] > 4:
        return STRANGE
    nbytes = total * row[SIZE]
    if data[p + 1] == 0:
        if little(data, p + 2, 2) != nbytes or 4 + nbytes > n:
            return STRANGE
        row[ADDRESS] = p + 4
        return OK
    if data[p + 1] != 1 or n < 18 or little(data, p + 10, 8) != nbytes:
        return STRANGE
    row[ADDRESS] = little(data, p + 2, 8)
    if nbytes == 0:
        row[ADDRESS] = 0
        return OK
    return OK if 0 <= row[ADDRESS] <= size - nbytes else STRANGE


@kernel
def copy_values(data, loaded, addresses, values, state):
    """Copy the bytes at places to the rows of `values`; tell if some are to be loaded, or are not there."""
    size, nbytes = len(data), values.shape[1]
    while state[DONE] < len(addresses):
        k = state[DONE]
        found = there(size, loaded, addresses[k], nbytes, state)
        if found != OK:
            return MISSING if found == ABSENT else FULL
        at = addresses[k]
        for j in range(nbytes):
            values[k, j] = data[at + j]
        state[DONE] = k + 1
    return ALL


@kernel
def find_texts(data, loaded, addresses, places, state):
    """Find texts of any length: where each is and how long it is, -1 if that can't be told.

    Parameters
    ----------
    data, loaded, state
        As in `describe`.
    addresses
        Where the references to texts are that datasets have in their place, shape (n,).
    places
        Where the texts are, and how long, shape (n, 2).

    Returns
    -------
    int
        Zero if all are found; else bytes are to be loaded.
    """
    size = len(data)
    row = np.zeros(COLUMNS, dtype=np.int64)
    while state[DONE] < len(addresses):
        k = state[DONE]
        found = there(size, loaded, addresses[k], 16, state)
        if found == OK:
            found = _text(data, size, loaded, addresses[k], row, state)
        if found == ABSENT:
            return MISSING
        places[k, 0], places[k, 1] = row[ADDRESS], row[SIZE]
        if found != OK:
            places[k, 0] = places[k, 1] = -1
        state[DONE] = k + 1
    return ALL
