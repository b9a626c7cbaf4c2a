"""What all kernels of the Chebyshev descriptor stand on: the neighbours of a centre, laid out in rows.

Neighbours lie in blocks of rows, one row for each coordinate or intermediate, a fixed distance apart, so
that the compiler sees that they do not overlap; indices are unsigned, for negative ones would count from
the end. Both are what it takes to have the loops vectorised. A row is filled up to whole vectors with
neighbours of no weight. Arrays are taken out of tuples once, for that counts references.
"""

# ruff: noqa: E741 - I is the inverse of the distance, l the order of a spherical harmonic
from __future__ import annotations

from math import factorial, pi
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from zstruct.jit.kernel import helper

__all__ = []

# A check for division by zero in a loop would keep it from being vectorised.
OPTIONS: Any = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}
# Kernels share helpers. One that is called, and not inlined, is the copy that was loaded first, of
# whatever kernel, and its sums may have another order: last bits would depend on what a process did before.
INLINED: Any = {**OPTIONS, "forceinline": True}
ONE = np.uint64(1)
BLOCK = np.uint64(128)  # neighbours of a block: its rows fit into the first-level cache
STRIDE = 136  # a little more, so that the same neighbour is not in the same cache set in all rows
LANES = np.uint64(16)  # two vectors of eight
_BASES, _COUNTS = np.uint64(2**40 - 1), np.uint64(255)  # above any start, and any number, of lanes
_ROWS = 24
SIZE = np.uint64(2 * _ROWS * STRIDE)
CHANGE = np.uint64(_ROWS * STRIDE)  # from a row to that of how it changes as atoms move
# The rows: unit vector, distance, species weight;
(X, Y, Z, D, S) = (np.uint64(row * STRIDE) for row in range(5))
# argument, cutoff function and its derivative, of the radial part; cutoff function of the angular part;
(T, RF, RG, AF, AG) = (np.uint64(row * STRIDE) for row in range(5, 10))
# the last two polynomials and their derivatives;
(P, Q, DP, DQ) = (np.uint64(row * STRIDE) for row in range(10, 14))
# A_m and B_m, those of the last m, and dE/dr of the radial part;
(A, B, LA, LB, R) = (np.uint64(row * STRIDE) for row in range(14, 19))
# a function of direction and its gradient, and the inverse of the distance.
(H, HX, HY, HZ, I) = (np.uint64(row * STRIDE) for row in range(19, 24))

# Taylor series of sin(pi x / 4) / x and cos(pi x / 4) in x^2, highest power first: right to 1e-17.
_SIN = np.array([(-1.0) ** k * (pi / 4) ** (2 * k + 1) / factorial(2 * k + 1) for k in range(8, -1, -1)])
_COS = np.array([(-1.0) ** k * (pi / 4) ** (2 * k) / factorial(2 * k) for k in range(8, -1, -1)])


class Piece(NamedTuple):
    """A piece of a neighbour list, and the atomic numbers of all rows that it speaks of."""

    start: int
    offsets: NDArray[np.int64]
    indices: NDArray[np.int64]
    vectors: NDArray[np.float64]
    distances: NDArray[np.float64]
    numbers: NDArray[np.int64]


class Model(NamedTuple):
    """The hyperparameters; the last four are made by `tables`."""

    weights: NDArray[np.float64]  # by atomic number, NaN for unknown species
    cutoffs: tuple[float, float, float]  # what is too near, the radial and the angular one
    rad_order: int
    series: NDArray[np.float64]
    ratio: NDArray[np.float64]
    alpha: NDArray[np.float64]
    beta: NDArray[np.float64]


def tables(ang_order: int) -> tuple[NDArray[np.float64], ...]:
    """Return T_n as series in P_l, N_m / N_(m-1), and the coefficients of q_lm by (m, l).

    There are two more l than there are orders, for loops take two at a time.
    """
    series = np.eye(ang_order + 1)
    for n in range(2, ang_order + 1):
        terms = 2 * legendre.legmulx(series[n - 1])  # T_n = 2 x T_(n-1) - T_(n-2)
        series[n, : len(terms)] = terms
        series[n] -= series[n - 2]
    m, l = np.mgrid[: ang_order + 1, : ang_order + 3].astype(float)
    above, first = (l > m) & (l <= ang_order), l == m
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.where(above, (2 * l - 1) / np.sqrt((l - m) * (l + m)), 0.0)
        beta = np.where(above, np.sqrt((l + m - 1) * (l - m - 1) / ((l + m) * (l - m))), 0.0)
        ratio = np.sqrt((2 * m[:, 0] - 1) / (2 * m[:, 0]))
    # What comes before q_mm is taken to be one, so that q_mm = 0 z - (-1) 1.
    beta[first] = -1.0
    ratio[0] = 0.0  # nothing comes before A_0
    ratio[1:2] = 1.0  # from m = 1 on a factor sqrt(2), for m and -m are both in A_m and B_m
    return series, ratio, alpha, beta


def scratch(piece: Piece, model: Model) -> tuple[NDArray[Any], ...]:
    """Return room for the neighbours of any one centre, their pairs, moments, and sums over orders."""
    most = int(np.diff(piece.offsets).max(initial=0))
    n_ang = len(model.ratio)
    moments = np.zeros((8, n_ang, n_ang + 2))
    sums = np.zeros((2, max(model.rad_order + 4, n_ang)))
    return (
        np.zeros(-(-most // int(BLOCK)) * int(SIZE)),
        np.empty(most, np.int64),
        moments,
        sums,
        moments.ravel(),  # views: to set them to zero takes one function for both
        sums.ravel(),
    )


@helper(**INLINED)
def set_zero(flat):  # type: ignore[no-untyped-def]
    for i in range(flat.size):
        flat[i] = 0.0


@helper(**INLINED)
def four(moments, first, m, l):  # type: ignore[no-untyped-def]
    """Return four moments of m and l, from the `first` on."""
    return moments[first, m, l], moments[first + 1, m, l], moments[first + 2, m, l], moments[first + 3, m, l]


@helper(**INLINED)
def next_four(rows, i):  # type: ignore[no-untyped-def]
    """Return the next four Chebyshev polynomials of a neighbour, whose last two are in its rows."""
    x, q = 2.0 * rows[i + T], rows[i + Q]
    t0 = x * q - rows[i + P]
    t1 = x * t0 - q
    t2 = x * t1 - t0
    t3 = x * t2 - t1
    rows[i + P], rows[i + Q] = t2, t3
    return t0, t1, t2, t3


@helper(**INLINED)
def blocks(n):  # type: ignore[no-untyped-def]
    return (n + BLOCK - ONE) // BLOCK


@helper(**INLINED)
def place(j):  # type: ignore[no-untyped-def]
    """Return where neighbour `j` is in each row."""
    return (j // BLOCK) * SIZE + j % BLOCK


@helper(**INLINED)
def lanes_of(n, b):  # type: ignore[no-untyped-def]
    """Return how many of the first `n` neighbours are in block `b`, in whole vectors."""
    if n <= b * BLOCK:
        return np.uint64(0)
    return min((n - b * BLOCK + LANES - ONE) // LANES * LANES, BLOCK)


@helper(**INLINED)
def each(base, lanes):  # type: ignore[no-untyped-def]
    """Return the range of `lanes` from `base` on, such that the compiler sees that no index overflows."""
    base &= _BASES
    return range(base, base + (lanes & _COUNTS))


@helper(**INLINED)
def gather(  # type: ignore[no-untyped-def]
    centre, first, stop, indices, vectors, distances, numbers, weights, cutoffs, rows, pairs
):
    """Lay the neighbours of a centre out in rows, those within the smaller cutoff first.

    Return their number, those within the radial and the angular cutoff, and the row of an unknown
    atom or -1.
    """
    n, n_near = np.uint64(0), np.uint64(0)
    if not _known(numbers[centre], weights):
        return n, n, n, centre
    floor, rad_cutoff, ang_cutoff = cutoffs
    near, far = min(rad_cutoff, ang_cutoff), max(rad_cutoff, ang_cutoff)
    low, high = floor, near
    while True:
        for k in range(np.uint64(first), np.uint64(stop)):
            d = distances[k]
            if low < d <= high:
                number = numbers[indices[k]]
                if not _known(number, weights):
                    return n, n, n, indices[k]
                i = place(n)
                rows[i + X], rows[i + Y], rows[i + Z] = vectors[k, 0], vectors[k, 1], vectors[k, 2]
                rows[i + D], rows[i + S] = d, weights[number]
                pairs[n] = k
                n += ONE
        if high == near:
            n_near = n
        if high == far:
            break
        low, high = max(floor, near), far
    for b in range(blocks(n)):
        base, lanes = b * SIZE, lanes_of(n, b)
        for i in range(base + min(n - b * BLOCK, BLOCK), base + lanes):
            rows[i + X], rows[i + Y], rows[i + Z] = 0.0, 0.0, 2.0 * far
            rows[i + D], rows[i + S] = 2.0 * far, 0.0
        for i in each(base, lanes):
            inverse = 1.0 / rows[i + D]
            rows[i + X], rows[i + Y] = inverse * rows[i + X], inverse * rows[i + Y]
            rows[i + Z], rows[i + I] = inverse * rows[i + Z], inverse
        for i in each(base, lanes):
            rows[i + T], rows[i + RF], rows[i + RG] = _cut_off(rows[i + D], rad_cutoff)
        for i in each(base, lanes):
            _, rows[i + AF], rows[i + AG] = _cut_off(rows[i + D], ang_cutoff)
    return n, (n if rad_cutoff == far else n_near), (n if ang_cutoff == far else n_near), -1


@helper(**INLINED)
def _known(number, weights):  # type: ignore[no-untyped-def]
    return 0 <= number < len(weights) and weights[number] == weights[number]


@helper(**INLINED)
def _cut_off(d, cutoff):  # type: ignore[no-untyped-def]
    """Return x = 2 d / R - 1, the cutoff function, and its derivative.

    The function is (1 - sin(pi x / 2)) / 2, and sin(2 y) = 2 sin y cos y. Beyond the cutoff x is zero, for it
    must not overflow.
    """
    inside = 1.0 if d < cutoff else 0.0
    x = (d * (2.0 / cutoff) - 1.0) * inside
    square = x * x
    sine, cosine = _SIN[0] * square + _SIN[1], _COS[0] * square + _COS[1]
    for k in range(2, 9):
        sine, cosine = sine * square + _SIN[k], cosine * square + _COS[k]
    sine *= x
    return x, inside * (0.5 - sine * cosine), inside * (-0.5 * pi / cutoff) * (1.0 - 2.0 * sine * sine)


@helper(**INLINED)
def differentiate(terms, slopes, t, n_rad):  # type: ignore[no-untyped-def]
    """Write the derivative of a Chebyshev series as a Chebyshev series."""
    for n in range(n_rad - 1, 0, -1):
        slopes[t, n - 1] = slopes[t, n + 1] + 2.0 * n * terms[t, n]
    slopes[t, 0] *= 0.5


@helper(**INLINED)
def split_gradient(gradient, a, n_rad, angular, series, terms, scales):  # type: ignore[no-untyped-def]
    """Write dE/dG of a centre as Chebyshev series in the distance, and, if asked to, as factors of M_lm^2."""
    half = n_rad + scales.shape[1]
    for t in range(gradient.shape[1] // half):
        for n in range(n_rad):
            terms[t, n] = gradient[a, t * half + n]
        for l in range(scales.shape[1]):
            scales[t, l] = 0.0
        if angular:
            for n in range(scales.shape[1]):
                for l in range(n + 1):
                    scales[t, l] += gradient[a, t * half + n_rad + n] * series[n, l]
