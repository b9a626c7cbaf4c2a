"""Digests of rows, and of what has digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["combine_digests", "rows_digest"]


def rows_digest(rows: NDArray[Any]) -> str:
    """Return the sha256 of rows as they lie in memory, C-ordered and little-endian."""
    return hashlib.sha256(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data).hexdigest()


def combine_digests(parts: Iterable[str]) -> str:
    """Return the digest of a sequence of digests."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
