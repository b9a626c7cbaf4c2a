"""The kernels of padded batches: rows to where their structure's rows begin, and which rows are real.

They know neither fields nor dtypes, only bytes, so each is compiled once. All in one file, for Numba
keeps compiled code until the file that defines it changes.
"""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import kernel

__all__ = ["mark_pairs", "mark_rows", "pad"]


@kernel
def pad(source, offsets, n_rows, row_bytes, out):  # type: ignore[no-untyped-def]
    """Copy the rows of each structure to where its `n_rows` rows begin, and fill up with zeros."""
    n, i = len(offsets) - 1, 0
    while i < n:
        # Structures that leave nothing to fill up go together with the one after them: in batches
        # of similar sizes these are many.
        last = i
        while last < n - 1 and offsets[last + 1] - offsets[last] == n_rows:
            last += 1
        # Unsigned, for indices that might be negative are not copied in bulk.
        of, to = np.uint64(offsets[i] * row_bytes), np.uint64(i * n_rows * row_bytes)
        size = np.uint64((offsets[last + 1] - offsets[i]) * row_bytes)
        for k in range(size):
            out[to + k] = source[of + k]
        for k in range(size, np.uint64((last + 1 - i) * n_rows * row_bytes)):
            out[to + k] = 0
        i = last + 1


@kernel
def mark_rows(counts, out):  # type: ignore[no-untyped-def]
    """Write 1 for the rows of each structure that are real, into (n, rows)."""
    for i in range(len(counts)):
        for row in range(out.shape[1]):
            out[i, row] = row < counts[i]


@kernel
def mark_pairs(counts, out):  # type: ignore[no-untyped-def]
    """Write 1 for the pairs of different rows whose rows are both real, into (n, rows, rows - 1)."""
    for i in range(len(counts)):
        n = counts[i]
        for row in range(out.shape[1]):
            # Of the other rows of a real one, all real ones but itself come first.
            real = n - 1 if row < n else 0
            for k in range(out.shape[2]):
                out[i, row, k] = k < real
