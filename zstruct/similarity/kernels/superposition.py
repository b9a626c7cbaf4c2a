"""The kernel that brings one structure upon another: rotations and translations tried, then fitted.

A rotation follows from vectors that have to go over into one another: the shortest vectors of the lattice;
where there are fewer than two, those to the atoms farthest away. All vectors of the other structure that are
as long, and as far from one another, are tried for them. Where there is a lattice, an atom of the rarest
element is brought upon each of that element. All that a trial needs to fail is one atom with no other in
reach, so that most end at once. The atoms that are found to belong together are brought as near as they get:
the largest displacement is made least by weights that grow where displacements are large (Lawson, 1961), and
as the mean of squares with any weights is a lower bound, what can't be within the tolerance is told soon.
"""

from __future__ import annotations

import numpy as np

from zstruct.geometry.kernels.cells import dot, finite, set_reduced_cell, squared_length, to_fractions, volume
from zstruct.jit.kernel import helper, kernel

__all__ = ["superpose"]

_REACH = 6.0  # tolerances by which atoms may miss each other before they are fitted
_STEPS = 60  # of the weights
_SETTLED = 2  # steps after which turns are small, and weights begin to change
_TURNS = 3  # times that atoms are found anew where two fell upon one


@kernel(takes=8)
def superpose(first, second, offsets, numbers, positions, cells, pbc, tolerance, found):  # type: ignore[no-untyped-def]
    """Write the largest displacement of an atom, once a structure is brought upon another, into `found`.

    It is that of the first rotation, translation and order that bring all atoms within the tolerance, and
    infinite where none do.
    """
    cell, inverse, heights = np.empty((2, 3, 3)), np.empty((2, 3, 3)), np.empty((2, 3))
    reduced, flags = np.empty((1, 3, 3)), np.empty((1, 3), np.bool_)
    vectors, lengths = np.empty((125, 3)), np.empty(125)
    edges, counts = np.zeros(257, np.int64), np.zeros(256, np.int64)
    rotation = np.empty((3, 3))
    room = 0
    fractions, points = np.empty((2, 3, 0)), np.empty((3, 0))
    moved, off, weights = np.empty((3, 0)), np.empty((3, 0)), np.empty(0)
    order, keys = np.empty(0, np.int64), np.empty(0)
    taken, partner = np.empty(0, np.int64), np.empty(0, np.int64)
    for k in range(len(first)):
        a, b = first[k], second[k]
        n = offsets[a + 1] - offsets[a]
        found[k] = np.inf
        if n != offsets[b + 1] - offsets[b]:
            continue
        m = pbc[a, 0] + np.int64(pbc[a, 1]) + pbc[a, 2]
        if m != pbc[b, 0] + np.int64(pbc[b, 1]) + pbc[b, 2]:
            continue
        if n > room:
            room = n + n // 4
            fractions, points = np.empty((2, 3, room)), np.empty((3, room))
            moved, off, weights = np.empty((3, room)), np.empty((3, room)), np.empty(room)
            order, keys = np.empty(room, np.int64), np.empty(room)
            taken, partner = np.empty(room, np.int64), np.empty(room, np.int64)
        whole = True
        for side in range(2):
            s = b if side else a
            if not (
                set_reduced_cell(s, cells, pbc, reduced, flags, cell[side], inverse[side], heights[side])
                and finite(offsets[s], n, positions)
            ):
                whole = False
                break
            to_fractions(offsets[s], n, positions, inverse[side], heights[side], fractions[side])
            for d in range(m, 3):
                _center(n, fractions[side, d])
        if not (
            whole and _sort(n, numbers, offsets[a], offsets[b], fractions[1], edges, counts, order, keys)
        ):
            continue
        size = abs(volume(cell[0]))
        if abs(size - abs(volume(cell[1]))) > 0.25 * size:
            continue
        anchor = _anchor(n, m, offsets[a], numbers, counts, cell[0], fractions[0])
        _place(n, m, anchor, cell[0], fractions[0], points)
        n_vectors = _list_vectors(m, cell[1], vectors, lengths)
        one = numbers[offsets[a] + anchor]
        # What all trials have in common, as one: the compiler takes long over long lists of arguments.
        theirs = cell[1], inverse[1], heights[1], fractions[1], edges, order, keys
        mine = numbers[offsets[a] : offsets[a] + n], points, moved, off, weights, taken, partner
        best = np.inf
        if m == 0:
            best = _without_lattice(n, tolerance, mine, theirs, rotation)
        elif m == 1:
            best = _along_axis(n, tolerance, one, anchor, cell[0], mine, theirs, rotation)
        else:
            best = _with_lattice(
                n, m, tolerance, one, cell[0], n_vectors, vectors, lengths, mine, theirs, rotation
            )
        found[k] = best


@helper
def _center(n, values):  # type: ignore[no-untyped-def]
    """Take their mean away from values."""
    total = 0.0
    for i in range(n):
        total += values[i]
    for i in range(n):
        values[i] -= total / n


@helper
def _sort(n, numbers, at, other, fractions, edges, counts, order, keys):  # type: ignore[no-untyped-def]
    """Sort the other's atoms by element, then along the first axis; return whether elements are the same."""
    counts[:] = 0
    edges[:] = 0
    for i in range(n):
        counts[numbers[at + i]] += 1
        edges[numbers[other + i] + 1] += 1
    for z in range(256):
        if counts[z] != edges[z + 1]:
            return False
    for z in range(256):
        edges[z + 1] += edges[z]
    along = np.argsort(fractions[0, :n])
    ends = edges.copy()
    for i in along:
        z = numbers[other + i]
        order[ends[z]], keys[ends[z]] = i, fractions[0, i]
        ends[z] += 1
    return True


@helper
def _anchor(n, m, at, numbers, counts, cell, fractions):  # type: ignore[no-untyped-def]
    """Return an atom of the rarest element, or, beside an axis, the atom farthest from it."""
    best, value = np.int64(0), -np.inf
    for i in range(n):
        here = -1.0 * counts[numbers[at + i]]
        if m == 1:  # the other two vectors are normal to it, of length one
            here = fractions[1, i] * fractions[1, i] + fractions[2, i] * fractions[2, i]
        if here > value:
            best, value = np.int64(i), here
    return best


@helper
def _place(n, m, anchor, cell, fractions, points):  # type: ignore[no-untyped-def]
    """Write where atoms are, seen from the anchor along periodic vectors, and from the mean across them."""
    for i in range(n):
        for d in range(3):
            points[d, i] = 0.0
        for k in range(3):
            f = fractions[k, i]
            if k < m:
                f -= fractions[k, anchor]
                f -= np.rint(f)
            for d in range(3):
                points[d, i] += f * cell[k, d]


@helper
def _list_vectors(m, cell, vectors, lengths):  # type: ignore[no-untyped-def]
    """List short vectors of the lattice; return how many there are."""
    n = 0
    na, nb, nc = 2 if m > 0 else 0, 2 if m > 1 else 0, 2 if m > 2 else 0
    for i in range(-na, na + 1):
        for j in range(-nb, nb + 1):
            for k in range(-nc, nc + 1):
                if i != 0 or j != 0 or k != 0:
                    for d in range(3):
                        vectors[n, d] = i * cell[0, d] + j * cell[1, d] + k * cell[2, d]
                    lengths[n] = np.sqrt(squared_length(float(i), float(j), float(k), cell))
                    n += 1
    return n


@helper
def _set_rotation(a, b, c, d, rotation):  # type: ignore[no-untyped-def]
    """Set the rotation that turns vector a to b and, about it, c towards d as far as that goes."""
    one, other = np.empty((3, 3)), np.empty((3, 3))
    _set_axes(a, c, one)
    _set_axes(b, d, other)
    for i in range(3):
        for j in range(3):
            rotation[i, j] = other[0, i] * one[0, j] + other[1, i] * one[1, j] + other[2, i] * one[2, j]


@helper
def _set_axes(a, c, axes):  # type: ignore[no-untyped-def]
    """Set right-handed axes: along a, across in the plane of a and c, and normal to both."""
    length = np.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2])
    for d in range(3):
        axes[0, d] = a[d] / length
    along = c[0] * axes[0, 0] + c[1] * axes[0, 1] + c[2] * axes[0, 2]
    across = 0.0
    for d in range(3):
        axes[1, d] = c[d] - along * axes[0, d]
        across += axes[1, d] * axes[1, d]
    if not across > 1e-24 * length * length:
        thin = 0
        for d in range(1, 3):
            if abs(axes[0, d]) < abs(axes[0, thin]):
                thin = d
        across = 1.0 - axes[0, thin] * axes[0, thin]
        for d in range(3):
            axes[1, d] = (1.0 if d == thin else 0.0) - axes[0, thin] * axes[0, d]
    for d in range(3):
        axes[1, d] /= np.sqrt(across)
    for d in range(3):
        e, f = (d + 1) % 3, (d + 2) % 3
        axes[2, d] = axes[0, e] * axes[1, f] - axes[0, f] * axes[1, e]


@helper
def _with_lattice(n, m, tolerance, one, lattice, n_vectors, vectors, lengths, mine, theirs, rotation):  # type: ignore[no-untyped-def]
    """Try all rotations of the lattice; return the largest displacement of the first that goes."""
    size = np.empty(3)
    for k in range(m):
        size[k] = np.sqrt(dot(lattice, k, k))
    slack, image, hand = 2.0 * tolerance, np.empty((3, 3)), volume(lattice)
    for u in range(n_vectors):
        if abs(lengths[u] - size[0]) > slack:
            continue
        for v in range(n_vectors):
            if abs(lengths[v] - size[1]) > slack or not _at_angle(0, 1, u, v, size, lattice, vectors, slack):
                continue
            last = n_vectors if m == 3 else 1
            for w in range(last):
                for d in range(3):
                    image[0, d], image[1, d] = vectors[u, d], vectors[v, d]
                if m == 3:
                    if abs(lengths[w] - size[2]) > slack:
                        continue
                    if not (
                        _at_angle(0, 2, u, w, size, lattice, vectors, slack)
                        and _at_angle(1, 2, v, w, size, lattice, vectors, slack)
                    ):
                        continue
                    for d in range(3):
                        image[2, d] = vectors[w, d]
                    if volume(image) * hand < 0.0:
                        continue
                if not _fit_lattice(m, lattice, image, tolerance, rotation):
                    continue
                best = _from_origins(n, m, tolerance, one, mine, theirs, rotation)
                if best < np.inf:
                    return best
    return np.inf


@helper
def _at_angle(a, b, u, v, size, lattice, vectors, slack):  # type: ignore[no-untyped-def]
    """Return whether two vectors of the other lattice are at the angle of two of this."""
    product = vectors[u, 0] * vectors[v, 0] + vectors[u, 1] * vectors[v, 1] + vectors[u, 2] * vectors[v, 2]
    return abs(product - dot(lattice, a, b)) <= slack * (size[a] + size[b] + slack)


@helper
def _fit_lattice(m, lattice, image, tolerance, rotation):  # type: ignore[no-untyped-def]
    """Set the rotation that brings lattice vectors nearest to others; return whether near enough."""
    _set_rotation(lattice[0], image[0], lattice[1], image[1], rotation)
    turned, inertia, torque = np.empty(3), np.empty((3, 3)), np.empty(3)
    turn = np.empty((3, 3))
    worst = 0.0
    for step in range(4):
        inertia[:], torque[:], worst = 0.0, 0.0, 0.0
        for k in range(m):
            square = 0.0
            for d in range(3):
                turned[d] = (
                    rotation[d, 0] * lattice[k, 0]
                    + rotation[d, 1] * lattice[k, 1]
                    + rotation[d, 2] * lattice[k, 2]
                )
                square += (image[k, d] - turned[d]) ** 2
            worst = max(worst, square)
            _add_moments(
                1.0,
                turned[0],
                turned[1],
                turned[2],
                image[k, 0] - turned[0],
                image[k, 1] - turned[1],
                image[k, 2] - turned[2],
                inertia,
                torque,
            )
        if step < 3 and _set_turn(inertia, torque, turn):
            _turn_rows(turn, rotation)
    return worst <= tolerance * tolerance * (1.0 + 1e-9) + 1e-18


@helper
def _turn_rows(turn, rotation):  # type: ignore[no-untyped-def]
    """Turn a rotation further."""
    for j in range(3):
        x, y, z = rotation[0, j], rotation[1, j], rotation[2, j]
        for i in range(3):
            rotation[i, j] = turn[i, 0] * x + turn[i, 1] * y + turn[i, 2] * z


@helper
def _add_moments(weight, x, y, z, dx, dy, dz, inertia, torque):  # type: ignore[no-untyped-def]
    """Add a point, and how far it should go, to the moments of inertia and to the torque."""
    square = x * x + y * y + z * z
    inertia[0, 0] += weight * (square - x * x)
    inertia[1, 1] += weight * (square - y * y)
    inertia[2, 2] += weight * (square - z * z)
    inertia[0, 1] -= weight * x * y
    inertia[0, 2] -= weight * x * z
    inertia[1, 2] -= weight * y * z
    torque[0] += weight * (y * dz - z * dy)
    torque[1] += weight * (z * dx - x * dz)
    torque[2] += weight * (x * dy - y * dx)


@helper
def _keep_along(axis, inertia, torque):  # type: ignore[no-untyped-def]
    """Have a torque turn about an axis alone."""
    about, along = 0.0, 0.0
    for i in range(3):
        along += torque[i] * axis[i]
        for j in range(3):
            about += axis[i] * inertia[i, j] * axis[j]
    for i in range(3):
        torque[i] = along * axis[i]
        for j in range(3):
            inertia[i, j] = about if i == j else 0.0


@helper
def _set_turn(inertia, torque, turn):  # type: ignore[no-untyped-def]
    """Set the rotation that the torque asks for; return whether there is any."""
    trace = inertia[0, 0] + inertia[1, 1] + inertia[2, 2]
    if not trace > 0.0:
        return False
    soft = 1e-9 * trace  # about the axis of atoms in line nothing is to be turned
    a, b, c = inertia[0, 0] + soft, inertia[1, 1] + soft, inertia[2, 2] + soft
    d, e, f = inertia[0, 1], inertia[0, 2], inertia[1, 2]
    p, q, r = b * c - f * f, e * f - d * c, d * f - e * b
    determinant = a * p + d * q + e * r
    if not abs(determinant) > 0.0:
        return False
    x, y, z = torque[0], torque[1], torque[2]
    u = (p * x + q * y + r * z) / determinant
    v = (q * x + (a * c - e * e) * y + (d * e - a * f) * z) / determinant
    w = (r * x + (d * e - a * f) * y + (a * b - d * d) * z) / determinant
    angle = np.sqrt(u * u + v * v + w * w)
    if not angle > 0.0:
        return False
    u, v, w = u / angle, v / angle, w / angle
    s, t = np.sin(angle), 1.0 - np.cos(angle)
    turn[0, 0], turn[0, 1], turn[0, 2] = 1.0 - t * (v * v + w * w), t * u * v - s * w, t * u * w + s * v
    turn[1, 0], turn[1, 1], turn[1, 2] = t * u * v + s * w, 1.0 - t * (u * u + w * w), t * v * w - s * u
    turn[2, 0], turn[2, 1], turn[2, 2] = t * u * w - s * v, t * v * w + s * u, 1.0 - t * (u * u + v * v)
    return True


@helper
def _from_origins(n, m, tolerance, one, mine, theirs, rotation):  # type: ignore[no-untyped-def]
    """Bring the anchor upon each atom of its element; return the displacement of the first that goes."""
    edges, order = theirs[4], theirs[5]
    for at in range(edges[one], edges[one + 1]):
        best = _trial(n, m, tolerance, order[at], mine, theirs, rotation)
        if best < np.inf:
            return best
    return np.inf


@helper
def _along_axis(n, tolerance, one, anchor, axis, mine, theirs, rotation):  # type: ignore[no-untyped-def]
    """Try both directions of the one lattice vector, and all turns about it."""
    cell, fractions, edges, order = theirs[0], theirs[3], theirs[4], theirs[5]
    points = mine[1]
    vector, across, other = np.empty(3), np.empty(3), np.empty(3)
    along = 0.0
    for d in range(3):
        along += points[d, anchor] * axis[0, d]
    radius = 0.0
    for d in range(3):
        across[d] = points[d, anchor] - along / dot(axis, 0, 0) * axis[0, d]
        radius += across[d] * across[d]
    radius = np.sqrt(radius)
    if abs(np.sqrt(dot(axis, 0, 0)) - np.sqrt(dot(cell, 0, 0))) > tolerance:
        return np.inf
    for sign in range(-1, 2, 2):
        for d in range(3):
            vector[d] = sign * cell[0, d]
        if radius <= tolerance:
            _set_rotation(axis[0], vector, axis[1], cell[1], rotation)
            best = _from_origins(n, 1, tolerance, one, mine, theirs, rotation)
            if best < np.inf:
                return best
            continue
        for at in range(edges[one], edges[one + 1]):
            j = order[at]
            square = 0.0
            for d in range(3):
                other[d] = fractions[1, j] * cell[1, d] + fractions[2, j] * cell[2, d]
                square += other[d] * other[d]
            if abs(np.sqrt(square) - radius) > 2.0 * tolerance:
                continue
            _set_rotation(axis[0], vector, across, other, rotation)
            best = _trial(n, 1, tolerance, j, mine, theirs, rotation)
            if best < np.inf:
                return best
    return np.inf


@helper
def _without_lattice(n, tolerance, mine, theirs, rotation):  # type: ignore[no-untyped-def]
    """Try all rotations that bring the two atoms that say most upon atoms as far from the mean."""
    numbers, points = mine[0], mine[1]
    fractions, edges, order = theirs[3], theirs[4], theirs[5]
    a, b = np.empty(3), np.empty(3)
    c, d = np.empty(3), np.empty(3)
    far, radius = 0, -1.0
    for i in range(n):
        square = points[0, i] ** 2 + points[1, i] ** 2 + points[2, i] ** 2
        if square > radius:
            far, radius = i, square
    radius = np.sqrt(radius)
    if radius <= tolerance:
        for i in range(3):
            for j in range(3):
                rotation[i, j] = 1.0 if i == j else 0.0
        return _trial(n, 0, tolerance, 0, mine, theirs, rotation)
    for k in range(3):
        a[k] = points[k, far]
    wide, across = 0, -1.0
    for i in range(n):
        along = (a[0] * points[0, i] + a[1] * points[1, i] + a[2] * points[2, i]) / radius
        square = points[0, i] ** 2 + points[1, i] ** 2 + points[2, i] ** 2 - along * along
        if square > across:
            wide, across = i, square
    across = np.sqrt(max(across, 0.0))
    for k in range(3):
        c[k] = points[k, wide]
    height = (a[0] * c[0] + a[1] * c[1] + a[2] * c[2]) / radius
    slack = _REACH * tolerance
    for at in range(edges[numbers[far]], edges[numbers[far] + 1]):
        i = order[at]
        long = 0.0
        for k in range(3):
            b[k] = fractions[k, i]
            long += b[k] * b[k]
        long = np.sqrt(long)
        if abs(long - radius) > 2.0 * tolerance or not long > 0.0:
            continue
        if across <= tolerance:
            _set_rotation(a, b, a, b, rotation)
            best = _trial(n, 0, tolerance, 0, mine, theirs, rotation)
            if best < np.inf:
                return best
            continue
        for to in range(edges[numbers[wide]], edges[numbers[wide] + 1]):
            j = order[to]
            square, along = 0.0, 0.0
            for k in range(3):
                d[k] = fractions[k, j]
                square += d[k] * d[k]
                along += d[k] * b[k]
            along /= long
            if abs(along - height) > slack:
                continue
            if abs(np.sqrt(max(square - along * along, 0.0)) - across) > slack:
                continue
            _set_rotation(a, b, c, d, rotation)
            best = _trial(n, 0, tolerance, 0, mine, theirs, rotation)
            if best < np.inf:
                return best
    return np.inf


@helper
def _trial(n, m, tolerance, origin, mine, theirs, rotation):  # type: ignore[no-untyped-def]
    """Return the largest displacement with a rotation, the anchor upon an atom; infinite if too large."""
    cell, fractions = theirs[0], theirs[3]
    points, moved, _weights = mine[1], mine[2], mine[4]
    shift, axis = np.zeros(3), np.zeros(3)
    for k in range(m):
        for d in range(3):
            shift[d] += fractions[k, origin] * cell[k, d]
    for i in range(n):
        x, y, z = points[0, i], points[1, i], points[2, i]
        for d in range(3):
            moved[d, i] = rotation[d, 0] * x + rotation[d, 1] * y + rotation[d, 2] * z + shift[d]
        if not _find_partner(i, m, tolerance, mine, theirs):
            return np.inf
    if m == 1:
        for d in range(3):
            axis[d] = cell[0, d] / np.sqrt(dot(cell, 0, 0))
    for turn in range(_TURNS):
        if _each_once(n, mine[5], mine[6]):
            best = _fit(n, m, tolerance, _STEPS, mine, axis)
            if best < np.inf:
                return best
        else:
            _fit(n, m, tolerance, 1, mine, axis)
        same = turn + 1 < _TURNS
        if not same:
            break
        for i in range(n):
            before = mine[5][i]
            if not _find_partner(i, m, tolerance, mine, theirs):
                return np.inf
            same = same and before == mine[5][i]
        if same:
            break
    return np.inf


@helper
def _each_once(n, partner, taken):  # type: ignore[no-untyped-def]
    """Return whether no two atoms have one partner."""
    for i in range(n):
        taken[i] = 0
    for i in range(n):
        if taken[partner[i]]:
            return False
        taken[partner[i]] = 1
    return True


@helper
def _find_partner(i, m, tolerance, mine, theirs):  # type: ignore[no-untyped-def]
    """Find the atom of the same element that is nearest to where an atom came; return if one is in reach."""
    numbers, moved, off, partner = mine[0], mine[2], mine[3], mine[5]
    cell, inverse, heights, fractions, edges, order, keys = theirs
    x, y, z = moved[0, i], moved[1, i], moved[2, i]
    p = x * inverse[0, 0] + y * inverse[1, 0] + z * inverse[2, 0]
    q = x * inverse[0, 1] + y * inverse[1, 1] + z * inverse[2, 1]
    r = x * inverse[0, 2] + y * inverse[1, 2] + z * inverse[2, 2]
    reach = _REACH * tolerance + 1e-9
    best, width, wraps = reach * reach, reach, m > 0
    if wraps:
        p -= np.floor(p)
        width = reach / heights[0]
    low, high = edges[numbers[i]], edges[numbers[i] + 1]
    any_way = wraps and width >= 0.5
    found = np.int64(-1)
    for piece in range(-1, 2):
        if piece != 0 and (not wraps or any_way):
            continue
        start, stop = p - width + piece, p + width + piece
        if any_way:
            start, stop = -np.inf, np.inf
        elif (stop < 0.0 and wraps) or (start > 1.0 and wraps):
            continue
        at = low + np.searchsorted(keys[low:high], start)
        while at < high and keys[at] <= stop:
            j = order[at]
            at += 1
            da, db, dc = fractions[0, j] - p, fractions[1, j] - q, fractions[2, j] - r
            if m > 0:
                da -= np.rint(da)
            if m > 1:
                db -= np.rint(db)
            if m > 2:
                dc -= np.rint(dc)
            square = squared_length(da, db, dc, cell)
            if square <= best:
                best, found = square, j
                for d in range(3):
                    off[d, i] = da * cell[0, d] + db * cell[1, d] + dc * cell[2, d]
    partner[i] = found
    return found >= 0


@helper
def _fit(n, m, tolerance, steps, mine, axis):  # type: ignore[no-untyped-def]
    """Bring atoms to their partners; return the largest displacement if it gets within the tolerance.

    Without a lattice they are turned as well, and with one period about the axis along it.
    """
    moved, off, weights = mine[2], mine[3], mine[4]
    center, mean, inertia, torque, turn = (
        np.empty(3),
        np.empty(3),
        np.empty((3, 3)),
        np.empty(3),
        np.empty((3, 3)),
    )
    for i in range(n):
        weights[i] = 1.0 / n
    limit = tolerance * tolerance * (1.0 + 1e-9) + 1e-18
    for step in range(steps):
        for d in range(3):
            center[d], mean[d] = 0.0, 0.0
            for i in range(n):
                center[d] += weights[i] * moved[d, i]
                mean[d] += weights[i] * off[d, i]
        turned = False
        if m < 2:
            inertia[:], torque[:] = 0.0, 0.0
            for i in range(n):
                _add_moments(
                    weights[i],
                    moved[0, i] - center[0],
                    moved[1, i] - center[1],
                    moved[2, i] - center[2],
                    off[0, i] - mean[0],
                    off[1, i] - mean[1],
                    off[2, i] - mean[2],
                    inertia,
                    torque,
                )
            if m == 1:
                _keep_along(axis, inertia, torque)
            turned = _set_turn(inertia, torque, turn)
        largest, bound, total = 0.0, 0.0, 0.0
        for i in range(n):
            x, y, z = moved[0, i] - center[0], moved[1, i] - center[1], moved[2, i] - center[2]
            square = 0.0
            for d in range(3):
                target = moved[d, i] + off[d, i]
                if turned:
                    moved[d, i] = center[d] + turn[d, 0] * x + turn[d, 1] * y + turn[d, 2] * z
                moved[d, i] += mean[d]
                off[d, i] = target - moved[d, i]
                square += off[d, i] * off[d, i]
            largest = max(largest, square)
            bound += weights[i] * square
            if step >= _SETTLED:
                weights[i] = max(weights[i] * np.sqrt(square), 1e-12)
            total += weights[i]
        if largest <= limit:
            return np.sqrt(largest)
        if step > _SETTLED and bound > limit * (1.0 + 1e-3):
            return np.inf
        for i in range(n):
            weights[i] /= total
    return np.inf
