"""The kernels of atom-centred symmetry functions: sums over the neighbours of atoms, and over pairs of them.

One sweep goes over the atoms; what it does with the functions it meets is its `operation`, so that
little is compiled. It knows species by their index only, and no parameters but in tables.

An angular function is P(c) times a product of g(x) = exp(-eta x) fc(sqrt(x)) over the squared sides
A = r_ij^2, B = r_ik^2 and (G4 only) S = r_jk^2 of a triangle. With D = r_ij . r_ik we have
c = D / sqrt(A B) and S = A + B - 2 D, so that A, B and D say everything, and all derivatives are by
these. In names, `x1` and `x2` are first and second derivatives of `x`, `dx` its change along the
tangents.

Triangles are collected in blocks, in rows of `work`: the loops over a block are long enough for SIMD.
Rows of `near` hold the same of the neighbours of one atom. Both are flat, and only ever indexed as
unsigned: a possible wrap around from the end would keep loops from being vectorised.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from zstruct.jit.kernel import helper, kernel, primitive

__all__ = ["DERIVATIVES", "GRADIENT", "SECOND", "TANGENT", "VALUES", "sweep"]

# Operations: the features; their derivatives, pair by pair; from dE/dG to dE/dr; the change of G along
# tangents; that and the change of dE/dr.
VALUES, DERIVATIVES, GRADIENT, TANGENT, SECOND = range(5)

_BLOCK = 128  # triangles; their rows stay in the first-level cache

# Where rows of `work` begin. I: inverse lengths of sides; F: fc(sqrt(S)); T: g(S); GA, GB: g(A), g(B);
# W: 2 g(A) g(B) g(S), then its derivatives by A, B, D; so C and E, the energy; Q: dE/dG times P, summed;
# DA to DED: changes of what has the rest of the name; X, X2: for powers.
_IA, _IB, _S, _C, _F, _F1, _F2, _T, _T1, _T2 = (np.uint64(row * _BLOCK) for row in range(10))
_GA, _GA1, _GA2, _GB, _GB1, _GB2, _W, _WA, _WB, _WD = (np.uint64(row * _BLOCK) for row in range(10, 20))
_CA, _CB, _CD, _EA, _EB, _ED, _Q, _Q1, _Q2 = (np.uint64(row * _BLOCK) for row in range(20, 29))
_DA, _DB, _DD, _DC, _DW, _DEA, _DEB, _DED, _X, _X2 = (np.uint64(row * _BLOCK) for row in range(29, 39))
_POWERS = 39  # then three rows for each shape: P, P1, P2

# Rows of `near`. P: vectors; AA: squared lengths; R: a function of one neighbour; T: tangents; O: dE/dr,
# or its change; SLOPE, CURVE: of E by the length; DOT: products with one neighbour. Then three rows for
# each eta: g, g1, g2.
_PX, _PY, _PZ, _AA, _INVERSE, _CUT, _CUT1, _CUT2, _R, _R1, _R2 = (np.uint64(row) for row in range(11))
_TX, _TY, _TZ, _DAA, _OX, _OY, _OZ, _SLOPE, _CURVE, _DOT = (np.uint64(row) for row in range(11, 21))
_GAUSSIANS = 21

_EXP = tuple(1 / math.factorial(k) for k in range(13, -1, -1))
_LOG2_E = math.log2(math.e)
# ln 2 in two parts: the first has so few bits that its products with integers are exact.
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_ROUND = 1.5 * 2.0**52  # a number plus this is rounded to an integer, kept in the lowest bits
# (1 + cos(pi sqrt(x))) / 2 and its two derivatives by x: Taylor series, exact to 1e-15 up to x = 1.
_SERIES = np.polynomial.Polynomial(
    [0.5 * (-1) ** k * math.pi ** (2 * k) / math.factorial(2 * k) for k in range(16)]
)
_SERIES.coef[0] += 0.5
# Even and odd coefficients side by side: two short sums instead of a long one, and loops that unroll.
_FC, _FC1, _FC2 = (
    tuple((float(series[k]), float(series[k + 1])) for k in range(14, -1, -2))
    for series in (np.append(_SERIES.deriv(order).coef, [0.0, 0.0]) for order in range(3))
)

_FAST = {"reassoc", "contract", "nsz"}


def _emit_bits(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))


@primitive("int64(float64)", _emit_bits)
def _as_integer(value: float) -> int:
    """Return the bits of a number as an integer."""
    return int(np.float64(value).view(np.int64))


@primitive("float64(int64)", _emit_bits)
def _as_float(bits: int) -> float:
    """Return the number that has these bits."""
    return float(np.int64(bits).view(np.float64))


# Without reassociation, which would undo the rounding.
@helper(fastmath={"contract", "nsz"})
def _exp(x):  # type: ignore[no-untyped-def]
    """Return exp(x) for x <= 0, to the last bit or two; unlike the library's, it is vectorised."""
    x = max(x, -700.0)
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    rest = (x - n * _LN2_HIGH) - n * _LN2_LOW
    series = 0.0
    for c in _EXP:
        series = series * rest + c
    return series * _as_float((_as_integer(shifted) + 1023) << 52)


@helper(fastmath=_FAST)
def _cutoffs(order, n, r_cut, array, at, to, to1, to2):  # type: ignore[no-untyped-def]
    """Write the cutoff function of squared distances, and its derivatives by them, up to an order."""
    scale = 1.0 / (r_cut * r_cut)
    for q in range(n):
        x, even, odd = array[at + q] * scale, 0.0, 0.0
        for p in _FC:
            even, odd = even * (x * x) + p[0], odd * (x * x) + p[1]
        array[to + q] = even + x * odd
    if order > 0:
        for q in range(n):
            x, even, odd = array[at + q] * scale, 0.0, 0.0
            for p in _FC1:
                even, odd = even * (x * x) + p[0], odd * (x * x) + p[1]
            array[to1 + q] = (even + x * odd) * scale
    if order > 1:
        for q in range(n):
            x, even, odd = array[at + q] * scale, 0.0, 0.0
            for p in _FC2:
                even, odd = even * (x * x) + p[0], odd * (x * x) + p[1]
            array[to2 + q] = (even + x * odd) * scale * scale


@helper(fastmath=_FAST)
def _gaussians(order, n, eta, array, at, f, f1, f2, to, to1, to2):  # type: ignore[no-untyped-def]
    """Write g(x) = exp(-eta x) f(x), and its derivatives by x, up to an order."""
    for q in range(n):
        array[to + q] = _exp(-eta * array[at + q])
    if order > 1:
        for q in range(n):
            second = array[f2 + q] - 2.0 * eta * array[f1 + q] + eta * eta * array[f + q]
            array[to2 + q] = array[to + q] * second
    if order > 0:
        for q in range(n):
            array[to1 + q] = array[to + q] * (array[f1 + q] - eta * array[f + q])
    for q in range(n):
        array[to + q] *= array[f + q]


@helper(fastmath=_FAST)
def _power(n, exponent, factor, work, to):  # type: ignore[no-untyped-def]
    """Write factor * x**exponent of row X; zero if the factor is, whatever the exponent."""
    whole, source = int(exponent), _X
    if factor == 0.0 or exponent == 0.0:
        for q in range(n):
            work[to + q] = factor
    elif whole != exponent:
        for q in range(n):
            work[to + q] = factor * work[_X + q] ** exponent
    else:
        begun = False
        while whole > 0:
            if whole & 1 and begun:
                for q in range(n):
                    work[to + q] *= work[source + q]
            elif whole & 1:
                begun = True
                for q in range(n):
                    work[to + q] = factor * work[source + q]
            whole >>= 1
            if whole > 0:
                for q in range(n):
                    work[_X2 + q] = work[source + q] * work[source + q]
                source = _X2


@helper(fastmath=_FAST)
def _radial(  # type: ignore[no-untyped-def]
    operation, a, rows, edges, functions, scratch, arrays
):
    """Do what the operation asks with the functions of one neighbour: G1, G2, G3."""
    _, n_species, g2, g3, _, _, _, _, _, _ = functions
    near, room, _, _ = scratch
    features, gradient, radial, _, _, _ = arrays
    order = 0 if operation == VALUES else 2 if operation == SECOND else 1
    size, n = 1 + len(g2) + len(g3), np.uint64(edges[-1])
    square, inverse, cut, cut1, cut2 = _AA * room, _INVERSE * room, _CUT * room, _CUT1 * room, _CUT2 * room
    value, value1, value2 = _R * room, _R1 * room, _R2 * room
    slope, curve, change = _SLOPE * room, _CURVE * room, _DAA * room
    for f in range(size):
        # Here the functions without the cutoff function.
        if f == 0:
            for q in range(n):
                near[value + q], near[value1 + q], near[value2 + q] = 1.0, 0.0, 0.0
        elif f <= len(g2):
            eta, shift = g2[f - 1, 0], g2[f - 1, 1]
            for q in range(n):
                x = near[square + q] * near[inverse + q] - shift
                h = _exp(-eta * x * x)
                near[value + q] = h
                near[value1 + q] = -2.0 * eta * x * h
                near[value2 + q] = (4.0 * eta * eta * x * x - 2.0 * eta) * h
        else:
            kappa = g3[f - 1 - len(g2)]
            for q in range(n):
                x = kappa * near[square + q] * near[inverse + q]
                near[value + q] = math.cos(x)
                near[value1 + q] = -kappa * math.sin(x)
                near[value2 + q] = -kappa * kappa * math.cos(x)
        # And here with it.
        if order > 1:
            for q in range(n):
                x, fc1 = near[square + q], near[cut1 + q]
                second = near[value2 + q] * near[cut + q]
                second += 4.0 * near[value1 + q] * x * near[inverse + q] * fc1
                near[value2 + q] = second + near[value + q] * (2.0 * fc1 + 4.0 * x * near[cut2 + q])
        if order > 0:
            for q in range(n):
                x = 2.0 * near[square + q] * near[inverse + q] * near[cut1 + q]
                near[value1 + q] = near[value1 + q] * near[cut + q] + near[value + q] * x
        for q in range(n):
            near[value + q] *= near[cut + q]
        for s in range(n_species):
            start, stop, column = np.uint64(edges[s]), np.uint64(edges[s + 1]), s * size + f
            if operation == VALUES:
                total = 0.0
                for q in range(start, stop):
                    total += near[value + q]
                features[a, column] = total
            elif operation == DERIVATIVES:
                for q in range(start, stop):
                    radial[rows[q], f] = near[value1 + q]
            if operation in (TANGENT, SECOND):
                total = 0.0
                for q in range(start, stop):
                    total += near[value1 + q] * near[change + q] * near[inverse + q]
                features[a, column] = 0.5 * total
            if operation in (GRADIENT, SECOND):
                factor = gradient[a, column]
                for q in range(start, stop):
                    near[slope + q] += factor * near[value1 + q]
                if order > 1:
                    for q in range(start, stop):
                        near[curve + q] += factor * near[value2 + q]


@helper(fastmath=_FAST)
def _shapes(order, n, zetas, lambdas, work):  # type: ignore[no-untyped-def]
    """Write P(c) = ((1 + lambda c) / 2)**zeta and its derivatives for all shapes."""
    for u in range(len(zetas)):
        zeta, half = zetas[u], 0.5 * lambdas[u]
        row = np.uint64((_POWERS + 3 * u) * _BLOCK)
        for q in range(n):
            work[_X + q] = max(0.5 + half * work[_C + q], 0.0)
        _power(n, zeta, 1.0, work, row)
        if order > 0:
            _power(n, zeta - 1.0, zeta * half, work, row + np.uint64(_BLOCK))
        if order > 1:
            _power(n, zeta - 2.0, zeta * (zeta - 1.0) * half * half, work, row + np.uint64(2 * _BLOCK))


@helper(fastmath=_FAST)
def _sides(order, moving, n, corners, near, room, work):  # type: ignore[no-untyped-def]
    """Write the derivatives by A, B, D of the cosines of a block of triangles, and their changes."""
    block = np.uint64(_BLOCK)
    px, py, pz, tx, ty, tz = _PX * room, _PY * room, _PZ * room, _TX * room, _TY * room, _TZ * room
    if order > 0:
        for q in range(n):
            work[_IA + q] = near[_INVERSE * room + corners[q]]
            work[_IB + q] = near[_INVERSE * room + corners[q + block]]
        for q in range(n):
            half, x, y = -0.5 * work[_C + q], work[_IA + q], work[_IB + q]
            work[_CA + q], work[_CB + q], work[_CD + q] = half * (x * x), half * (y * y), x * y
    if moving:
        for q in range(n):
            j, k = corners[q], corners[q + block]
            work[_DA + q], work[_DB + q] = near[_DAA * room + j], near[_DAA * room + k]
            change = near[px + j] * near[tx + k] + near[tx + j] * near[px + k]
            change += near[py + j] * near[ty + k] + near[ty + j] * near[py + k]
            change += near[pz + j] * near[tz + k] + near[tz + j] * near[pz + k]
            work[_DD + q] = change
            work[_DC + q] = (
                work[_CA + q] * work[_DA + q] + work[_CB + q] * work[_DB + q] + work[_CD + q] * change
            )


@helper(fastmath=_FAST)
def _products(order, moving, n, table, corners, near, room, work):  # type: ignore[no-untyped-def]
    """Write the products of the three g, for one eta, their derivatives by A, B, D, and their changes."""
    block = np.uint64(_BLOCK)
    for q in range(n):
        work[_GA + q], work[_GB + q] = near[table + corners[q]], near[table + corners[q + block]]
    for q in range(n):
        work[_W + q] = 2.0 * work[_GA + q] * work[_GB + q] * work[_T + q]
    if order > 0:
        for q in range(n):
            j, k = corners[q], corners[q + block]
            work[_GA1 + q], work[_GB1 + q] = near[table + room + j], near[table + room + k]
        for q in range(n):
            x, y, z1 = 2.0 * work[_GA + q], work[_GB + q], work[_T1 + q]
            side = x * y * z1
            work[_WA + q] = 2.0 * work[_GA1 + q] * y * work[_T + q] + side
            work[_WB + q] = x * work[_GB1 + q] * work[_T + q] + side
            work[_WD + q] = -2.0 * side
    if moving:
        for q in range(n):
            sides = work[_WA + q] * work[_DA + q] + work[_WB + q] * work[_DB + q]
            work[_DW + q] = sides + work[_WD + q] * work[_DD + q]
    if order > 1:
        for q in range(n):
            j, k = corners[q], corners[q + block]
            work[_GA2 + q], work[_GB2 + q] = near[table + room + room + j], near[table + room + room + k]


@helper(fastmath=_FAST)
def _triangles(  # type: ignore[no-untyped-def]
    operation, kind, count, a, s, t, rows, functions, scratch, arrays
):
    """Do what the operation asks with a block of triangles whose other corners are of species s and t."""
    r_cut, n_species, g2, g3, kinds, etas, zetas, lambdas, group_of, shape_of = functions
    near, room, work, corners = scratch
    features, gradient, _, angular, _, _ = arrays
    column = n_species * (1 + len(g2) + len(g3)) + (s * (s + 1) // 2 + t) * len(group_of)
    order = 0 if operation == VALUES else 2 if operation == SECOND else 1
    moving, summing = operation in (TANGENT, SECOND), operation in (GRADIENT, SECOND)
    n, block = np.uint64(count), np.uint64(_BLOCK)
    _sides(order, moving, n, corners, near, room, work)
    if summing:
        for q in range(n):
            work[_EA + q], work[_EB + q], work[_ED + q] = 0.0, 0.0, 0.0
            work[_DEA + q], work[_DEB + q], work[_DED + q] = 0.0, 0.0, 0.0
    if operation == DERIVATIVES:
        # Where those of each corner begin, in the block of the species of the other.
        size = 3 * len(group_of)
        for q in range(n):
            j, k = rows[corners[q]], rows[corners[q + block]]
            corners[q + block + block] = np.uint64((j * n_species + t) * size)
            corners[q + block + block + block] = np.uint64((k * n_species + s) * size)
    _shapes(order, n, zetas, lambdas, work)
    if kind == 4:
        _cutoffs(order, n, r_cut, work, _S, _F, _F1, _F2)
    else:
        for q in range(n):
            work[_T + q], work[_T1 + q], work[_T2 + q] = 1.0, 0.0, 0.0
    for g in range(len(etas)):
        if kinds[g] != kind:
            continue
        if kind == 4:
            _gaussians(order, n, etas[g], work, _S, _F, _F1, _F2, _T, _T1, _T2)
        table = np.uint64(_GAUSSIANS + 3 * g) * room
        _products(order, moving, n, table, corners, near, room, work)
        if summing:
            for q in range(n):
                work[_Q + q], work[_Q1 + q], work[_Q2 + q] = 0.0, 0.0, 0.0
        for f in range(len(group_of)):
            if group_of[f] != g:
                continue
            power = np.uint64((_POWERS + 3 * shape_of[f]) * _BLOCK)
            power1, power2 = power + block, power + block + block
            if operation == VALUES:
                total = 0.0
                for q in range(n):
                    total += work[_W + q] * work[power + q]
                features[a, column + f] += total
            elif operation == DERIVATIVES:
                _spread(n, power, np.uint64(3 * f), corners, near, room, work, angular)
            if moving:
                total = 0.0
                for q in range(n):
                    total += work[power1 + q] * work[_W + q] * work[_DC + q] + work[power + q] * work[_DW + q]
                features[a, column + f] += total
            if summing:
                factor = gradient[a, column + f]
                for q in range(n):
                    work[_Q + q] += factor * work[power + q]
                    work[_Q1 + q] += factor * work[power1 + q]
                if order > 1:
                    for q in range(n):
                        work[_Q2 + q] += factor * work[power2 + q]
        if summing:
            for q in range(n):
                w = work[_Q1 + q] * work[_W + q]
                work[_EA + q] += w * work[_CA + q] + work[_Q + q] * work[_WA + q]
                work[_EB + q] += w * work[_CB + q] + work[_Q + q] * work[_WB + q]
                work[_ED + q] += w * work[_CD + q] + work[_Q + q] * work[_WD + q]
        if order > 1:
            _change(n, work)
    if summing:
        _gather(moving, n, corners, near, room, work)


@helper(fastmath=_FAST)
def _change(n, work):  # type: ignore[no-untyped-def]
    """Add how the derivatives of E by A, B and D change along the tangents, for one eta."""
    for q in range(n):
        a, a1, a2 = work[_GA + q], work[_GA1 + q], work[_GA2 + q]
        b, b1, b2 = work[_GB + q], work[_GB1 + q], work[_GB2 + q]
        s, s1, s2 = work[_T + q], work[_T1 + q], work[_T2 + q]
        da, db, dc = work[_DA + q], work[_DB + q], work[_DC + q]
        ds = da + db - 2.0 * work[_DD + q]
        side = 2.0 * (a1 * da * b * s1 + a * b1 * db * s1 + a * b * s2 * ds)
        dwa = 2.0 * (a2 * da * b * s + a1 * b1 * db * s + a1 * b * s1 * ds) + side
        dwb = 2.0 * (a1 * da * b1 * s + a * b2 * db * s + a * b1 * s1 * ds) + side
        p, p1, p2 = work[_Q + q], work[_Q1 + q], work[_Q2 + q]
        c, v = work[_C + q], work[_CD + q]
        x, y = work[_IA + q] * work[_IA + q], work[_IB + q] * work[_IB + q]
        first = p1 * work[_W + q]
        both = p2 * dc * work[_W + q] + p1 * work[_DW + q]
        work[_DEA + q] += (
            both * work[_CA + q] + first * 0.5 * x * (c * x * da - dc) + p1 * dc * work[_WA + q] + p * dwa
        )
        work[_DEB + q] += (
            both * work[_CB + q] + first * 0.5 * y * (c * y * db - dc) + p1 * dc * work[_WB + q] + p * dwb
        )
        work[_DED + q] += (
            both * v - first * 0.5 * v * (da * x + db * y) + p1 * dc * work[_WD + q] - 2.0 * p * side
        )


@helper(fastmath=_FAST)
def _gather(moving, n, corners, near, room, work):  # type: ignore[no-untyped-def]
    """Add dE/dr of a block of triangles, or how it changes, to their corners."""
    block = np.uint64(_BLOCK)
    px, py, pz, tx, ty, tz = _PX * room, _PY * room, _PZ * room, _TX * room, _TY * room, _TZ * room
    ox, oy, oz = _OX * room, _OY * room, _OZ * room
    for q in range(n):
        j, k = corners[q], corners[q + block]
        if moving:
            x, y, z = 2.0 * work[_DEA + q], 2.0 * work[_DEB + q], work[_DED + q]
            u, v, w = 2.0 * work[_EA + q], 2.0 * work[_EB + q], work[_ED + q]
            near[ox + j] += u * near[tx + j] + w * near[tx + k]
            near[oy + j] += u * near[ty + j] + w * near[ty + k]
            near[oz + j] += u * near[tz + j] + w * near[tz + k]
            near[ox + k] += v * near[tx + k] + w * near[tx + j]
            near[oy + k] += v * near[ty + k] + w * near[ty + j]
            near[oz + k] += v * near[tz + k] + w * near[tz + j]
        else:
            x, y, z = 2.0 * work[_EA + q], 2.0 * work[_EB + q], work[_ED + q]
        near[ox + j] += x * near[px + j] + z * near[px + k]
        near[oy + j] += x * near[py + j] + z * near[py + k]
        near[oz + j] += x * near[pz + j] + z * near[pz + k]
        near[ox + k] += y * near[px + k] + z * near[px + j]
        near[oy + k] += y * near[py + k] + z * near[py + j]
        near[oz + k] += y * near[pz + k] + z * near[pz + j]


@helper(fastmath=_FAST)
def _spread(n, power, shift, corners, near, room, work, angular):  # type: ignore[no-untyped-def]
    """Add the derivatives of one function, for a block of triangles, to those of the pairs."""
    block = np.uint64(_BLOCK)
    px, py, pz = _PX * room, _PY * room, _PZ * room
    for q in range(n):
        p, w = work[power + q], work[power + block + q] * work[_W + q]
        work[_EA + q] = 2.0 * (w * work[_CA + q] + p * work[_WA + q])
        work[_EB + q] = 2.0 * (w * work[_CB + q] + p * work[_WB + q])
        work[_ED + q] = w * work[_CD + q] + p * work[_WD + q]
    for q in range(n):
        j, k = corners[q], corners[q + block]
        to = shift + corners[q + block + block], shift + corners[q + block + block + block]
        a, b, d = work[_EA + q], work[_EB + q], work[_ED + q]
        angular[to[0]] += a * near[px + j] + d * near[px + k]
        angular[to[0] + np.uint64(1)] += a * near[py + j] + d * near[py + k]
        angular[to[0] + np.uint64(2)] += a * near[pz + j] + d * near[pz + k]
        angular[to[1]] += b * near[px + k] + d * near[px + j]
        angular[to[1] + np.uint64(1)] += b * near[py + k] + d * near[py + j]
        angular[to[1] + np.uint64(2)] += b * near[pz + k] + d * near[pz + j]


@helper(fastmath=_FAST)
def _collect(j, first, last, count, longest, near, room, work, corners):  # type: ignore[no-untyped-def]
    """Append the triangles of neighbour j with ``first:last``, if not too long; return the new count."""
    px, py, pz, square, inverse = _PX * room, _PY * room, _PZ * room, _AA * room, _INVERSE * room
    dot = _DOT * room
    x, y, z, own, scale = near[px + j], near[py + j], near[pz + j], near[square + j], near[inverse + j]
    for k in range(first, last):
        near[dot + k] = x * near[px + k] + y * near[py + k] + z * near[pz + k]
    kept, block = count, np.uint64(_BLOCK)
    for k in range(first, last):
        # Each is written, and kept by counting: no branch to be guessed wrong.
        third = own + near[square + k] - 2.0 * near[dot + k]
        corners[kept + block] = k
        work[_S + kept], work[_C + kept] = third, scale * near[inverse + k] * near[dot + k]
        kept += np.uint64(third < longest)
    for q in range(count, kept):
        corners[q] = j
    return kept


@helper(fastmath=_FAST)
def _angular(operation, kind, a, rows, edges, functions, scratch, arrays):  # type: ignore[no-untyped-def]
    """Collect the triangles of one atom in blocks, by the species of their other corners."""
    r_cut = functions[0]
    near, room, work, corners = scratch
    longest = r_cut * r_cut if kind == 4 else np.inf
    block = np.uint64(_BLOCK)
    for s in range(len(edges) - 1):
        for t in range(s + 1):
            count, end = np.uint64(0), np.uint64(edges[s + 1])
            for j in range(np.uint64(edges[s]), end):
                first, stop = np.uint64(edges[t]), j if s == t else np.uint64(edges[t + 1])
                while first < stop:
                    last = min(stop, first + block - count)  # as many as fit for sure
                    count = _collect(j, first, last, count, longest, near, room, work, corners)
                    first = last  # type: ignore[assignment]
                    if count == block or (count > 0 and first == stop and j + np.uint64(1) == end):
                        _triangles(operation, kind, count, a, s, t, rows, functions, scratch, arrays)
                        count = np.uint64(0)


@helper(fastmath=_FAST)
def _load(moving, start, stop, centre, pairs, functions, scratch, tangents, rows, edges):  # type: ignore[no-untyped-def]
    """Fill the rows of `near` with the neighbours of one atom, species by species.

    Return the packed row of an atom of unknown species, or -1.
    """
    indices, vectors, numbers, species = pairs
    r_cut = functions[0]
    near, room, _, _ = scratch
    edges[:] = 0
    # A neighbour in the very place of the atom has no direction: it is left out.
    for pair in range(start, stop):
        z = numbers[indices[pair]]
        s = species[z] if 0 <= z < len(species) else -1
        if s < 0:
            return indices[pair]
        edges[s + 1] += 0.0 < _squared(vectors, pair) <= r_cut * r_cut
    for s in range(1, len(edges)):
        edges[s] += edges[s - 1]
    for pair in range(start, stop):
        square = _squared(vectors, pair)
        if not 0.0 < square <= r_cut * r_cut:
            continue
        s = species[numbers[indices[pair]]]
        q = np.uint64(edges[s])
        edges[s] += 1
        rows[q] = pair
        x, y, z = vectors[pair, 0], vectors[pair, 1], vectors[pair, 2]
        near[_PX * room + q], near[_PY * room + q], near[_PZ * room + q] = x, y, z
        near[_AA * room + q], near[_INVERSE * room + q] = square, 1.0 / math.sqrt(square)
        near[_OX * room + q], near[_OY * room + q], near[_OZ * room + q] = 0.0, 0.0, 0.0
        near[_SLOPE * room + q], near[_CURVE * room + q] = 0.0, 0.0
        if moving:
            j = indices[pair]
            dx, dy = tangents[j, 0] - tangents[centre, 0], tangents[j, 1] - tangents[centre, 1]
            dz = tangents[j, 2] - tangents[centre, 2]
            near[_TX * room + q], near[_TY * room + q], near[_TZ * room + q] = dx, dy, dz
            near[_DAA * room + q] = 2.0 * (x * dx + y * dy + z * dz)
    # What was where a species begins is now where it ends.
    for s in range(len(edges) - 1, 0, -1):
        edges[s] = edges[s - 1]
    edges[0] = 0
    return -1


@helper(fastmath=_FAST)
def _squared(vectors, pair):  # type: ignore[no-untyped-def]
    return vectors[pair, 0] ** 2 + vectors[pair, 1] ** 2 + vectors[pair, 2] ** 2


@helper(fastmath=_FAST)
def _deliver(moving, n, centre, structure, rows, indices, scratch, positions_out, strain_out):  # type: ignore[no-untyped-def]
    """Add dE/dr of the neighbours of one atom, or how it changes, to the positions, and to the strain."""
    near, room, _, _ = scratch
    for q in range(n):
        inverse, slope, half = near[_INVERSE * room + q], near[_SLOPE * room + q], 0.0
        if moving:
            # The change of slope * u, u being the direction.
            slope *= inverse
            half = 0.5 * near[_DAA * room + q] * inverse * inverse
            half *= near[_CURVE * room + q] - slope
        else:
            half = slope * inverse
        j = indices[rows[q]]
        for i in range(3):
            axis = np.uint64(i) * room + q  # of rows PX, PY, PZ
            total = near[_OX * room + axis] + half * near[axis]
            if moving:
                total += slope * near[_TX * room + axis]
            else:
                for k in range(3):
                    strain_out[structure, k, i] += near[np.uint64(k) * room + q] * total
            positions_out[j, i] += total
            positions_out[centre, i] -= total


@kernel(fastmath=_FAST)
def sweep(operation, start, offsets, pairs, structures, functions, tangents, arrays):  # type: ignore[no-untyped-def]
    """Do an operation for consecutive atoms; return the packed row of an atom of unknown species, or -1.

    Parameters
    ----------
    operation
        What to do.
    start, offsets
        Packed row of the first atom; edges of the atoms' pairs, shape (m + 1,).
    pairs
        Neighbours' packed rows (p,); vectors (p, 3); atomic numbers of all atoms (N,); index of the
        species of each atomic number, -1 if there is none.
    structures
        Row edges of the structures, shape (n + 1,).
    functions
        The cutoff; the number of species; eta and shift of each G2; kappa of each G3; kind (4 or 5)
        and eta of each radial part of angular functions; zeta and lambda of each angular part; the
        radial part and the angular part of each angular function.
    tangents
        Of the positions, shape (N, 3), for TANGENT and SECOND.
    arrays
        Features (m, F), for VALUES, TANGENT and SECOND; dE/dG (m, F) for GRADIENT and SECOND; radial (p, K)
        and angular (p * S * L * 3,), zeroed, for DERIVATIVES; positions (N, 3) and strain (n, 3, 3) that
        GRADIENT adds to, and SECOND to the first.
    """
    indices, _, numbers, species = pairs
    r_cut, n_species, _, _, kinds, etas, zetas, _, _, _ = functions
    _, _, _, _, positions_out, strain_out = arrays
    order = 0 if operation == VALUES else 2 if operation == SECOND else 1
    moving = operation in (TANGENT, SECOND)
    most = 1
    for a in range(len(offsets) - 1):
        most = max(most, offsets[a + 1] - offsets[a])
    room = np.uint64(most)
    near = np.empty((_GAUSSIANS + 3 * len(etas)) * most)
    work = np.empty((_POWERS + 3 * len(zetas)) * _BLOCK)
    scratch = near, room, work, np.empty(4 * _BLOCK, np.uint64)
    rows, edges = np.empty(most, np.int64), np.empty(n_species + 1, np.int64)
    structure = 0
    for a in range(len(offsets) - 1):
        centre = start + a
        while structures[structure + 1] <= centre:
            structure += 1
        z = numbers[centre]
        if not 0 <= z < len(species) or species[z] < 0:
            return centre
        unknown = _load(
            moving, offsets[a], offsets[a + 1], centre, pairs, functions, scratch, tangents, rows, edges
        )
        if unknown >= 0:
            return unknown
        n = np.uint64(edges[-1])
        _cutoffs(order, n, r_cut, near, _AA * room, _CUT * room, _CUT1 * room, _CUT2 * room)
        _radial(operation, a, rows, edges, functions, scratch, arrays)
        for g in range(len(etas)):
            table = np.uint64(_GAUSSIANS + 3 * g) * room
            _gaussians(
                order, n, etas[g], near, _AA * room, _CUT * room, _CUT1 * room, _CUT2 * room,
                table, table + room, table + room + room,
            )  # fmt: skip
        for kind in (4, 5):
            if kind in kinds:
                _angular(operation, kind, a, rows, edges, functions, scratch, arrays)
        if operation in (GRADIENT, SECOND):
            _deliver(moving, n, centre, structure, rows, indices, scratch, positions_out, strain_out)
    return -1
