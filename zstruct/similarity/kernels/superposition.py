"""The kernel that brings one structure upon another: rotations and translations tried, then fitted.

A rotation follows from vectors that have to go over into one another: the shortest vectors of the lattice;
where there are fewer than two, those to the atoms farthest away. All vectors of the other structure that are
as long, and as far from one another, are tried for them. Where there is a lattice, an atom of the rarest
element is brought upon each of that element. All that a trial needs to fail is one atom with no other in
reach, so that most end at once. The atoms that are found to belong together are brought as near as they get.

Where one atom stands for several, each a translation apart in a supercell, all of the one are compared with
all of the other: in crystals without an end each of them meets each. Of all ways that go, where there are
forces, that is kept by which they differ least.

Atoms in the same order in the same cell are brought upon each other first, and then those in another order
that are where they were. As a crystal with a small defect has a trial for each of its atoms, and each takes
long to fail, the work for a pair is bounded; what was not told until then is not known.
"""

from __future__ import annotations

import numpy as np

from zstruct.geometry.kernels.cells import dot, finite, set_reduced_cell, squared_length, to_fractions, volume
from zstruct.jit.kernel import helper, kernel
from zstruct.similarity.kernels.fitting import fit_lattice, set_rotation
from zstruct.similarity.kernels.partners import sort_atoms
from zstruct.similarity.kernels.trials import REACH, as_given, in_place, trial

__all__ = ["superpose"]


@kernel(takes=8)
def superpose(  # type: ignore[no-untyped-def]
    first,
    second,
    offsets,
    numbers,
    positions,
    cells,
    pbc,
    tolerance,
    work,
    wide,
    spread,
    forces,
    found,
    differences,
):
    """Write the largest displacement of an atom, once a structure is brought upon another, into `found`.

    It is that of the first rotation, translation and order that bring all atoms within the tolerance, and
    infinite where none do; NaN where that was not known after `work`, in atoms that are looked at. With
    forces it is that of the way by which these differ least, and by how much at most goes into `differences`.

    `wide` has where copies of atoms begin, those of an atom side by side, shape (n + 1,); `spread` how far
    they are from it, and `forces` those on them, both of shape (N, 3), or (0, 3) for none. Without copies
    `wide` is `offsets`.
    """
    cell, inverse, heights = np.empty((2, 3, 3)), np.empty((2, 3, 3)), np.empty((2, 3))
    reduced, flags = np.empty((1, 3, 3)), np.empty((1, 3), np.bool_)
    vectors, lengths = np.empty((125, 3)), np.empty(125)
    edges, counts = np.zeros(257, np.int64), np.zeros(256, np.int64)
    rotation, turned, state, spent = np.empty((3, 3)), np.empty((3, 3)), np.empty(3), np.empty(2)
    room = 0
    fractions, points = np.empty((2, 3, 0)), np.empty((3, 0))
    moved, off, weights = np.empty((3, 0)), np.empty((3, 0)), np.empty(0)
    order, keys = np.empty(0, np.int64), np.empty(0)
    taken, partner = np.empty(0, np.int64), np.empty(0, np.int64)
    for k in range(len(first)):
        a, b = first[k], second[k]
        n = offsets[a + 1] - offsets[a]
        found[k], differences[k] = np.inf, np.nan
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
            taken, partner = np.zeros(room, np.int64), np.empty(room, np.int64)
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
            whole and sort_atoms(n, numbers, offsets[a], offsets[b], fractions[1], edges, counts, order, keys)
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
        copies = _copies(wide[a], wide[a + 1], wide[b], wide[b + 1], spread, forces, state)
        mine = (
            numbers[offsets[a] : offsets[a] + n],
            points,
            moved,
            off,
            weights,
            partner,
            taken,
            turned,
            copies,
            spent,
        )
        state[:] = 0.0
        spent[0], spent[1] = 0.0, work
        best = np.inf
        if _same_cell(cell):
            best = as_given(n, m, tolerance, anchor, numbers, offsets[b], fractions, mine, theirs)
            if not best < np.inf and m > 1:
                best = in_place(n, m, tolerance, one, anchor, fractions, mine, theirs, rotation)
        if best < np.inf:
            pass
        elif m == 0:
            best = _without_lattice(n, tolerance, mine, theirs, rotation)
        elif m == 1:
            best = _along_axis(n, tolerance, one, anchor, cell[0], mine, theirs, rotation)
        else:
            best = _with_lattice(
                n, m, tolerance, one, cell[0], n_vectors, vectors, lengths, mine, theirs, rotation
            )
        found[k] = best if best < np.inf or not spent[0] > work else np.nan
        if state[2] > 0.0:
            found[k], differences[k] = state[0], state[1]


@helper
def _copies(start, stop, begin, end, spread, forces, state):  # type: ignore[no-untyped-def]
    """Return the copies of the atoms of both structures, as `agree` takes them."""
    return spread[start:stop], spread[begin:end], forces[start:stop], forces[begin:end], state


@helper
def _same_cell(cell):  # type: ignore[no-untyped-def]
    """Return whether both cells are the same."""
    for i in range(3):
        for d in range(3):
            if cell[0, i, d] != cell[1, i, d]:
                return False
    return True


@helper
def _center(n, values):  # type: ignore[no-untyped-def]
    """Take their mean away from values."""
    total = 0.0
    for i in range(n):
        total += values[i]
    for i in range(n):
        values[i] -= total / n


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
                if not fit_lattice(m, lattice, image, tolerance, rotation):
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
def _from_origins(n, m, tolerance, one, mine, theirs, rotation):  # type: ignore[no-untyped-def]
    """Bring the anchor upon each atom of its element; return the displacement of the first that goes."""
    edges, order, spent = theirs[4], theirs[5], mine[9]
    for at in range(edges[one], edges[one + 1]):
        if spent[0] > spent[1]:
            break
        best = trial(n, m, tolerance, order[at], mine, theirs, rotation)
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
            set_rotation(axis[0], vector, axis[1], cell[1], rotation)
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
            set_rotation(axis[0], vector, across, other, rotation)
            best = trial(n, 1, tolerance, j, mine, theirs, rotation)
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
        return trial(n, 0, tolerance, 0, mine, theirs, rotation)
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
    slack = REACH * tolerance
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
            set_rotation(a, b, a, b, rotation)
            best = trial(n, 0, tolerance, 0, mine, theirs, rotation)
            if best < np.inf:
                return best
            continue
        mine[9][0] += edges[numbers[wide] + 1] - edges[numbers[wide]]
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
            set_rotation(a, b, c, d, rotation)
            best = trial(n, 0, tolerance, 0, mine, theirs, rotation)
            if best < np.inf:
                return best
    return np.inf
