"""Which structures have a field, by the values of the field alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import segment_ranges, segment_reduce
from zstruct.schema import Field

__all__ = ["structures_given"]

_PIECE_BYTES = 1 << 25  # of a field, looked at together


def structures_given(
    field: Field, edges: NDArray[np.int64], read: Callable[[int, int], NDArray[Any]]
) -> NDArray[np.bool_]:
    """Return which structures have any value that is not missing, shape (n_structures,).

    Parameters
    ----------
    field
        The field.
    edges
        Row edges of the structures in it, shape (n_structures + 1,).
    read
        Returns the rows of the field from the first on, up to the other; is asked for some megabytes at a
        time.
    """
    found = np.zeros(max(0, len(edges) - 1), dtype=bool)
    for first, last in segment_ranges(edges, max(1, _PIECE_BYTES // field.row_bytes)):
        given = field.given(read(int(edges[first]), int(edges[last])))
        rows = edges[first : last + 1] - edges[first]
        found[first:last] = segment_reduce(given, rows, "sum") > 0
    return found
