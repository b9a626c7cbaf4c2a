"""The kernels of neighbour lists: one structure after the other, one centre after the other.

A structure is laid out once, into `Space`: its cell is turned so that the first vector lies along x
and the second in the xy plane, and its atoms are moved by whole cell vectors into the brick that
the diagonal of the turned cell spans, which tiles space like the cell. All images within reach of
the atoms are listed, and, if there are many, sorted into columns along z, so that the candidates of
a centre are few runs of consecutive images. Candidates are found by SIMD with turned coordinates in
single precision, and a little too far; what is a neighbour is decided on the vectors that are returned.
These are differences of the same floating point numbers from both ends of a pair, so both ends agree.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from zstruct.geometry.kernels.simd import LANES, SPARE, append_near, write_four, write_image
from zstruct.jit.kernel import helper, kernel

__all__ = ["Space", "empty_space", "search"]

_FEW = 1000  # images up to which each centre looks at all, by measurement
_COLUMN, _HEIGHT = 1.0, 0.125  # of bins, in cutoffs, by measurement
_ROUNDING = 1e-14  # relative to the largest number that coordinates are sums of: some 50 roundings
_SINGLE = 4e-7  # relative to the largest difference of coordinates: some seven roundings to single precision

# Rows of `Space.frame`, after three axes.
_CELL, _VECTORS, _LOW, _HIGH, _ORIGIN, _PER, _REACH = 3, 6, 9, 10, 11, 12, 13


class Space(NamedTuple):
    """A structure laid out; each thread has its own.

    Parameters
    ----------
    state
        The structure (-1 for none), its number of images, bins along x, y and z, or zeros.
    frame
        Rows: the turned axes; the turned cell; its vectors as given, zero where not periodic; where
        atoms are, from and to; where bins begin; how many there are in an angstrom; how far candidates
        may be.
    atoms
        Where they are in the brick, as given and turned, shape (n, 6).
    moves
        By how many cell vectors they were moved there; the image that is the atom itself, shape (n, 4).
    coordinates
        Turned coordinates of the images, all x, then all y, then all z, with room for `LANES` more.
    singles
        The same, from where atoms begin, in single precision.
    images
        64 bytes each, shape (g, 8): where the atom is in the brick, what moves it from there, and, as
        four int32, the cell vectors that move it from where it was given, and the atom.
    edges
        The images of a bin are ``edges[bin] : edges[bin + 1]``.
    found
        Candidates of a centre.
    """

    state: Any
    frame: Any
    atoms: Any
    moves: Any
    coordinates: Any
    singles: Any
    images: Any
    edges: Any
    found: Any


def empty_space() -> Space:
    """Return a space without a structure."""
    return Space(
        state=np.array([-1, 0, 0, 0, 0]),
        frame=np.zeros((14, 3)),
        atoms=np.empty((0, 6)),
        moves=np.empty((0, 4), np.int32),
        coordinates=np.empty(3 * LANES),
        singles=np.empty(3 * LANES, np.float32),
        images=np.empty((0, 8)),
        edges=np.empty(0, np.int64),
        found=np.empty(LANES, np.uint32),
    )


@kernel(takes=4)
def search(  # type: ignore[no-untyped-def]
    offsets, positions, cells, pbc, cutoff, start, stop, pairs, space,
    ends, indices, shifts, vectors, distances,
):  # fmt: skip
    """Write the neighbours of the atoms in rows ``start:stop``, from pair `pairs` on, while there is room.

    ``ends[a]`` becomes the end of the pairs of the a-th of them. Returns the row of the first atom
    that is not done, the number of pairs by then, and the space for the next call.
    """
    # Taken apart and put together once: each array in a tuple costs two atomic operations.
    state, frame, atoms, moves, coordinates, singles, images, edges, found = space
    row, s = start, _structure_of(start, offsets)
    while row < stop:
        while offsets[s + 1] <= row:
            s += 1
        first, n = offsets[s], offsets[s + 1] - offsets[s]
        if state[0] != s:
            state[0], state[2], state[3], state[4] = s, 0, 0, 0
            if n > len(atoms):
                atoms, moves = np.empty((n, 6)), np.empty((n, 4), np.int32)
            order = _turn(s, cells, pbc, frame)
            size = _move_home(first, n, positions, order, frame, atoms, moves)
            _set_reach(cutoff, size, frame)
            g = _list_images(n, order, frame, atoms, moves, coordinates, images)
            if g > len(images):
                room = g + g // 4
                coordinates, images = np.empty(3 * (room + LANES)), np.empty((room, 8))
                singles, found = np.empty(3 * (room + LANES), np.float32), np.empty(room + LANES, np.uint32)
                _list_images(n, order, frame, atoms, moves, coordinates, images)
            state[1] = g
            if g > _FEW:
                coordinates, images, edges = _sort(n, state, frame, moves, coordinates, images, edges)
            _to_singles(g, frame, coordinates, singles)
        last = min(stop, offsets[s + 1])
        done, pairs = _fill(
            row - first, last - first, first, cutoff, pairs, state, frame, atoms, moves, singles, images,
            edges, found, row - start, ends, indices, shifts, vectors, distances,
        )  # fmt: skip
        row = first + done
        if row < last:
            break
    return row, pairs, Space(state, frame, atoms, moves, coordinates, singles, images, edges, found)


@helper
def _structure_of(row, offsets):  # type: ignore[no-untyped-def]
    """Return the last structure that begins at a row, or before it."""
    low, high = 0, len(offsets)
    while high - low > 1:
        middle = (low + high) // 2
        if offsets[middle] <= row:
            low = middle
        else:
            high = middle
    return low


@helper
def _fill(  # type: ignore[no-untyped-def]
    begin, end, first, cutoff, pairs, state, frame, atoms, moves, singles, images, edges, found,
    centre, ends, indices, shifts, vectors, distances,
):  # fmt: skip
    """Write the neighbours of atoms ``begin:end`` of the structure; return the first not done, and pairs."""
    room, k = len(indices) - SPARE, np.int64(pairs)
    of_images, of_found = np.int64(images.ctypes.data), np.int64(found.ctypes.data)
    to_indices, to_shifts = np.int64(indices.ctypes.data), np.int64(shifts.ctypes.data)
    to_vectors, to_distances = np.int64(vectors.ctypes.data), np.int64(distances.ctypes.data)
    for i in range(begin, end):
        m = _candidates(i, state, frame, atoms, moves, singles, edges, found)
        if k + m >= room:
            return i, k
        for q in range(m, m + SPARE - 1):
            found[np.uint64(q)] = found[np.uint64(max(m - 1, 0))]
        x, y, z = atoms[i, 0], atoms[i, 1], atoms[i, 2]
        a, b, c, all_near = moves[i, 0], moves[i, 1], moves[i, 2], np.int64(15)
        for q in range(0, m, 4):
            at = k + q
            all_near &= write_four(
                of_images, of_found + 4 * q, x, y, z, a, b, c, first, cutoff,
                to_indices + 8 * at, to_shifts + 12 * at, to_vectors + 24 * at, to_distances + 8 * at,
            )  # fmt: skip
        k = k + m if all_near == 15 else _keep(k, k + m, cutoff, indices, shifts, vectors, distances)
        ends[centre + i - begin] = k
    return end, k


@helper
def _keep(begin, end, cutoff, indices, shifts, vectors, distances):  # type: ignore[no-untyped-def]
    """Move those of pairs ``begin:end`` together that are neighbours; return their end."""
    k = begin
    for q in range(begin, end):
        if distances[q] < cutoff:
            indices[k], distances[k] = indices[q], distances[q]
            for d in range(3):
                shifts[k, d], vectors[k, d] = shifts[q, d], vectors[q, d]
            k += 1
    return k


@helper
def _candidates(i, state, frame, atoms, moves, singles, edges, found):  # type: ignore[no-untyped-def]
    """Write the images that may be neighbours of atom i into `found`; return how many."""
    stride = 4 * (len(singles) // 3)
    px, pf = np.int64(singles.ctypes.data), np.int64(found.ctypes.data)
    x, y, z = atoms[i, 3], atoms[i, 4], atoms[i, 5]
    sx, sy, sz = _single(0, x, frame), _single(1, y, frame), _single(2, z, frame)
    reach, near, itself = frame[_REACH, 0], np.float32(frame[_REACH, 1]), np.int64(moves[i, 3])
    square = reach * reach
    nx, ny, nz = state[2], state[3], state[4]
    m = np.int64(0)  # a plain zero would be a type of its own, and `_scan` compiled for it once more
    if nx == 0:
        return _scan(px, stride, m, state[1], itself, sx, sy, sz, near, pf, m)
    x0, y0, z0 = frame[_ORIGIN, 0], frame[_ORIGIN, 1], frame[_ORIGIN, 2]
    per_x, per_y, per_z = frame[_PER, 0], frame[_PER, 1], frame[_PER, 2]
    width_x, width_y = 1.0 / per_x, 1.0 / per_y
    for bx in range(_bin(x - reach, x0, per_x, nx), _bin(x + reach, x0, per_x, nx) + 1):
        left = x0 + bx * width_x
        dx = max(left - x, x - left - width_x, 0.0)
        square_y = max(square - dx * dx, 0.0)
        ry = np.sqrt(square_y)
        for by in range(_bin(y - ry, y0, per_y, ny), _bin(y + ry, y0, per_y, ny) + 1):
            left = y0 + by * width_y
            dy = max(left - y, y - left - width_y, 0.0)
            rz = np.sqrt(max(square_y - dy * dy, 0.0))
            column = (bx * ny + by) * nz
            low = edges[column + _bin(z - rz, z0, per_z, nz)]
            high = edges[column + _bin(z + rz, z0, per_z, nz) + 1]
            m = _scan(px, stride, low, high, itself, sx, sy, sz, near, pf, m)
    return m


@helper
def _bin(x, x0, per_x, n):  # type: ignore[no-untyped-def]
    return np.int64(min(max((x - x0) * per_x, 0.0), n - 1.0))


@helper
def _scan(px, stride, low, high, itself, x, y, z, square, pf, m):  # type: ignore[no-untyped-def]
    """Add those of images ``low:high`` that are near enough to the m found; return how many there are."""
    for k in range(low, high, LANES):
        p = px + 4 * k
        m += append_near(p, p + stride, p + 2 * stride, x, y, z, square, pf + 4 * m, k, high, itself)
    return m


@helper
def _turn(s, cells, pbc, frame):  # type: ignore[no-untyped-def]
    """Set the axes and the turned cell; return which cell vectors its rows are, the periodic ones first."""
    if not (pbc[s, 0] or pbc[s, 1] or pbc[s, 2]):
        for k in range(3):
            for d in range(3):
                frame[k, d] = 1.0 * (d == k)
                frame[_CELL + k, d], frame[_VECTORS + k, d] = 0.0, 0.0
        return 0, 1, 2
    # Short vectors first: the brick is nearer to a cube then.
    for k in range(3):
        frame[_PER, k] = _length(s, k, cells, pbc)
    a, b, c = 0, 1, 2
    if frame[_PER, b] < frame[_PER, a]:
        a, b = b, a
    if frame[_PER, c] < frame[_PER, b]:
        b, c = c, b
        if frame[_PER, b] < frame[_PER, a]:
            a, b = b, a
    order = (a, b, c)
    for k in range(3):
        periodic = pbc[s, order[k]]
        across, least = 0, np.inf
        for d in range(3):
            size = _squares(k, d, frame)
            if size < least:
                across, least = d, size
        for d in range(3):
            frame[_VECTORS + k, d] = cells[s, order[k], d] if periodic else 0.0
            frame[k, d] = frame[_VECTORS + k, d] if periodic else 1.0 * (d == across)
        # Twice: of badly skewed vectors much is left over by rounding.
        _make_normal(k, frame)
        _make_normal(k, frame)
        for d in range(3):
            frame[_CELL + k, d] = 0.0
            if d <= k:
                for e in range(3):
                    frame[_CELL + k, d] += frame[_VECTORS + k, e] * frame[d, e]
    return order


@helper
def _length(s, k, cells, pbc):  # type: ignore[no-untyped-def]
    if not pbc[s, k]:
        return np.inf
    return np.sqrt(cells[s, k, 0] ** 2 + cells[s, k, 1] ** 2 + cells[s, k, 2] ** 2)


@helper
def _squares(k, d, frame):  # type: ignore[no-untyped-def]
    """Return how much the axes before k lie along x, y or z, as squares."""
    total = 0.0
    for axis in range(k):
        total += frame[axis, d] ** 2
    return total


@helper
def _make_normal(k, frame):  # type: ignore[no-untyped-def]
    """Make axis k normal to those before, of length one."""
    for axis in range(k):
        along = frame[k, 0] * frame[axis, 0] + frame[k, 1] * frame[axis, 1] + frame[k, 2] * frame[axis, 2]
        for d in range(3):
            frame[k, d] -= along * frame[axis, d]
    length = np.sqrt(frame[k, 0] ** 2 + frame[k, 1] ** 2 + frame[k, 2] ** 2)
    for d in range(3):
        frame[k, d] /= length


@helper
def _move_home(first, n, positions, order, frame, atoms, moves):  # type: ignore[no-untyped-def]
    """Move the atoms into the brick; return the largest sum of sizes that their coordinates are made of."""
    per_x, per_y, per_z = (
        _inverse(frame[_CELL, 0]),
        _inverse(frame[_CELL + 1, 1]),
        _inverse(frame[_CELL + 2, 2]),
    )
    for d in range(3):
        frame[_LOW, d], frame[_HIGH, d] = np.inf, -np.inf
    largest = 0.0
    for i in range(n):
        x, y, z = positions[first + i, 0], positions[first + i, 1], positions[first + i, 2]
        u = x * frame[0, 0] + y * frame[0, 1] + z * frame[0, 2]
        v = x * frame[1, 0] + y * frame[1, 1] + z * frame[1, 2]
        w = x * frame[2, 0] + y * frame[2, 1] + z * frame[2, 2]
        c = -np.floor(w * per_z)
        u, v, w = u + c * frame[_CELL + 2, 0], v + c * frame[_CELL + 2, 1], w + c * frame[_CELL + 2, 2]
        b = -np.floor(v * per_y)
        u, v = u + b * frame[_CELL + 1, 0], v + b * frame[_CELL + 1, 1]
        a = -np.floor(u * per_x)
        u += a * frame[_CELL, 0]
        atoms[i, 3], atoms[i, 4], atoms[i, 5] = u, v, w
        size = abs(x) + abs(y) + abs(z)
        for d in range(3):
            ad, bd, cd = a * frame[_VECTORS, d], b * frame[_VECTORS + 1, d], c * frame[_VECTORS + 2, d]
            atoms[i, d] = positions[first + i, d] + (ad + bd + cd)
            size += abs(ad) + abs(bd) + abs(cd)
            frame[_LOW, d] = min(frame[_LOW, d], atoms[i, 3 + d])
            frame[_HIGH, d] = max(frame[_HIGH, d], atoms[i, 3 + d])
        moves[i, order[0]], moves[i, order[1]], moves[i, order[2]] = np.int32(a), np.int32(b), np.int32(c)
        largest = max(largest, size)
    return largest


@helper
def _inverse(x):  # type: ignore[no-untyped-def]
    """Return 1/x, or zero, which makes all ranges of images end at the atom itself."""
    return 1.0 / x if x != 0.0 else 0.0


@helper
def _set_reach(cutoff, size, frame):  # type: ignore[no-untyped-def]
    """Set how far candidates may be: the cutoff, and what rounding may add to a distance."""
    span = 2 * cutoff
    for d in range(3):
        span += frame[_HIGH, d] - frame[_LOW, d]
    c = span * abs(_inverse(frame[_CELL + 2, 2]))
    b = (span + c * abs(frame[_CELL + 2, 1])) * abs(_inverse(frame[_CELL + 1, 1]))
    a = (span + c * abs(frame[_CELL + 2, 0]) + b * abs(frame[_CELL + 1, 0])) * abs(_inverse(frame[_CELL, 0]))
    size += span
    for d in range(3):
        size += (
            a * abs(frame[_VECTORS, d]) + b * abs(frame[_VECTORS + 1, d]) + c * abs(frame[_VECTORS + 2, d])
        )
    reach = cutoff + _ROUNDING * size
    # What candidates are found with has been rounded to single precision.
    near = reach + _SINGLE * (span + 5.0 * reach)
    frame[_REACH, 0], frame[_REACH, 1] = reach, near * near


@helper
def _single(d, coordinate, frame):  # type: ignore[no-untyped-def]
    """Return a turned coordinate from where atoms begin, in single precision."""
    return np.float32(coordinate - frame[_LOW, d])


@helper
def _to_singles(g, frame, coordinates, singles):  # type: ignore[no-untyped-def]
    """Write the turned coordinates of images in single precision."""
    stride = np.uint64(len(coordinates) // 3)
    for d in range(3):
        begin, low = np.uint64(d) * stride, frame[_LOW, d]
        for k in range(np.uint64(g)):
            singles[begin + k] = np.float32(coordinates[begin + k] - low)


@helper
def _list_images(n, order, frame, atoms, moves, coordinates, images):  # type: ignore[no-untyped-def]
    """Write all images of atoms within reach of where atoms are, if there is room; return how many."""
    room, stride = len(images), len(coordinates) // 3
    reach = frame[_REACH, 0]
    square = reach * reach
    ax, bx, by, cx, cy, cz = (
        frame[_CELL, 0],
        frame[_CELL + 1, 0],
        frame[_CELL + 1, 1],
        frame[_CELL + 2, 0],
        frame[_CELL + 2, 1],
        frame[_CELL + 2, 2],
    )
    per_x, per_y, per_z = _inverse(ax), _inverse(by), _inverse(cz)
    low_x, low_y, low_z = frame[_LOW, 0], frame[_LOW, 1], frame[_LOW, 2]
    high_x, high_y, high_z = frame[_HIGH, 0], frame[_HIGH, 1], frame[_HIGH, 2]
    ux, uy, uz = frame[_VECTORS, 0], frame[_VECTORS, 1], frame[_VECTORS, 2]
    vx, vy, vz = frame[_VECTORS + 1, 0], frame[_VECTORS + 1, 1], frame[_VECTORS + 1, 2]
    wx, wy, wz = frame[_VECTORS + 2, 0], frame[_VECTORS + 2, 1], frame[_VECTORS + 2, 2]
    o0, o1, o2 = order
    d0, d1, d2 = 1 * (o0 == 0), 1 * (o0 == 1), 1 * (o0 == 2)
    to_images = np.int64(images.ctypes.data)
    if ax == 0.0 and by == 0.0 and cz == 0.0 and n <= room:  # nothing is periodic
        for j in range(n):
            for d in range(3):
                coordinates[d * stride + j] = atoms[j, 3 + d]
            write_image(
                to_images + 64 * j, atoms[j, 0], atoms[j, 1], atoms[j, 2], ux, uy, uz, 0.0, 0.0, 0.0, 0,
                moves[j, 0], moves[j, 1], moves[j, 2], j, d0, d1, d2,
            )  # fmt: skip
            moves[j, 3] = j
        return n
    g = 0
    for j in range(n):
        x, y, z = atoms[j, 3], atoms[j, 4], atoms[j, 5]
        for c in range(_first(low_z - reach - z, per_z), _last(high_z + reach - z, per_z) + 1):
            zc = z + c * cz
            dz = max(low_z - zc, zc - high_z, 0.0)
            square_y = max(square - dz * dz, 0.0)
            ry = np.sqrt(square_y)
            yc = y + c * cy
            for b in range(_first(low_y - ry - yc, per_y), _last(high_y + ry - yc, per_y) + 1):
                yb = yc + b * by
                dy = max(low_y - yb, yb - high_y, 0.0)
                rx = np.sqrt(max(square_y - dy * dy, 0.0))
                xb = x + c * cx + b * bx
                begin, end = _first(low_x - rx - xb, per_x), _last(high_x + rx - xb, per_x) + 1
                if b == 0 and c == 0:
                    moves[j, 3] = g - begin
                if g + end - begin > room:
                    g += max(end - begin, 0)
                    continue
                tx = b * vx + c * wx
                ty = b * vy + c * wy
                tz = b * vz + c * wz
                s0 = moves[j, 0] + (b if o1 == 0 else 0) + (c if o2 == 0 else 0)
                s1 = moves[j, 1] + (b if o1 == 1 else 0) + (c if o2 == 1 else 0)
                s2 = moves[j, 2] + (b if o1 == 2 else 0) + (c if o2 == 2 else 0)
                for a in range(begin, end):
                    k = np.uint64(g)
                    coordinates[k] = xb + a * ax
                    coordinates[k + np.uint64(stride)] = yb
                    coordinates[k + np.uint64(2 * stride)] = zc
                    write_image(
                        to_images + 64 * g, atoms[j, 0], atoms[j, 1], atoms[j, 2], ux, uy, uz, tx, ty, tz, a,
                        s0, s1, s2, j, d0, d1, d2,
                    )  # fmt: skip
                    g += 1
    return g


@helper
def _first(x, per_x):  # type: ignore[no-untyped-def]
    return np.int64(np.ceil(x * per_x))


@helper
def _last(x, per_x):  # type: ignore[no-untyped-def]
    return np.int64(np.floor(x * per_x))


@helper
def _sort(n, state, frame, moves, coordinates, images, edges):  # type: ignore[no-untyped-def]
    """Sort images into bins, those of a column along z together; return coordinates, images, edges."""
    g = state[1]
    nx, ny, nz = _set_bins(g, frame)
    state[2], state[3], state[4] = nx, ny, nz
    bins = nx * ny * nz
    if bins + 2 > len(edges):
        edges = np.empty(bins + 2, np.int64)
    for k in range(bins + 2):
        edges[k] = 0
    stride = len(coordinates) // 3
    keys = np.empty(g, np.int64)
    for k in range(g):
        bx = _bin(coordinates[k], frame[_ORIGIN, 0], frame[_PER, 0], nx)
        by = _bin(coordinates[stride + k], frame[_ORIGIN, 1], frame[_PER, 1], ny)
        bz = _bin(coordinates[2 * stride + k], frame[_ORIGIN, 2], frame[_PER, 2], nz)
        keys[k] = (bx * ny + by) * nz + bz
        edges[keys[k] + 2] += 1
    for k in range(2, bins + 2):
        edges[k] += edges[k - 1]
    sorted_coordinates, sorted_images = np.empty(len(coordinates)), np.empty((len(images), 8))
    for k in range(g):
        to = edges[keys[k] + 1]
        edges[keys[k] + 1] += 1
        for d in range(3):
            sorted_coordinates[d * stride + to] = coordinates[d * stride + k]
        for d in range(8):
            sorted_images[to, d] = images[k, d]
        keys[k] = to
    for j in range(n):
        moves[j, 3] = keys[moves[j, 3]]
    return sorted_coordinates, sorted_images, edges


@helper
def _set_bins(g, frame):  # type: ignore[no-untyped-def]
    """Set where bins begin and how many there are in an angstrom; return their numbers along x, y and z."""
    reach = frame[_REACH, 0]
    for d in range(3):
        frame[_PER, d] = _span(d, reach, frame)
    x, y, z = frame[_PER, 0], frame[_PER, 1], frame[_PER, 2]
    nx, ny, nz = x // (_COLUMN * reach), y // (_COLUMN * reach), z // (_HEIGHT * reach)
    nx, ny, nz = max(nx, 1.0), max(ny, 1.0), max(nz, 1.0)
    while nx * ny * nz > 4.0 * g:  # atoms are far apart
        if nx >= max(ny, nz):
            nx = nx // 2
        elif ny >= nz:
            ny = ny // 2
        else:
            nz = nz // 2
    frame[_PER, 0] = nx / x if x > 0.0 else 1.0
    frame[_PER, 1] = ny / y if y > 0.0 else 1.0
    frame[_PER, 2] = nz / z if z > 0.0 else 1.0
    return np.int64(nx), np.int64(ny), np.int64(nz)


@helper
def _span(d, reach, frame):  # type: ignore[no-untyped-def]
    """Set where images begin along an axis; return how far they extend."""
    margin = reach if frame[_CELL + d, d] != 0.0 else 0.0
    frame[_ORIGIN, d] = frame[_LOW, d] - margin
    return frame[_HIGH, d] + margin - frame[_ORIGIN, d]
