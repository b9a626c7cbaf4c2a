"""What was computed for some structures, kept for the next epoch.

For features and neighbours that are computed for each batch: where they fit into memory, they need to
be computed once only. Stored ones need none of this. This module knows nothing of what it keeps.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.loading.lifetime import renew_after_fork

__all__ = ["Memo"]

Arrays = tuple[Any, ...]  # mostly of NumPy


class Memo:
    """Arrays by structure; of too many, those used longest ago are dropped.

    Threads may use it together. Another process that it is handed to begins with nothing.

    Parameters
    ----------
    most
        Structures to keep, at least 1; True for all.

    Examples
    --------
    >>> memo, structures = Memo(2), np.array([3, 1, 3])
    >>> [int(square) for square, in memo.through(structures, lambda i: [(s * s,) for s in structures[i]])]
    [9, 1, 9]
    """

    def __init__(self, most: bool | int):
        self.most = None if most is True else int(most)
        self._kept: OrderedDict[int, Arrays] = OrderedDict()
        self._renew()
        renew_after_fork(self)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"most": self.most}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.most = state["most"]
        self._kept = OrderedDict()
        self._renew()
        renew_after_fork(self)

    def __len__(self) -> int:
        return len(self._kept)

    def through(
        self, structures: NDArray[np.int64], compute: Callable[[NDArray[np.int64]], list[Arrays]]
    ) -> list[Arrays]:
        """Return the arrays of some structures, computing those that are not kept.

        Parameters
        ----------
        structures
            Their indices, repeats allowed.
        compute
            Is given places in `structures` and returns the arrays of those.
        """
        wanted = structures.tolist()
        found: dict[int, Arrays] = {}
        with self._lock:
            for structure in wanted:
                if structure in self._kept:
                    self._kept.move_to_end(structure)
                    found[structure] = self._kept[structure]
        # Each but once, at its first place.
        places = {s: i for i, s in reversed(list(enumerate(wanted))) if s not in found}
        if places:
            missing = np.array(sorted(places.values()))
            new = dict(zip(structures[missing].tolist(), compute(missing), strict=True))
            found |= new
            with self._lock:
                self._kept |= new
                while self.most is not None and len(self._kept) > self.most:
                    self._kept.popitem(last=False)
        return [found[structure] for structure in wanted]
