"""The kernels of the Chebyshev descriptor: sums over neighbours, their derivatives and gradients.

They know packed arrays and pieces of neighbour lists, and nothing of species names or stores.

The sum of T_n(cos) over pairs of neighbours is made of sums over neighbours, so its cost grows with
their number, not with its square. T_n is a series in Legendre polynomials, and by the addition theorem
``P_l(u.v) = sum_m Y_lm(u) Y_lm(v)`` of real spherical harmonics in Racah's normalisation, with
``M_lm = sum_j w_j Y_lm(u_j)``,

    sum_{j<k} w_j w_k T_n(u_j.u_k) = 1/2 sum_l c_nl (sum_m M_lm^2 - sum_j w_j^2).

A harmonic is ``q_lm(z) A_m(x, y)`` or ``q_lm(z) B_m(x, y)``, where A_m and B_m are the real and the
imaginary part of ``N_m (x + iy)^m``, q_mm = 1, and ``q_lm = alpha_lm z q_(l-1)m - beta_lm q_(l-2)m``,
which is stable at any order.

Neighbours lie in blocks of rows, one row for each coordinate or intermediate, a fixed distance apart, so
that the compiler sees that they do not overlap; indices are unsigned, for negative ones would count from
the end. Both are what it takes to have the loops vectorised. A row is filled up to whole vectors with
neighbours of no weight. Arrays are taken out of tuples once, for that counts references.

Values and gradients are also compiled for complex vectors and distances. With a displacement times a tiny
number as imaginary part, the imaginary part of a result is its exact derivative along that displacement.
"""

# ruff: noqa: E741 - l is what the order of a spherical harmonic is called
from __future__ import annotations

from math import factorial, pi
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from zstruct.jit.kernel import helper, kernel

__all__ = ["Model", "Piece", "add_gradient", "derivatives", "pair_gradient", "scratch", "tables", "values"]

# A check for division by zero in a loop would keep it from being vectorised.
_OPTIONS: Any = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}
_ONE = np.uint64(1)
_BLOCK = np.uint64(128)  # neighbours of a block: its rows fit into the first-level cache
_STRIDE = 136  # a little more, so that the same neighbour is not in the same cache set in all rows
_LANES = np.uint64(16)  # two vectors of eight
_BASES, _COUNTS = np.uint64(2**40 - 1), np.uint64(255)  # above any start, and any number, of lanes
_ROWS = 24
_SIZE = np.uint64(_ROWS * _STRIDE)
# The rows: unit vector, distance, species weight;
(_X, _Y, _Z, _D, _S) = (np.uint64(row * _STRIDE) for row in range(5))
# argument, cutoff function and its derivative, of the radial part; cutoff function of the angular part;
(_T, _RF, _RG, _AF, _AG) = (np.uint64(row * _STRIDE) for row in range(5, 10))
# the last two polynomials and their derivatives;
(_P, _Q, _DP, _DQ) = (np.uint64(row * _STRIDE) for row in range(10, 14))
# A_m and B_m, those of the last m, and dE/dr of the radial part;
(_A, _B, _LA, _LB, _R) = (np.uint64(row * _STRIDE) for row in range(14, 19))
# a function of direction and its gradient, and the inverse of the distance.
(_H, _HX, _HY, _HZ, _I) = (np.uint64(row * _STRIDE) for row in range(19, 24))

# The derivatives of one l are eight rows: x, y, z and the function itself, without and with weights.
_W, _HALF, _FIELD = (np.uint64(row * _STRIDE) for row in (3, 4, 8))

# Taylor series of sin(pi x / 4) / x and cos(pi x / 4) in x^2, highest power first: right to 1e-17.
_SIN = np.array([(-1.0) ** k * (pi / 4) ** (2 * k + 1) / factorial(2 * k + 1) for k in range(8, -1, -1)])
_COS = np.array([(-1.0) ** k * (pi / 4) ** (2 * k) / factorial(2 * k) for k in range(8, -1, -1)])


class Piece(NamedTuple):
    """A piece of a neighbour list, and the atomic numbers of all rows that it speaks of."""

    start: int
    offsets: NDArray[np.int64]
    indices: NDArray[np.int64]
    vectors: NDArray[Any]  # float64 or complex128, as distances
    distances: NDArray[Any]
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
    n_ang, dtype = len(model.ratio), piece.vectors.dtype
    moments = np.zeros((4, n_ang, n_ang + 2), dtype)
    sums = np.zeros((2, max(model.rad_order + 4, n_ang)), dtype)
    return (
        np.zeros(-(-most // int(_BLOCK)) * int(_SIZE), dtype),
        np.empty(most, np.int64),
        moments,
        sums,
        moments.ravel(),  # views: to set them to zero takes one function for both
        sums.ravel(),
    )


@kernel(takes=3, **_OPTIONS)
def values(piece, model, room, out):  # type: ignore[no-untyped-def]
    """Write the features of the centres to `out`; return the row of an atom without a weight, or -1."""
    start, offsets, indices, vectors, distances, numbers = piece
    weights, cutoffs, rad_order, series, ratio, alpha, beta = model
    rows, pairs, moments, sums, every_moment, every_sum = room
    n_rad, half = rad_order + 1, rad_order + 1 + len(ratio)
    for a in range(len(offsets) - 1):
        _, n_radial, n_angular, unknown = _gather(
            start + a,
            offsets[a],
            offsets[a + 1],
            indices,
            vectors,
            distances,
            numbers,
            weights,
            cutoffs,
            rows,
            pairs,
        )
        if unknown >= 0:
            return unknown
        _set_zero(every_sum)
        for b in range(_blocks(n_radial)):
            _add_polynomials(rows, b * _SIZE, _lanes(n_radial, b), n_rad, sums)
        if n_angular > 1:
            _add_moments(rows, n_angular, ratio, alpha, beta, moments, every_moment)
        for t in range(out.shape[1] // half):
            for n in range(n_rad):
                out[a, t * half + n] = sums[t, n]
            for n in range(len(ratio)):
                out[a, t * half + n_rad + n] = 0.0
            if n_angular > 1:
                _add_squares(rows, n_angular, moments, t, series, out, a, t * half + n_rad)
    return -1


@kernel(takes=2, **_OPTIONS)
def derivatives(piece, model, room, radial, angular, angular_weighted):  # type: ignore[no-untyped-def]
    """Write the derivatives of the pairs that count; return as `values`."""
    start, offsets, indices, vectors, distances, numbers = piece
    weights, cutoffs, _, series, ratio, alpha, beta = model
    rows, pairs, moments, _, every_moment, _ = room
    fields = np.empty(np.uint64(len(ratio)) * _FIELD)
    for a in range(len(offsets) - 1):
        _, n_radial, n_angular, unknown = _gather(
            start + a,
            offsets[a],
            offsets[a + 1],
            indices,
            vectors,
            distances,
            numbers,
            weights,
            cutoffs,
            rows,
            pairs,
        )
        if unknown >= 0:
            return unknown
        for j in range(n_radial):
            _radial_derivatives(rows, _place(j), 2.0 / cutoffs[1], radial, pairs[j])
        if n_angular > 1:
            _add_moments(rows, n_angular, ratio, alpha, beta, moments, every_moment)
            for b in range(_blocks(n_angular)):
                _fill_fields(rows, b * _SIZE, _lanes(n_angular, b), ratio, alpha, beta, moments, fields)
                _turn_fields(series, fields)
                edge = b * _BLOCK
                for j in range(edge, min(edge + _BLOCK, n_angular)):
                    _write_vectors(fields, j - edge, angular, pairs[j])
                    if len(angular_weighted):
                        _write_vectors(fields, j - edge + _HALF, angular_weighted, pairs[j])
    return -1


@kernel(takes=3, **_OPTIONS)
def pair_gradient(piece, model, room, gradient, out):  # type: ignore[no-untyped-def]
    """Write dE/dr_ij of the pairs that count, given dE/dG of the centres; return as `values`."""
    start, offsets, indices, vectors, distances, numbers = piece
    weights, cutoffs, rad_order, series, ratio, alpha, beta = model
    rows, pairs, moments, _, every_moment, _ = room
    n_rad, n_ang, half = rad_order + 1, len(ratio), rad_order + 1 + len(ratio)
    terms, slopes, scales = np.zeros((2, n_rad + 3)), np.zeros((2, n_rad + 3)), np.zeros((2, n_ang))
    for a in range(len(offsets) - 1):
        n_all, n_radial, n_angular, unknown = _gather(
            start + a,
            offsets[a],
            offsets[a + 1],
            indices,
            vectors,
            distances,
            numbers,
            weights,
            cutoffs,
            rows,
            pairs,
        )
        if unknown >= 0:
            return unknown
        for l in range(n_ang):
            scales[0, l], scales[1, l] = 0.0, 0.0
        for t in range(gradient.shape[1] // half):
            for n in range(n_rad):
                terms[t, n] = gradient[a, t * half + n]
            _differentiate(terms, slopes, t, n_rad)
            if n_angular > 1:
                for n in range(n_ang):
                    for l in range(n + 1):
                        scales[t, l] += gradient[a, t * half + n_rad + n] * series[n, l]
        own, own_weighted = 0.0, 0.0
        if n_angular > 1:
            _add_moments(rows, n_angular, ratio, alpha, beta, moments, every_moment)
            for l in range(n_ang):
                own, own_weighted = own + scales[0, l], own_weighted + scales[1, l]
                for m in range(l + 1):
                    for kind in range(4):
                        moments[kind, m, l] *= scales[kind // 2, l]
        for b in range(_blocks(n_all)):
            base, lanes = b * _SIZE, _lanes(n_all, b)
            _clear(rows, base, lanes)
            _add_radial(rows, base, _lanes(n_radial, b), 2.0 / cutoffs[1], terms, slopes)
            if n_angular > 1:
                _add_field(rows, base, _lanes(n_angular, b), ratio, alpha, beta, moments)
            _combine(rows, base, lanes, own, own_weighted)
        for j in range(n_all):
            i, k = _place(j), pairs[j]
            out[k, 0], out[k, 1], out[k, 2] = rows[i + _HX], rows[i + _HY], rows[i + _HZ]
    return -1


@kernel(**_OPTIONS)
def add_gradient(piece, edges, gradient, positions_out, strain_out):  # type: ignore[no-untyped-def]
    """Add dE/dr_ij to the gradients by positions, and by the strain of structures with row edges `edges`."""
    start, offsets, indices, vectors, _, _ = piece
    s = 0
    for a in range(len(offsets) - 1):
        i = start + a
        while edges[s + 1] <= i:
            s += 1
        for c in range(3):
            total, xc, yc, zc = 0.0, 0.0, 0.0, 0.0
            for k in range(np.uint64(offsets[a]), np.uint64(offsets[a + 1])):
                g = gradient[k, c]
                positions_out[indices[k], c] += g
                total += g
                xc, yc, zc = xc + vectors[k, 0] * g, yc + vectors[k, 1] * g, zc + vectors[k, 2] * g
            positions_out[i, c] -= total
            strain_out[s, 0, c] += xc
            strain_out[s, 1, c] += yc
            strain_out[s, 2, c] += zc


@helper(**_OPTIONS)
def _set_zero(flat):  # type: ignore[no-untyped-def]
    for i in range(flat.size):
        flat[i] = 0.0


@helper(**_OPTIONS)
def _blocks(n):  # type: ignore[no-untyped-def]
    return (n + _BLOCK - _ONE) // _BLOCK


@helper(**_OPTIONS)
def _place(j):  # type: ignore[no-untyped-def]
    """Return where neighbour `j` is in each row."""
    return (j // _BLOCK) * _SIZE + j % _BLOCK


@helper(**_OPTIONS)
def _lanes(n, b):  # type: ignore[no-untyped-def]
    """Return how many of the first `n` neighbours are in block `b`, in whole vectors."""
    if n <= b * _BLOCK:
        return np.uint64(0)
    return min((n - b * _BLOCK + _LANES - _ONE) // _LANES * _LANES, _BLOCK)


@helper(**_OPTIONS)
def _each(base, lanes):  # type: ignore[no-untyped-def]
    """Return the range of `lanes` from `base` on, such that the compiler sees that no index overflows."""
    base &= _BASES
    return range(base, base + (lanes & _COUNTS))


@helper(**_OPTIONS)
def _gather(  # type: ignore[no-untyped-def]
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
            if low < d.real <= high:
                number = numbers[indices[k]]
                if not _known(number, weights):
                    return n, n, n, indices[k]
                i = _place(n)
                rows[i + _X], rows[i + _Y], rows[i + _Z] = vectors[k, 0], vectors[k, 1], vectors[k, 2]
                rows[i + _D], rows[i + _S] = d, weights[number]
                pairs[n] = k
                n += _ONE
        if high == near:
            n_near = n
        if high == far:
            break
        low, high = max(floor, near), far
    for b in range(_blocks(n)):
        base, lanes = b * _SIZE, _lanes(n, b)
        for i in range(base + min(n - b * _BLOCK, _BLOCK), base + lanes):
            rows[i + _X], rows[i + _Y], rows[i + _Z] = 0.0, 0.0, 2.0 * far
            rows[i + _D], rows[i + _S] = 2.0 * far, 0.0
        for i in _each(base, lanes):
            # A complex division has branches; this is it, for an imaginary part whose square is nothing.
            real = 1.0 / rows[i + _D].real
            inverse = real * (2.0 - real * rows[i + _D])
            rows[i + _X], rows[i + _Y] = inverse * rows[i + _X], inverse * rows[i + _Y]
            rows[i + _Z], rows[i + _I] = inverse * rows[i + _Z], inverse
        for i in _each(base, lanes):
            rows[i + _T], rows[i + _RF], rows[i + _RG] = _cut_off(rows[i + _D], rad_cutoff)
        for i in _each(base, lanes):
            _, rows[i + _AF], rows[i + _AG] = _cut_off(rows[i + _D], ang_cutoff)
    return n, (n if rad_cutoff == far else n_near), (n if ang_cutoff == far else n_near), -1


@helper(**_OPTIONS)
def _known(number, weights):  # type: ignore[no-untyped-def]
    return 0 <= number < len(weights) and weights[number] == weights[number]


@helper(**_OPTIONS)
def _cut_off(d, cutoff):  # type: ignore[no-untyped-def]
    """Return x = 2 d / R - 1, the cutoff function, and its derivative.

    The function is (1 - sin(pi x / 2)) / 2, and sin(2 y) = 2 sin y cos y. Beyond the cutoff x is zero, for it
    must not overflow.
    """
    inside = 1.0 if d.real < cutoff else 0.0
    x = (d * (2.0 / cutoff) - 1.0) * inside
    square = x * x
    sine, cosine = _SIN[0] * square + _SIN[1], _COS[0] * square + _COS[1]
    for k in range(2, 9):
        sine, cosine = sine * square + _SIN[k], cosine * square + _COS[k]
    sine *= x
    return x, inside * (0.5 - sine * cosine), inside * (-0.5 * pi / cutoff) * (1.0 - 2.0 * sine * sine)


@helper(**_OPTIONS)
def _add_polynomials(rows, base, lanes, n_rad, sums):  # type: ignore[no-untyped-def]
    """Add the sums of f T_n and of s f T_n over neighbours, four orders at a time."""
    for i in _each(base, lanes):
        x, f = rows[i + _T], rows[i + _RF]
        rows[i + _P], rows[i + _Q] = (2.0 * x * x - 1.0) * f, x * f  # T_-2 and T_-1
    for n in range(0, n_rad, 4):
        s0, s1, s2, s3 = sums[0, n], sums[0, n + 1], sums[0, n + 2], sums[0, n + 3]
        w0, w1, w2, w3 = sums[1, n], sums[1, n + 1], sums[1, n + 2], sums[1, n + 3]
        for i in _each(base, lanes):
            x, s, q = 2.0 * rows[i + _T], rows[i + _S], rows[i + _Q]
            t0 = x * q - rows[i + _P]
            t1 = x * t0 - q
            t2 = x * t1 - t0
            t3 = x * t2 - t1
            rows[i + _P], rows[i + _Q] = t2, t3
            s0, s1, s2, s3 = s0 + t0, s1 + t1, s2 + t2, s3 + t3
            w0, w1, w2, w3 = w0 + s * t0, w1 + s * t1, w2 + s * t2, w3 + s * t3
        sums[0, n], sums[0, n + 1], sums[0, n + 2], sums[0, n + 3] = s0, s1, s2, s3
        sums[1, n], sums[1, n + 1], sums[1, n + 2], sums[1, n + 3] = w0, w1, w2, w3


@helper(**_OPTIONS)
def _add_moments(rows, n_angular, ratio, alpha, beta, moments, every_moment):  # type: ignore[no-untyped-def]
    """Sum f q_lm A_m, f q_lm B_m, and these times s, over neighbours, two l at a time."""
    _set_zero(every_moment)
    for b in range(_blocks(n_angular)):
        base, lanes = b * _SIZE, _lanes(n_angular, b)
        for m in range(len(ratio)):
            _add_first_moments(rows, base, lanes, m, ratio[m], alpha[m, m + 1], moments)
            for l in range(m + 2, len(ratio), 2):
                alphas, betas = (alpha[m, l], alpha[m, l + 1]), (beta[m, l], beta[m, l + 1])
                _add_next_moments(rows, base, lanes, m, l, alphas, betas, moments)


@helper(**_OPTIONS)
def _add_first_moments(rows, base, lanes, m, ratio, alpha, moments):  # type: ignore[no-untyped-def]
    """Go on to f A_m and f B_m; add l = m, where q is 1, and l = m + 1."""
    first, l = 1.0 if m == 0 else 0.0, m + 1
    a0, b0, c0, d0 = moments[0, m, m], moments[1, m, m], moments[2, m, m], moments[3, m, m]
    a1, b1, c1, d1 = moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l]
    for i in _each(base, lanes):
        x, y, z, s = rows[i + _X], rows[i + _Y], rows[i + _Z], rows[i + _S]
        last, other = rows[i + _A], rows[i + _B]
        a, b = first * rows[i + _AF] + ratio * (x * last - y * other), ratio * (x * other + y * last)
        q = alpha * z
        rows[i + _A], rows[i + _B], rows[i + _P], rows[i + _Q] = a, b, 1.0, q
        a0, b0, c0, d0 = a0 + a, b0 + b, c0 + s * a, d0 + s * b
        a, b = q * a, q * b
        a1, b1, c1, d1 = a1 + a, b1 + b, c1 + s * a, d1 + s * b
    moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l] = a1, b1, c1, d1
    moments[0, m, m], moments[1, m, m], moments[2, m, m], moments[3, m, m] = a0, b0, c0, d0


@helper(**_OPTIONS)
def _add_next_moments(rows, base, lanes, m, l, alphas, betas, moments):  # type: ignore[no-untyped-def]
    """Add what the neighbours of a block have of l and l + 1."""
    a0, b0, c0, d0 = moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l]
    up = l + 1
    a1, b1, c1, d1 = moments[0, m, up], moments[1, m, up], moments[2, m, up], moments[3, m, up]
    for i in _each(base, lanes):
        z, s, q, a, b = rows[i + _Z], rows[i + _S], rows[i + _Q], rows[i + _A], rows[i + _B]
        q0 = alphas[0] * z * q - betas[0] * rows[i + _P]
        q1 = alphas[1] * z * q0 - betas[1] * q
        rows[i + _P], rows[i + _Q] = q0, q1
        a0, b0, a1, b1 = a0 + q0 * a, b0 + q0 * b, a1 + q1 * a, b1 + q1 * b
        q0, q1 = s * q0, s * q1
        c0, d0, c1, d1 = c0 + q0 * a, d0 + q0 * b, c1 + q1 * a, d1 + q1 * b
    moments[0, m, up], moments[1, m, up], moments[2, m, up], moments[3, m, up] = a1, b1, c1, d1
    moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l] = a0, b0, c0, d0


@helper(**_OPTIONS)
def _add_squares(rows, n_angular, moments, t, series, out, a, at):  # type: ignore[no-untyped-def]
    """Write the angular features, without (t = 0) or with (t = 1) the weights of species."""
    diagonal = moments[0, 0, 0] * 0.0
    for b in range(_blocks(n_angular)):
        for i in _each(b * _SIZE, _lanes(n_angular, b)):
            w = rows[i + _AF] * (rows[i + _S] if t > 0 else 1.0)
            diagonal += w * w
    for l in range(len(series)):
        total = -diagonal
        for m in range(l + 1):
            total += moments[2 * t, m, l] ** 2 + moments[2 * t + 1, m, l] ** 2
        for n in range(l, len(series)):
            out[a, at + n] += 0.5 * series[n, l] * total


@helper(**_OPTIONS)
def _radial_derivatives(rows, i, scale, out, k):  # type: ignore[no-untyped-def]
    """Write dR_n/dr: the recurrence of T_n f, differentiated."""
    x, f, slope = 2.0 * rows[i + _T], rows[i + _RF], rows[i + _RG]
    f0, f1 = 0.5 * x * f, f  # T_-1 and T_0
    d0, d1 = 0.5 * x * slope + scale * f, slope
    for n in range(out.shape[1]):
        out[k, n] = d1
        f0, f1, d0, d1 = f1, x * f1 - f0, d1, x * d1 - d0 + 2.0 * scale * f1


@helper(**_OPTIONS)
def _differentiate(terms, slopes, t, n_rad):  # type: ignore[no-untyped-def]
    """Write the derivative of a Chebyshev series as a Chebyshev series."""
    for n in range(n_rad - 1, 0, -1):
        slopes[t, n - 1] = slopes[t, n + 1] + 2.0 * n * terms[t, n]
    slopes[t, 0] *= 0.5


@helper(**_OPTIONS)
def _clear(rows, base, lanes):  # type: ignore[no-untyped-def]
    for i in _each(base, lanes):
        rows[i + _R] = 0.0
        rows[i + _HX], rows[i + _HY], rows[i + _HZ], rows[i + _H] = 0.0, 0.0, 0.0, 0.0


@helper(**_OPTIONS)
def _add_radial(rows, base, lanes, scale, terms, slopes):  # type: ignore[no-untyped-def]
    """Add dE/dr of the radial part, four orders at a time."""
    for i in _each(base, lanes):
        x = rows[i + _T]
        rows[i + _P], rows[i + _Q] = 2.0 * x * x - 1.0, x  # T_-2 and T_-1
    for n in range(0, terms.shape[1] - 3, 4):
        c0, c1, c2, c3 = terms[0, n], terms[0, n + 1], terms[0, n + 2], terms[0, n + 3]
        w0, w1, w2, w3 = terms[1, n], terms[1, n + 1], terms[1, n + 2], terms[1, n + 3]
        d0, d1, d2, d3 = slopes[0, n], slopes[0, n + 1], slopes[0, n + 2], slopes[0, n + 3]
        v0, v1, v2, v3 = slopes[1, n], slopes[1, n + 1], slopes[1, n + 2], slopes[1, n + 3]
        for i in _each(base, lanes):
            x, s, q = 2.0 * rows[i + _T], rows[i + _S], rows[i + _Q]
            t0 = x * q - rows[i + _P]
            t1 = x * t0 - q
            t2 = x * t1 - t0
            t3 = x * t2 - t1
            rows[i + _P], rows[i + _Q] = t2, t3
            total = (c0 + s * w0) * t0 + (c1 + s * w1) * t1 + (c2 + s * w2) * t2 + (c3 + s * w3) * t3
            slope = (d0 + s * v0) * t0 + (d1 + s * v1) * t1 + (d2 + s * v2) * t2 + (d3 + s * v3) * t3
            rows[i + _R] += rows[i + _RG] * total + scale * rows[i + _RF] * slope


@helper(**_OPTIONS)
def _start_order(rows, base, lanes, m, ratio):  # type: ignore[no-untyped-def]
    """Go on to A_m and B_m, and to before q_mm and its derivative."""
    first = 1.0 if m == 0 else 0.0
    for i in _each(base, lanes):
        x, y, a, b = rows[i + _X], rows[i + _Y], rows[i + _A], rows[i + _B]
        rows[i + _LA], rows[i + _LB] = a, b
        rows[i + _A], rows[i + _B] = first + ratio * (x * a - y * b), ratio * (x * b + y * a)
        rows[i + _P], rows[i + _Q], rows[i + _DP], rows[i + _DQ] = 1.0, 0.0, 0.0, 0.0


@helper(**_OPTIONS)
def _add_field(rows, base, lanes, ratio, alpha, beta, moments):  # type: ignore[no-untyped-def]
    """Add sum_lm M_lm Y_lm and its gradient at each neighbour's direction, two l at a time."""
    for m in range(len(ratio)):
        _add_first_field(rows, base, lanes, m, ratio[m], alpha[m, m + 1], moments)
        for l in range(m + 2, len(ratio), 2):
            alphas, betas = (alpha[m, l], alpha[m, l + 1]), (beta[m, l], beta[m, l + 1])
            _add_next_field(rows, base, lanes, m, l, m * ratio[m], alphas, betas, moments)


@helper(**_OPTIONS)
def _add_first_field(rows, base, lanes, m, ratio, alpha, moments):  # type: ignore[no-untyped-def]
    """Go on to A_m and B_m; add l = m, where q is 1, and l = m + 1."""
    first, factor, l = 1.0 if m == 0 else 0.0, m * ratio, m + 1
    a0, b0, c0, d0 = moments[0, m, m], moments[1, m, m], moments[2, m, m], moments[3, m, m]
    a1, b1, c1, d1 = moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l]
    for i in _each(base, lanes):
        x, y, s = rows[i + _X], rows[i + _Y], rows[i + _S]
        last, other = rows[i + _A], rows[i + _B]
        a, b = first + ratio * (x * last - y * other), ratio * (x * other + y * last)
        q = alpha * rows[i + _Z]
        rows[i + _A], rows[i + _B], rows[i + _LA], rows[i + _LB] = a, b, last, other
        rows[i + _P], rows[i + _Q], rows[i + _DP], rows[i + _DQ] = 1.0, q, 0.0, alpha
        re1, im1 = a1 + s * c1, b1 + s * d1
        re, im = a0 + s * c0 + re1 * q, b0 + s * d0 + im1 * q
        rows[i + _H] += re * a + im * b
        rows[i + _HZ] += alpha * (re1 * a + im1 * b)
        rows[i + _HX] += factor * (re * last + im * other)
        rows[i + _HY] += factor * (im * last - re * other)


@helper(**_OPTIONS)
def _add_next_field(rows, base, lanes, m, l, factor, alphas, betas, moments):  # type: ignore[no-untyped-def]
    """Add l and l + 1."""
    a0, b0, c0, d0 = moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l]
    l += 1
    a1, b1, c1, d1 = moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l]
    for i in _each(base, lanes):
        z, s, q, slope = rows[i + _Z], rows[i + _S], rows[i + _Q], rows[i + _DQ]
        q0 = alphas[0] * z * q - betas[0] * rows[i + _P]
        q1 = alphas[1] * z * q0 - betas[1] * q
        slope0 = alphas[0] * (z * slope + q) - betas[0] * rows[i + _DP]
        slope1 = alphas[1] * (z * slope0 + q0) - betas[1] * slope
        rows[i + _P], rows[i + _Q], rows[i + _DP], rows[i + _DQ] = q0, q1, slope0, slope1
        re0, im0, re1, im1 = a0 + s * c0, b0 + s * d0, a1 + s * c1, b1 + s * d1
        re, im, a, b = re0 * q0 + re1 * q1, im0 * q0 + im1 * q1, rows[i + _A], rows[i + _B]
        rows[i + _H] += re * a + im * b
        rows[i + _HZ] += (re0 * slope0 + re1 * slope1) * a + (im0 * slope0 + im1 * slope1) * b
        a, b = rows[i + _LA], rows[i + _LB]
        rows[i + _HX] += factor * (re * a + im * b)
        rows[i + _HY] += factor * (im * a - re * b)


@helper(**_OPTIONS)
def _combine(rows, base, lanes, own, own_weighted):  # type: ignore[no-untyped-def]
    """Turn the gradient by direction into that by the neighbour's position, and add what is along r."""
    for i in _each(base, lanes):
        x, y, z, s, f = rows[i + _X], rows[i + _Y], rows[i + _Z], rows[i + _S], rows[i + _AF]
        gx, gy, gz = rows[i + _HX], rows[i + _HY], rows[i + _HZ]
        across = f * rows[i + _I]
        h = rows[i + _H] - f * (own + s * s * own_weighted)
        along = rows[i + _R] + rows[i + _AG] * h - across * (gx * x + gy * y + gz * z)
        rows[i + _HX], rows[i + _HY] = along * x + across * gx, along * y + across * gy
        rows[i + _HZ] = along * z + across * gz


@helper(**_OPTIONS)
def _fill_fields(rows, base, lanes, ratio, alpha, beta, moments, fields):  # type: ignore[no-untyped-def]
    """Fill, for each l, the derivatives of 1/2 (sum_m M_lm^2 - sum_j w_j^2), without and with weights.

    Eight rows for each l: x, y, z and one to work with, twice.
    """
    n_ang = len(ratio)
    _set_zero(fields)
    for m in range(n_ang):
        _start_order(rows, base, lanes, m, ratio[m])
        factor = m * ratio[m]
        for l in range(m, n_ang):
            alpha0, beta0 = alpha[m, l], beta[m, l]
            re0, im0, re1, im1 = moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l]
            shift = np.uint64(l) * _FIELD - base
            for i in _each(base, lanes):
                q, slope = rows[i + _Q], rows[i + _DQ]
                new = alpha0 * rows[i + _Z] * q - beta0 * rows[i + _P]
                new_slope = alpha0 * (rows[i + _Z] * slope + q) - beta0 * rows[i + _DP]
                rows[i + _P], rows[i + _Q], rows[i + _DP], rows[i + _DQ] = q, new, slope, new_slope
                a, b = rows[i + _A], rows[i + _B]
                here, up = re0 * a + im0 * b, re1 * a + im1 * b
                fields[i + shift + _Z] += here * new_slope
                fields[i + shift + _W] += here * new
                fields[i + shift + _Z + _HALF] += up * new_slope
                fields[i + shift + _W + _HALF] += up * new
                a, b = factor * new * rows[i + _LA], factor * new * rows[i + _LB]
                fields[i + shift + _X] += re0 * a + im0 * b
                fields[i + shift + _Y] += im0 * a - re0 * b
                fields[i + shift + _X + _HALF] += re1 * a + im1 * b
                fields[i + shift + _Y + _HALF] += im1 * a - re1 * b
    for l in range(n_ang):
        for t in range(2):
            shift = np.uint64(l) * _FIELD + np.uint64(t) * _HALF - base
            for i in _each(base, lanes):
                w = rows[i + _S] if t else 1.0
                x, y, z, f = rows[i + _X], rows[i + _Y], rows[i + _Z], rows[i + _AF]
                gx, gy, gz = fields[i + shift + _X], fields[i + shift + _Y], fields[i + shift + _Z]
                across = w * f * rows[i + _I]
                along = w * rows[i + _AG] * (fields[i + shift + _W] - w * f) - across * (
                    gx * x + gy * y + gz * z
                )
                fields[i + shift + _X] = along * x + across * gx
                fields[i + shift + _Y] = along * y + across * gy
                fields[i + shift + _Z] = along * z + across * gz


@helper(**_OPTIONS)
def _turn_fields(series, fields):  # type: ignore[no-untyped-def]
    """Turn derivatives of Legendre sums into those of Chebyshev sums, which need those of lower order."""
    for n in range(len(series) - 1, 1, -1):
        to = np.uint64(n) * _FIELD
        for i in range(to, to + _FIELD):
            fields[i] *= series[n, n]
        for l in range(n & 1, n, 2):
            c, back = series[n, l], np.uint64(n - l) * _FIELD
            for i in range(to, to + _FIELD):
                fields[i] += c * fields[i - back]


@helper(**_OPTIONS)
def _write_vectors(fields, at, out, k):  # type: ignore[no-untyped-def]
    """Write a pair's vectors of all orders."""
    for n in range(out.shape[1]):
        i = at + np.uint64(n) * _FIELD
        out[k, n, 0], out[k, n, 1], out[k, n, 2] = fields[i + _X], fields[i + _Y], fields[i + _Z]
