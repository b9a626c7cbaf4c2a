"""Pseudo-random permutations and numbers of which any part can be computed without the rest.

Numbers in, numbers out: this module knows nothing of structures, epochs or ranks.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zstruct.feistel import permute, shuffle

__all__ = ["hashes", "mixed", "permuted", "shuffled", "uniform"]

_ROUNDS = 6
_LEAST_BITS = 12  # smaller networks mix badly
_MOST_BITS = 28  # by measurement: tables of larger networks don't fit into the caches of a core
# Seconds that NumPy takes, about: for a network, however few numbers go through it, and for each of them.
_CALL, _SEND = 1.2e-4, 1e-8
_MIX, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


def permuted(positions: NDArray[np.int64], n: int, *key: int) -> NDArray[np.int64]:
    """Return where a pseudo-random permutation of ``range(n)`` sends some positions.

    A Feistel network over the smallest sufficient number of bits, walked until it lands in the
    range: any part of the permutation can be had without the rest, on every machine the same.

    Parameters
    ----------
    positions
        Each in ``range(n)``.
    n
        Length of the permutation.
    *key
        Non-negative integers that choose the permutation.

    References
    ----------
    Black and Rogaway, Ciphers with arbitrary finite domains, CT-RSA 2002 (cycle walking).

    Examples
    --------
    >>> sorted(permuted(np.arange(5), 5, 42).tolist())
    [0, 1, 2, 3, 4]
    """
    if n <= 1 << _LEAST_BITS:  # walking would take long where the network is much larger
        return shuffled(n, *key)[positions]
    bits = int(n - 1).bit_length()
    run = permute.for_work(_CALL + _SEND * len(positions) * (1 << bits) / n, _permuted)
    if run is _permuted:
        return _permuted(positions, n, bits, _keys(key))
    image = np.array(positions, np.int64)
    run(image, n, bits, _keys(key))
    return image


def shuffled(n: int, *key: int) -> NDArray[np.int64]:
    """Return a whole pseudo-random permutation of ``range(n)``, faster than by its parts.

    Parameters
    ----------
    n
        Length of the permutation.
    *key
        Non-negative integers that choose the permutation.

    Examples
    --------
    >>> sorted(shuffled(5, 42).tolist())
    [0, 1, 2, 3, 4]
    """
    bits = max(_LEAST_BITS, int(n - 1).bit_length())
    run = shuffle.for_work(_CALL + _SEND * (1 << bits), _shuffled)
    if run is _shuffled:
        return _shuffled(n, bits, _keys(key))
    image = np.empty(n + 1, np.int64)  # the kernel writes what may count before it knows
    run(image, n, bits, _keys(key))
    return image[:n]


def uniform(positions: NDArray[np.int64], *key: int) -> NDArray[np.float64]:
    """Return the pseudo-random numbers at some positions of a sequence, each in [0, 1).

    Parameters
    ----------
    positions
        Not negative.
    *key
        Non-negative integers that choose the sequence.

    Examples
    --------
    >>> whole = uniform(np.arange(10), 42)
    >>> bool(np.all(uniform(np.array([7, 3]), 42) == whole[[7, 3]]))
    True
    """
    image = _feistel(positions.astype(np.uint64), 64, _keys(key))
    numbers = (image >> np.uint64(11)).astype(np.float64)  # as many bits as it holds
    numbers *= 2.0**-53
    return numbers


def _keys(key: tuple[int, ...]) -> NDArray[np.uint64]:
    return np.random.SeedSequence(key).generate_state(_ROUNDS, np.uint64).view(np.uint64)


# What the kernels do, as NumPy does it. Numba need not be loaded for a few numbers.


def _permuted(positions: NDArray[np.int64], n: int, bits: int, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the images of numbers, sent on until they are below `n`."""
    image = _sent(positions, bits, keys)
    outside = np.flatnonzero(image >= n)
    while len(outside):
        again = _sent(image[outside], bits, keys)
        image[outside] = again
        outside = outside[again >= n]
    return image


def _shuffled(n: int, bits: int, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the images of all numbers that are below `n`."""
    image = _sent(np.arange(1 << bits), bits, keys)
    return image[image < n]


def _sent(x: NDArray[np.int64], bits: int, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return where a network over so many bits sends numbers; new memory."""
    if bits > _MOST_BITS:
        return _feistel(x.astype(np.uint64), bits, keys).view(np.int64)
    low = bits // 2
    high_half, low_half = x >> low, x & (1 << low) - 1
    changed, other, t = high_half, low_half, np.empty_like(x)
    for table in _tables(bits, keys.tobytes()):
        table.take(other, out=t, mode="clip")  # none is outside; looking for that would take a copy
        changed ^= t
        changed, other = other, changed
    high_half <<= low
    high_half |= low_half
    return high_half


@lru_cache(maxsize=4)
def _tables(bits: int, keys: bytes) -> list[NDArray[np.int64]]:
    """Return what each round of a network adds to one half, for all that the other one can be."""
    masks, tables = _masks(bits), []
    for k, key in enumerate(np.frombuffer(keys, np.uint64)):
        halves = np.arange(int(masks[1 - k % 2]) + 1, dtype=np.uint64)
        tables.append(_round(halves, key, masks[k % 2], halves).view(np.int64))
    return tables


def _feistel(x: NDArray[np.uint64], bits: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    low, masks = np.uint64(bits // 2), _masks(bits)
    high_half, low_half = x >> low, x & masks[1]
    changed, other, t = high_half, low_half, np.empty_like(x)
    for k, key in enumerate(keys):
        changed ^= _round(other, key, masks[k % 2], t)
        changed, other = other, changed
    return (high_half << low) | low_half


def _masks(bits: int) -> tuple[np.uint64, np.uint64]:
    """Return the bits of the high and of the low half."""
    return np.uint64((1 << (bits - bits // 2)) - 1), np.uint64((1 << bits // 2) - 1)


def _round(
    half: NDArray[np.uint64], key: np.uint64, mask: np.uint64, out: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Return, in `out`, what a round adds to the other half, whose bits are those of the mask."""
    np.bitwise_xor(half, key, out=out)
    out *= _MIX
    out ^= out >> _HALF
    out *= _MIX
    out >>= _HALF
    out &= mask
    return out


def hashes(n: int, seed: int) -> NDArray[np.uint64]:
    """Return `n` different random numbers: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), seeded by itself.

    NumPy's generators may change with its version; these may not.
    """
    start = np.array([seed % 2**64], dtype=np.uint64)
    gamma = np.uint64(0x9E3779B97F4A7C15)
    return mixed(mixed(start + gamma) + gamma * np.arange(1, n + 1, dtype=np.uint64))


def mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64-bit words whose every bit depends on all bits of the given ones (SplitMix64), same shape."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
