"""What the kernels of the gather have to know of fields: how each is copied, and how a missing value looks.

Blocks keep small integers small, and the gather widens them. All else is converted when it is decoded.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping

import numpy as np
from numpy.typing import NDArray

from zstruct.loading.cache.blocks import Table
from zstruct.loading.gather.kernels import (
    COPY,
    FROM_INT32,
    FROM_UINT8,
    MASK_CODE,
    MASK_CODE32,
    MASK_FLOAT32,
    MASK_FLOAT64,
    NO_MASK,
)

__all__ = ["field_steps", "kept_dtype", "operation_of", "way_to_miss"]

_OPERATIONS = {np.dtype(np.uint8): FROM_UINT8, np.dtype(np.int32): FROM_INT32}
_MASKS = {"f4": MASK_FLOAT32, "f8": MASK_FLOAT64, "i8": MASK_CODE, "i4": MASK_CODE32}


def kept_dtype(stored: np.dtype, wanted: np.dtype) -> np.dtype:
    """Return the dtype in which blocks should keep a field that batches want in another.

    Small integers stay small in memory and are widened by the gather; everything else is
    converted when it is decoded, once.

    Examples
    --------
    >>> kept_dtype(np.dtype("uint8"), np.dtype("int64")), kept_dtype(np.dtype("f8"), np.dtype("f4"))
    (dtype('uint8'), dtype('float32'))
    """
    return stored if wanted == np.int64 and stored in _OPERATIONS else wanted


def field_steps(
    table: Table | None, dtypes: Mapping[str, np.dtype], masked: Container[str]
) -> NDArray[np.int64]:
    """Return for each field of a dimension its operation, bytes of a row there and here, and mask.

    Parameters
    ----------
    table
        The fields of a dimension, as blocks keep them; None: none.
    dtypes
        What batches want, by field.
    masked
        The fields that have a mask.
    """
    rows = []
    for name, kept, shape in (
        zip(table.names, table.dtypes, table.shapes, strict=True) if table is not None else ()
    ):
        wanted, size = dtypes[name], math.prod(shape)
        mask = way_to_miss(wanted) if name in masked else NO_MASK
        rows.append((operation_of(kept, wanted), wanted.itemsize * size, kept.itemsize * size, mask))
    return np.array(rows, dtype=np.int64).reshape(len(rows), 4)


def operation_of(kept: np.dtype, wanted: np.dtype) -> int | None:
    """Return what the kernels do to values that blocks keep in one dtype and batches want in another.

    None is returned where they can't.

    Examples
    --------
    >>> operation_of(np.dtype("uint8"), np.dtype("int64")) == FROM_UINT8
    True
    """
    if kept == wanted:
        return COPY
    return _OPERATIONS.get(kept) if wanted == np.int64 else None


def way_to_miss(dtype: np.dtype) -> int:
    """Return how a value that is missing looks in floats or codes of a dtype."""
    return _MASKS[dtype.str[1:]]
