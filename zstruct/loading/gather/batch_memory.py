"""How the memory of a batch is divided: where in its two pieces each array begins.

Kernels have to know it, too: see `zstruct.loading.gather.kernels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["LINE", "HeadPlan", "head_plan", "room_for"]

#: Bytes of a cache line.
LINE = 64

_BOOL = np.dtype(np.bool_)


class HeadPlan(NamedTuple):
    """What batches of n structures have in common: where per-structure fields are, in bytes."""

    n: int
    words: int
    fields: list[tuple[str, tuple[int, ...], np.dtype, int]]


def head_plan(
    n: int, masks: Iterable[str], fields: Sequence[tuple[str, np.dtype, tuple[int, ...], int]]
) -> HeadPlan:
    """Lay out the memory for what is per structure.

    Parameters
    ----------
    n
        Structures of a batch.
    masks
        Names, in the order of the fields that they belong to.
    fields
        Those per structure: name, dtype, shape of a row and its bytes.
    """
    position = _padded(8 * (4 * n + 2))
    found: list[tuple[str, tuple[int, ...], np.dtype, int]] = []
    for name in masks:
        found.append((name, (n,), _BOOL, position))
        position += _padded(n)
    for name, dtype, shape, size in fields:
        found.append((name, (n, *shape), dtype, position))
        position += _padded(n * size)
    return HeadPlan(n, position // 8, found)


def _padded(nbytes: int) -> int:
    """Return where the next array may begin: on a cache line of its own."""
    return (nbytes + LINE - 1) & -LINE


def room_for(rows: int) -> int:
    """Return the rows that per-atom fields have room for: so many that all of them are aligned."""
    return (rows + 15) & -16
