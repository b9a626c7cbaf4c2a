"""Memory that is used again."""

from __future__ import annotations

import numpy as np

__all__ = ["keep_freed"]

_KEPT = 8 << 20  # bytes


def keep_freed() -> None:
    """Have arrays of some megabytes use the memory of those before: new pages take longer than to fill them.

    The C library gives back what is free at the end of its heap, if that is more than twice the largest array
    that was ever freed; so one that nobody touches is. Where it does not, this does nothing.
    """
    np.empty(_KEPT, dtype=np.uint8)
