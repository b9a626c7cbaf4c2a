"""The kernel of orders: whose turn it is where several parts come in proportion.

It knows proportions and keys, and nothing of structures.
"""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper, kernel

__all__ = ["take_turns"]

_GAMMA, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)
_EXACT = 2.0**49


@kernel
def take_turns(shares, taken, window, first, key, mix, turns):  # type: ignore[no-untyped-def]
    """Write where the structure of each turn is among those that the parts draw, and count turns in `taken`.

    There, what the first part draws for these turns comes first, in order, then what the next one does. The
    next turn goes to the part whose ``(taken + 1 / 2) / share`` is smallest. The turns of each `window`, of
    which the first has the number `first`, are shuffled among each other if they are to be mixed.

    Of proportions that are whole numbers, turns come again in the same order once each part has had as many
    as its proportion says: whose turn it is then need not be found out again.
    """
    n_parts, n = len(shares), len(turns)
    due, places = np.empty(n_parts), np.empty(n_parts, np.int64)
    for p in range(n_parts):
        places[p] = taken[p]
        due[p] = (taken[p] + 0.5) / shares[p]
    period = _period(shares, taken, n)
    seen, repeats, k = np.empty(min(period, n), np.int64), False, 0
    number = first
    for begin in range(0, n, window):
        end = min(begin + window, n)
        for i in range(begin, end):
            if repeats:
                best = seen[k]
                k = k + 1 if k + 1 < period else 0
            else:
                best = 0
                for p in range(1, n_parts):
                    if due[p] < due[best]:
                        best = p
                due[best] = (taken[best] + 1 + 0.5) / shares[best]
                if i < period:
                    seen[i] = best
            turns[i] = best
            taken[best] += 1
            if i + 1 == period:
                repeats = True
                for p in range(n_parts):
                    repeats &= taken[p] - places[p] == shares[p]
        if mix:
            state = _mixed(key[0] + np.uint64(number) * key[1])
            for i in range(end - 1, begin, -1):
                state += _GAMMA
                # Of 2^32 numbers, each of up to 2^32 places has as many but for one.
                place = begin + np.int64(((_mixed(state) >> _HALF) * np.uint64(i - begin + 1)) >> _HALF)
                kept = turns[i]
                turns[i] = turns[place]
                turns[place] = kept
        number += 1
    first_place = 0
    for p in range(n_parts):
        drawn = taken[p] - places[p]
        places[p] = first_place
        first_place += drawn
    for i in range(n):
        p = turns[i]
        turns[i] = places[p]
        places[p] += 1


@helper
def _period(shares, taken, n):  # type: ignore[no-untyped-def]
    """Return after how many turns they may come again in the same order, or, if after more than n, n + 1."""
    total, exact = 0.0, True
    for p in range(len(shares)):
        total += shares[p]
        # Quotients of such numbers that differ do so in floating point, too.
        exact &= shares[p] == np.floor(shares[p]) and shares[p] * (taken[p] + n) < _EXACT
    return np.int64(total) if exact and total <= n else n + 1


@helper
def _mixed(z):  # type: ignore[no-untyped-def]
    """Return a word whose every bit depends on all bits of the given one (SplitMix64)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
