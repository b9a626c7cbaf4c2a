"""Quantities of an index, worked out from rows on their way into a store, so that nothing is read again.

Each shard of rows leaves a small file with the quantity of the structures that have rows in it; those at its
edges may have others in the shards beside it. Who writes shards, and where the files are, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.disk import save_array
from zstruct.query.index import ALWAYS
from zstruct.query.quantities import QUANTITIES, Quantity
from zstruct.schema import ATOM

__all__ = ["Passed", "Passing", "passing_quantity"]


def passing_quantity(field: str) -> Quantity | None:
    """Return the quantity of indexes that is worked out from the rows of one field; None: there is none."""
    found = (QUANTITIES[name] for name in ALWAYS if QUANTITIES[name].needs == (field,))
    return next((one for one in found if one.joined is not None or (one.level != ATOM and one.compute)), None)


def _with_rows(offsets: NDArray[np.int64] | None, start: int, stop: int) -> tuple[int, NDArray[np.int64]]:
    """Return the first structure of those with any of the rows ``start:stop``, and their edges in these.

    Parameters
    ----------
    offsets
        Row edges of structures; None: each has one row.
    """
    if offsets is None:
        return start, np.arange(stop - start + 1)
    first = int(np.searchsorted(offsets, start, side="right")) - 1
    last = int(np.searchsorted(offsets, stop, side="left"))
    return first, np.clip(offsets[first : last + 1], start, stop) - start


class Passing:
    """Works out a quantity of structures from the rows of a shard while they pass by, chunk by chunk.

    Parameters
    ----------
    quantity
        The quantity.
    offsets
        Row edges of all structures; None: each has one row.
    start, stop
        The rows of the shard.
    """

    def __init__(self, quantity: Quantity, offsets: NDArray[np.int64] | None, start: int, stop: int):
        self._quantity, self._by_atom = quantity, offsets is not None
        _, self._edges = _with_rows(offsets, start, stop)
        self._values = np.full(len(self._edges) - 1, np.nan)

    def seen(self, pieces: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """Yield rows, and look at them."""
        start = 0
        for rows in pieces:
            self._add(rows, start)
            start += len(rows)
            yield rows

    def _add(self, rows: NDArray[Any], start: int) -> None:
        compute, join = self._quantity.compute, self._quantity.joined
        assert compute is not None
        if not self._by_atom:
            self._values[start : start + len(rows)] = compute(rows)
            return
        first, edges = _with_rows(self._edges, start, start + len(rows))
        found = compute(edges, rows)
        if self._edges[first] < start:
            assert join is not None
            found[0] = join(self._values[first], found[0])
        self._values[first : first + len(found)] = found

    def save(self, path: Path) -> None:
        """Write what was found."""
        save_array(path, self._values)


@dataclass(frozen=True)
class Passed:
    """A quantity of the last structures of a store, as files of their shards say it.

    Parameters
    ----------
    quantity
        The quantity.
    offsets
        Row edges of all structures; None: each has one row.
    n_rows, shard_rows
        Rows of the field that it was worked out from, and of a shard.
    files
        Those of the last shards, by number.
    """

    quantity: Quantity
    offsets: NDArray[np.int64] | None
    n_rows: int
    shard_rows: int
    files: Mapping[int, Path]

    @property
    def columns(self) -> frozenset[str]:
        """The quantity."""
        return frozenset([self.quantity.name])

    @property
    def start(self) -> int:
        """The first structure without rows in earlier shards."""
        row = min(self.files) * self.shard_rows
        return row if self.offsets is None else int(np.searchsorted(self.offsets, row, side="left"))

    @property
    def stop(self) -> int:
        """How many structures there are."""
        return self.n_rows if self.offsets is None else len(self.offsets) - 1

    def read(self, name: str, start: int, stop: int) -> NDArray[np.float64]:
        """Return the quantity of some of them."""
        found = np.full(stop - start, np.nan)
        low, high = (start, stop) if self.offsets is None else self.offsets[[start, stop]].tolist()
        for k in range(low // self.shard_rows, -(-high // self.shard_rows)):
            row = k * self.shard_rows
            values = np.load(self.files[k])
            first, _ = _with_rows(self.offsets, row, min(row + self.shard_rows, self.n_rows))
            a, b = max(first, start), min(first + len(values), stop)
            if a >= b:  # without atoms
                continue
            part = values[a - first : b - first]
            if self.offsets is not None and self.offsets[a] < row:
                assert self.quantity.joined is not None
                part[0] = self.quantity.joined(found[a - start], part[0])
            found[a - start : b - start] = part
        return found
