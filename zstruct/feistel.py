"""Kernels of pseudo-random permutations: Feistel networks of six rounds over so many bits.

`zstruct.random` says what they are for, and does the same by NumPy for a few numbers.
"""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper, kernel

__all__ = ["permute", "shuffle"]

_MIX, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)
_PIECE = 512  # numbers that are sent together: they and their images stay in the first-level cache


@kernel
def permute(image, n, bits, keys):  # type: ignore[no-untyped-def]
    """Replace numbers below `n` by their images, sent on until they are below `n`, too."""
    left, places = np.empty(_PIECE, np.int64), np.empty(_PIECE, np.int64)
    for start in range(0, len(image), _PIECE):
        piece = image[start : start + _PIECE]
        _send(piece, bits, keys)
        # Those outside are gathered, so that sending has no branch. Written in any case, kept if it counts.
        k = 0
        for i in range(len(piece)):
            left[k], places[k] = piece[i], i
            k += piece[i] >= n
        while k:
            _send(left[:k], bits, keys)
            outside = 0
            for j in range(k):
                x, i = left[j], places[j]
                piece[i] = x
                left[outside], places[outside] = x, i
                outside += x >= n
            k = outside


@kernel
def shuffle(image, n, bits, keys):  # type: ignore[no-untyped-def]
    """Write the images of all numbers, in order, that are below `n`; `image` has room for one more."""
    some = np.empty(_PIECE, np.int64)
    k = 0
    for start in range(0, 1 << bits, _PIECE):
        for i in range(_PIECE):
            some[i] = start + i
        _send(some, bits, keys)
        for i in range(_PIECE):
            image[k] = some[i]
            k += some[i] < n


@helper
def _send(numbers, bits, keys):  # type: ignore[no-untyped-def]
    """Replace numbers by their images under the network."""
    low = np.uint64(bits // 2)
    one = np.uint64(1)
    low_mask, high_mask = (one << low) - one, (one << (np.uint64(bits) - low)) - one
    a, b, c, d, e, f = keys[0], keys[1], keys[2], keys[3], keys[4], keys[5]
    for i in range(len(numbers)):
        x = np.uint64(numbers[i])
        high, rest = x >> low, x & low_mask
        high ^= _round(rest, a, high_mask)
        rest ^= _round(high, b, low_mask)
        high ^= _round(rest, c, high_mask)
        rest ^= _round(high, d, low_mask)
        high ^= _round(rest, e, high_mask)
        rest ^= _round(high, f, low_mask)
        numbers[i] = np.int64((high << low) | rest)


@helper(inline="always")
def _round(half, key, mask):  # type: ignore[no-untyped-def]
    """Return what a round adds to the other half, whose bits are those of the mask."""
    mixed = (half ^ key) * _MIX
    mixed = (mixed ^ (mixed >> _HALF)) * _MIX
    return (mixed >> _HALF) & mask
