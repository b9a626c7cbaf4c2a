"""How a build stores what it read: the precision of numbers and the order of structures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from zstruct.arguments import check, shown, whole
from zstruct.errors import InputError
from zstruct.keywords import keywords

__all__ = ["Encoding"]


@keywords()
@dataclass(frozen=True)
class Encoding:
    """How a build stores what it read.

    Parameters
    ----------
    dtype
        Precision of per-atom floats (positions, forces, ...): ``"float32"`` or ``"float64"``, which
        is the default.
    shuffle_seed
        If given, structures are stored in an order shuffled with this seed.

    Raises
    ------
    InputError
        If one of them can't be used.

    Examples
    --------
    >>> Encoding("float32", shuffle_seed=1)
    Encoding(dtype='float32', shuffle_seed=1)
    """

    dtype: DTypeLike | None = None
    shuffle_seed: int | None = None

    def __post_init__(self) -> None:
        check(shuffle_seed=self.shuffle_seed)
        object.__setattr__(self, "shuffle_seed", whole("shuffle_seed", self.shuffle_seed))
        try:
            known = self.precision in ("float32", "float64", None)
        except (TypeError, ValueError):
            known = False
        if not known:
            raise InputError(f"dtype is 'float32', 'float64' or None, not {shown(self.dtype)}")
        object.__setattr__(self, "dtype", self.precision)

    @property
    def precision(self) -> str | None:
        """Name of the dtype; None for the default."""
        return None if self.dtype is None else np.dtype(self.dtype).name
