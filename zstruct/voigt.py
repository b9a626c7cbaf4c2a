"""Symmetric 3x3 tensors as six numbers: the order of their components, and the way there and back.

The order is ASE's: xx, yy, zz, yz, xz, xy. Shears are plain components, not doubled as engineers double
strains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["VOIGT", "VOIGT_OF_FULL", "full_to_voigt", "voigt_to_full"]

#: Names of the six components, in their order.
VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
_ROWS, _COLUMNS = (tuple("xyz".index(name[k]) for name in VOIGT) for k in (0, 1))
#: The component of the six that stands at each place of the matrix, shape (3, 3).
VOIGT_OF_FULL = np.array([[VOIGT.index("".join(sorted(a + b))) for b in "xyz"] for a in "xyz"])


def voigt_to_full(values: NDArray[Any]) -> NDArray[Any]:
    """Return symmetric matrices, shape (..., 3, 3), of their six components, shape (..., 6).

    Examples
    --------
    >>> voigt_to_full(np.array([1, 2, 3, 23, 13, 12]))
    array([[ 1, 12, 13],
           [12,  2, 23],
           [13, 23,  3]])
    """
    return values[..., VOIGT_OF_FULL]


def full_to_voigt(values: NDArray[Any]) -> NDArray[Any]:
    """Return the six components, shape (..., 6), of symmetric matrices, shape (..., 3, 3).

    They are those of the upper triangle.

    Examples
    --------
    >>> full_to_voigt(np.array([[1, 12, 13], [12, 2, 23], [13, 23, 3]]))
    array([ 1,  2,  3, 23, 13, 12])
    """
    return values[..., _ROWS, _COLUMNS]
