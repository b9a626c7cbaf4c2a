"""Moments of the neighbours of a centre: sums of f q_lm A_m and f q_lm B_m over them, and how these change.

The notation is that of `zstruct.features.kernels.chebyshev`. There are eight moments by (m, l): with A_m and
with B_m, both of these times the weights of species, and the changes of all four.
"""

# ruff: noqa: E741 - l is what the order of a spherical harmonic is called
from __future__ import annotations

from zstruct.features.kernels.chebyshev_rows import (  # isort: skip
    A, AF, B, CHANGE, INLINED, P, Q, S, SIZE, X, Y, Z, blocks, each, four, lanes_of, set_zero,
)  # fmt: skip
from zstruct.jit.kernel import helper

__all__ = []

# The rows of changes.
(_X, _Y, _Z, _AF, _P, _Q, _A, _B) = (row + CHANGE for row in (X, Y, Z, AF, P, Q, A, B))


@helper(**INLINED)
def add_moments(moving, rows, n_angular, ratio, alpha, beta, moments, every_moment):  # type: ignore[no-untyped-def]
    """Sum over the neighbours, two l at a time; if they are moving, also how the sums change."""
    set_zero(every_moment)
    for b in range(blocks(n_angular)):
        base, lanes = b * SIZE, lanes_of(n_angular, b)
        for m in range(len(ratio)):
            if moving:
                _add_first_with_changes(rows, base, lanes, m, ratio[m], alpha[m, m + 1], moments)
            else:
                _add_first(rows, base, lanes, m, ratio[m], alpha[m, m + 1], moments)
            for l in range(m + 2, len(ratio), 2):
                alphas, betas = (alpha[m, l], alpha[m, l + 1]), (beta[m, l], beta[m, l + 1])
                if moving:
                    _add_next_with_changes(rows, base, lanes, m, l, alphas, betas, moments)
                else:
                    _add_next(rows, base, lanes, m, l, alphas, betas, moments)


@helper(**INLINED)
def scale_moments(moving, scales, moments):  # type: ignore[no-untyped-def]
    """Multiply the moments by the factors of their l; return the sums of these, without and with weights."""
    kinds, own, own_weighted = 8 if moving else 4, 0.0, 0.0
    for l in range(scales.shape[1]):
        own, own_weighted = own + scales[0, l], own_weighted + scales[1, l]
        for m in range(l + 1):
            for kind in range(kinds):
                moments[kind, m, l] *= scales[kind // 2 % 2, l]
    return own, own_weighted


@helper(**INLINED)
def _add_first(rows, base, lanes, m, ratio, alpha, moments):  # type: ignore[no-untyped-def]
    """Go on to f A_m and f B_m; add l = m, where q is 1, and l = m + 1."""
    first, l = 1.0 if m == 0 else 0.0, m + 1
    a0, b0, c0, d0 = four(moments, 0, m, m)
    a1, b1, c1, d1 = four(moments, 0, m, l)
    for i in each(base, lanes):
        x, y, z, s = rows[i + X], rows[i + Y], rows[i + Z], rows[i + S]
        last, other = rows[i + A], rows[i + B]
        a, b = first * rows[i + AF] + ratio * (x * last - y * other), ratio * (x * other + y * last)
        q = alpha * z
        rows[i + A], rows[i + B], rows[i + P], rows[i + Q] = a, b, 1.0, q
        a0, b0, c0, d0 = a0 + a, b0 + b, c0 + s * a, d0 + s * b
        a, b = q * a, q * b
        a1, b1, c1, d1 = a1 + a, b1 + b, c1 + s * a, d1 + s * b
    moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l] = a1, b1, c1, d1
    moments[0, m, m], moments[1, m, m], moments[2, m, m], moments[3, m, m] = a0, b0, c0, d0


@helper(**INLINED)
def _add_next(rows, base, lanes, m, l, alphas, betas, moments):  # type: ignore[no-untyped-def]
    """Add what the neighbours of a block have of l and l + 1."""
    a0, b0, c0, d0 = four(moments, 0, m, l)
    up = l + 1
    a1, b1, c1, d1 = four(moments, 0, m, up)
    for i in each(base, lanes):
        z, s, q, a, b = rows[i + Z], rows[i + S], rows[i + Q], rows[i + A], rows[i + B]
        q0 = alphas[0] * z * q - betas[0] * rows[i + P]
        q1 = alphas[1] * z * q0 - betas[1] * q
        rows[i + P], rows[i + Q] = q0, q1
        a0, b0, a1, b1 = a0 + q0 * a, b0 + q0 * b, a1 + q1 * a, b1 + q1 * b
        q0, q1 = s * q0, s * q1
        c0, d0, c1, d1 = c0 + q0 * a, d0 + q0 * b, c1 + q1 * a, d1 + q1 * b
    moments[0, m, up], moments[1, m, up], moments[2, m, up], moments[3, m, up] = a1, b1, c1, d1
    moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l] = a0, b0, c0, d0


@helper(**INLINED)
def _add_first_with_changes(rows, base, lanes, m, ratio, alpha, moments):  # type: ignore[no-untyped-def]
    """Go on to f A_m and f B_m; add l = m, where q is 1, and l = m + 1."""
    first, l = 1.0 if m == 0 else 0.0, m + 1
    a0, b0, c0, d0 = four(moments, 0, m, m)
    a1, b1, c1, d1 = four(moments, 0, m, l)
    e0, f0, g0, h0 = four(moments, 4, m, m)
    e1, f1, g1, h1 = four(moments, 4, m, l)
    for i in each(base, lanes):
        x, y, s, dx, dy = rows[i + X], rows[i + Y], rows[i + S], rows[i + _X], rows[i + _Y]
        last, other, dlast, dother = rows[i + A], rows[i + B], rows[i + _A], rows[i + _B]
        a, b = first * rows[i + AF] + ratio * (x * last - y * other), ratio * (x * other + y * last)
        da = first * rows[i + _AF] + ratio * (x * dlast + dx * last - y * dother - dy * other)
        db = ratio * (x * dother + dx * other + y * dlast + dy * last)
        q, dq = alpha * rows[i + Z], alpha * rows[i + _Z]
        rows[i + A], rows[i + B], rows[i + P], rows[i + Q] = a, b, 1.0, q
        rows[i + _A], rows[i + _B], rows[i + _P], rows[i + _Q] = da, db, 0.0, dq
        a0, b0, c0, d0 = a0 + a, b0 + b, c0 + s * a, d0 + s * b
        e0, f0, g0, h0 = e0 + da, f0 + db, g0 + s * da, h0 + s * db
        a, b, da, db = q * a, q * b, q * da + dq * a, q * db + dq * b
        a1, b1, c1, d1 = a1 + a, b1 + b, c1 + s * a, d1 + s * b
        e1, f1, g1, h1 = e1 + da, f1 + db, g1 + s * da, h1 + s * db
    moments[4, m, l], moments[5, m, l], moments[6, m, l], moments[7, m, l] = e1, f1, g1, h1
    moments[4, m, m], moments[5, m, m], moments[6, m, m], moments[7, m, m] = e0, f0, g0, h0
    moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l] = a1, b1, c1, d1
    moments[0, m, m], moments[1, m, m], moments[2, m, m], moments[3, m, m] = a0, b0, c0, d0


@helper(**INLINED)
def _add_next_with_changes(rows, base, lanes, m, l, alphas, betas, moments):  # type: ignore[no-untyped-def]
    """Add what the neighbours of a block have of l and l + 1."""
    up = l + 1
    a0, b0, c0, d0 = four(moments, 0, m, l)
    a1, b1, c1, d1 = four(moments, 0, m, up)
    e0, f0, g0, h0 = four(moments, 4, m, l)
    e1, f1, g1, h1 = four(moments, 4, m, up)
    for i in each(base, lanes):
        z, s, q, a, b = rows[i + Z], rows[i + S], rows[i + Q], rows[i + A], rows[i + B]
        dz, dq, da, db = rows[i + _Z], rows[i + _Q], rows[i + _A], rows[i + _B]
        q0, v0 = (
            alphas[0] * z * q - betas[0] * rows[i + P],
            alphas[0] * (z * dq + dz * q) - betas[0] * rows[i + _P],
        )
        q1, v1 = alphas[1] * z * q0 - betas[1] * q, alphas[1] * (z * v0 + dz * q0) - betas[1] * dq
        rows[i + P], rows[i + Q], rows[i + _P], rows[i + _Q] = q0, q1, v0, v1
        a0, b0, a1, b1 = a0 + q0 * a, b0 + q0 * b, a1 + q1 * a, b1 + q1 * b
        e0, f0 = e0 + q0 * da + v0 * a, f0 + q0 * db + v0 * b
        e1, f1 = e1 + q1 * da + v1 * a, f1 + q1 * db + v1 * b
        a, b, da, db = s * a, s * b, s * da, s * db
        c0, d0, c1, d1 = c0 + q0 * a, d0 + q0 * b, c1 + q1 * a, d1 + q1 * b
        g0, h0 = g0 + q0 * da + v0 * a, h0 + q0 * db + v0 * b
        g1, h1 = g1 + q1 * da + v1 * a, h1 + q1 * db + v1 * b
    moments[4, m, up], moments[5, m, up], moments[6, m, up], moments[7, m, up] = e1, f1, g1, h1
    moments[4, m, l], moments[5, m, l], moments[6, m, l], moments[7, m, l] = e0, f0, g0, h0
    moments[0, m, up], moments[1, m, up], moments[2, m, up], moments[3, m, up] = a1, b1, c1, d1
    moments[0, m, l], moments[1, m, l], moments[2, m, l], moments[3, m, l] = a0, b0, c0, d0
