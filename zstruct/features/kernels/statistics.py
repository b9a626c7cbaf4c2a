"""The kernel of the statistics: one pass for sums and ranges, one for squares about the means."""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import kernel

__all__ = ["summarize"]


@kernel
def summarize(values, slots, counts, means, squares, lows, highs):  # type: ignore[no-untyped-def]
    """Fill in count, mean, sum of squares about it, min and max of the rows of each slot.

    Row r, of shape (F,), belongs to ``slots[r]``; `counts` (k,) has zeros, the others have shape (k, F).
    """
    n_rows, n_features, n_slots = values.shape[0], values.shape[1], len(counts)
    means[:], squares[:], lows[:], highs[:] = 0.0, 0.0, np.inf, -np.inf
    for r in range(n_rows):
        k = slots[r]
        counts[k] += 1
        for f in range(n_features):
            x = np.float64(values[r, f])
            means[k, f] += x
            lows[k, f] = min(lows[k, f], x)
            highs[k, f] = max(highs[k, f], x)
    for k in range(n_slots):
        for f in range(n_features):
            if counts[k] > 0:
                means[k, f] /= counts[k]
    for r in range(n_rows):
        k = slots[r]
        for f in range(n_features):
            away = np.float64(values[r, f]) - means[k, f]
            squares[k, f] += away * away
