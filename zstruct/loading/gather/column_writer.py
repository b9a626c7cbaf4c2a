"""What a gather lets others do: write columns of a batch in place of the copy that it makes.

Transforms do, see `zstruct.transforms.fused`: what turns and shakes positions reads them but once then.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["ColumnWriter"]


class ColumnWriter(Protocol):
    """Writes some per-atom columns of a batch, in place of the copy that a gather makes of them."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns: for all of them, `Gather.copies`."""

    def __call__(
        self,
        n: int,
        head: NDArray[np.int64],
        body: NDArray[np.uint8],
        columns: NDArray[np.int64],
        whose: NDArray[np.int64],
    ) -> None:
        """Write them.

        Parameters
        ----------
        n, head, body
            The batch, as `zstruct.loading.gather.kernels` lays it out; `head` is filled in.
        columns
            For each of them, the bytes that an atom has before it in `body`, and the addresses of the
            columns of the stores that it comes from, shape (n_columns, 1 + n_stores); 0: it is missing there.
        whose
            The store of each structure, an array that begins with n of them; or none where there is but one.
        """
