"""Arrays as kernels take them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_only"]


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that can't be written: for those that can, kernels would be compiled again."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
