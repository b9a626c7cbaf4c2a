"""Numbers in text, for kernels: read exactly as Python's ``float`` reads them.

Fortran's exponents are read, too, as if their D were an E. A decimal w * 10**q with w < 2**53 and
q within 22 of zero takes one multiplication or division of exact doubles (W. D. Clinger, PLDI 1990);
others take a 128-bit product (D. Lemire, Softw. Pract. Exp. 51, 1700, 2021); what that leaves
undecided (subnormals, more digits than a word holds close to a tie) is handed back.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper
from zstruct.sources.lines.characters import EXACT, MINUS, PLUS, POINT, SPACE, SPACES
from zstruct.sources.lines.words import (
    bits_of,
    byte_at,
    from_bits,
    high_product,
    leading_zeros,
    trailing_zeros,
    word_at,
)

__all__ = ["NOT_READ", "READ", "UNDECIDED", "float_at", "float_called", "integer_at", "scientific_at"]

# How reading a float ended.
READ, NOT_READ, UNDECIDED = 0, 1, 2

_U = np.uint64
_ZEROS = _U(0x3030303030303030)
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


_FIVES = _powers_of_five()
_TENS = 10.0 ** np.arange(23)
_WHOLE_TENS = np.array([10**k for k in range(20)], dtype=np.uint64)


@helper(**EXACT)
def integer_at(text, p, end):
    """Return whether the text is an integer that fits int64, and the integer."""
    negative = byte_at(text, p) == MINUS
    if negative or byte_at(text, p) == PLUS:
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


@helper(forceinline=True, **EXACT)
def _digit_run(word):
    """Return how many of eight bytes are digits before the first that is not.

    Carries and borrows run upwards only, from the first byte that is no digit.
    """
    return trailing_zeros(((word + _BELOW_COLON) | (word - _ZEROS)) & _HIGH1) >> 3


@helper(forceinline=True, **EXACT)
def _eight_digits(word):
    """Return the number that eight digits spell."""
    return _join(word - _ZEROS)


@helper(forceinline=True, **EXACT)
def _some_digits(word, n):
    """Return the number that the first `n` < 8 digits spell; 0 for none."""
    return _join(((word - _ZEROS) << _U(56 - 8 * n)) << _U(8))


@helper(forceinline=True, **EXACT)
def _join(t):
    """Return the number that eight bytes 0 ... 9 spell, the lowest one first."""
    t = t * _U(2561) >> _U(8)
    t = (t & _U(0x00FF00FF00FF00FF)) * _U(6553601) >> _U(16)
    return (t & _U(0x0000FFFF0000FFFF)) * _U(42949672960001) >> _U(32)


@helper(**EXACT)
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


@helper(**EXACT)
def _nearest_of_many(text, p, exponent):
    """Like `_nearest` for digits that do not fit one word, from `p` on, times 10**exponent."""
    w = _U(0)
    kept = 0
    behind = False  # the decimal point was passed
    cut = False  # a digit other than zero was dropped
    while True:
        c = byte_at(text, p)
        if c == POINT and not behind:
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


@helper(**EXACT)
def _number_word(text, p, negative):
    """Read nan, inf or infinity in any case."""
    letters = word_at(text, p) | SPACES
    three = letters & _U(0xFFFFFF)
    sign = -1.0 if negative else 1.0
    if three == _U(0x6E616E):
        return READ, np.copysign(np.nan, sign), p + 3
    if letters == _U(0x7974696E69666E69):
        return READ, sign * np.inf, p + 8
    if three == _U(0x666E69):
        return READ, sign * np.inf, p + 3
    return NOT_READ, 0.0, p


@helper(**EXACT)
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
    if not behind and byte_at(text, p) == PLUS and not negative:
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
        if behind or byte_at(text, p) != POINT:
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
        downwards = byte_at(text, q) == MINUS
        if downwards or byte_at(text, q) == PLUS:
            q += 1
        start = q
        while 48 <= byte_at(text, q) <= 57:
            exponent = min(10 * exponent + byte_at(text, q) - 48, 1 << 40)
            q += 1
        if q == start:
            return NOT_READ, 0.0, p
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
    return READ if told else UNDECIDED, -value if negative else value, p


@helper(forceinline=True, **EXACT)
def float_at(text, p):
    """Read the float at `p`: how that ended, its value, and the position behind it.

    The usual form, up to 7 digits, a point and up to 8 digits, is read here without a branch on
    what can't be foretold: sign and number of digits.
    """
    negative = np.int64(byte_at(text, p) == MINUS)
    first = p + negative
    word = word_at(text, first)
    run = _digit_run(word)
    p = first + run
    w, n_behind = _U(0), np.int64(0)
    if run < 8 and byte_at(text, p) == POINT:
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
            return READ, from_bits(bits_of(value) ^ (_U(negative) << _U(63))), p
    else:
        p = first
    return _float_slowly(text, first, p, w, n_behind, negative == 1)


@helper(forceinline=True, **EXACT)
def scientific_at(text, p):
    """Read the float at `p` if it is as C prints it for ``%.18e``, and NumPy if it is not told otherwise.

    Returns
    -------
    read, value, end
        Whether it was so, and could be read; its value, and the position behind it.
    """
    negative = np.int64(byte_at(text, p) == MINUS)
    p += negative
    lead, first, second = _U(byte_at(text, p)) - _U(48), word_at(text, p + 2), word_at(text, p + 10)
    rest = word_at(text, p + 16)  # the last four digits, e, the sign, and the exponent
    tens, ones = (rest >> _U(48) & _U(0xFF)) - _U(48), (rest >> _U(56)) - _U(48)
    letter, sign = rest >> _U(32) & _U(0xFF), np.int64(rest >> _U(40) & _U(0xFF))
    digits = ((first + _BELOW_COLON) | (first - _ZEROS)) & _HIGH1
    digits |= ((second + _BELOW_COLON) | (second - _ZEROS)) & _HIGH1
    digits |= ((rest + _BELOW_COLON) | (rest - _ZEROS)) & _U(0x80808080)
    fine = digits == _U(0) and lead <= _U(9) and tens <= _U(9) and ones <= _U(9)
    fine = fine and byte_at(text, p + 1) == POINT and letter == _U(101)
    fine = fine and (sign in (PLUS, MINUS)) and byte_at(text, p + 24) <= SPACE
    if not fine:
        return False, 0.0, p
    last = ((rest >> _U(16)) & _U(0xFF)) * _U(10) + ((rest >> _U(24)) & _U(0xFF)) - _U(528)
    w = lead * _U(1000000000000000000) + _eight_digits(first) * _U(10000000000)
    w = w + _eight_digits(second) * _U(100) + last
    power = np.int64(tens * _U(10) + ones)
    power = (power if sign == PLUS else -power) - 18
    # What `_nearest` does, without what can't be for such exponents, or is rare. So many digits are hardly
    # more or less than a double, and the second product is needed for half of them: a branch would be lost.
    shift = leading_zeros(w)
    wide = w << (_U(shift) & _U(63))
    high_five, low_five = _FIVES[_U(power + 342), _U(0)], _FIVES[_U(power + 342), _U(1)]
    more, low = high_product(wide, low_five), wide * high_five
    low = low + more
    high = high_product(wide, high_five) + _U(low < more)
    upper = high >> _U(63)
    mantissa = high >> (upper + _U(9))
    mantissa = (mantissa + (mantissa & _U(1))) >> _U(1)
    exponent = ((217706 * power) >> 16) + (63 + 1023) + np.int64(upper) - shift
    bits = (_U(exponent) << _U(52)) + mantissa - _U(1 << 52)  # a mantissa of 2**53 is one more exponent
    if low <= _U(1) or low == _U(0xFFFFFFFFFFFFFFFF) or w == _U(0):
        fine, bits = (True, _U(0)) if w == _U(0) else _nearest(w, power)
    return fine, from_bits(bits ^ (_U(negative) << _U(63))), p + 24


@helper(**EXACT)
def float_called(text, p):
    """Like `float_at`, but compiled once; for callers that read few numbers."""
    return float_at(text, p)
