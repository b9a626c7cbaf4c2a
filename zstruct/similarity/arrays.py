"""The arrays of structures, as kernels of this package take them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from zstruct.geometry.structures import Structures
from zstruct.jit.arrays import read_only

__all__ = ["arrays_of"]


def arrays_of(structures: Structures) -> tuple[NDArray[Any], ...]:
    """Return the arrays of structures as kernels take them."""
    found = structures.offsets, structures.numbers, structures.positions, structures.cells, structures.pbc
    return tuple(map(read_only, found))
