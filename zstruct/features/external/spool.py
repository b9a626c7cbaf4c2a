"""Rows that come piece by piece, put end to end in a file: how many there are is known in the end only.

What is given one array after the other may be larger than memory. Nothing is known here of stores.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.features.external.numbers import as_numbers, stored_dtype

__all__ = ["Spool"]


class Spool:
    """Pieces of rows end to end in a file, as they will be stored.

    Parameters
    ----------
    file
        Where they are kept.
    dtype
        In which floats are stored; by default that of the first piece.

    Attributes
    ----------
    ndim
        Axes of the pieces: 1 or 2; 0: there was none.
    width
        Numbers in a row of two-dimensional pieces.
    dtype
        Of the numbers.
    lengths
        Rows of each piece.
    """

    def __init__(self, file: Path, dtype: str | None):
        self.path, self._asked = file, dtype
        self.ndim, self.width, self.dtype = 0, 1, np.dtype(dtype or np.float64)
        self._lengths: list[NDArray[np.int64]] = []
        self._rows = 0
        self._empty: NDArray[Any] | None = None

    def __enter__(self) -> Self:
        self._file = self.path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self.ndim == 0 and self._empty is not None:
            self.ndim, self.width = self._empty.ndim, math.prod(self._empty.shape[1:])
            self.dtype = stored_dtype(self._empty.dtype, self._asked)

    @property
    def n_rows(self) -> int:
        """How many rows there are so far, of all pieces together."""
        return self._rows

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each piece."""
        return np.concatenate([np.empty(0, np.int64), *self._lengths])

    def add(self, values: NDArray[Any], what: str, lengths: NDArray[np.int64] | None = None) -> None:
        """Add a piece, or several that are end to end already.

        Parameters
        ----------
        values
            Shape (rows,) or (rows, F).
        what
            What it is, for sentences: "structure 3".
        lengths
            Rows of each piece, if there are several.

        Raises
        ------
        InputError
            If it does not go with those before.
        """
        if values.ndim not in (1, 2):
            raise InputError(
                f"{what} has an array of shape {values.shape}: rows of features have one or two axes; "
                "reshape it to (rows, features)"
            )
        counts = np.array([len(values)]) if lengths is None else lengths
        if len(values) == 0:  # says nothing of rows, which structures may have none of
            self._empty = values if self._empty is None else self._empty
            self._lengths.append(counts)
            return
        dtype = stored_dtype(values.dtype, self._asked, what)
        if self.ndim == 0:
            self.ndim, self.width, self.dtype = values.ndim, math.prod(values.shape[1:]), dtype
        if values.ndim != self.ndim or math.prod(values.shape[1:]) != self.width:
            raise InputError(
                f"{what} has an array of shape {values.shape}, and those before have rows of "
                f"{self.width if self.ndim == 2 else 'single'} numbers: all rows are equally long"
            )
        if dtype != self.dtype and self._rows and not np.can_cast(dtype, self.dtype):
            raise InputError(
                f"{what} has numbers of {dtype}, and those before are {self.dtype}: give all in one dtype, "
                "or say dtype='float64'"
            )
        if self._rows == 0:
            self.dtype = dtype
        self._file.write(np.ascontiguousarray(as_numbers(values, self.dtype)).data)
        self._rows += len(values)
        self._lengths.append(counts)

    def rows(self, width: int) -> NDArray[Any]:
        """Return all numbers in rows of so many, as a memory map of what was added."""
        n = self._rows * self.width // max(1, width)
        if n * width == 0:
            return np.empty((n, width), self.dtype)
        return np.memmap(self.path, self.dtype, "r", shape=(n, width))
