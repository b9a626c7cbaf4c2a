"""The kernel of XSF files of one structure each, written as nearly all programs write them.

Text is an uint8 array with `PAD` bytes of room after its last valid byte. Whatever is not as usual is left to
`zstruct.sources.xsf.source`, which knows all of the format and says what is wrong.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from zstruct.elements import numbers_by_letters
from zstruct.jit.kernel import helper, kernel
from zstruct.sources.lines.characters import EXACT, NEWLINE, SPACE, is_space
from zstruct.sources.lines.decimals import READ, float_at
from zstruct.sources.lines.words import address_of, byte_at, word_at

#: Bytes a text array must have after its last valid byte.
PAD = 128
#: What `read_structures` says of a file: number of atoms (0 if it is not as usual) and of their columns, how
#: many directions repeat (-1: none is said), whether there is a cell, where the comment with an energy begins
#: and ends (-1: there is none), and whether that is aenet's, so that the energy has been read.
ATOMS, COLUMNS, PERIODIC, CELL, ENERGY, ENERGY_END, AENET = range(7)

_U = np.uint64
_TAB, _RETURN, _HASH = 9, 13, 35
_ELEMENTS = numbers_by_letters()


def _word(text: str) -> np.uint64:
    return np.frombuffer(text.encode().ljust(8, b" "), np.uint64)[0]


# In lower case, eight bytes of each; a letter with its space bit set is in lower case.
_CRYSTAL, _SLAB, _POLYMER, _MOLECULE = map(_word, ("crystal", "slab", "polymer", "molecule"))
_PRIMVEC, _CONVVEC, _PRIMCOORD, _ATOMS = map(_word, ("primvec", "convvec", "primcoor", "atoms"))
_LOWER = _U(0x2020202020202020)
_AENET = "# total energy = "
_AENET_WORDS = np.frombuffer(_AENET.encode()[:16], np.uint64)
_E, _V = 101, 118


@helper(**EXACT)
def _blank(text, p):
    """Return the first position from `p` on that is no space or tab."""
    while byte_at(text, p) == SPACE or byte_at(text, p) == _TAB:
        p += 1
    return p


@helper(**EXACT)
def _ended(text, p):
    """Return the position behind a line of which nothing is left but spaces; -1 if there is more."""
    p = _blank(text, p)
    if byte_at(text, p) == _RETURN:
        p += 1
    return p + 1 if byte_at(text, p) == NEWLINE else -1


@helper(**EXACT)
def _speaks_of_energy(text, p, end):
    """Tell whether there is the word energy, in any case, in a comment."""
    while p < end - 5:
        if (word_at(text, p) | _LOWER) & _U(0xFFFFFFFFFFFF) == _U(0x796772656E65):
            return True
        p += 1
    return False


@helper(**EXACT)
def _next_line(text, p, stop, found):
    """Return the first word of the next line that has any, -1 if the text is odd, `stop` at its end.

    On the way, a comment that speaks of an energy is noted in `found`; the second is odd.
    """
    while p < stop:
        start = _blank(text, p)
        c = byte_at(text, start)
        if c == _HASH:
            end = start
            while byte_at(text, end) != NEWLINE:
                c = byte_at(text, end)
                if c < SPACE and c != _TAB and not (c == _RETURN and byte_at(text, end + 1) == NEWLINE):
                    return -1
                end += 1
            if _speaks_of_energy(text, start, end):
                if found[ENERGY] >= 0:
                    return -1
                found[ENERGY], found[ENERGY_END] = start, end
            p = end + 1
        elif c == NEWLINE:
            p = start + 1
        elif c == _RETURN and byte_at(text, start + 1) == NEWLINE:
            p = start + 2
        else:
            return start
    return stop


@helper(**EXACT)
def _keyword(text, p, size, word):
    """Return the position behind a line that is a keyword of up to eight bytes; -1 if it is none."""
    kept = _U(0xFFFFFFFFFFFFFFFF) if size >= 8 else (_U(1) << _U(8 * size)) - _U(1)
    if (word_at(text, p) | _LOWER) & kept != word & kept:
        return -1
    return _ended(text, p + size)


@helper(**EXACT)
def _vectors(text, p, stop, found, out):
    """Read three lines of three numbers; return the position behind them, -1 if they are odd."""
    for i in range(3):
        p = _next_line(text, p, stop, found)
        if p < 0 or p >= stop:
            return -1
        for k in range(3):
            status, value, p = float_at(text, _blank(text, p))
            c = byte_at(text, p)
            if status != READ or not is_space(c):
                return -1
            out[i, k] = value
        p = _ended(text, p)
        if p < 0:
            return -1
    return p


@helper(**EXACT)
def _symbol(text, p):
    """Return the atomic number of a symbol or number in front of a space, 0 if it is none as usual."""
    c, d, e = byte_at(text, p), byte_at(text, p + 1), byte_at(text, p + 2)
    if 65 <= c <= 90:
        place = 32 * (c & 31)
        if 97 <= d <= 122:
            place += d & 31
            d = e
        if not is_space(d):
            return 0
        number = np.int64(_ELEMENTS[place])
        return 0 if number == 255 else number
    number = np.int64(0)
    while 48 <= c <= 57 and number < 1000:
        number = 10 * number + c - 48
        p += 1
        c = byte_at(text, p)
    return number if number < 119 and is_space(c) else 0


@helper(**EXACT)
def _energy(text, p, end):
    """Return whether a comment is aenet's, ``# total energy = -1.5 eV``, and the energy."""
    if word_at(text, p) != _AENET_WORDS[0] or word_at(text, p + 8) != _AENET_WORDS[1]:
        return False, 0.0
    p += 16
    if byte_at(text, p) != SPACE:
        return False, 0.0
    status, value, p = float_at(text, p + 1)
    if status != READ or not np.isfinite(value) or byte_at(text, p) != SPACE:
        return False, 0.0
    if byte_at(text, p + 1) | 32 != _E or byte_at(text, p + 2) | 32 != _V:
        return False, 0.0
    return _ended(text, p + 3) == end + 1, value


@kernel(takes=3, **EXACT)
def read_structures(buffer, edges, found, cells, numbers, rows, energies):
    """Read files of one structure each; return the number of atoms of those that are as usual.

    Parameters
    ----------
    buffer
        The bytes of their texts, one behind the other; each ends in a newline.
    edges
        Where they begin, and the end of the last, shape (n + 1,).
    found
        Room for what is said of each, shape (n, 7).
    cells
        Room for lattice vectors, and for those of the conventional cell, shape (n, 2, 3, 3).
    numbers, rows
        Room for atomic numbers, shape (m,), and for positions and forces, shape (m, 6).
    energies
        Room for energies, shape (n,).
    """
    text = address_of(buffer)
    at = np.int64(0)
    for k in range(len(edges) - 1):
        said = found[k]
        if _structure(text, edges[k], edges[k + 1], said, cells[k], numbers[at:], rows[at:]):
            at += said[ATOMS]
        else:
            said[ATOMS] = 0
        said[AENET] = 0
        if said[ATOMS] > 0 and said[ENERGY] >= 0:
            good, energies[k] = _energy(text, said[ENERGY], said[ENERGY_END])
            said[AENET] = good
    return at


@helper(**EXACT)
def _structure(text, start, stop, found, cell, numbers, rows):
    """Read a file of one structure; return whether it is as usual."""
    found[ATOMS] = found[COLUMNS] = found[CELL] = 0
    found[PERIODIC] = found[ENERGY] = found[ENERGY_END] = -1
    p = start
    announced = np.int64(-1)
    while True:
        p = _next_line(text, p, stop, found)
        if p < 0 or p >= stop:
            return False
        c = byte_at(text, p) | 32
        axes = np.int64(-1)
        behind = np.int64(-1)
        if c == 99:  # c
            behind = _keyword(text, p, 7, _CRYSTAL)
            axes = np.int64(3)
            if behind < 0:
                axes = np.int64(-1)
                behind = _keyword(text, p, 7, _CONVVEC)
                if behind >= 0:
                    behind = _vectors(text, behind, stop, found, cell[1])
        elif c == 109:  # m
            behind = _keyword(text, p, 8, _MOLECULE)
            axes = np.int64(0)
        elif c == 115:  # s
            behind = _keyword(text, p, 4, _SLAB)
            axes = np.int64(2)
        elif c == 97:  # a
            p = _keyword(text, p, 5, _ATOMS)
            break
        elif word_at(text, p) | _LOWER == _PRIMCOORD and byte_at(text, p + 8) | 32 == 100:
            p = _ended(text, p + 9)
            announced = np.int64(0)
            break
        elif c == 112:  # p
            behind = _keyword(text, p, 7, _PRIMVEC)
            if behind < 0:
                behind = _keyword(text, p, 7, _POLYMER)
                axes = np.int64(1)
            elif found[CELL]:
                return False
            else:
                found[CELL] = 1
                behind = _vectors(text, behind, stop, found, cell[0])
        if behind < 0:
            return False
        if axes >= 0:
            if found[PERIODIC] >= 0:
                return False
            found[PERIODIC] = axes
        p = behind
    if p < 0 or (found[PERIODIC] > 0 and not found[CELL]):
        return False
    if found[PERIODIC] < 0 and (announced == 0 or found[CELL]):
        return False
    if announced == 0:
        p = _next_line(text, p, stop, found)
        if p < 0 or p >= stop:
            return False
        while 48 <= byte_at(text, p) <= 57 and announced < 100000000:
            announced = 10 * announced + byte_at(text, p) - 48
            p += 1
        p = _blank(text, p)
        if byte_at(text, p) == 49:  # the 1 that stands behind the number
            p += 1
        p = _ended(text, p)
        if p < 0 or announced == 0 or announced > len(numbers):
            return False
    n = np.int64(0)
    columns = np.int64(0)
    while n != announced:
        p = _next_line(text, p, stop, found)
        if p < 0 or (p >= stop and announced >= 0):
            return False
        if p >= stop:
            break
        if n == len(numbers):
            return False
        number = _symbol(text, p)
        if number == 0:
            return False
        numbers[n] = number
        while byte_at(text, p) > SPACE:
            p += 1
        k = np.int64(0)
        while True:
            p = _blank(text, p)
            c = byte_at(text, p)
            if c == NEWLINE:
                break
            if c == _RETURN:
                break
            if k == 6:
                return False
            status, value, p = float_at(text, p)
            c = byte_at(text, p)
            if status != READ or not is_space(c):
                return False
            rows[n, k] = value
            k += 1
        p = _ended(text, p)
        if p < 0 or k != (3 if k < 6 else 6) or (n > 0 and k != columns):
            return False
        columns = k
        n += 1
    if n == 0:
        return False
    found[ATOMS] = n
    found[COLUMNS] = columns
    return _next_line(text, p, stop, found) >= stop
