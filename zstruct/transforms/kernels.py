"""The kernels of transforms: random numbers, rotations and moves of atoms, without the GIL.

They know arrays, edges of structures and keys of random streams, and neither fields nor units.
Values are flat and contiguous, float32 or float64, and changed in place; `carry` does it on the way
from the columns of a gather. Both come to the same numbers, to the last bit: vectors are turned, and normal
numbers made, by the same code in the same steps, with every multiplication and addition that may
be one said to be one.

Random numbers are counter-based: a structure has a key of 64 bits, the k-th number of its stream is
a function of the key and of k, and no order of calls changes it. SplitMix64 makes keys (Steele, Lea,
Flood, OOPSLA 2014). From half a key on, a Weyl sequence counts; two rounds of multiply and
xor-shift mix it, with constants of TheIronBorn's (C. Wellons, *Prospecting for hash functions*, 2018),
and the other half of the key comes in between. All of it is arithmetic of 32 bits, which vectorises.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from zstruct.jit.kernel import helper, kernel, primitive
from zstruct.jit.pointers import MOST, array_at, at_float32, expect, first_line, move, prefetch

__all__ = [
    "MIRROR", "ROTATE", "SHAKE", "TURN", "add_normal", "carry", "keys_of", "mirrors", "rotations",
    "turn_tensors", "turn_vectors", "wrap",
]  # fmt: skip

_f4, _i4, _u4, _u8 = np.float32, np.int32, np.uint32, np.uint64

_GOLDEN = _u8(0x9E3779B97F4A7C15)
_MIX_A, _MIX_B = _u8(0xBF58476D1CE4E5B9), _u8(0x94D049BB133111EB)
_WEYL, _ROUND_A, _ROUND_B = _u4(0x9E3779B9), _u4(0x21F0AAAD), _u4(0xD35A2D97)
# The angle is another multiple of what the radius is a multiple of: a lattice of 2**32 points.
_ANGLE = _u4(0xD35A2D97 * 0x9E3779B1 & 0xFFFFFFFF)
_SIGN, _FRACTION, _UNIT = _u4(0x80000000), _u4(0x7FFFFF), _u4(0x3F800000)
_ONE, _15, _16, _23 = _u4(1), _u4(15), _u4(16), _u4(23)
_1, _2, _3, _11, _32 = _u8(1), _u8(2), _u8(3), _u8(11), _u8(32)

# What `carry` does to a column, bits of a number; and what turns it, if anything does.
TURN, SHAKE = 1, 2
ROTATE, MIRROR = 1, 2

# -2 ln(m) for m in [1, 2), and 159 times 2 ln(2), for 2**32 has the exponent 159; off by 2e-5.
_L0, _L1, _L2 = _f4(224.29433), _f4(-7.0281744), _f4(4.8800597)
_L3, _L4, _L5 = _f4(-2.23218), _f4(0.5676537), _f4(-0.06089801)
_TWO_LN2 = _f4(1.3862944)
# sin(pi a) / a and cos(pi a) in a**2, for a in [-1/2, 1/2]; off by 2e-6 and 7e-6. All three are
# least squares at Chebyshev points: far finer than any sample of noise can tell.
_S0, _S1, _S2, _S3 = _f4(3.1415904), _f4(-5.1674066), _f4(2.5440104), _f4(-0.5594624)
_C0, _C1, _C2, _C3 = _f4(0.99999326), _f4(-4.9339347), _f4(4.0412483), _f4(-1.2220317)
_TURN, _ZERO, _NAN = _f4(2.0**-32), _f4(0.0), _f4(np.nan)

_LANES = 16  # vectors, or pairs of normal numbers, at a time: a constant number of them vectorises best
_HALF, _TILE = _u8(_LANES), _u8(2 * _LANES)
_ROW, _FMA_ROW = 16, "llvm.fmuladd.v16f32"  # numbers that are turned together: five vectors and one
_AHEAD = 6144  # bytes between what is asked for and what is read, by measurement


def _emit_bits(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))


@primitive("uint32(float32)", _emit_bits)
def _to_bits(value: Any) -> Any:
    """Return the bits of a number."""
    return _f4(value).view(_u4)


@primitive("float32(uint32)", _emit_bits)
def _to_float(bits: Any) -> Any:
    """Return the number that has these bits."""
    return _u4(bits).view(_f4)


def _emit_fma(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    one = arguments[0].type
    function = builder.module.declare_intrinsic("llvm.fmuladd", [one], ir.FunctionType(one, [one, one, one]))
    return builder.call(function, arguments)


@primitive(lambda types, a, b, c: a(a, a, a), _emit_fma)
def _fma(a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, in one step where the processor has it: never in one here and in two there."""
    raise NotImplementedError  # which of the two, only the compiler knows


def _turned(builder: Any, values: Any, matrix: Any, skip: int) -> Any:
    """Return vectors turned that lie side by side in `_ROW` numbers, after `skip` others."""
    index, kind = ir.IntType(32), values.type
    function = ir.FunctionType(kind, [kind, kind, kind])
    fma = builder.module.globals.get(_FMA_ROW) or ir.Function(builder.module, function, _FMA_ROW)
    total = None
    for axis in range(3):
        column = ir.Constant(ir.VectorType(kind.element, 4), ir.Undefined)
        for row in range(3):
            column = builder.insert_element(column, matrix[3 * row + axis], index(row))
        lanes = [max(lane - skip, 0) for lane in range(_ROW)]
        factors, along = (
            builder.shuffle_vector(
                vector, ir.Constant(vector.type, ir.Undefined), ir.Constant(ir.VectorType(index, _ROW), which)
            )
            for vector, which in (
                (column, [lane % 3 for lane in lanes]),
                (values, [min(lane // 3 * 3 + axis + skip, _ROW - 1) for lane in lanes]),
            )
        )
        total = builder.fmul(factors, along) if total is None else builder.call(fma, [factors, along, total])
    return total


def _emit_turn_five(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    target, source, *matrix = arguments
    row = ir.VectorType(ir.FloatType(), _ROW)
    values = builder.load(builder.inttoptr(source, row.as_pointer()), align=4)
    turned = _turned(builder, values, matrix, 0)
    builder.store(turned, builder.inttoptr(target, row.as_pointer()), align=4)


def _emit_turn_last(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    target, source, *matrix = arguments
    single, long = ir.FloatType(), ir.IntType(64)
    row = ir.VectorType(single, _ROW)
    before = builder.sub(source, long(4))
    values = builder.load(builder.inttoptr(before, row.as_pointer()), align=4)
    turned, begin = _turned(builder, values, matrix, 1), 1
    for size in (8, 4, 2, 1):  # all but the first: it is of another vector
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), size), list(range(begin, begin + size)))
        part = builder.shuffle_vector(turned, ir.Constant(row, ir.Undefined), lanes)
        place = builder.add(target, long(4 * (begin - 1)))
        builder.store(part, builder.inttoptr(place, part.type.as_pointer()), align=4)
        begin += size


@primitive(f"void(int64, int64{', float32' * 9})", _emit_turn_five)
def _turn_five(
    target: Any, source: Any, xx: Any, xy: Any, xz: Any, yx: Any, yy: Any, yz: Any, zx: Any, zy: Any, zz: Any
) -> None:
    """Write five vectors that lie at an address, turned, to another, and a number more that means nothing."""
    raise NotImplementedError  # as for `_fma`


@primitive(f"void(int64, int64{', float32' * 9})", _emit_turn_last)
def _turn_last(
    target: Any, source: Any, xx: Any, xy: Any, xz: Any, yx: Any, yy: Any, yz: Any, zx: Any, zy: Any, zz: Any
) -> None:
    """Write five vectors that lie at an address, not at the very beginning of memory, turned, to another."""
    raise NotImplementedError  # as for `_fma`


@helper
def _key(stream, structure):  # type: ignore[no-untyped-def]
    z = _u8(stream) + _GOLDEN * _u8(structure + 1)
    z = (z ^ (z >> _u8(30))) * _MIX_A
    z = (z ^ (z >> _u8(27))) * _MIX_B
    return z ^ (z >> _u8(31))


@helper(forceinline=True)
def _two_normal(word, key):  # type: ignore[no-untyped-def]
    """Return a radius, a sine and a cosine, whose products are two independent normal numbers.

    By Box and Muller (Ann. Math. Stat. 29, 610, 1958).
    """
    word = _u4(word ^ (word >> _16))
    word = _u4(word * _ROUND_A)
    word = _u4(_u4(word ^ key) ^ (word >> _15))
    radial, angular = _u4(word * _ROUND_B), _u4(word * _ANGLE)
    bits = _to_bits(_f4(_u4(radial | _ONE)))  # never zero: no logarithm of nothing
    m = _to_float(_u4(_u4(bits & _FRACTION) | _UNIT))
    log = _fma(_fma(_fma(_fma(_fma(_L5, m, _L4), m, _L3), m, _L2), m, _L1), m, _L0)
    log = _fma(_f4(_i4(bits >> _23)), -_TWO_LN2, log)
    # Half a circle, and the highest bit for the side.
    a = _f4(_i4(_u4(angular << _ONE))) * _TURN
    q = a * a
    sine = _fma(_fma(_fma(_S3, q, _S2), q, _S1), q, _S0) * a
    cosine = _fma(_fma(_fma(_C3, q, _C2), q, _C1), q, _C0)
    cosine = _to_float(_u4(_to_bits(cosine) ^ _u4(angular & _SIGN)))
    return np.sqrt(max(log, _ZERO)), sine, cosine


@kernel
def keys_of(structures, stream, out):  # type: ignore[no-untyped-def]
    """Write the key of each structure, a random number of 64 bits."""
    for s in range(len(structures)):
        out[s] = _key(stream, structures[s])


@kernel
def add_normal(values, edges, width, structures, stream, std):  # type: ignore[no-untyped-def]
    """Add normal numbers of some deviation to the float32 rows of structures, `width` values each."""
    rest = np.zeros(2 * _LANES, np.float32)
    for s in range(len(structures)):
        n = width * (edges[s + 1] - edges[s])
        _shake(values, width * edges[s], n, _key(stream, structures[s]), _f4(std), rest, 0, 0)


@helper
def _shake(values, first, n, key, scale, rest, ahead, nbytes):  # type: ignore[no-untyped-def]
    """Add normal numbers to ``values[first : first + n]``; ask for some bytes at an address meanwhile."""
    stop = ahead + min(nbytes, MOST)
    word, other = _u4(key), _u4(key >> _32)
    at, end = _u8(first), _u8(first + n)
    while at + _TILE <= end:
        if ahead < stop:
            prefetch(ahead)
            prefetch(ahead + 64)
            ahead += 128
        _shake_tile(values, at, word, other, scale)
        word = _u4(word + _u4(_LANES) * _WEYL)
        at += _TILE
    while ahead < stop:
        prefetch(ahead)
        ahead += 64
    # What is left is done among numbers that don't count: no code of its own, no other rounding.
    if at < end:
        left = end - at
        for j in range(left):
            rest[_u8(j)] = values[at + _u8(j)]
        _shake_tile(rest, _u8(0), word, other, scale)
        for j in range(left):
            values[at + _u8(j)] = rest[_u8(j)]


@helper(forceinline=True)
def _shake_tile(values, at, word, key, scale):  # type: ignore[no-untyped-def]
    for j in range(_LANES):
        radius, sine, cosine = _two_normal(_u4(word + _u4(j) * _WEYL), key)
        size, one, other = scale * radius, at + _u8(j), at + _u8(j) + _HALF
        values[one] = _fma(size, sine, values[one])
        values[other] = _fma(size, cosine, values[other])


@helper
def _four_normal(structures, stream):  # type: ignore[no-untyped-def]
    """Return four normal numbers of each structure, shape (4, n)."""
    n = len(structures)
    words, out = np.empty((2, n), np.uint32), np.empty((4, n), np.float32)
    for s in range(n):
        key = _key(stream, structures[s])
        words[0, s], words[1, s] = _u4(key), _u4(key >> _32)
    for s in range(n):  # a loop of its own, for this one vectorises
        radius, sine, cosine = _two_normal(words[0, s], words[1, s])
        out[0, s], out[1, s] = radius * sine, radius * cosine
        radius, sine, cosine = _two_normal(_u4(words[0, s] + _WEYL), words[1, s])
        out[2, s], out[3, s] = radius * sine, radius * cosine
    return out


@kernel
def rotations(structures, stream, out):  # type: ignore[no-untyped-def]
    """Write a rotation matrix for each structure, (n, 3, 3), uniform on SO(3).

    Four normal numbers, divided by their length, are a uniform quaternion (Muller, Commun. ACM 2,
    19, 1959; Shoemake, Graphics Gems III, 124, 1992).
    """
    normals = _four_normal(structures, stream)
    for s in range(len(structures)):
        _set_rotation(s, normals, out)


@helper
def _set_rotation(s, normals, out):  # type: ignore[no-untyped-def]
    # In double precision: the matrix is orthogonal to the last digit, whatever the quaternion is.
    w, x, y, z = (
        np.float64(normals[0, s]), np.float64(normals[1, s]),
        np.float64(normals[2, s]), np.float64(normals[3, s]),
    )  # fmt: skip
    t = 2.0 / max(w * w + x * x + y * y + z * z, 1e-30)
    out[s, 0, 0] = 1.0 - t * (y * y + z * z)
    out[s, 0, 1] = t * (x * y - w * z)
    out[s, 0, 2] = t * (x * z + w * y)
    out[s, 1, 0] = t * (x * y + w * z)
    out[s, 1, 1] = 1.0 - t * (x * x + z * z)
    out[s, 1, 2] = t * (y * z - w * x)
    out[s, 2, 0] = t * (x * z - w * y)
    out[s, 2, 1] = t * (y * z + w * x)
    out[s, 2, 2] = 1.0 - t * (x * x + y * y)


@kernel
def mirrors(structures, stream, probability, out):  # type: ignore[no-untyped-def]
    """Write for each structure a reflection in a plane of uniform orientation, or the identity."""
    normals = _four_normal(structures, stream)
    for s in range(len(structures)):
        _set_mirror(s, structures, stream, probability, normals, out)


@helper
def _set_mirror(s, structures, stream, probability, normals, out):  # type: ignore[no-untyped-def]
    x, y, z = np.float64(normals[0, s]), np.float64(normals[1, s]), np.float64(normals[2, s])
    # A key of the key: the bits of the plane are spent.
    coin = np.float64(_key(_key(stream, structures[s]), 0) >> _11) * 2.0**-53
    t = 2.0 / max(x * x + y * y + z * z, 1e-30) if coin < probability else 0.0
    out[s, 0, 0], out[s, 1, 1], out[s, 2, 2] = 1.0 - t * x * x, 1.0 - t * y * y, 1.0 - t * z * z
    out[s, 0, 1] = out[s, 1, 0] = -t * x * y
    out[s, 0, 2] = out[s, 2, 0] = -t * x * z
    out[s, 1, 2] = out[s, 2, 1] = -t * y * z


@kernel
def turn_vectors(values, edges, width, matrices):  # type: ignore[no-untyped-def]
    """Apply a matrix to the vectors of each structure, `width` of them in a row."""
    for s in range(len(matrices)):
        _turn(values, 3 * width * edges[s], width * (edges[s + 1] - edges[s]), matrices, s)


@helper(forceinline=True)
def _turn(values, first, n, matrices, s):  # type: ignore[no-untyped-def]
    """Turn the n vectors from ``values[first]`` on."""
    kind = values.dtype.type  # a wider one would convert every vector back and forth
    xx, xy, xz = kind(matrices[s, 0, 0]), kind(matrices[s, 0, 1]), kind(matrices[s, 0, 2])
    yx, yy, yz = kind(matrices[s, 1, 0]), kind(matrices[s, 1, 1]), kind(matrices[s, 1, 2])
    zx, zy, zz = kind(matrices[s, 2, 0]), kind(matrices[s, 2, 1]), kind(matrices[s, 2, 2])
    for j in range(n):
        at = _u8(first) + _3 * _u8(j)
        x, y, z = values[at], values[at + _1], values[at + _2]
        values[at] = _fma(xz, z, _fma(xy, y, xx * x))
        values[at + _1] = _fma(yz, z, _fma(yy, y, yx * x))
        values[at + _2] = _fma(zz, z, _fma(zy, y, zx * x))


@helper
def _turn_copied(target, source, n, matrices, s):  # type: ignore[no-untyped-def]
    """Write n vectors of float32 that lie at an address, turned as `_turn` does it, to another."""
    if n <= 5:
        move(target, source, 12 * n)
        _turn(array_at(at_float32(target), 3 * n), 0, n, matrices, s)
        return
    xx, xy, xz = _f4(matrices[s, 0, 0]), _f4(matrices[s, 0, 1]), _f4(matrices[s, 0, 2])
    yx, yy, yz = _f4(matrices[s, 1, 0]), _f4(matrices[s, 1, 1]), _f4(matrices[s, 1, 2])
    zx, zy, zz = _f4(matrices[s, 2, 0]), _f4(matrices[s, 2, 1]), _f4(matrices[s, 2, 2])
    last = 12 * (n - 5)
    for at in range(0, last, 60):
        _turn_five(target + at, source + at, xx, xy, xz, yx, yy, yz, zx, zy, zz)
    # Some of them once more: nothing is written behind the end.
    _turn_last(target + last, source + last, xx, xy, xz, yx, yy, yz, zx, zy, zz)


@kernel
def carry(  # type: ignore[no-untyped-def]
    columns, whose, actions, streams, numbers, how, matrices, n, head, body
):
    """Fill in float32 columns of a batch, turned and shaken on their way.

    `zstruct.loading.gather.kernels` says how they are copied.

    ``columns[f]``: the bytes that an atom has before it, then the address of the column that the rows come
    from in each store, 0 where it is missing; ``whose[s]`` is the store of a structure, or there is but one.
    ``actions[f]``: what to do, and the values of an atom. ``streams[f]`` is of its normal
    numbers, the last one of the matrices, which are written; `numbers` are the deviation of the ones
    and the probability of the others. One structure is finished after the other: while the processor
    turns and makes normal numbers, memory has time to bring all columns of those that follow.
    """
    structures, edges = head[:n], head[n : 2 * n + 1]
    counts, starts = head[2 * n + 1 : 3 * n + 1], head[3 * n + 1 : 4 * n + 1]
    row_bytes = 0
    for f in range(len(columns)):
        row_bytes += 4 * actions[f, 1]
    distance = 1 + _AHEAD * n // max(edges[n] * row_bytes, 1)  # in structures
    several = len(whose) > 0
    for s in range(min(n, distance)):
        store = 1 + whose[s] if several else 1
        for f in range(len(columns)):
            if columns[f, store]:
                row_bytes = 4 * actions[f, 1]
                expect(columns[f, store] + starts[s] * row_bytes, counts[s] * row_bytes)
    stream = streams[len(columns)]
    normals = _four_normal(structures[: n if how else 0], stream)
    scale, rest = _f4(numbers[0]), np.zeros(2 * _LANES, np.float32)
    first, room = first_line(body), (edges[n] + 15) & -16
    for s in range(n):
        if how == ROTATE:
            _set_rotation(s, normals, matrices)
        elif how == MIRROR:
            _set_mirror(s, structures, stream, numbers[1], normals, matrices)
        store = 1 + whose[s] if several else 1
        later = 1 + whose[s + distance] if several and s + distance < n else 1
        for f in range(len(columns)):
            base, what, width = columns[f, store], actions[f, 0], actions[f, 1]
            row_bytes, size = 4 * width, counts[s] * width
            ahead, more = np.int64(0), np.int64(0)
            if s + distance < n and columns[f, later]:
                ahead = columns[f, later] + starts[s + distance] * row_bytes
                more = counts[s + distance] * row_bytes
            to = first + room * columns[f, 0] + edges[s] * row_bytes
            values = array_at(at_float32(to), size)
            if base == 0:
                for v in range(size):
                    values[v] = _NAN
            elif what & TURN:
                _turn_copied(to, base + starts[s] * row_bytes, counts[s], matrices, s)
            else:
                move(to, base + starts[s] * row_bytes, 4 * size)
            if what & SHAKE:
                _shake(values, 0, size, _key(streams[f], structures[s]), scale, rest, ahead, more)
            else:
                expect(ahead, more)


@kernel
def turn_tensors(values, edges, size, places, matrices):  # type: ignore[no-untyped-def]
    """Turn the tensors of each structure from both sides, R T R^T.

    A tensor has `size` values; its component in row i and column j is the one at ``places[i, j]``.
    """
    half = np.empty((3, 3))
    for s in range(len(matrices)):
        for row in range(edges[s], edges[s + 1]):
            at = row * size
            for i in range(3):
                for j in range(3):
                    half[i, j] = (
                        matrices[s, i, 0] * values[at + places[0, j]]
                        + matrices[s, i, 1] * values[at + places[1, j]]
                        + matrices[s, i, 2] * values[at + places[2, j]]
                    )
            for i in range(3):
                for j in range(3):
                    values[at + places[i, j]] = (
                        half[i, 0] * matrices[s, j, 0]
                        + half[i, 1] * matrices[s, j, 1]
                        + half[i, 2] * matrices[s, j, 2]
                    )


@kernel
def wrap(positions, offsets, cells, inverses, periodic, eps, moved):  # type: ignore[no-untyped-def]
    """Move atoms into their cells along periodic vectors; write by how many of each."""
    for s in range(len(cells)):
        p, q, r = np.float64(periodic[s, 0]), np.float64(periodic[s, 1]), np.float64(periodic[s, 2])
        ax, ay, az = cells[s, 0, 0], cells[s, 0, 1], cells[s, 0, 2]
        bx, by, bz = cells[s, 1, 0], cells[s, 1, 1], cells[s, 1, 2]
        cx, cy, cz = cells[s, 2, 0], cells[s, 2, 1], cells[s, 2, 2]
        xa, xb, xc = p * inverses[s, 0, 0], q * inverses[s, 0, 1], r * inverses[s, 0, 2]
        ya, yb, yc = p * inverses[s, 1, 0], q * inverses[s, 1, 1], r * inverses[s, 1, 2]
        za, zb, zc = p * inverses[s, 2, 0], q * inverses[s, 2, 1], r * inverses[s, 2, 2]
        first = _3 * _u8(offsets[s])
        for j in range(offsets[s + 1] - offsets[s]):
            at = first + _3 * _u8(j)
            x, y, z = positions[at], positions[at + _1], positions[at + _2]
            a = np.floor(x * xa + y * ya + z * za + eps)
            b = np.floor(x * xb + y * yb + z * zb + eps)
            c = np.floor(x * xc + y * yc + z * zc + eps)
            positions[at] = x - (a * ax + b * bx + c * cx)
            positions[at + _1] = y - (a * ay + b * by + c * cy)
            positions[at + _2] = z - (a * az + b * bz + c * cz)
            moved[at], moved[at + _1], moved[at + _2] = a, b, c
