"""Numba kernels of the extended-XYZ reader: frames, comment lines, numbers, atom lines.

Everything that touches each byte of a file is here. Text is an uint8 array with `PAD` bytes of room
after its last valid byte, so that kernels may load whole words at the end; positions are indices
into it. Kernels report faults as codes and positions; sentences are made elsewhere.

Numbers are read exactly as Python's ``float`` reads them, which is given an E for the D of Fortran's
exponents. A decimal w * 10**q with w < 2**53 and
q within 22 of zero takes one multiplication or division of exact doubles (W. D. Clinger, PLDI 1990);
others take a 128-bit product (D. Lemire, Softw. Pract. Exp. 51, 1700, 2021); what that leaves
undecided (subnormals, more digits than a word holds close to a tie) is handed back.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import numpy as np

from zstruct.elements import SYMBOLS
from zstruct.jit.kernel import helper, kernel
from zstruct.sources.xyz.words import (
    address_of,
    bits_of,
    byte_at,
    count_ones,
    from_bits,
    high_product,
    leading_zeros,
    put_byte,
    trailing_zeros,
    which_are,
    which_are_spaces,
    word_at,
)

#: Bytes a text array must have after its last valid byte.
PAD = 128

# Kinds of line.
BLANK, INTEGER, OTHER = 0, 1, 2
# Why the index of frames refuses a frame.
GOOD, NOT_A_COUNT, NO_ATOMS, NEGATIVE, ENDS_EARLY, BLANK_INSIDE, COUNT_INSIDE, UNFIT = range(8)
# Why the atom lines of a frame are refused.
FINE, TOO_FEW, TOO_MANY, NOT_A_NUMBER, NOT_AN_INTEGER, NOT_A_BOOL, NO_ELEMENT, NO_ATOMIC_NUMBER = range(8)
# What a token of an atom line is.
REAL, INT, BOOL, TEXT, SPECIES, NUMBER = range(6)
# What a value of a comment line is; J_INTEGERS and J_FLOATS are flat JSON lists of numbers.
V_EMPTY, V_INT, V_FLOAT, V_BOOL, V_TEXT, V_JSON, V_J_INTS, V_J_FLOATS = range(8)
# What is known of a comment line, as bits: it has Properties; a quote or bracket in it is never closed.
EXTENDED, UNCLOSED = 1, 2
#: The length of a value that has rows and columns is ``rows << ROWS | columns``.
ROWS = 32
# How reading a float ended.
_READ, _NOT_READ, _UNDECIDED = 0, 1, 2

_NEWLINE, _SPACE, _COMMA, _POINT, _MINUS, _PLUS = 10, 32, 44, 46, 45, 43
_OPEN, _CLOSE, _QUOTE, _ESCAPE, _EQUALS = 91, 93, 34, 92, 61
_LARGE = 10**17  # counts saturate here
_FAR = 1 << 62

_U = np.uint64
_ZEROS, _SPACES = _U(0x3030303030303030), _U(0x2020202020202020)
_BELOW_COLON, _HIGH1 = _U(0x4646464646464646), _U(0x8080808080808080)


def _powers_of_five() -> np.ndarray:
    """Return the 128 leading bits of 5**q for q = -342 ... 308, shape (651, 2), high word first."""
    rows = []
    for q in range(-342, 309):
        power = 5 ** abs(q)
        length = power.bit_length()
        if q >= 0:  # truncated
            top = power << (128 - length) if length <= 128 else power >> (length - 128)
        else:  # the reciprocal; rounded up where ties are possible, so that they show
            top = (1 << (length + 127)) // power + (q >= -27)
        rows.append((top >> 64, top & (2**64 - 1)))
    return np.array(rows, dtype=np.uint64)


def _element_table() -> np.ndarray:
    """Return atomic numbers by 32 * first letter + second letter (a = 1); 255 for none."""
    table = np.full(1024, 255, dtype=np.uint8)
    for number, symbol in enumerate(SYMBOLS):
        letters = [ord(c) & 31 for c in symbol]
        table[32 * letters[0] + (letters[1] if len(letters) == 2 else 0)] = number
    return table


def _character_classes() -> np.ndarray:
    """Return what each byte means in a comment line: 0 nothing, 1 space, 2 =, 3 opens, 4 escapes."""
    table = np.zeros(256, dtype=np.uint8)
    table[[9, 10, 11, 12, 13, 28, 29, 30, 31, 32]] = 1
    table[ord("=")] = 2
    table[[ord(c) for c in "\"'{["]] = 3
    table[ord("\\")] = 4
    return table


_FIVES = _powers_of_five()
_ELEMENTS = _element_table()
_CLASSES = _character_classes()
_TENS = 10.0 ** np.arange(23)
_WHOLE_TENS = np.array([10**k for k in range(20)], dtype=np.uint64)


_EXACT: Any = {"error_model": "numpy"}


@helper(forceinline=True, **_EXACT)
def _is_space(c):
    """Whether a byte separates words, as ``str.split`` has it for ASCII; newlines do."""
    return 28 <= c <= 32 or 9 <= c <= 13


@helper(forceinline=True, **_EXACT)
def _skip_spaces(text, p):
    """Return the first position from `p` on that is a newline or no space at all."""
    while True:
        differs = word_at(text, p) ^ _SPACES
        p += trailing_zeros(differs) >> 3
        c = byte_at(text, p)
        if c > _SPACE or c == _NEWLINE:
            return p
        if not _is_space(c):
            return p
        p += 1


@helper(forceinline=True, **_EXACT)
def _token_end(text, p):
    while not _is_space(byte_at(text, p)):
        p += 1
    return p


@helper(forceinline=True, **_EXACT)
def _line_end(text, p, stop):
    """Return the position of the next newline, `stop` if there is none before it."""
    while p < stop:
        found = which_are(text, p, _NEWLINE)
        if found != _U(0):
            return min(p + trailing_zeros(found), stop)
        p += 64
    return stop


# Frames.


@helper(**_EXACT)
def _line_kind(text, p, stop):
    """Return whether the line at `p` is blank, a lone integer or neither, and the integer."""
    while p < stop and byte_at(text, p) != _NEWLINE and _is_space(byte_at(text, p)):
        p += 1
    if p >= stop or byte_at(text, p) == _NEWLINE:
        return BLANK, 0
    negative = byte_at(text, p) == _MINUS
    if negative or byte_at(text, p) == _PLUS:
        p += 1
    first, value = p, 0
    while p < stop and 48 <= byte_at(text, p) <= 57:
        value = min(10 * value + byte_at(text, p) - 48, _LARGE)
        p += 1
    if p == first:
        return OTHER, 0
    while p < stop and byte_at(text, p) != _NEWLINE and _is_space(byte_at(text, p)):
        p += 1
    if p < stop and byte_at(text, p) != _NEWLINE:
        return OTHER, 0
    return INTEGER, -value if negative else value


@kernel(takes=2, **_EXACT)
def index_frames(buffer, p, stop, limit, final, resync, frames, codes, details):
    """Find the frames of a text, good and bad, without reading what they hold.

    A frame is a line with a count, a comment line, and as many lines as the count says, none of
    them blank or a lone integer, up to the end, a blank line or a line with a lone integer. Where
    there is none, one bad frame is listed, and search goes on from the line after its first for
    the next good frame.

    Parameters
    ----------
    buffer
        The bytes of the text.
    p, stop
        Where to begin, and the end of the valid bytes.
    limit
        Frames that start here or later are not wanted.
    final
        Whether the file ends at `stop`; if not, a frame that might go on after it is left alone.
    resync
        Whether a bad frame was just listed and a good one is being searched for.
    frames
        Room for the start, comment, first atom line, end and atom count of each frame, (n, 5).
    codes, details
        Room for why a frame is bad: a code, shape (n,), and the position and the number that its
        sentence needs, shape (n, 2).

    Returns
    -------
    n, p, resync
        Number of frames, where to go on, and the state there.
    """
    text = address_of(buffer)
    n = 0
    room = len(codes)
    while p < stop and p < limit and n < room:
        end = _line_end(text, p, stop)
        if end == stop and not final:
            break
        kind, count = _line_kind(text, p, end)
        if kind == BLANK:
            p = end + 1
            continue
        if kind == OTHER or count < 1:
            if not resync:
                frames[n, 0] = p
                frames[n, 4] = count
                codes[n] = NOT_A_COUNT if kind == OTHER else NO_ATOMS if count == 0 else NEGATIVE
                details[n, 0] = p
                details[n, 1] = 0
                n += 1
            resync = True
            p = end + 1
            continue
        code = GOOD
        comment = end + 1
        line = _line_end(text, comment, stop) + 1
        atoms = line
        done = 0
        while done < count:
            if line >= stop:
                code = ENDS_EARLY
                break
            after = _line_end(text, line, stop)
            if after == stop and not final:
                code = ENDS_EARLY
                break
            if byte_at(text, line) <= 57:
                kind, _ = _line_kind(text, line, after)
                if kind != OTHER:
                    code = BLANK_INSIDE if kind == BLANK else COUNT_INSIDE
                    break
            line = after + 1
            done += 1
        if code == GOOD and line < stop:
            after = _line_end(text, line, stop)
            if after == stop and not final:
                break
            kind, _ = _line_kind(text, line, after)
            if kind == OTHER:
                code = UNFIT
        elif not final and (code in (GOOD, ENDS_EARLY)):
            break
        if code == GOOD or not resync:
            frames[n, 0] = p
            frames[n, 1] = comment
            frames[n, 2] = atoms
            frames[n, 3] = min(line, stop)
            frames[n, 4] = count
            codes[n] = code
            details[n, 0] = line
            details[n, 1] = done
            n += 1
        resync = code != GOOD
        p = line if code == GOOD else end + 1
    return n, p, resync


# Numbers.


@helper(**_EXACT)
def _integer(text, p, end):
    """Return whether the text is an integer that fits int64, and the integer."""
    negative = byte_at(text, p) == _MINUS
    if negative or byte_at(text, p) == _PLUS:
        p += 1
    if p >= end:
        return False, 0
    value = _U(0)
    limit = _U(0x8000000000000000) if negative else _U(0x7FFFFFFFFFFFFFFF)
    while p < end:
        digit = byte_at(text, p) - 48
        if digit < 0 or digit > 9 or value > _U(922337203685477580):
            return False, 0
        value = value * _U(10) + _U(digit)
        if value > limit:
            return False, 0
        p += 1
    return True, -np.int64(value) if negative else np.int64(value)


@helper(forceinline=True, **_EXACT)
def _digit_run(word):
    """Return how many of eight bytes are digits before the first that is not.

    Carries and borrows run upwards only, from the first byte that is no digit.
    """
    return trailing_zeros(((word + _BELOW_COLON) | (word - _ZEROS)) & _HIGH1) >> 3


@helper(forceinline=True, **_EXACT)
def _eight_digits(word):
    """Return the number that eight digits spell."""
    return _join(word - _ZEROS)


@helper(forceinline=True, **_EXACT)
def _some_digits(word, n):
    """Return the number that the first `n` < 8 digits spell; 0 for none."""
    return _join(((word - _ZEROS) << _U(56 - 8 * n)) << _U(8))


@helper(forceinline=True, **_EXACT)
def _join(t):
    """Return the number that eight bytes 0 ... 9 spell, the lowest one first."""
    t = t * _U(2561) >> _U(8)
    t = (t & _U(0x00FF00FF00FF00FF)) * _U(6553601) >> _U(16)
    return (t & _U(0x0000FFFF0000FFFF)) * _U(42949672960001) >> _U(32)


@helper(**_EXACT)
def _nearest(w, q):
    """Return whether the double nearest to w * 10**q could be told, and its bits; w > 0."""
    if q < -342 or q > 308:
        return False, _U(0)
    shift = leading_zeros(w)
    w = w << _U(shift)
    high_five, low_five = _FIVES[q + 342, 0], _FIVES[q + 342, 1]
    low = w * high_five
    high = high_product(w, high_five)
    if high & _U(0x1FF) == _U(0x1FF):
        more = high_product(w, low_five)
        low = low + more
        if low < more:
            high = high + _U(1)
        if low == _U(0xFFFFFFFFFFFFFFFF) and (q < -27 or q > 55):
            return False, _U(0)
    upper = high >> _U(63)
    mantissa = high >> (upper + _U(9))
    exponent = ((217706 * q) >> 16) + 63 + np.int64(upper) - shift + 1023
    if exponent <= 0:
        return False, _U(0)
    halfway = low <= _U(1) and mantissa << (upper + _U(9)) == high
    if halfway and -4 <= q <= 23 and mantissa & _U(3) == _U(1):
        mantissa = mantissa & _U(0xFFFFFFFFFFFFFFFE)
    mantissa = (mantissa + (mantissa & _U(1))) >> _U(1)
    if mantissa >= _U(1 << 53):
        mantissa = _U(1 << 52)
        exponent += 1
    if exponent >= 2047:
        return False, _U(0)
    return True, (mantissa & _U((1 << 52) - 1)) | (_U(exponent) << _U(52))


@helper(**_EXACT)
def _nearest_of_many(text, p, exponent):
    """Like `_nearest` for digits that do not fit one word, from `p` on, times 10**exponent."""
    w = _U(0)
    kept = 0
    behind = False  # the decimal point was passed
    cut = False  # a digit other than zero was dropped
    while True:
        c = byte_at(text, p)
        if c == _POINT and not behind:
            behind = True
        elif 48 <= c <= 57:
            if kept < 19:
                w = w * _U(10) + _U(c - 48)
                kept += 1 if w != _U(0) else 0
                exponent -= 1 if behind else 0
            else:
                cut = cut or c != 48
                exponent += 0 if behind else 1
        else:
            break
        p += 1
    if w == _U(0):
        return True, _U(0)
    told, bits = _nearest(w, exponent)
    if told and cut:
        told_above, above = _nearest(w + _U(1), exponent)
        told = told_above and bits == above
    return told, bits


@helper(**_EXACT)
def _number_word(text, p, negative):
    """Read nan, inf or infinity in any case."""
    letters = word_at(text, p) | _SPACES
    three = letters & _U(0xFFFFFF)
    sign = -1.0 if negative else 1.0
    if three == _U(0x6E616E):
        return _READ, np.copysign(np.nan, sign), p + 3
    if letters == _U(0x7974696E69666E69):
        return _READ, sign * np.inf, p + 8
    if three == _U(0x666E69):
        return _READ, sign * np.inf, p + 3
    return _NOT_READ, 0.0, p


@helper(**_EXACT)
def _float_slowly(text, first, p, w, n_behind, negative):
    """Read the rest of a float that is not of the usual form.

    Parameters
    ----------
    text
        Address of the text.
    first
        The first character behind a minus sign.
    p
        Where to go on: at `first`, or within the digits behind the decimal point.
    w, n_behind
        The number that the digits so far spell, and how many of them are behind the point.
    negative
        Whether there was a minus sign.
    """
    behind = p > first
    if not behind and byte_at(text, p) == _PLUS and not negative:
        p += 1
        first = p
    start = p - n_behind
    n_digits = p - first - 1 if behind else 0
    while True:
        word = word_at(text, p)
        run = _digit_run(word)
        while run == 8:
            w = w * _U(100000000) + _eight_digits(word)
            p += 8
            word = word_at(text, p)
            run = _digit_run(word)
        w = w * _WHOLE_TENS[run] + _some_digits(word, run)
        p += run
        n_digits += p - start - n_behind
        n_behind = p - start if behind else 0
        if behind or byte_at(text, p) != _POINT:
            break
        behind = True
        p += 1
        start = p
    if n_digits == 0:
        return _number_word(text, first, negative)
    exponent = 0
    letter = byte_at(text, p) | 32
    if letter == 101 or letter == 100:
        q = p + 1
        downwards = byte_at(text, q) == _MINUS
        if downwards or byte_at(text, q) == _PLUS:
            q += 1
        start = q
        while 48 <= byte_at(text, q) <= 57:
            exponent = min(10 * exponent + byte_at(text, q) - 48, 1 << 40)
            q += 1
        if q == start:
            return _NOT_READ, 0.0, p
        exponent = -exponent if downwards else exponent
        p = q
    told, value = True, 0.0
    if n_digits > 19:  # w has overflowed
        told, bits = _nearest_of_many(text, first, exponent)
        value = from_bits(bits)
    elif w != _U(0):
        q = exponent - n_behind
        if w < _U(1 << 53) and -22 <= q <= 22:
            value = float(np.int64(w))
            value = value / _TENS[-q] if q < 0 else value * _TENS[q]
        else:
            told, bits = _nearest(w, q)
            value = from_bits(bits)
    return _READ if told else _UNDECIDED, -value if negative else value, p


@helper(forceinline=True, **_EXACT)
def _float(text, p):
    """Read the float at `p`: how that ended, its value, and the position behind it.

    The usual form, up to 7 digits, a point and up to 8 digits, is read here without a branch on
    what can't be foretold: sign and number of digits.
    """
    negative = np.int64(byte_at(text, p) == _MINUS)
    first = p + negative
    word = word_at(text, first)
    run = _digit_run(word)
    p = first + run
    w, n_behind = _U(0), np.int64(0)
    if run < 8 and byte_at(text, p) == _POINT:
        w = _some_digits(word, run)
        p += 1
        word = word_at(text, p)
        n_behind = _digit_run(word)
        if n_behind == 8:
            w = w * _U(100000000) + _eight_digits(word)
        else:
            w = w * _WHOLE_TENS[_U(n_behind)] + _some_digits(word, n_behind)
        p += n_behind
        # Below "0" there is neither another digit nor an exponent.
        if byte_at(text, p) < 48 and run + n_behind > 0:
            value = float(np.int64(w)) / _TENS[_U(n_behind)]
            return _READ, from_bits(bits_of(value) ^ (_U(negative) << _U(63))), p
    else:
        p = first
    return _float_slowly(text, first, p, w, n_behind, negative == 1)


@helper(**_EXACT)
def _float_called(text, p):
    """Like `_float`, but compiled once; for callers that read few numbers."""
    return _float(text, p)


# Comment lines.


@helper(**_EXACT)
def _is_nested(text, p, end):
    """Whether the bracket at `p` opens a list of lists."""
    p += 1
    while p < end and _CLASSES[byte_at(text, p)] == 1:
        p += 1
    return p < end and byte_at(text, p) == _OPEN


@helper(**_EXACT)
def _nested_end(text, p, end):
    """Return the position behind the list of lists that opens at `p`; -1 if it is never closed."""
    depth = 0
    while p < end:
        c = byte_at(text, p)
        if c == _OPEN:
            depth += 1
        elif c == _CLOSE:
            depth -= 1
            if depth == 0:
                return p + 1
        elif c == _ESCAPE:
            p += 1
        elif c == _QUOTE:
            p += 1
            while p < end and byte_at(text, p) != _QUOTE:
                p += 2 if byte_at(text, p) == _ESCAPE else 1
        p += 1
    return -1


@helper(**_EXACT)
def _split_plainly(text, p, end, pairs):
    """Split a comment without escapes and quotes in odd places; -1 if it is not such a one.

    Pairs are start and end of key and value; the start of an absent value is -1, the end of a list
    of lists is ``~end``.
    """
    n = 0
    while True:
        while p < end and _CLASSES[byte_at(text, p)] == 1:
            p += 1
        if p >= end:
            return n
        key = p
        while p < end and _CLASSES[byte_at(text, p)] == 0:
            p += 1
        if p == key or (p < end and _CLASSES[byte_at(text, p)] > 2):
            return -1
        pairs[n, 0] = key
        pairs[n, 1] = p
        pairs[n, 2] = -1
        while p < end and _CLASSES[byte_at(text, p)] == 1:
            p += 1
        if p < end and byte_at(text, p) == _EQUALS:
            p += 1
            start = p
            while p < end and _CLASSES[byte_at(text, p)] == 1:
                p += 1
            apart = p > start
            start = p
            if p < end:
                c = byte_at(text, p)
                kind = _CLASSES[c]
                if kind == 3:
                    if c == _OPEN and _is_nested(text, p, end):
                        p = _nested_end(text, p, end)
                        if p < 0:
                            return -1
                        pairs[n, 3] = ~p
                    else:
                        close = c + 2 if c > 90 else c
                        p += 1
                        start = p
                        found = which_are(text, p, close) | which_are(text, p, _ESCAPE)
                        while found == _U(0) and p < end:
                            p += 64
                            found = which_are(text, p, close) | which_are(text, p, _ESCAPE)
                        p += trailing_zeros(found)
                        if p >= end or byte_at(text, p) == _ESCAPE:
                            return -1
                        pairs[n, 3] = p
                        p += 1
                else:
                    while p < end and (
                        _CLASSES[byte_at(text, p)] == 0 or (_CLASSES[byte_at(text, p)] == 2 and not apart)
                    ):
                        p += 1
                    if kind == 2 or byte_at(text, p - 1) == _EQUALS:
                        return -1
                    pairs[n, 3] = p
                maybe_key = apart and kind == 0
                if p < end and _CLASSES[byte_at(text, p)] != 1 + maybe_key * (byte_at(text, p) == _EQUALS):
                    return -1
                while p < end and _CLASSES[byte_at(text, p)] == 1:
                    p += 1
                if p < end and byte_at(text, p) == _EQUALS:
                    if not maybe_key:
                        return -1
                    pairs[n, 3] = start  # it is the next key, and this one has no value
                    p = start
            else:
                pairs[n, 3] = p
            pairs[n, 2] = start
        n += 1


@helper(**_EXACT)
def _split_fully(text, p, end, pairs):
    """Split any comment, writing keys and values without quotes and escapes over it.

    What is written never overtakes what is read: a quote, an escape, a space or an equals sign is
    dropped for each separator written. Returned are the number of pairs, and whether a quote or a
    bracket is never closed.
    """
    n = -1
    out = p
    closed = True  # no key or value is open
    started = False  # the open one has characters or quotes
    escaped = False
    apart = False  # there is space between the equals sign and the value
    nested = False  # the value is a list of lists
    close = 0
    while p < end:
        c = byte_at(text, p)
        kind = _CLASSES[c]
        kept = opens = False
        if escaped:
            escaped, kept = False, True
            if c == 110 and close:  # an n for a newline
                c = _NEWLINE
        elif kind == 4:
            escaped = True
        elif close:
            kept = c != close
            close = close if kept else 0
        elif kind == 0:
            kept = True
        elif kind == 1:
            apart = apart or (not closed and not started)
            closed = closed or started
        elif kind == 3:
            if (
                c == _OPEN
                and n >= 0
                and pairs[n, 2] >= 0
                and not closed
                and not started
                and _is_nested(text, p, end)
            ):
                stop = _nested_end(text, p, end)
                if stop < 0:
                    return n + 1, True
                while p < stop:
                    put_byte(text, out, byte_at(text, p))
                    out += 1
                    p += 1
                started = True
                nested = p >= end or _CLASSES[byte_at(text, p)] == 1
                continue
            opens = True
            close = c + 2 if c > 90 else c
        else:
            if n >= 0 and pairs[n, 2] >= 0 and not (apart and started):  # a value goes on
                put_byte(text, out, c)
                out += 1
                nested = False
            else:
                if n < 0:
                    n = 0
                    pairs[0, 0] = out
                elif pairs[n, 2] >= 0:  # what seemed a value is the next key
                    pairs[n + 1, 0] = pairs[n, 2]
                    pairs[n, 3] = pairs[n, 2]
                    n += 1
                pairs[n, 1] = out
                put_byte(text, out, _SPACE)
                out += 1
                pairs[n, 2] = out
                apart = nested = False
            closed = started = False
        if kept or opens:
            if closed:
                if n >= 0:
                    pairs[n, 3 if pairs[n, 2] >= 0 else 1] = ~out if nested else out
                    put_byte(text, out, _SPACE)
                    out += 1
                n += 1
                pairs[n, 0] = out
                pairs[n, 2] = -1
                closed = nested = False
            started = True
        if kept:
            put_byte(text, out, c)
            out += 1
        p += 1
    if n >= 0:
        pairs[n, 3 if pairs[n, 2] >= 0 else 1] = ~out if nested else out
        if out < end:
            put_byte(text, out, _SPACE)
    return n + 1, close != 0 or escaped


@helper(forceinline=True, **_EXACT)
def _first_bytes(text, p, n):
    """Return the first `n` > 0 of the eight bytes at `p`, zeros behind."""
    word = word_at(text, p)
    return word if n >= 8 else word & ((_U(1) << _U(8 * n)) - _U(1))


@helper(**_EXACT)
def _hash(text, p, end):
    value = _U(end - p)
    while p < end:
        value = (value ^ _first_bytes(text, p, end - p)) * _U(0x9E3779B97F4A7C15)
        value = value ^ (value >> _U(32))
        p += 8
    return value


@helper(**_EXACT)
def _same(text, p, end, q):
    while p < end:
        if _first_bytes(text, p, end - p) != _first_bytes(text, q, end - p):
            return False
        p += 8
        q += 8
    return True


@helper(**_EXACT)
def _intern(text, p, end, table, hashes, places, n):
    """Return the code of a piece of text, which is `n` if it is new.

    `table` has codes by hash, -1 where empty; `hashes` and `places` (start and end) are by code.
    """
    mask = len(table) - 1
    value = _hash(text, p, end)
    slot = np.int64(value & _U(mask))
    while table[slot] >= 0:
        code = np.int64(table[slot])
        if hashes[code] == value:
            q = places[code, 0]
            if places[code, 1] - q == end - p and _same(text, p, end, q):
                return code
        slot = (slot + 1) & mask
    table[slot] = n
    hashes[n] = value
    places[n, 0] = p
    places[n, 1] = end
    return n


@kernel(**_EXACT)
def intern(buffer, spans, table, hashes, places, codes):
    """Give equal pieces of text equal codes, in the order of first appearance.

    Parameters
    ----------
    buffer
        The bytes of the text.
    spans
        Start and end of each piece, shape (n, 2).
    table, hashes, places
        A hash table, see `_intern`; places become the spans of the distinct pieces.
    codes
        Room for the code of each piece, shape (n,).

    Returns
    -------
    int
        Number of distinct pieces; -1 if the table is too small for them.
    """
    text = address_of(buffer)
    n = np.int64(0)
    code = np.int64(-1)
    last = len(hashes) - 1
    for k in range(len(spans)):
        if n >= last:
            return -1
        p, end = spans[k, 0], spans[k, 1]
        # Most pieces equal the one before.
        if (
            code < 0
            or end - p != places[code, 1] - places[code, 0]
            or not _same(text, p, end, places[code, 0])
        ):
            code = _intern(text, p, end, table, hashes, places, n)
        codes[k] = code
        if code == n:
            n += 1
    return n


@kernel(**_EXACT)
def refill(table, hashes, n):
    """Put the codes of `n` known keys into a new, empty hash table."""
    mask = len(table) - 1
    for code in range(n):
        slot = np.int64(hashes[code] & _U(mask))
        while table[slot] >= 0:
            slot = (slot + 1) & mask
        table[slot] = code


@helper(forceinline=True, **_EXACT)
def _is_properties(text, p, end):
    """Whether a key is ``Properties``, in any case."""
    if end - p != 10 or word_at(text, p) | _SPACES != _U(0x69747265706F7270):
        return False
    return byte_at(text, p + 8) | 32 == 101 and byte_at(text, p + 9) | 32 == 115


@kernel(takes=4, **_EXACT)
def split_comments(buffer, lines, begin, state, true_at, tokens, pairs, table, hashes, places, last, recent,
                   marks, kept, remarks):  # fmt: skip
    r"""Split comment lines into keys and values.

    The rules are ASE's (``ase.io.extxyz.key_val_str_to_dict``), save that an empty pair of quotes
    ends a value, that a list of lists is one value, that ``\n`` in quotes is a newline, and that
    a word behind ``key= `` is no value where another equals sign follows. A word without a value is
    true in extended XYZ (where ``Properties`` is given). A plain comment that has such words, or a
    quote that is never closed, is copied as it is.

    Parameters
    ----------
    buffer
        The bytes of the text; comments with escapes or odd quotes are overwritten.
    lines
        Start and end of each comment, shape (n, 2).
    begin
        The line to begin with.
    state
        Number of tokens, of keys, of bytes kept, and of values whose key was in the line before, so
        far; shape (4,); advanced.
    true_at
        Where the text has a ``T``, the value of a word that has none.
    tokens
        Room for frame, key code, start and end (``~end`` of a list of lists) of the value of each
        token, shape (m, 4).
    pairs
        Room for the pairs of one comment, shape (half the longest comment + 2, 4).
    table, hashes, places
        A hash table of keys, see `_intern`.
    last
        The latest token of each key, by code.
    recent
        Keys by their place in the latest line, -1 where unknown.
    marks
        Room for what is known of each line, `EXTENDED` and `UNCLOSED`, shape (n,).
    kept
        Room for plain comments, and `PAD` bytes.
    remarks
        Room for start and end of each comment in `kept`, shape (n, 2); zeros where it is not.

    Returns
    -------
    int
        The first line that found no room; the number of lines when done.
    """
    text, copies = address_of(buffer), address_of(kept)
    n, n_keys, n_kept, n_doubles = state[0], state[1], state[2], state[3]
    for line in range(begin, len(lines)):
        start, end = lines[line, 0], lines[line, 1]
        while end > start and _CLASSES[byte_at(text, end - 1)] == 1:
            end -= 1
        while start < end and _CLASSES[byte_at(text, start)] == 1:
            start += 1
        length = end - start
        room = length // 2 + 2
        if n + room > len(tokens) or n_keys + room > len(hashes) or n_kept + length + PAD > len(kept):
            state[0], state[1], state[2], state[3] = n, n_keys, n_kept, n_doubles
            return line
        found, unclosed, copied = _split_plainly(text, start, end, pairs), False, False
        if found < 0:
            for k in range(length):  # it will be overwritten
                put_byte(copies, n_kept + k, byte_at(text, start + k))
            copied = True
            found, unclosed = _split_fully(text, start, end, pairs)
        extended = False
        for k in range(found):
            extended = extended or _is_properties(text, pairs[k, 0], pairs[k, 1])
        marks[line] = extended * EXTENDED | unclosed * UNCLOSED
        remark = unclosed
        for k in range(0 if extended else found):
            remark = remark or pairs[k, 2] < 0 or pairs[k, 1] == pairs[k, 0]
        if remark and not extended:
            if not copied:
                for k in range(length):
                    put_byte(copies, n_kept + k, byte_at(text, start + k))
            remarks[line, 0], remarks[line, 1] = n_kept, n_kept + length
            n_kept += length
        if unclosed:
            continue
        first = n
        for k in range(found):
            bare = pairs[k, 2] < 0
            if pairs[k, 1] == pairs[k, 0] or (bare and not extended):
                continue
            p, end = pairs[k, 0], pairs[k, 1]
            key = recent[k % len(recent)]  # the line before had it in this place, most likely
            if (
                key < 0
                or places[key, 1] - places[key, 0] != end - p
                or not _same(text, p, end, places[key, 0])
            ):
                key = _intern(text, p, end, table, hashes, places, n_keys)
                recent[k % len(recent)] = key
            if key == n_keys:
                last[key] = -1
                n_keys += 1
            n_doubles += last[key] >= first
            last[key] = n
            tokens[n, 0] = line
            tokens[n, 1] = key
            tokens[n, 2] = true_at if bare else pairs[k, 2]
            tokens[n, 3] = true_at + 1 if bare else pairs[k, 3]
            n += 1
    state[0], state[1], state[2], state[3] = n, n_keys, n_kept, n_doubles
    return len(lines)


@helper(**_EXACT)
def _bool(text, p, end):
    """Return 1, 0 or -1 (neither) for the words that mean true or false."""
    letters = word_at(text, p)
    if end - p == 1:
        c = letters & _U(0xFF)
        return 1 if c == _U(0x54) else 0 if c == _U(0x46) else -1
    if end - p == 4:  # true, True, TRUE
        c = letters & _U(0xFFFFFFFF)
        return 1 if c == _U(0x65757274) or c == _U(0x65757254) or c == _U(0x45555254) else -1
    if end - p == 5:  # false, False, FALSE
        c = letters & _U(0xFFFFFFFFFF)
        return 0 if c == _U(0x65736C6166) or c == _U(0x65736C6146) or c == _U(0x45534C4146) else -1
    return -1


@helper(**_EXACT)
def _flat_json(text, p, end, words, floats, out, pending, n_pending):
    """Read a JSON list of plain numbers; kind `V_JSON` means it is something else."""
    kind = V_J_INTS
    first = out
    p = _skip_spaces(text, p + 1)
    while True:
        q = p + 1 if byte_at(text, p) == _MINUS else p
        c, d = byte_at(text, q), byte_at(text, q + 1)
        if not 48 <= c <= 57 or (c == 48 and 48 <= d <= 57):
            return V_JSON, out, n_pending
        while 48 <= byte_at(text, q) <= 57:
            q += 1
        whole = True
        if byte_at(text, q) == _POINT:
            whole = False
            q += 1
            if not 48 <= byte_at(text, q) <= 57:
                return V_JSON, out, n_pending
        letter = byte_at(text, q) | 32
        if not whole or letter == 101 or letter == 100:
            whole = False
            if kind == V_J_INTS:
                kind = V_J_FLOATS
                for k in range(first, out):
                    floats[k] = float(words[k])
        if kind == V_J_INTS:
            fits, value = _integer(text, p, q)
            if not fits:
                return V_JSON, out, n_pending
            words[out] = value
        else:
            status, number, q = _float_called(text, p)
            if status == _NOT_READ:
                return V_JSON, out, n_pending
            if status == _UNDECIDED and n_pending < len(pending):
                pending[n_pending, 0], pending[n_pending, 1], pending[n_pending, 2] = out, p, q
                n_pending += 1
            elif status == _UNDECIDED:
                n_pending = len(pending) + 1
                return V_JSON, out, n_pending
            floats[out] = number
        out += 1
        p = _skip_spaces(text, q)
        c = byte_at(text, p)
        p += 1
        if c == 93:
            return (kind if p == end else V_JSON), out, n_pending
        if c != _COMMA or p >= end:
            return V_JSON, out, n_pending
        p = _skip_spaces(text, p)


@helper(**_EXACT)
def _next_row(text, p, end):
    """Return start and end of the next row of a list of lists; -1 behind the last, -2 if it is none."""
    while p < end and (_is_space(byte_at(text, p)) or byte_at(text, p) == _COMMA):
        p += 1
    if p + 1 == end and byte_at(text, p) == _CLOSE:
        return -1, -1
    if p >= end or byte_at(text, p) != _OPEN:
        return -2, -2
    p += 1
    start = p
    while p < end and byte_at(text, p) != _CLOSE:
        if byte_at(text, p) == _OPEN or byte_at(text, p) == _QUOTE:
            return -2, -2
        p += 1
    return start, p


@kernel(takes=3, **_EXACT)
def read_values(buffer, tokens, slots, frames, spans, kinds, lengths, at, words, floats, pending):
    """Read values of comment lines as integers, floats or booleans where they are such.

    They are read in the order of the text, which is in the cache then, and listed by key.

    Parameters
    ----------
    buffer
        The bytes of the text.
    tokens
        Frame, key, start and end (``~end`` of a list of lists) of each value, shape (n, 4).
    slots
        Where the values of each key begin in the lists; they are used up.
    frames, spans
        Room for the frame of each value, shape (n,), and its start and end, shape (n, 2).
    kinds, lengths
        Room for the kind of each value and its number of elements, 0 for a scalar, with `ROWS` for
        a list of lists of equal length; shape (n,).
    at
        Room for the place of each value's first element in `words`, shape (n,).
    words, floats
        Room for the elements; both are views of the same memory.
    pending
        Room for floats left undecided: place in `words`, start and end in the text, (m, 3).

    Returns
    -------
    int
        Number of pending floats; more than there is room for means: again, with more room.
    """
    text = address_of(buffer)
    out = np.int64(0)
    n_pending = np.int64(0)
    for token in range(len(tokens)):
        k = slots[tokens[token, 1]]
        slots[tokens[token, 1]] += 1
        p, end = tokens[token, 2], tokens[token, 3]
        nested = end < 0
        end = ~end if nested else end
        rows = row = np.int64(0)
        frames[k] = tokens[token, 0]
        spans[k, 0], spans[k, 1] = p, end
        stop = end
        if nested:
            p, stop = _next_row(text, p + 1, end)
        first = out
        at[k] = first
        undo = n_pending
        kind = V_EMPTY
        while True:
            while p < stop and (_is_space(byte_at(text, p)) or byte_at(text, p) == _COMMA):
                p += 1
            if p >= stop:
                if nested and p >= 0:
                    rows += 1
                    if (out - first) % rows == 0 and (rows == 1 or (out - first) // rows == row):
                        row = (out - first) // rows
                        p, stop = _next_row(text, stop + 1, end)
                        continue
                    kind = V_TEXT  # its rows differ in length
                elif p == -2:
                    kind = V_TEXT
                break
            c = byte_at(text, p) | 32
            if kind != V_BOOL and (c < 97 or c == 105 or c == 110):  # nan and inf
                status, number, stopped = _float_called(text, p)
                c = byte_at(text, stopped)
                if status != _NOT_READ and (
                    stopped == stop or (stopped < stop and (_is_space(c) or c == _COMMA))
                ):
                    if kind != V_FLOAT and (status == _UNDECIDED or number == np.floor(number)):
                        fits, whole = _integer(text, p, stopped)
                        if fits:
                            kind = V_INT
                            words[out] = whole
                            out += 1
                            p = stopped
                            continue
                    if kind == V_INT:  # again, as floats: -0 is one
                        p, out, kind = spans[k, 0], first, V_FLOAT
                        if nested:
                            rows = np.int64(0)
                            p, stop = _next_row(text, p + 1, end)
                        continue
                    kind = V_FLOAT
                    floats[out] = number
                    if status == _UNDECIDED:
                        if n_pending >= len(pending):
                            return len(pending) + 1
                        pending[n_pending, 0], pending[n_pending, 1], pending[n_pending, 2] = out, p, stopped
                        n_pending += 1
                    out += 1
                    p = stopped
                    continue
            start = p
            while p < stop and not _is_space(byte_at(text, p)) and byte_at(text, p) != _COMMA:
                p += 1
            truth = _bool(text, start, p) if kind in (V_EMPTY, V_BOOL) else -1
            if truth < 0:
                kind = V_TEXT
                break
            kind = V_BOOL
            words[out] = truth
            out += 1
        if kind == V_TEXT:
            out = first
            n_pending = undo
            p = spans[k, 0]
            if end - p > 6 and word_at(text, p) & _U(0xFFFFFFFFFFFF) == _U(0x204E4F534A5F):
                kind = V_JSON
                if byte_at(text, p + 6) == 91:
                    kind, out, n_pending = _flat_json(
                        text, p + 6, end, words, floats, out, pending, n_pending
                    )
                    if n_pending > len(pending):
                        return n_pending
                if kind == V_JSON:
                    out = first
                    n_pending = undo
        kinds[k] = kind
        lengths[k] = 0 if out - first == 1 and kind < V_J_INTS else out - first
        if nested and out > first:
            lengths[k] = rows << ROWS | row
    return n_pending


# Atom lines.


@helper(**_EXACT)
def _element(text, p, end):
    """Return the atomic number of a symbol in any case, or of digits; -1 if it is neither."""
    c = byte_at(text, p)
    if 48 <= c <= 57:
        return _atomic_number(text, p, end)
    length = end - p
    if length > 2 or not 97 <= c | 32 <= 122:
        return -1
    place = 32 * (c & 31)
    if length == 2:
        d = byte_at(text, p + 1)
        if not 97 <= d | 32 <= 122:
            return -1
        place += d & 31
    number = np.int64(_ELEMENTS[place])
    return -1 if number == 255 else number


@helper(**_EXACT)
def _atomic_number(text, p, end):
    fits, value = _integer(text, p, end)
    return value if fits and 0 <= value <= 118 else -1


@kernel(takes=3, **_EXACT)
def read_atoms(buffer, begin, frames, first_row, formats, edges, widths, program, numbers, others, floats,
               ints, bools, spans, faults, pending, tokens):  # fmt: skip
    """Read the atom lines of frames into flat columns.

    Parameters
    ----------
    buffer
        The bytes of the text; the line of the last atom must end in a newline.
    begin
        The frame to begin with.
    frames
        Position of the first atom line and number of atoms of each frame, shape (n, 2).
    first_row
        Row of each frame's first atom, shape (n,).
    formats
        Which format each frame has, shape (n,).
    edges
        Format i has the steps ``edges[i]:edges[i + 1]`` of the program.
    widths
        Number of tokens of each format; negative where a line may go on behind them, unread.
    program
        Steps: what the tokens are, how many there are, and where in the array of their type the
        rows of the property begin; shape (m, 3).
    numbers, others
        Room for atomic numbers by symbol and by number, shape (rows,).
    floats, ints, bools, spans
        Room for the tokens of each type; `spans` has start and end of texts, shape (k, 2).
    faults
        Room for code, atom, position and step of each frame's first fault, shape (n, 4); without a
        fault, the last says whether lines went on behind what is read.
    pending
        Room for floats left undecided: place in `floats`, start and end in the text, (m, 3).
    tokens
        Room for the tokens of a line, 72 more than the largest width.

    Returns
    -------
    frame, n_pending
        The first frame not done because `pending` is full, and how much of that is valid.
    """
    text = address_of(buffer)
    n_pending = 0
    for frame in range(begin, len(frames)):
        undo = n_pending
        p = frames[frame, 0]
        n_atoms = frames[frame, 1]
        row = first_row[frame]
        goes_on = widths[formats[frame]] < 0
        width = abs(widths[formats[frame]])
        first_step, last_step = edges[formats[frame]], edges[formats[frame] + 1]
        code = FINE
        for atom in range(n_atoms):
            # All tokens are found first: then no number has to wait for the one before it.
            n_tokens = 0
            open_before = _U(1)  # what precedes a line is a space
            line = p
            while True:
                spaces = which_are_spaces(text, p)
                ends = which_are(text, p, _NEWLINE)
                begins = ~spaces & ((spaces << _U(1)) | open_before)
                begins = begins & (ends ^ (ends - _U(1)))  # up to the newline; all if there is none
                open_before = spaces >> _U(63)
                count = count_ones(begins)
                for k in range(8):
                    tokens[_U(n_tokens + k)] = p + trailing_zeros(begins)
                    begins = begins & (begins - _U(1))
                if count > 8:
                    for k in range(8, count):
                        tokens[n_tokens + k] = p + trailing_zeros(begins)
                        begins = begins & (begins - _U(1))
                n_tokens += count
                if ends != _U(0):
                    p += trailing_zeros(ends) + 1
                    break
                p += 64
                if n_tokens > width:
                    break
            if goes_on and n_tokens > width:
                faults[frame, 3] = 1
                if byte_at(text, p - 1) != _NEWLINE:
                    p = _line_end(text, p, _FAR) + 1
            if n_tokens != width and not (goes_on and n_tokens > width):
                code = TOO_FEW if n_tokens < width else TOO_MANY
                faults[frame, 0], faults[frame, 1], faults[frame, 2] = code, atom, line
                n_pending = undo
                break
            token = 0
            for step in range(first_step, last_step):
                what, size = program[step, 0], program[step, 1]
                out = program[step, 2] + (row + atom) * size
                for place in range(out, out + size):
                    start = tokens[_U(token)]
                    token += 1
                    if what == REAL:
                        status, value, end = _float(text, start)
                        floats[_U(place)] = value
                        if not _is_space(byte_at(text, end)):
                            code = NOT_A_NUMBER
                        elif status != _READ:
                            if status == _NOT_READ:
                                code = NOT_A_NUMBER
                            elif n_pending >= len(pending):
                                return frame, undo
                            else:
                                pending[n_pending, 0], pending[n_pending, 1] = place, start
                                pending[n_pending, 2] = end
                                n_pending += 1
                    else:
                        end = _token_end(text, start)
                        if what in (SPECIES, NUMBER):
                            z = (
                                _element(text, start, end)
                                if what == SPECIES
                                else _atomic_number(text, start, end)
                            )
                            if z < 0:
                                code = NO_ELEMENT if what == SPECIES else NO_ATOMIC_NUMBER
                            elif what == SPECIES:
                                numbers[row + atom] = z
                            else:
                                others[row + atom] = z
                        elif what == INT:
                            fits, whole = _integer(text, start, end)
                            ints[place] = whole
                            code = code if fits else NOT_AN_INTEGER
                        elif what == BOOL:
                            truth = _bool(text, start, end)
                            bools[place] = truth == 1
                            code = code if truth >= 0 else NOT_A_BOOL
                        else:
                            spans[place, 0] = start
                            spans[place, 1] = end
                    if code:
                        break
                if code:
                    faults[frame, 0], faults[frame, 1], faults[frame, 2] = code, atom, start
                    faults[frame, 3] = step
                    n_pending = undo
                    break
            if code:
                break
    return len(frames), n_pending
