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
"""

# ruff: noqa: E741 - l is what the order of a spherical harmonic is called
from __future__ import annotations

import numpy as np

from zstruct.features.kernels.chebyshev_field import add_field
from zstruct.features.kernels.chebyshev_moments import add_moments, scale_moments

from zstruct.features.kernels.chebyshev_rows import (  # isort: skip
    A, AF, AG, B, BLOCK, DP, DQ, H, HX, HY, HZ, I, LA, LB, INLINED, OPTIONS, P, Q, R, RF, RG, S, SIZE,
    STRIDE, T, X, Y, Z, blocks, differentiate, each, gather, lanes_of, next_four, place, set_zero,
    split_gradient,
)  # fmt: skip
from zstruct.jit.kernel import helper, kernel

__all__ = ["add_gradient", "derivatives", "pair_gradient", "values"]

# The derivatives of one l are eight rows: x, y, z and the function itself, without and with weights.
_W, _HALF, _FIELD = (np.uint64(row * STRIDE) for row in (3, 4, 8))


@kernel(takes=3, **OPTIONS)
def values(piece, model, room, out):  # type: ignore[no-untyped-def]
    """Write the features of the centres to `out`; return the row of an atom without a weight, or -1."""
    start, offsets, indices, vectors, distances, numbers = piece
    weights, cutoffs, rad_order, series, ratio, alpha, beta = model
    rows, pairs, moments, sums, every_moment, every_sum = room
    n_rad, half = rad_order + 1, rad_order + 1 + len(ratio)
    for a in range(len(offsets) - 1):
        _, n_radial, n_angular, unknown = gather(
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
        set_zero(every_sum)
        for b in range(blocks(n_radial)):
            _add_polynomials(rows, b * SIZE, lanes_of(n_radial, b), n_rad, sums)
        if n_angular > 1:
            add_moments(False, rows, n_angular, ratio, alpha, beta, moments, every_moment)
        for t in range(out.shape[1] // half):
            for n in range(n_rad):
                out[a, t * half + n] = sums[t, n]
            for n in range(len(ratio)):
                out[a, t * half + n_rad + n] = 0.0
            if n_angular > 1:
                _add_squares(rows, n_angular, moments, t, series, out, a, t * half + n_rad)
    return -1


@kernel(takes=2, **OPTIONS)
def derivatives(piece, model, room, radial, angular, angular_weighted):  # type: ignore[no-untyped-def]
    """Write the derivatives of the pairs that count; return as `values`."""
    start, offsets, indices, vectors, distances, numbers = piece
    weights, cutoffs, _, series, ratio, alpha, beta = model
    rows, pairs, moments, _, every_moment, _ = room
    fields = np.empty(np.uint64(len(ratio)) * _FIELD)
    for a in range(len(offsets) - 1):
        _, n_radial, n_angular, unknown = gather(
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
            _radial_derivatives(rows, place(j), 2.0 / cutoffs[1], radial, pairs[j])
        if n_angular > 1:
            add_moments(False, rows, n_angular, ratio, alpha, beta, moments, every_moment)
            for b in range(blocks(n_angular)):
                _fill_fields(rows, b * SIZE, lanes_of(n_angular, b), ratio, alpha, beta, moments, fields)
                _turn_fields(series, fields)
                edge = b * BLOCK
                for j in range(edge, min(edge + BLOCK, n_angular)):
                    _write_vectors(fields, j - edge, angular, pairs[j])
                    if len(angular_weighted):
                        _write_vectors(fields, j - edge + _HALF, angular_weighted, pairs[j])
    return -1


@kernel(takes=3, **OPTIONS)
def pair_gradient(piece, model, room, gradient, out):  # type: ignore[no-untyped-def]
    """Write dE/dr_ij of the pairs that count, given dE/dG of the centres; return as `values`."""
    start, offsets, indices, vectors, distances, numbers = piece
    weights, cutoffs, rad_order, series, ratio, alpha, beta = model
    rows, pairs, moments, _, every_moment, _ = room
    n_rad, n_ang = rad_order + 1, len(ratio)
    terms, slopes, scales = np.zeros((2, n_rad + 3)), np.zeros((2, n_rad + 3)), np.zeros((2, n_ang))
    for a in range(len(offsets) - 1):
        n_all, n_radial, n_angular, unknown = gather(
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
        split_gradient(gradient, a, n_rad, n_angular > 1, series, terms, scales)
        for t in range(2):
            differentiate(terms, slopes, t, n_rad)
        own, own_weighted = 0.0, 0.0
        if n_angular > 1:
            add_moments(False, rows, n_angular, ratio, alpha, beta, moments, every_moment)
            own, own_weighted = scale_moments(False, scales, moments)
        for b in range(blocks(n_all)):
            base, lanes = b * SIZE, lanes_of(n_all, b)
            _clear(rows, base, lanes)
            _add_radial(rows, base, lanes_of(n_radial, b), 2.0 / cutoffs[1], terms, slopes)
            if n_angular > 1:
                add_field(False, rows, base, lanes_of(n_angular, b), ratio, alpha, beta, moments)
            _combine(rows, base, lanes, own, own_weighted)
        for j in range(n_all):
            i, k = place(j), pairs[j]
            out[k, 0], out[k, 1], out[k, 2] = rows[i + HX], rows[i + HY], rows[i + HZ]
    return -1


@kernel(**OPTIONS)
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


@helper(**INLINED)
def _add_polynomials(rows, base, lanes, n_rad, sums):  # type: ignore[no-untyped-def]
    """Add the sums of f T_n and of s f T_n over neighbours, four orders at a time."""
    for i in each(base, lanes):
        x, f = rows[i + T], rows[i + RF]
        rows[i + P], rows[i + Q] = (2.0 * x * x - 1.0) * f, x * f  # T_-2 and T_-1
    for n in range(0, n_rad, 4):
        s0, s1, s2, s3 = sums[0, n], sums[0, n + 1], sums[0, n + 2], sums[0, n + 3]
        w0, w1, w2, w3 = sums[1, n], sums[1, n + 1], sums[1, n + 2], sums[1, n + 3]
        for i in each(base, lanes):
            s = rows[i + S]
            t0, t1, t2, t3 = next_four(rows, i)
            s0, s1, s2, s3 = s0 + t0, s1 + t1, s2 + t2, s3 + t3
            w0, w1, w2, w3 = w0 + s * t0, w1 + s * t1, w2 + s * t2, w3 + s * t3
        sums[0, n], sums[0, n + 1], sums[0, n + 2], sums[0, n + 3] = s0, s1, s2, s3
        sums[1, n], sums[1, n + 1], sums[1, n + 2], sums[1, n + 3] = w0, w1, w2, w3


@helper(**INLINED)
def _add_squares(rows, n_angular, moments, t, series, out, a, at):  # type: ignore[no-untyped-def]
    """Write the angular features, without (t = 0) or with (t = 1) the weights of species."""
    diagonal = 0.0
    for b in range(blocks(n_angular)):
        for i in each(b * SIZE, lanes_of(n_angular, b)):
            w = rows[i + AF] * (rows[i + S] if t > 0 else 1.0)
            diagonal += w * w
    for l in range(len(series)):
        total = -diagonal
        for m in range(l + 1):
            total += moments[2 * t, m, l] ** 2 + moments[2 * t + 1, m, l] ** 2
        for n in range(l, len(series)):
            out[a, at + n] += 0.5 * series[n, l] * total


@helper(**INLINED)
def _radial_derivatives(rows, i, scale, out, k):  # type: ignore[no-untyped-def]
    """Write dR_n/dr: the recurrence of T_n f, differentiated."""
    x, f, slope = 2.0 * rows[i + T], rows[i + RF], rows[i + RG]
    f0, f1 = 0.5 * x * f, f  # T_-1 and T_0
    d0, d1 = 0.5 * x * slope + scale * f, slope
    for n in range(out.shape[1]):
        out[k, n] = d1
        f0, f1, d0, d1 = f1, x * f1 - f0, d1, x * d1 - d0 + 2.0 * scale * f1


@helper(**INLINED)
def _clear(rows, base, lanes):  # type: ignore[no-untyped-def]
    for i in each(base, lanes):
        rows[i + R] = 0.0
        rows[i + HX], rows[i + HY], rows[i + HZ], rows[i + H] = 0.0, 0.0, 0.0, 0.0


@helper(**INLINED)
def _add_radial(rows, base, lanes, scale, terms, slopes):  # type: ignore[no-untyped-def]
    """Add dE/dr of the radial part, four orders at a time."""
    for i in each(base, lanes):
        x = rows[i + T]
        rows[i + P], rows[i + Q] = 2.0 * x * x - 1.0, x  # T_-2 and T_-1
    for n in range(0, terms.shape[1] - 3, 4):
        c0, c1, c2, c3 = terms[0, n], terms[0, n + 1], terms[0, n + 2], terms[0, n + 3]
        w0, w1, w2, w3 = terms[1, n], terms[1, n + 1], terms[1, n + 2], terms[1, n + 3]
        d0, d1, d2, d3 = slopes[0, n], slopes[0, n + 1], slopes[0, n + 2], slopes[0, n + 3]
        v0, v1, v2, v3 = slopes[1, n], slopes[1, n + 1], slopes[1, n + 2], slopes[1, n + 3]
        for i in each(base, lanes):
            s = rows[i + S]
            t0, t1, t2, t3 = next_four(rows, i)
            total = (c0 + s * w0) * t0 + (c1 + s * w1) * t1 + (c2 + s * w2) * t2 + (c3 + s * w3) * t3
            slope = (d0 + s * v0) * t0 + (d1 + s * v1) * t1 + (d2 + s * v2) * t2 + (d3 + s * v3) * t3
            rows[i + R] += rows[i + RG] * total + scale * rows[i + RF] * slope


@helper(**INLINED)
def _start_order(rows, base, lanes, m, ratio):  # type: ignore[no-untyped-def]
    """Go on to A_m and B_m, and to before q_mm and its derivative."""
    first = 1.0 if m == 0 else 0.0
    for i in each(base, lanes):
        x, y, a, b = rows[i + X], rows[i + Y], rows[i + A], rows[i + B]
        rows[i + LA], rows[i + LB] = a, b
        rows[i + A], rows[i + B] = first + ratio * (x * a - y * b), ratio * (x * b + y * a)
        rows[i + P], rows[i + Q], rows[i + DP], rows[i + DQ] = 1.0, 0.0, 0.0, 0.0


@helper(**INLINED)
def _combine(rows, base, lanes, own, own_weighted):  # type: ignore[no-untyped-def]
    """Turn the gradient by direction into that by the neighbour's position, and add what is along r."""
    for i in each(base, lanes):
        x, y, z, s, f = rows[i + X], rows[i + Y], rows[i + Z], rows[i + S], rows[i + AF]
        gx, gy, gz = rows[i + HX], rows[i + HY], rows[i + HZ]
        across = f * rows[i + I]
        h = rows[i + H] - f * (own + s * s * own_weighted)
        along = rows[i + R] + rows[i + AG] * h - across * (gx * x + gy * y + gz * z)
        rows[i + HX], rows[i + HY] = along * x + across * gx, along * y + across * gy
        rows[i + HZ] = along * z + across * gz


@helper(**INLINED)
def _fill_fields(rows, base, lanes, ratio, alpha, beta, moments, fields):  # type: ignore[no-untyped-def]
    """Fill, for each l, the derivatives of 1/2 (sum_m M_lm^2 - sum_j w_j^2), without and with weights.

    Eight rows for each l: x, y, z and one to work with, twice.
    """
    n_ang = len(ratio)
    set_zero(fields)
    for m in range(n_ang):
        _start_order(rows, base, lanes, m, ratio[m])
        factor = m * ratio[m]
        for l in range(m, n_ang):
            alpha0, beta0 = alpha[m, l], beta[m, l]
            re0, im0, re1, im1 = moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l]
            shift = np.uint64(l) * _FIELD - base
            for i in each(base, lanes):
                q, slope = rows[i + Q], rows[i + DQ]
                new = alpha0 * rows[i + Z] * q - beta0 * rows[i + P]
                new_slope = alpha0 * (rows[i + Z] * slope + q) - beta0 * rows[i + DP]
                rows[i + P], rows[i + Q], rows[i + DP], rows[i + DQ] = q, new, slope, new_slope
                a, b = rows[i + A], rows[i + B]
                here, up = re0 * a + im0 * b, re1 * a + im1 * b
                fields[i + shift + Z] += here * new_slope
                fields[i + shift + _W] += here * new
                fields[i + shift + Z + _HALF] += up * new_slope
                fields[i + shift + _W + _HALF] += up * new
                a, b = factor * new * rows[i + LA], factor * new * rows[i + LB]
                fields[i + shift + X] += re0 * a + im0 * b
                fields[i + shift + Y] += im0 * a - re0 * b
                fields[i + shift + X + _HALF] += re1 * a + im1 * b
                fields[i + shift + Y + _HALF] += im1 * a - re1 * b
    for l in range(n_ang):
        for t in range(2):
            shift = np.uint64(l) * _FIELD + np.uint64(t) * _HALF - base
            for i in each(base, lanes):
                w = rows[i + S] if t else 1.0
                x, y, z, f = rows[i + X], rows[i + Y], rows[i + Z], rows[i + AF]
                gx, gy, gz = fields[i + shift + X], fields[i + shift + Y], fields[i + shift + Z]
                across = w * f * rows[i + I]
                along = w * rows[i + AG] * (fields[i + shift + _W] - w * f) - across * (
                    gx * x + gy * y + gz * z
                )
                fields[i + shift + X] = along * x + across * gx
                fields[i + shift + Y] = along * y + across * gy
                fields[i + shift + Z] = along * z + across * gz


@helper(**INLINED)
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


@helper(**INLINED)
def _write_vectors(fields, at, out, k):  # type: ignore[no-untyped-def]
    """Write a pair's vectors of all orders."""
    for n in range(out.shape[1]):
        i = at + np.uint64(n) * _FIELD
        out[k, n, 0], out[k, n, 1], out[k, n, 2] = fields[i + X], fields[i + Y], fields[i + Z]
