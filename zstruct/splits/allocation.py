"""Deal structures out to parts: exact sizes, proportional strata, groups that stay whole.

Arrays of numbers in, arrays of numbers out, the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zstruct.random import hashes, mixed

__all__ = ["dealt", "dealt_whole", "rounded"]

_DRAWS = 20  # after these, groups are as near to the sizes asked for as they will get


def rounded(fractions: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return whole numbers that sum to `n`, by the method of largest remainders (Hamilton's)."""
    ideal = fractions / fractions.sum() * n
    counts = np.floor(ideal).astype(np.int64)
    largest = np.argsort(counts - ideal, kind="stable")
    counts[largest[: n - counts.sum()]] += 1
    return counts


def dealt(strata: NDArray[np.int64], counts: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Deal structures out at random, each stratum in proportion.

    The table of strata and parts is rounded so that its sums stay: what is left of a stratum after
    rounding down goes to the parts that lack most, at most one to each. That there is such a table,
    and that this finds it, is the theorem of Gale and Ryser.
    """
    n = len(strata)
    order = np.argsort(hashes(n, seed))
    order = order[np.argsort(strata[order], kind="stable")]
    sizes = np.bincount(strata)
    table, rest = np.divmod(sizes[:, None] * counts, max(n, 1))
    left, lacking = sizes - table.sum(axis=1), counts - table.sum(axis=0)
    for s in np.argsort(hashes(len(sizes), ~seed)):
        chosen = np.lexsort((-rest[s], -lacking))[: left[s]]
        table[s, chosen] += 1
        lacking[chosen] -= 1
    codes = np.empty(n, dtype=np.int64)
    codes[order] = np.repeat(np.tile(np.arange(len(counts)), len(sizes)), table.ravel())
    return codes


def dealt_whole(groups: NDArray[np.int64], counts: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Deal groups out at random, the largest first, to where there is room for them.

    Chances are in proportion to the room that is left. A group for which no part has room goes to
    the one with most; the small ones, which come last, fill up. A part that is to have structures
    gets a group if there are enough of them.
    """
    sizes = np.bincount(groups)
    best, off = np.zeros(len(sizes), np.int64), None
    for draw in range(_DRAWS):
        luck = hashes(len(sizes), seed + (draw << 32))
        # Not the hashes that make the order, which say where in it a group is.
        chances = mixed(luck).tolist()
        room, part = counts.tolist(), np.empty(len(sizes), np.int64)
        order = np.lexsort((luck, -sizes)).tolist()
        for g in order:
            size = int(sizes[g])
            fits = [k for k, free in enumerate(room) if free >= size]
            if fits:
                place = chances[g] * sum(room[k] for k in fits) >> 64
                for chosen in fits:
                    place -= room[chosen]
                    if place < 0:
                        break
            else:
                chosen = max(range(len(room)), key=room.__getitem__)
            room[chosen] -= size
            part[g] = chosen
        held = np.bincount(part, minlength=len(room))
        for empty in np.flatnonzero((held == 0) & (counts > 0)).tolist():
            small = next((g for g in reversed(order) if held[part[g]] > 1), None)
            if small is not None:
                for k, one in ((int(part[small]), -1), (empty, 1)):
                    room[k] -= one * int(sizes[small])
                    held[k] += one
                part[small] = empty
        if off is None or sum(map(abs, room)) < off:
            best, off = part, sum(map(abs, room))
        if off == 0:
            break
    return best[groups]
