"""The kernels of edges: rows of both atoms, vectors and distances, without the GIL.

They know nothing of where a neighbour list came from, so that stored and computed ones give the
same numbers to the last bit.
"""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import kernel

__all__ = ["connect", "pair_vectors"]


@kernel
def connect(counts, batch, offsets, indices, local, out):  # type: ignore[no-untyped-def]
    """Write the rows of centre and neighbour of each pair; return whether they can be those.

    `counts` are the neighbours of each atom; `indices` the rows of the neighbours, each in its
    structure if they are `local`. No row outside of the pair's structure is written.
    """
    pair = 0
    for row in range(len(counts)):
        start, stop = offsets[batch[row]], offsets[batch[row] + 1]
        first = start if local else 0
        if counts[row] < 0 or pair + counts[row] > len(indices):
            return False
        for _ in range(counts[row]):
            neighbor = indices[pair] + first
            if neighbor < start or neighbor >= stop:
                return False
            out[0, pair], out[1, pair] = row, neighbor
            pair += 1
    return pair == len(indices)


@kernel
def pair_vectors(  # type: ignore[no-untyped-def]
    counts, batch, index, shifts, positions, cells, vectors, distances
):
    """Write vector and distance from centre to neighbour of each pair."""
    pair = np.uint64(0)  # unsigned: NumPy's negative indices would cost a comparison each
    for row in range(len(counts)):
        s = batch[row]
        ax, ay, az = cells[s, 0, 0], cells[s, 0, 1], cells[s, 0, 2]
        bx, by, bz = cells[s, 1, 0], cells[s, 1, 1], cells[s, 1, 2]
        cx, cy, cz = cells[s, 2, 0], cells[s, 2, 1], cells[s, 2, 2]
        x, y, z = positions[row, 0], positions[row, 1], positions[row, 2]
        for _ in range(counts[row]):
            a, b, c = shifts[pair, 0], shifts[pair, 1], shifts[pair, 2]
            j = np.uint64(index[1, pair])
            dx = positions[j, 0] - x + (a * ax + b * bx + c * cx)
            dy = positions[j, 1] - y + (a * ay + b * by + c * cy)
            dz = positions[j, 2] - z + (a * az + b * bz + c * cz)
            vectors[pair, 0], vectors[pair, 1], vectors[pair, 2] = dx, dy, dz
            distances[pair] = np.sqrt(dx * dx + dy * dy + dz * dz)
            pair += np.uint64(1)
