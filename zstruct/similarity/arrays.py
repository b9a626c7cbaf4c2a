"""Arrays as kernels take them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from zstruct.geometry.structures import Structures

__all__ = ["read_only", "view_of"]


def read_only(structures: Structures) -> tuple[NDArray[Any], ...]:
    """Return the arrays of structures as kernels take them: for writable ones they were compiled again."""
    found = structures.offsets, structures.numbers, structures.positions, structures.cells, structures.pbc
    return tuple(view_of(array) for array in found)


def view_of(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that can't be written."""
    view = array.view()
    view.flags.writeable = False
    return view
