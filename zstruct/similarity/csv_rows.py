"""Columns of numbers and texts as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

__all__ = ["written"]


def written(columns: Mapping[str, NDArray[Any]]) -> str:
    """Return columns as CSV with a header; numbers have all their digits, and NaN is empty.

    Examples
    --------
    >>> import numpy as np
    >>> print(written({"structure": np.array([3, 5]), "energy": np.array([0.1, np.nan])}).strip())
    structure,energy
    3,0.1
    5,
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        writer.writerow(["" if value != value else value for value in row])  # NaN differs from itself
    return out.getvalue()
