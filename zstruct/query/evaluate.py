"""For which structures of a table a condition holds: block by block, so that memory stays bounded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zstruct.query.bind import Bound
from zstruct.query.block import Block, Lookup
from zstruct.query.table import Table

__all__ = ["holding"]

_BLOCK = 1 << 18  # structures that are asked about together: a shard of them


def holding(bound: Bound, table: Table, among: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Return for which structures a condition certainly holds, shape (n_structures,).

    Parameters
    ----------
    bound
        The condition, bound to this table.
    table
        The structures.
    among
        Which of them to ask about; for the others the answer is False. None: all.
    """
    lookup = Lookup(table, tuple(sorted(bound.elements)))
    found = np.zeros(len(table), dtype=bool)
    for start in range(0, len(table), _BLOCK):
        stop = min(start + _BLOCK, len(table))
        which = np.arange(stop - start) if among is None else np.flatnonzero(among[start:stop])
        if len(which):
            found[start + which] = bound.condition.holds(Block(lookup, start, stop), which)
    return found
