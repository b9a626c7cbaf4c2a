"""Cells for formats in which a structure repeats along all vectors of its cell or has none.

What such a format can't say is counted, for the report of the export.
"""

from __future__ import annotations

from collections.abc import MutableMapping

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.exporters.exporter import Block
from zstruct.text import counted

__all__ = ["PeriodicOrNot"]

_SOME = "those that repeat along some vectors only"
_BOXES = "cells of structures that do not repeat"


class PeriodicOrNot:
    """Says which structures are periodic, and counts what that leaves out.

    Parameters
    ----------
    lost
        What the format can't carry, and why; entries are added.
    """

    def __init__(self, lost: MutableMapping[str, str]):
        self._lost = lost
        self._counts = {_SOME: 0, _BOXES: 0}

    def of(self, block: Block) -> NDArray[np.bool_]:
        """Return which structures are written with their cell, as periodic along all vectors, shape (n,).

        Raises
        ------
        InputError
            If one of them has a cell without a volume.
        """
        pbc, cell = block.columns["pbc"].astype(bool), block.columns["cell"]
        periodic = np.asarray(pbc.any(axis=1))
        flat = periodic & (np.linalg.det(cell) == 0)
        if flat.any():
            raise InputError(
                f"structure {block.first + int(np.argmax(flat))} is periodic, and its cell has no volume, "
                "which the format can't say: select others"
            )
        self._count(_SOME, periodic & ~pbc.all(axis=1), "written as periodic along all")
        self._count(_BOXES, ~periodic & cell.any(axis=(1, 2)), "the format has cells of periodic ones only")
        return periodic

    def _count(self, what: str, which: NDArray[np.bool_], why: str) -> None:
        if which.any():
            self._counts[what] += int(which.sum())
            self._lost[what] = f"{why}, {counted(self._counts[what], 'structure')}"
