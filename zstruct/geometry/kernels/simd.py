"""What neighbour lists have the processor do with several images at once, in words of LLVM.

The compiler does not make this of loops: images compared to a point, the comparison being bits of a number;
the numbers of those that are near enough, without branches, for nobody can foretell them; and their vectors,
four at a time, from rows that lie anywhere. Bodies say the same in Python.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from zstruct.jit.kernel import primitive

__all__ = ["LANES", "SPARE", "append_near", "write_four", "write_image"]

LANES = 16  # images that are looked at together
SPARE = 4  # rows of each array behind the last one that is kept: they may be written

_BIT, _BYTE, _INT, _LONG = (ir.IntType(size) for size in (1, 8, 32, 64))
_FLOAT, _DOUBLE = ir.FloatType(), ir.DoubleType()


def _lowest_first(byte: int) -> int:
    """Return which bits of a byte are set, a byte each, the lowest first."""
    return sum(lane << 8 * k for k, lane in enumerate(lane for lane in range(8) if byte >> lane & 1))


_SET = [_lowest_first(byte) for byte in range(256)]


def _vector(kind: Any, n: int) -> Any:
    return ir.VectorType(kind, n)


def _spread(builder: Any, value: Any, n: int) -> Any:
    lanes = _vector(value.type, n)
    undefined = ir.Constant(lanes, ir.Undefined)
    one = builder.insert_element(undefined, value, _INT(0))
    return builder.shuffle_vector(one, undefined, ir.Constant(_vector(_INT, n), [0] * n))


def _made(builder: Any, kind: Any, values: Sequence[Any]) -> Any:
    whole = ir.Constant(kind, ir.Undefined)
    for lane, value in enumerate(values):
        whole = builder.insert_element(whole, value, _INT(lane))
    return whole


def _load(builder: Any, address: Any, kind: Any, align: int) -> Any:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)


def _store(builder: Any, value: Any, address: Any, align: int) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=align)


def _call(builder: Any, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    """Call an instruction by the name that LLVM has for it."""
    module, kind = builder.module, ir.FunctionType(result, [argument.type for argument in arguments])
    function = module.globals.get(name) or ir.Function(module, kind, name)
    return builder.call(function, arguments)


def _emit_near(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    address, kind, total = arguments[7], _vector(_INT, LANES), None
    first, end, itself = (builder.trunc(argument, _INT) for argument in arguments[8:])
    for place, centre in zip(arguments[:3], arguments[3:6], strict=True):
        points = _load(builder, place, _vector(_FLOAT, LANES), 4)
        apart = builder.fsub(points, _spread(builder, centre, LANES))
        squared = builder.fmul(apart, apart, flags=("contract",))
        total = squared if total is None else builder.fadd(total, squared, flags=("contract",))
    numbers = builder.add(_spread(builder, first, LANES), ir.Constant(kind, list(range(LANES))))
    near = builder.fcmp_ordered("<=", total, _spread(builder, arguments[6], LANES))
    near = builder.and_(near, builder.icmp_signed("!=", numbers, _spread(builder, itself, LANES)))
    near = builder.and_(near, builder.icmp_signed("<", numbers, _spread(builder, end, LANES)))
    bits = builder.zext(builder.bitcast(near, ir.IntType(LANES)), _LONG)
    if "+avx512f" in context.codegen().magic_tuple()[2].split(","):
        name, nothing = "llvm.x86.avx512.mask.compress.v16i32", ir.Constant(kind, [0] * LANES)
        _store(builder, _call(builder, name, kind, [numbers, nothing, near]), address, 4)
        return builder.ctpop(bits)
    table, kind = _table(builder.module), _vector(_INT, 8)
    for begin in range(0, LANES, 8):
        byte = builder.and_(builder.lshr(bits, _LONG(begin)), _LONG(255))
        set_bits = builder.load(builder.gep(table, [_LONG(0), byte]), align=8)
        lanes = builder.zext(builder.bitcast(set_bits, _vector(_BYTE, 8)), kind)
        begins = _spread(builder, builder.add(first, _INT(begin)), 8)
        _store(builder, builder.add(lanes, begins), address, 4)
        address = builder.add(address, builder.shl(builder.ctpop(byte), _LONG(2)))
    return builder.ctpop(bits)


def _table(module: Any) -> Any:
    name = "zstruct.bits.set"
    if name in module.globals:
        return module.globals[name]
    kind = ir.ArrayType(_LONG, 256)
    table = ir.GlobalVariable(module, kind, name)
    table.linkage, table.global_constant = "private", True
    table.initializer = ir.Constant(kind, _SET)
    return table


@primitive(f"int64({'int64, ' * 3}{'float32, ' * 4}int64, int64, int64, int64)", _emit_near)
def append_near(
    px: Any, py: Any, pz: Any, x: Any, y: Any, z: Any, square: Any,
    address: Any, first: Any, end: Any, itself: Any,
) -> Any:  # fmt: skip
    """Write the numbers of those of `LANES` images that are near to a centre; return how many are.

    As many as there are lanes are written; those after the last are anything.

    Parameters
    ----------
    px, py, pz
        Addresses of the coordinates of the images, as float32.
    x, y, z, square
        The centre, and the largest square of a distance.
    address
        Where to write the numbers, as uint32.
    first, end, itself
        The number of the first image; that of the one after the last that there is; one to leave out.
    """
    begin, stop = int(first), min(int(first) + LANES, int(end))
    x, y, z, square = float(x), float(y), float(z), float(square)
    rows = zip(*(_at(p, ctypes.c_float, stop - begin) for p in (px, py, pz)), strict=True)
    found = [
        k
        for k, (a, b, c) in enumerate(rows, begin)
        if (a - x) ** 2 + (b - y) ** 2 + (c - z) ** 2 <= square and k != itself
    ]
    _at(address, ctypes.c_uint32, len(found))[:] = found
    return len(found)


def _emit_image(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    address, *numbers = arguments
    zero, none, doubles, integers = _DOUBLE(0.0), _INT(0), _vector(_DOUBLE, 4), _vector(_INT, 4)
    at, axis, by = (_made(builder, doubles, [*numbers[k : k + 3], zero]) for k in (0, 3, 6))
    times, cells, steps = numbers[9], numbers[10:14], numbers[14:17]
    along = _spread(builder, builder.sitofp(times, _DOUBLE), 4)
    counts = builder.mul(
        _spread(builder, builder.trunc(times, _INT), 4), _made(builder, integers, [*steps, none])
    )
    # The fourth number of each is written over by what follows.
    _store(builder, at, address, 8)
    moved = builder.fadd(builder.fmul(along, axis), by)
    _store(builder, moved, builder.add(address, _LONG(24)), 8)
    whole = builder.add(_made(builder, integers, cells), counts)
    _store(builder, whole, builder.add(address, _LONG(48)), 8)


@primitive(
    f"void(int64{', float64' * 9}, int64{', int32' * 7})",
    _emit_image,
)
def write_image(
    row: Any, px: Any, py: Any, pz: Any, ux: Any, uy: Any, uz: Any, tx: Any, ty: Any, tz: Any, times: Any,
    a: Any, b: Any, c: Any, atom: Any, da: Any, db: Any, dc: Any,
) -> None:  # fmt: skip
    """Write an image as `write_four` takes it.

    Parameters
    ----------
    row
        Address of the row.
    px, py, pz
        Where its atom is.
    ux, uy, uz, times, tx, ty, tz
        What moves it from there, ``times * u + t``.
    a, b, c, da, db, dc
        The cell vectors that move it from where it was given, ``a + times * da`` and so on.
    atom
        The number of the atom in its structure.
    """
    _at(row, ctypes.c_double, 6)[:] = [px, py, pz, times * ux + tx, times * uy + ty, times * uz + tz]
    _at(int(row) + 48, ctypes.c_int32, 4)[:] = [
        *(int(s) + int(times) * int(d) for s, d in ((a, da), (b, db), (c, dc))),
        int(atom),
    ]


def _emit_four(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    images, found, x, y, z, a, b, c, first, cutoff, *to = arguments
    doubles, integers = _vector(_DOUBLE, 4), _vector(_INT, 4)

    def picked(one: Any, other: Any, *lanes: int) -> Any:
        return builder.shuffle_vector(one, other, ir.Constant(_vector(_INT, len(lanes)), list(lanes)))

    centre = _made(builder, doubles, [x, y, z, _DOUBLE(0.0)])
    moved = _made(builder, integers, [a, b, c, _INT(0)])
    rows, shifts, numbers = [], [], []
    for lane in range(4):
        image = builder.zext(_load(builder, builder.add(found, _LONG(4 * lane)), _INT, 4), _LONG)
        row = builder.add(images, builder.shl(image, _LONG(6)))
        apart = builder.fsub(_load(builder, row, doubles, 8), centre)
        # Three numbers are meant; the fourth, whatever it is, is written over or left out.
        rows.append(builder.fadd(apart, _load(builder, builder.add(row, _LONG(24)), doubles, 8)))
        shifts.append(builder.sub(_load(builder, builder.add(row, _LONG(48)), integers, 8), moved))
        numbers.append(builder.sext(_load(builder, builder.add(row, _LONG(60)), _INT, 4), _LONG))
    low, high = (
        picked(picked(*rows[k : k + 2], 0, 4, 1, 5), picked(*rows[k : k + 2], 2, 6, 2, 6), *range(8))
        for k in (0, 2)
    )
    axes = [picked(low, high, k, k + 1, k + 8, k + 9) for k in (0, 2, 4)]
    xx, yy, zz = (builder.fmul(axis, axis) for axis in axes)
    total = builder.fadd(builder.fadd(xx, yy), zz)
    distances = _call(builder, "llvm.sqrt.v4f64", doubles, [total])
    for lane in range(4):
        number = builder.add(numbers[lane], first)
        for value, address, size, align in (
            (number, to[0], 8, 8),
            (shifts[lane], to[1], 12, 4),
            (rows[lane], to[2], 24, 8),
        ):
            _store(builder, value, builder.add(address, _LONG(size * lane)), align)
    _store(builder, distances, to[3], 8)
    near = builder.fcmp_ordered("<", distances, _spread(builder, cutoff, 4))
    return builder.zext(builder.bitcast(near, ir.IntType(4)), _LONG)


@primitive(
    "int64(int64, int64, float64, float64, float64, int32, int32, int32, int64, float64,"
    " int64, int64, int64, int64)",
    _emit_four,
)
def write_four(
    images: Any, found: Any, x: Any, y: Any, z: Any, a: Any, b: Any, c: Any, first: Any,
    cutoff: Any, indices: Any, shifts: Any, vectors: Any, distances: Any,
) -> int:  # fmt: skip
    """Write four neighbours of a centre at x, y, z, which was moved by a, b, c cell vectors.

    Parameters
    ----------
    images
        Address of rows of 64 bytes: the place of an atom, what moves it from there, as int32 the cell
        vectors that move it from where it was given, and the atom.
    found
        Address of the rows of the four, uint32.
    first
        The packed row of atom 0.
    cutoff
        Neighbours are nearer.
    indices, shifts, vectors, distances
        Addresses to write to, of rows as `zstruct.geometry.neighbors.Neighbors` has them. One row more
        may be written.

    Returns
    -------
    int
        A bit for each of them, set if it is a neighbour.
    """
    near, x, y, z = 0, float(x), float(y), float(z)
    for lane, image in enumerate(_at(found, ctypes.c_uint32, 4)):
        row = int(images) + 64 * image
        px, py, pz, tx, ty, tz = _at(row, ctypes.c_double, 6)
        da, db, dc, atom = _at(row + 48, ctypes.c_int32, 4)
        dx, dy, dz = (px - x) + tx, (py - y) + ty, (pz - z) + tz
        distance = math.sqrt(dx * dx + dy * dy + dz * dz)
        _at(int(indices) + 8 * lane, ctypes.c_int64, 1)[0] = int(first) + atom
        _at(int(shifts) + 12 * lane, ctypes.c_int32, 3)[:] = da - int(a), db - int(b), dc - int(c)
        _at(int(vectors) + 24 * lane, ctypes.c_double, 3)[:] = dx, dy, dz
        _at(int(distances) + 8 * lane, ctypes.c_double, 1)[0] = distance
        near |= (distance < cutoff) << lane
    return near


def _at(address: Any, kind: Any, n: int) -> Any:
    return (kind * n).from_address(int(address))
