"""Numbers as text, for kernels: the shortest that reads back as the same number, as Python's ``repr`` has it.

Most numbers of text-born data have up to eight digits behind the point: k / 10**8 with a whole k below
10**15. Of decimals that short no two are the same double, so the one that is found is the shortest. All
others take the interval of the decimals that round to them (R. Giulietti, "The Schubfach way to render
doubles", 2020): two multiplications by a power of ten of 128 bits bound it, a third places the number.

Text is written at the address of an uint8 array, or into a view of its memory where Python runs this. Up to
`ROOM` bytes from a position on may be written, whatever the length of what stays there.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper
from zstruct.sources.lines.characters import EXACT
from zstruct.sources.lines.words import (
    bits_of,
    byte_at,
    from_bits,
    high_product,
    leading_zeros,
    put_byte,
    put_word,
    trailing_zeros,
)

__all__ = ["LONGEST", "ROOM", "put_float32", "put_float64", "put_integer"]

#: Bytes of the longest number: -2.2250738585072014e-308.
LONGEST = 24
#: Bytes behind a position that must be there.
ROOM = 40

_U = np.uint64
_ZEROS = _U(0x3030303030303030)
_NAN, _INF, _NIL = (_U(int.from_bytes(word, "little")) for word in (b"nan     ", b"inf     ", b"0.000000"))
_INFINITE = _U(0x7FF << 52)
_MANTISSA = _U((1 << 52) - 1)
_EIGHT, _SIXTEEN = _U(10**8), _U(10**16)
_WHOLE_TENS = np.array([10**k for k in range(20)], dtype=np.uint64)
_TENS = 10.0 ** np.arange(23)
_LEAST, _MOST = -292, 324  # powers of ten that doubles meet


def _powers_of_ten() -> np.ndarray:
    """Return 10**t, rounded up to 128 leading bits, for t = -292 ... 324, shape (617, 2), high word first."""
    rows = []
    for t in range(_LEAST, _MOST + 1):
        power = 10 ** abs(t)
        length = power.bit_length()
        if t >= 0:
            top = power << (128 - length) if length <= 128 else -(-power >> (length - 128))
        else:
            top = -(-(1 << (length + 127)) // power)
            top = top if top < 1 << 128 else -(-(1 << (length + 126)) // power)
        rows.append((top >> 64, top & (2**64 - 1)))
    return np.array(rows, dtype=np.uint64)


_POWERS = _powers_of_ten()


@helper(forceinline=True, **EXACT)
def _eight_digits(v):
    """Return the eight digits of a number below 10**8 as bytes of a word, the first digit lowest."""
    high = v // _U(10000)
    t = high | ((v - high * _U(10000)) << _U(32))
    high = ((t * _U(10486)) >> _U(20)) & _U(0x0000007F0000007F)
    t = high | ((t - high * _U(100)) << _U(16))
    high = ((t * _U(103)) >> _U(10)) & _U(0x000F000F000F000F)
    return (high | ((t - high * _U(10)) << _U(8))) + _ZEROS


@helper(**EXACT)
def _put_below(text, p, v):
    """Write a whole number below 10**8; return the position behind it."""
    if v < _U(10):
        put_byte(text, p, np.int64(v) + 48)
        return p + 1
    word = _eight_digits(v)
    zeros = trailing_zeros(word ^ _ZEROS) >> 3
    put_word(text, p, word >> _U(8 * zeros))
    return p + 8 - zeros


@helper(**EXACT)
def _put_whole(text, p, v):
    """Write a whole number; return the position behind it."""
    if v < _EIGHT:
        return _put_below(text, p, v)
    top = v // _EIGHT
    if top < _EIGHT:
        p = _put_below(text, p, top)
    else:
        above = top // _EIGHT
        p = _put_below(text, p, above)
        put_word(text, p, _eight_digits(top - above * _EIGHT))
        p += 8
    put_word(text, p, _eight_digits(v - top * _EIGHT))
    return p + 8


@helper(**EXACT)
def put_integer(text, p, value):
    """Write an int64; return the position behind it."""
    magnitude = _U(value)
    if value < 0:
        put_byte(text, p, 45)
        p += 1
        magnitude = ~magnitude + _U(1)
    return _put_whole(text, p, magnitude)


@helper(**EXACT)
def _rounded_to_odd(high, low, factor):
    """Return the upper 64 bits of a product with 128 bits, made odd if anything is below them."""
    below = high * factor
    more = below + high_product(low, factor)
    above = high_product(high, factor)
    if more < below:
        above = above + _U(1)
    return above | _U(more > _U(1))


@helper(**EXACT)
def _shortest(c, q, lopsided):
    """Return the shortest decimal w * 10**e that rounds to c * 2**q, the nearest of those that are as short.

    Parameters
    ----------
    c, q
        What the number is; c has up to 53 bits.
    lopsided
        Whether its neighbour below is half as far as the one above.
    """
    k = (q * 1262611 - 524031 if lopsided else q * 1262611) >> 22  # 10**k is no wider than the interval
    shift = _U(q + ((-k * 1741647) >> 19) + 1)
    high, low = _POWERS[-k - _LEAST, 0], _POWERS[-k - _LEAST, 1]
    fours = c << _U(2)
    lower = _rounded_to_odd(high, low, (fours - (_U(1) if lopsided else _U(2))) << shift)
    number = _rounded_to_odd(high, low, fours << shift)
    upper = _rounded_to_odd(high, low, (fours + _U(2)) << shift)
    odd = c & _U(1)  # then the ends of the interval round to the neighbours
    lower = lower + odd
    upper = upper - odd
    s = number >> _U(2)
    if s >= _U(10):
        t = s // _U(10)
        below, above = lower <= t * _U(40), t * _U(40) + _U(40) <= upper
        if below != above:
            return t + _U(above), k + 1
    fours = s << _U(2)
    below, above = lower <= fours, fours + _U(4) <= upper
    if below != above:
        return s + _U(above), k
    middle = fours + _U(2)
    return s + _U(number > middle or (number == middle and (s & _U(1)) == _U(1))), k


@helper(**EXACT)
def _put_decimal(text, p, w, e):
    """Write w * 10**e, 0 < w < 10**17, without the zeros that w ends in; return the position behind it."""
    n = ((64 - leading_zeros(w)) * 1233) >> 12
    n += np.int64(w >= _WHOLE_TENS[n])
    point = n + e  # digits before the point
    w = w * _WHOLE_TENS[17 - n]
    first = w // _SIXTEEN
    w = w - first * _SIXTEEN
    middle = w // _EIGHT
    last = w - middle * _EIGHT
    middle_word, last_word = _eight_digits(middle), _eight_digits(last)
    n = 17 - (leading_zeros(last_word ^ _ZEROS) >> 3)
    if last == _U(0):
        n = 9 - (leading_zeros(middle_word ^ _ZEROS) >> 3)
    start = p + 1
    if -4 < point <= 0:
        put_word(text, p, _NIL)
        start = p + 2 - point
    put_byte(text, start, np.int64(first) + 48)
    put_word(text, start + 1, middle_word)
    put_word(text, start + 9, last_word)
    if -4 < point <= 0:
        return start + n
    if 0 < point <= 16:
        for _ in range(point):
            put_byte(text, p, byte_at(text, p + 1))
            p += 1
        put_byte(text, p, 46)
        if n <= point:
            put_byte(text, p + 1, 48)
        return p + 1 + max(n - point, 1)
    put_byte(text, p, byte_at(text, p + 1))
    p += 1
    if n > 1:
        put_byte(text, p, 46)
        p += n
    put_byte(text, p, 101)
    e = point - 1
    put_byte(text, p + 1, 45 if e < 0 else 43)
    e = abs(e)
    if e < 10:
        put_byte(text, p + 2, 48)
        p += 1
    return _put_below(text, p + 2, _U(e))


@helper(**EXACT)
def _put_odd_float(text, p, bits):
    """Write any positive double that is not of the usual form."""
    if bits >= _INFINITE:
        put_word(text, p, _INF if bits == _INFINITE else _NAN)
        return p + 3
    c, q = bits & _MANTISSA, np.int64(bits >> _U(52))
    lopsided = c == _U(0) and q > 1
    if q == 0:
        q = np.int64(1)
    else:
        c = c | _U(1 << 52)
    w, e = _shortest(c, q - 1075, lopsided)
    return _put_decimal(text, p, w, e)


@helper(**EXACT)
def put_float64(text, p, value):
    """Write a double as ``repr`` does; return the position behind it."""
    bits = bits_of(value)
    negative = np.int64(bits >> _U(63))
    bits = bits & _U(0x7FFFFFFFFFFFFFFF)
    put_byte(text, p, 45)
    p += negative
    size = from_bits(bits)
    if size < 1e7 and (size >= 1e-4 or bits == _U(0)):
        k = np.rint(size * 1e8)
        if k / 1e8 == size:
            w = _U(np.int64(k))
            whole = w // _EIGHT
            part = w - whole * _EIGHT
            p = _put_below(text, p, whole)
            put_byte(text, p, 46)
            word = _eight_digits(part)
            put_word(text, p + 1, word)
            return p + 9 - min(leading_zeros(word ^ _ZEROS) >> 3, 7)
    if bits > _INFINITE:
        p -= negative
    return _put_odd_float(text, p, bits)


@helper(**EXACT)
def put_float32(text, p, value):
    """Write a single, given as a double, as short as it takes to read it back as a double that rounds to it.

    Readers that round twice get the same number, too: what would mislead them is written as a double.
    """
    bits = bits_of(value)
    negative = bits >> _U(63)
    bits = bits & _U(0x7FFFFFFFFFFFFFFF)
    size = from_bits(bits)
    if bits >= _INFINITE or bits == _U(0):
        return put_float64(text, p, value)
    c = ((bits & _MANTISSA) | _U(1 << 52)) >> _U(29)
    q = np.int64(bits >> _U(52)) - 1046
    if q < -149:  # subnormal
        c = c >> _U(-149 - q)
        q = np.int64(-149)
    w, e = _shortest(c, q, c == _U(1 << 23) and q > -149)
    read = 0.0
    if -22 <= e <= 22:
        read = float(np.int64(w))
        read = read / _TENS[-e] if e < 0 else read * _TENS[e]
    if np.float32(read) != np.float32(size):
        return put_float64(text, p, value)
    put_byte(text, p, 45)
    return _put_decimal(text, p + np.int64(negative), w, e)
