"""How a build stores what it read: the form of numbers, their compression, and the order of structures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from zstruct.arguments import check, shown, whole
from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.store.chunk_codec import Compression

__all__ = ["Encoding"]


@keywords()
@dataclass(frozen=True)
class Encoding:
    """How a build stores what it read.

    Parameters
    ----------
    dtype
        Precision of per-atom floats (positions, forces, ...): ``"float32"`` or ``"float64"``, which
        is the default. ``"decimal"`` is short for float64 with `decimal`.
    shuffle_seed
        If given, structures are stored in an order shuffled with this seed.
    decimal
        Whether float64 numbers that were written as decimals, as in most text files, are stored as whole
        numbers, which takes about half the bytes. Nothing is lost: what is read are the same numbers, to
        the last bit. What is no decimal stays as it is. Without zstruct, such stores are read by zarr 3.2 or
        newer with ``cast-value-rs``.
    compression
        ``"fast"``, to be read in training; ``"small"``, to be kept: fewer bytes, slower to read; or
        ``"raw"``: more bytes, for a first epoch that is faster where the disk is. All have checksums.

    Raises
    ------
    InputError
        If one of them can't be used.

    Examples
    --------
    >>> Encoding("float32", shuffle_seed=1)
    Encoding(dtype='float32', shuffle_seed=1, decimal=False, compression='fast')
    >>> Encoding("decimal").decimal
    True
    """

    dtype: DTypeLike | None = None
    shuffle_seed: int | None = None
    decimal: bool = False
    compression: Compression = "fast"

    def __post_init__(self) -> None:
        check(shuffle_seed=self.shuffle_seed, decimal=self.decimal, compression=self.compression)
        if isinstance(self.dtype, str) and self.dtype == "decimal":
            object.__setattr__(self, "dtype", None)
            object.__setattr__(self, "decimal", True)
        object.__setattr__(self, "shuffle_seed", whole("shuffle_seed", self.shuffle_seed))
        try:
            known = self.precision in ("float32", "float64", None)
        except (TypeError, ValueError):
            known = False
        if not known:
            raise InputError(f"dtype is 'float32', 'float64', 'decimal' or None, not {shown(self.dtype)}")
        object.__setattr__(self, "dtype", self.precision)

    @property
    def precision(self) -> str | None:
        """Name of the dtype; None for the default."""
        return None if self.dtype is None else np.dtype(self.dtype).name
