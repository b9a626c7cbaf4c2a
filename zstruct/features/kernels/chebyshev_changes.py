"""How features of the Chebyshev descriptor, and gradients by pairs, change as atoms move, to first order.

Beside each row of neighbours lies one of how it changes: this is the chain rule, written out for each step
of `values` and `pair_gradient` in `zstruct.features.kernels.chebyshev`. Both come from one kernel, for they
share the moments.
"""

# ruff: noqa: E741 - l is what the order of a spherical harmonic is called
from __future__ import annotations

from math import pi

import numpy as np

from zstruct.features.kernels.chebyshev_field import add_field
from zstruct.features.kernels.chebyshev_moments import add_moments, scale_moments

from zstruct.features.kernels.chebyshev_rows import (  # isort: skip
    AF, AG, CHANGE, D, H, HX, HY, HZ, I, INLINED, OPTIONS, P, Q, R, RF, RG, S, SIZE, T, X, Y, Z,
    blocks, differentiate, each, gather, lanes_of, next_four, place, set_zero, split_gradient,
)  # fmt: skip
from zstruct.jit.kernel import helper, kernel

__all__ = ["changes"]

# The rows of changes.
(_X, _Y, _Z, _D, _T, _RF, _RG, _AF, _AG, _I) = (row + CHANGE for row in (X, Y, Z, D, T, RF, RG, AF, AG, I))
(_P, _Q, _R, _H, _HX, _HY, _HZ) = (row + CHANGE for row in (P, Q, R, H, HX, HY, HZ))


@kernel(takes=5, **OPTIONS)
def changes(piece, model, room, gradient, tangents, features, out):  # type: ignore[no-untyped-def]
    """Write how the features of the centres change along tangents, and how dE/dr_ij does.

    The second only if there is a gradient, dE/dG of the centres, of more than no columns. Returns the row of
    an atom without a weight, or -1.
    """
    start, offsets, indices, vectors, distances, numbers = piece
    weights, cutoffs, rad_order, series, ratio, alpha, beta = model
    rows, pairs, moments, sums, every_moment, every_sum = room
    n_rad, n_ang, half = rad_order + 1, len(ratio), rad_order + 1 + len(ratio)
    terms, slopes, curves = np.zeros((2, n_rad + 3)), np.zeros((2, n_rad + 3)), np.zeros((2, n_rad + 3))
    scales, pulling, per = np.zeros((2, n_ang)), gradient.shape[1] > 0, 2.0 / cutoffs[1]
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
        _move(start + a, n_all, indices, tangents, cutoffs, rows, pairs)
        set_zero(every_sum)
        for b in range(blocks(n_radial)):
            _add_polynomials(rows, b * SIZE, lanes_of(n_radial, b), n_rad, sums)
        if n_angular > 1:
            add_moments(True, rows, n_angular, ratio, alpha, beta, moments, every_moment)
        for t in range(features.shape[1] // half):
            for n in range(n_rad):
                features[a, t * half + n] = sums[t, n]
            for n in range(n_ang):
                features[a, t * half + n_rad + n] = 0.0
            if n_angular > 1:
                _add_products(rows, n_angular, moments, t, series, features, a, t * half + n_rad)
        if not pulling:
            continue
        split_gradient(gradient, a, n_rad, n_angular > 1, series, terms, scales)
        for t in range(2):
            differentiate(terms, slopes, t, n_rad)
            differentiate(slopes, curves, t, n_rad)
        own, own_weighted = 0.0, 0.0
        if n_angular > 1:
            own, own_weighted = scale_moments(True, scales, moments)
        for b in range(blocks(n_all)):
            base, lanes = b * SIZE, lanes_of(n_all, b)
            _clear(rows, base, lanes)
            _add_radial(rows, base, lanes_of(n_radial, b), per, terms, slopes, curves)
            if n_angular > 1:
                add_field(True, rows, base, lanes_of(n_angular, b), ratio, alpha, beta, moments)
            _combine(rows, base, lanes, own, own_weighted)
        for j in range(n_all):
            i, k = place(j), pairs[j]
            out[k, 0], out[k, 1], out[k, 2] = rows[i + _HX], rows[i + _HY], rows[i + _HZ]
    return -1


@helper(**INLINED)
def _move(centre, n, indices, tangents, cutoffs, rows, pairs):  # type: ignore[no-untyped-def]
    """Fill the changes of what `gather` fills."""
    cx, cy, cz = tangents[centre, 0], tangents[centre, 1], tangents[centre, 2]
    for j in range(n):
        i, k = place(j), indices[pairs[j]]
        rows[i + _X], rows[i + _Y], rows[i + _Z] = (
            tangents[k, 0] - cx,
            tangents[k, 1] - cy,
            tangents[k, 2] - cz,
        )
    _, rad_cutoff, ang_cutoff = cutoffs
    for b in range(blocks(n)):
        base = b * SIZE
        lanes = lanes_of(n, b)
        for i in range(place(n), base + lanes):  # none, but in the last block
            rows[i + _X], rows[i + _Y], rows[i + _Z] = 0.0, 0.0, 0.0
        for i in each(base, lanes):
            x, y, z, inverse = rows[i + X], rows[i + Y], rows[i + Z], rows[i + I]
            dx, dy, dz, d = rows[i + _X], rows[i + _Y], rows[i + _Z], rows[i + D]
            along = x * dx + y * dy + z * dz
            rows[i + _X], rows[i + _Y] = inverse * (dx - x * along), inverse * (dy - y * along)
            rows[i + _Z], rows[i + _D] = inverse * (dz - z * along), along
            rows[i + _I] = -inverse * inverse * along
            # The cutoff function is (1 - sin(pi x / 2)) / 2, so its second derivative is made of itself.
            inside = along if d < rad_cutoff else 0.0
            rows[i + _T], rows[i + _RF] = inside * (2.0 / rad_cutoff), rows[i + RG] * along
            rows[i + _RG] = inside * (0.5 * pi * pi / (rad_cutoff * rad_cutoff)) * (1.0 - 2.0 * rows[i + RF])
            inside = along if d < ang_cutoff else 0.0
            rows[i + _AF] = rows[i + AG] * along
            rows[i + _AG] = inside * (0.5 * pi * pi / (ang_cutoff * ang_cutoff)) * (1.0 - 2.0 * rows[i + AF])


@helper(**INLINED)
def _add_polynomials(rows, base, lanes, n_rad, sums):  # type: ignore[no-untyped-def]
    """Add how the sums of f T_n and of s f T_n over neighbours change, four orders at a time."""
    for i in each(base, lanes):
        x, f, dx, df = rows[i + T], rows[i + RF], rows[i + _T], rows[i + _RF]
        rows[i + P], rows[i + Q] = (2.0 * x * x - 1.0) * f, x * f  # T_-2 and T_-1
        rows[i + _P], rows[i + _Q] = (2.0 * x * x - 1.0) * df + 4.0 * x * dx * f, x * df + dx * f
    for n in range(0, n_rad, 4):
        s0, s1, s2, s3 = sums[0, n], sums[0, n + 1], sums[0, n + 2], sums[0, n + 3]
        w0, w1, w2, w3 = sums[1, n], sums[1, n + 1], sums[1, n + 2], sums[1, n + 3]
        for i in each(base, lanes):
            x, dx, s, q, dq = 2.0 * rows[i + T], 2.0 * rows[i + _T], rows[i + S], rows[i + Q], rows[i + _Q]
            t0, d0 = x * q - rows[i + P], x * dq + dx * q - rows[i + _P]
            t1, d1 = x * t0 - q, x * d0 + dx * t0 - dq
            t2, d2 = x * t1 - t0, x * d1 + dx * t1 - d0
            t3, d3 = x * t2 - t1, x * d2 + dx * t2 - d1
            rows[i + P], rows[i + Q], rows[i + _P], rows[i + _Q] = t2, t3, d2, d3
            s0, s1, s2, s3 = s0 + d0, s1 + d1, s2 + d2, s3 + d3
            w0, w1, w2, w3 = w0 + s * d0, w1 + s * d1, w2 + s * d2, w3 + s * d3
        sums[0, n], sums[0, n + 1], sums[0, n + 2], sums[0, n + 3] = s0, s1, s2, s3
        sums[1, n], sums[1, n + 1], sums[1, n + 2], sums[1, n + 3] = w0, w1, w2, w3


@helper(**INLINED)
def _add_products(rows, n_angular, moments, t, series, out, a, at):  # type: ignore[no-untyped-def]
    """Write how the angular features change, without (t = 0) or with (t = 1) the weights of species."""
    diagonal = 0.0
    for b in range(blocks(n_angular)):
        for i in each(b * SIZE, lanes_of(n_angular, b)):
            s = rows[i + S] if t > 0 else 1.0
            diagonal += s * s * rows[i + AF] * rows[i + _AF]
    for l in range(len(series)):
        total = -diagonal
        for m in range(l + 1):
            total += moments[2 * t, m, l] * moments[2 * t + 4, m, l]
            total += moments[2 * t + 1, m, l] * moments[2 * t + 5, m, l]
        for n in range(l, len(series)):
            out[a, at + n] += series[n, l] * total


@helper(**INLINED)
def _clear(rows, base, lanes):  # type: ignore[no-untyped-def]
    for i in each(base, lanes):
        rows[i + R], rows[i + H], rows[i + HX], rows[i + HY], rows[i + HZ] = 0.0, 0.0, 0.0, 0.0, 0.0
        rows[i + _R], rows[i + _H], rows[i + _HX], rows[i + _HY], rows[i + _HZ] = 0.0, 0.0, 0.0, 0.0, 0.0


@helper(**INLINED)
def _add_radial(rows, base, lanes, scale, terms, slopes, curves):  # type: ignore[no-untyped-def]
    """Add dE/dr of the radial part, and its change, four orders at a time."""
    for i in each(base, lanes):
        x = rows[i + T]
        rows[i + P], rows[i + Q] = 2.0 * x * x - 1.0, x  # T_-2 and T_-1
    for n in range(0, terms.shape[1] - 3, 4):
        c0, c1, c2, c3 = terms[0, n], terms[0, n + 1], terms[0, n + 2], terms[0, n + 3]
        w0, w1, w2, w3 = terms[1, n], terms[1, n + 1], terms[1, n + 2], terms[1, n + 3]
        d0, d1, d2, d3 = slopes[0, n], slopes[0, n + 1], slopes[0, n + 2], slopes[0, n + 3]
        v0, v1, v2, v3 = slopes[1, n], slopes[1, n + 1], slopes[1, n + 2], slopes[1, n + 3]
        e0, e1, e2, e3 = curves[0, n], curves[0, n + 1], curves[0, n + 2], curves[0, n + 3]
        u0, u1, u2, u3 = curves[1, n], curves[1, n + 1], curves[1, n + 2], curves[1, n + 3]
        for i in each(base, lanes):
            s = rows[i + S]
            t0, t1, t2, t3 = next_four(rows, i)
            total = (c0 + s * w0) * t0 + (c1 + s * w1) * t1 + (c2 + s * w2) * t2 + (c3 + s * w3) * t3
            slope = (d0 + s * v0) * t0 + (d1 + s * v1) * t1 + (d2 + s * v2) * t2 + (d3 + s * v3) * t3
            curve = (e0 + s * u0) * t0 + (e1 + s * u1) * t1 + (e2 + s * u2) * t2 + (e3 + s * u3) * t3
            rows[i + R] += rows[i + RG] * total + scale * rows[i + RF] * slope
            rows[i + _R] += (
                rows[i + _RG] * total
                + scale * (2.0 * rows[i + _RF]) * slope
                + scale * rows[i + _T] * rows[i + RF] * curve
            )


@helper(**INLINED)
def _combine(rows, base, lanes, own, own_weighted):  # type: ignore[no-untyped-def]
    """Turn the change of the gradient by direction into that of the one by the neighbour's position."""
    for i in each(base, lanes):
        x, y, z, s, f = rows[i + X], rows[i + Y], rows[i + Z], rows[i + S], rows[i + AF]
        dx, dy, dz, df = rows[i + _X], rows[i + _Y], rows[i + _Z], rows[i + _AF]
        gx, gy, gz, ex, ey, ez = (
            rows[i + HX], rows[i + HY], rows[i + HZ], rows[i + _HX], rows[i + _HY], rows[i + _HZ]
        )  # fmt: skip
        across, dacross = f * rows[i + I], df * rows[i + I] + f * rows[i + _I]
        itself = own + s * s * own_weighted
        h, dh = rows[i + H] - f * itself, rows[i + _H] - df * itself
        radial = gx * x + gy * y + gz * z
        dradial = ex * x + ey * y + ez * z + gx * dx + gy * dy + gz * dz
        along = rows[i + R] + rows[i + AG] * h - across * radial
        dalong = rows[i + _R] + rows[i + _AG] * h + rows[i + AG] * dh - dacross * radial - across * dradial
        rows[i + _HX] = dalong * x + along * dx + dacross * gx + across * ex
        rows[i + _HY] = dalong * y + along * dy + dacross * gy + across * ey
        rows[i + _HZ] = dalong * z + along * dz + dacross * gz + across * ez
