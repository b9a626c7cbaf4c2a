"""Kernels of stored rows: of the decimal encoding, and hashes of the rows of each structure.

Which numbers are decimals, and the whole numbers that stand for them; which structures are the same.
"""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import kernel

__all__ = ["LARGEST", "divide", "find_digits", "hash_rows", "multiply"]

_PIECE = 128  # numbers that are looked at together
_SIGNED_ZERO = np.int64(-(2**63))
#: The largest whole number of a decimal. Up to 2**53 all are doubles; but a product with a power of ten is
#: off by up to a part in 2**52, and must round to the right one.
LARGEST = 2.0**50


@kernel
def find_digits(values, bits, powers, found):  # type: ignore[no-untyped-def]
    """Find how many digits behind the point it takes to write all numbers; return whether there are enough.

    ``bits`` are the numbers as 64-bit integers, ``powers`` those of ten. ``found[0]`` is the number of digits
    that others need and becomes that of all, ``found[1]`` becomes the largest whole number. ``found[2]`` is
    set where a zero has a sign, ``found[3]`` where what is missing is not NumPy's NaN.
    """
    digits, most = found[0], len(powers)
    power, largest = powers[digits], 0.0
    n = len(values)
    i = stop = 0
    while i < n:
        if i == stop:  # most pieces have nothing to be looked at number by number: no branch in here
            stop = min(n, i + _PIECE)
            odd = False
            piece, written = values[i:stop], bits[i:stop]
            for k in range(len(piece)):
                x = piece[k]
                whole = np.rint(x * power)
                odd |= (whole / power != x) | (written[k] == _SIGNED_ZERO) | (abs(x) > largest)
            if not odd:
                i = stop
                continue
        x, as_bits = values[i], bits[i]
        i += 1
        if x != x:
            if as_bits != 0x7FF8000000000000:
                found[3] = 1
            continue
        if x == 0.0:
            if as_bits != 0:
                found[2] = 1
            continue
        while np.rint(x * power) / power != x:
            digits += 1
            if digits == most:
                return False
            power = powers[digits]
        largest = max(largest, abs(x))
    whole = np.rint(largest * power)
    if not whole <= LARGEST:
        return False
    found[0], found[1] = digits, np.int64(whole)
    return True


@kernel
def multiply(values, power, most, missing, out):  # type: ignore[no-untyped-def]
    """Write the whole numbers up to `most` that stand for decimals; return the first that is none, or -1."""
    for i in range(len(values)):
        x = values[i]
        if x != x:
            out[i] = missing
            continue
        whole = np.rint(x * power)
        if whole / power != x or abs(whole) > most:
            return i
        out[i] = np.int64(whole)
    return -1


@kernel
def divide(whole, power, missing, out):  # type: ignore[no-untyped-def]
    """Write the decimals that whole numbers stand for, as doubles and then in the precision of ``out``."""
    for i in range(len(whole)):
        k = whole[i]
        x = k / power
        out[i] = np.nan if k == missing else x


# Of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), and the mixers of it and of MurmurHash3 (Appleby).
_STEP = np.uint64(0x9E3779B97F4A7C15)
_A, _B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_C, _D = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_27, _30, _31, _32, _33 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32), np.uint64(33)


@kernel
def hash_rows(words, edges, seed, out):  # type: ignore[no-untyped-def]
    """Add the hashes of the words ``edges[i]:edges[i + 1]`` to ``out[i]``, two numbers of 64 bits.

    Each word is mixed with its place among those of its structure, and what comes of them is added up.
    """
    for i in range(len(edges) - 1):
        key, first, second = seed, np.uint64(0), np.uint64(0)
        own = words[edges[i] : edges[i + 1]]
        for k in range(len(own)):
            key += _STEP
            x = own[k] + key
            x = (x ^ (x >> _30)) * _A
            x = (x ^ (x >> _27)) * _B
            first += x ^ (x >> _31)
            y = own[k] ^ ((key << _32) | (key >> _32))
            y = (y ^ (y >> _33)) * _C
            y = (y ^ (y >> _33)) * _D
            second += y ^ (y >> _33)
        out[i, 0] += first
        out[i, 1] += second
