"""The sum of M_lm Y_lm and its gradient at the direction of each neighbour, and how these change.

The notation is that of `zstruct.features.kernels.chebyshev`, and the moments are those of
`zstruct.features.kernels.chebyshev_moments`.
"""

# ruff: noqa: E741 - l is what the order of a spherical harmonic is called
from __future__ import annotations

from zstruct.features.kernels.chebyshev_rows import (  # isort: skip
    A, B, CHANGE, DP, DQ, H, HX, HY, HZ, LA, LB, INLINED, P, Q, S, X, Y, Z, each, four,
)  # fmt: skip
from zstruct.jit.kernel import helper

__all__ = []

# The rows of changes.
(_X, _Y, _Z, _P, _Q, _DP, _DQ) = (row + CHANGE for row in (X, Y, Z, P, Q, DP, DQ))
(_A, _B, _LA, _LB, _H, _HX, _HY, _HZ) = (row + CHANGE for row in (A, B, LA, LB, H, HX, HY, HZ))


@helper(**INLINED)
def add_field(moving, rows, base, lanes, ratio, alpha, beta, moments):  # type: ignore[no-untyped-def]
    """Add the field of a block of neighbours, two l at a time; if they are moving, also how it changes."""
    for m in range(len(ratio)):
        if moving:
            _add_first_with_changes(rows, base, lanes, m, ratio[m], alpha[m, m + 1], moments)
        else:
            _add_first(rows, base, lanes, m, ratio[m], alpha[m, m + 1], moments)
        for l in range(m + 2, len(ratio), 2):
            alphas, betas = (alpha[m, l], alpha[m, l + 1]), (beta[m, l], beta[m, l + 1])
            if moving:
                _add_next_with_changes(rows, base, lanes, m, l, m * ratio[m], alphas, betas, moments)
            else:
                _add_next(rows, base, lanes, m, l, m * ratio[m], alphas, betas, moments)


@helper(**INLINED)
def _add_first(rows, base, lanes, m, ratio, alpha, moments):  # type: ignore[no-untyped-def]
    """Go on to A_m and B_m; add l = m, where q is 1, and l = m + 1."""
    first, factor, l = 1.0 if m == 0 else 0.0, m * ratio, m + 1
    a0, b0, c0, d0 = four(moments, 0, m, m)
    a1, b1, c1, d1 = four(moments, 0, m, l)
    for i in each(base, lanes):
        x, y, s = rows[i + X], rows[i + Y], rows[i + S]
        last, other = rows[i + A], rows[i + B]
        a, b = first + ratio * (x * last - y * other), ratio * (x * other + y * last)
        q = alpha * rows[i + Z]
        rows[i + A], rows[i + B], rows[i + LA], rows[i + LB] = a, b, last, other
        rows[i + P], rows[i + Q], rows[i + DP], rows[i + DQ] = 1.0, q, 0.0, alpha
        re1, im1 = a1 + s * c1, b1 + s * d1
        re, im = a0 + s * c0 + re1 * q, b0 + s * d0 + im1 * q
        rows[i + H] += re * a + im * b
        rows[i + HZ] += alpha * (re1 * a + im1 * b)
        rows[i + HX] += factor * (re * last + im * other)
        rows[i + HY] += factor * (im * last - re * other)


@helper(**INLINED)
def _add_next(rows, base, lanes, m, l, factor, alphas, betas, moments):  # type: ignore[no-untyped-def]
    """Add l and l + 1."""
    a0, b0, c0, d0 = four(moments, 0, m, l)
    l += 1
    a1, b1, c1, d1 = four(moments, 0, m, l)
    for i in each(base, lanes):
        z, s, q, slope = rows[i + Z], rows[i + S], rows[i + Q], rows[i + DQ]
        q0 = alphas[0] * z * q - betas[0] * rows[i + P]
        q1 = alphas[1] * z * q0 - betas[1] * q
        slope0 = alphas[0] * (z * slope + q) - betas[0] * rows[i + DP]
        slope1 = alphas[1] * (z * slope0 + q0) - betas[1] * slope
        rows[i + P], rows[i + Q], rows[i + DP], rows[i + DQ] = q0, q1, slope0, slope1
        re0, im0, re1, im1 = a0 + s * c0, b0 + s * d0, a1 + s * c1, b1 + s * d1
        re, im, a, b = re0 * q0 + re1 * q1, im0 * q0 + im1 * q1, rows[i + A], rows[i + B]
        rows[i + H] += re * a + im * b
        rows[i + HZ] += (re0 * slope0 + re1 * slope1) * a + (im0 * slope0 + im1 * slope1) * b
        a, b = rows[i + LA], rows[i + LB]
        rows[i + HX] += factor * (re * a + im * b)
        rows[i + HY] += factor * (im * a - re * b)


@helper(**INLINED)
def _add_first_with_changes(rows, base, lanes, m, ratio, alpha, moments):  # type: ignore[no-untyped-def]
    """Go on to A_m and B_m; add l = m, where q is 1, and l = m + 1."""
    first, factor, l = 1.0 if m == 0 else 0.0, m * ratio, m + 1
    a0, b0, c0, d0 = four(moments, 0, m, m)
    a1, b1, c1, d1 = four(moments, 0, m, l)
    e0, f0, g0, h0 = four(moments, 4, m, m)
    e1, f1, g1, h1 = four(moments, 4, m, l)
    for i in each(base, lanes):
        x, y, s, dx, dy = rows[i + X], rows[i + Y], rows[i + S], rows[i + _X], rows[i + _Y]
        last, other, dlast, dother = rows[i + A], rows[i + B], rows[i + _A], rows[i + _B]
        a, b = first + ratio * (x * last - y * other), ratio * (x * other + y * last)
        da = ratio * (x * dlast + dx * last - y * dother - dy * other)
        db = ratio * (x * dother + dx * other + y * dlast + dy * last)
        q, dq = alpha * rows[i + Z], alpha * rows[i + _Z]
        rows[i + A], rows[i + B], rows[i + LA], rows[i + LB] = a, b, last, other
        rows[i + _A], rows[i + _B], rows[i + _LA], rows[i + _LB] = da, db, dlast, dother
        rows[i + P], rows[i + Q], rows[i + DP], rows[i + DQ] = 1.0, q, 0.0, alpha
        rows[i + _P], rows[i + _Q], rows[i + _DP], rows[i + _DQ] = 0.0, dq, 0.0, 0.0
        re1, im1, dre1, dim1 = a1 + s * c1, b1 + s * d1, e1 + s * g1, f1 + s * h1
        re, im = a0 + s * c0 + re1 * q, b0 + s * d0 + im1 * q
        dre, dim = e0 + s * g0 + dre1 * q + re1 * dq, f0 + s * h0 + dim1 * q + im1 * dq
        rows[i + H] += re * a + im * b
        rows[i + HZ] += alpha * (re1 * a + im1 * b)
        rows[i + HX] += factor * (re * last + im * other)
        rows[i + HY] += factor * (im * last - re * other)
        rows[i + _H] += dre * a + dim * b + re * da + im * db
        rows[i + _HZ] += alpha * (dre1 * a + dim1 * b + re1 * da + im1 * db)
        rows[i + _HX] += factor * (dre * last + dim * other + re * dlast + im * dother)
        rows[i + _HY] += factor * (dim * last - dre * other + im * dlast - re * dother)


@helper(**INLINED)
def _add_next_with_changes(rows, base, lanes, m, l, factor, alphas, betas, moments):  # type: ignore[no-untyped-def]
    """Add l and l + 1."""
    up = l + 1
    a0, b0, c0, d0 = four(moments, 0, m, l)
    a1, b1, c1, d1 = four(moments, 0, m, up)
    e0, f0, g0, h0 = four(moments, 4, m, l)
    e1, f1, g1, h1 = four(moments, 4, m, up)
    for i in each(base, lanes):
        z, s, q, slope = rows[i + Z], rows[i + S], rows[i + Q], rows[i + DQ]
        dz, dq, dslope = rows[i + _Z], rows[i + _Q], rows[i + _DQ]
        q0, slope0 = (
            alphas[0] * z * q - betas[0] * rows[i + P],
            alphas[0] * (z * slope + q) - betas[0] * rows[i + DP],
        )
        q1, slope1 = alphas[1] * z * q0 - betas[1] * q, alphas[1] * (z * slope0 + q0) - betas[1] * slope
        v0 = alphas[0] * (z * dq + dz * q) - betas[0] * rows[i + _P]
        v1 = alphas[1] * (z * v0 + dz * q0) - betas[1] * dq
        dslope0 = alphas[0] * (z * dslope + dz * slope + dq) - betas[0] * rows[i + _DP]
        dslope1 = alphas[1] * (z * dslope0 + dz * slope0 + v0) - betas[1] * dslope
        rows[i + P], rows[i + Q], rows[i + DP], rows[i + DQ] = q0, q1, slope0, slope1
        rows[i + _P], rows[i + _Q], rows[i + _DP], rows[i + _DQ] = v0, v1, dslope0, dslope1
        re0, im0, re1, im1 = a0 + s * c0, b0 + s * d0, a1 + s * c1, b1 + s * d1
        dre0, dim0, dre1, dim1 = e0 + s * g0, f0 + s * h0, e1 + s * g1, f1 + s * h1
        re, im = re0 * q0 + re1 * q1, im0 * q0 + im1 * q1
        dre = dre0 * q0 + dre1 * q1 + re0 * v0 + re1 * v1
        dim = dim0 * q0 + dim1 * q1 + im0 * v0 + im1 * v1
        a, b, da, db = rows[i + A], rows[i + B], rows[i + _A], rows[i + _B]
        rows[i + H] += re * a + im * b
        rows[i + _H] += dre * a + dim * b + re * da + im * db
        re_slope, im_slope = re0 * slope0 + re1 * slope1, im0 * slope0 + im1 * slope1
        rows[i + HZ] += re_slope * a + im_slope * b
        rows[i + _HZ] += (
            (dre0 * slope0 + dre1 * slope1 + re0 * dslope0 + re1 * dslope1) * a
            + (dim0 * slope0 + dim1 * slope1 + im0 * dslope0 + im1 * dslope1) * b
            + re_slope * da
            + im_slope * db
        )
        a, b, da, db = rows[i + LA], rows[i + LB], rows[i + _LA], rows[i + _LB]
        rows[i + HX] += factor * (re * a + im * b)
        rows[i + HY] += factor * (im * a - re * b)
        rows[i + _HX] += factor * (dre * a + dim * b + re * da + im * db)
        rows[i + _HY] += factor * (dim * a - dre * b + im * da - re * db)
