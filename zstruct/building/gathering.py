"""What groups of a new store are made with: where its structures come from, and rows that follow them.

Which groups there are, and what is in them, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.building.origins import GatheredRows, Origins
from zstruct.schema import Level
from zstruct.store.chunks import choose_grid
from zstruct.store.files import array_said
from zstruct.store.shared_shards import SharedShard, put_shard, shared_shards
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.write import Shard, WrittenArray, write_pieces

__all__ = ["Gathering", "NewRows", "Unfit", "in_threads", "like", "pieces"]


class Unfit(Exception):
    """Says why a group can't be made."""


class NewRows(Protocol):
    """The rows of a new array."""

    @property
    def spec(self) -> ArraySpec:
        """The array."""

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return some of its rows; called by several threads."""


@dataclass(frozen=True)
class Gathering:
    """Where the structures of a new store come from, and where its groups are made.

    Parameters
    ----------
    origins
        Where they come from.
    made
        The store, whole but for groups.
    scratch
        A folder for rows that come in another order.
    links
        Whether the store is the next version of the one that it begins with: shards may be the same files,
        wherever these are.
    digest
        Of the content that groups are of.
    """

    origins: Origins
    made: Store
    scratch: Path
    links: bool
    digest: str

    def rows(
        self,
        spec: ArraySpec,
        arrays: Mapping[int, str],
        edges: Mapping[int, NDArray[np.int64]] | None = None,
        offsets: NDArray[np.int64] | None = None,
    ) -> GatheredRows:
        """Return rows of a new array, as `GatheredRows`, spooled where structures are in another order."""
        found = GatheredRows(self.origins, spec, arrays, edges, offsets)
        if not self.origins.is_ordered:
            self.scratch.mkdir(exist_ok=True)
            found.spool(self.scratch / f"{len(list(self.scratch.iterdir()))}.npy")
        return found

    def atoms(self, spec: ArraySpec, arrays: Mapping[int, str]) -> GatheredRows:
        """Return rows of an array over atoms."""
        return self.rows(spec, arrays, self.edges(arrays), self.origins.offsets)

    def edges(self, arrays: Mapping[int, str]) -> dict[int, NDArray[np.int64]]:
        """Return the row edges of the atoms of stores."""
        return {place: self.origins.inputs[place].offsets for place in arrays}

    def shared(
        self,
        spec: ArraySpec,
        arrays: Mapping[int, str],
        edges: Mapping[int, NDArray[np.int64]] | None = None,
    ) -> list[SharedShard]:
        """Return the first shards of a new array that are those of the store that the new one begins with.

        Parameters
        ----------
        spec, arrays, edges
            As for `GatheredRows`.
        """
        for place, array in arrays.items():
            if n := self.origins.begins_with(place):
                n_rows = n if edges is None else int(edges[place][n])
                store = self.origins.inputs[place].store
                return shared_shards(store, array, spec, n_rows, anywhere=self.links)
        return []

    def put(self, folder: Path, spec: ArraySpec, shared: SharedShard) -> Shard:
        """Put such a shard into its place."""
        put_shard(shared, folder, spec, links=self.links, durable=False)
        return shared.known

    def write(self, folder: Path, rows: NewRows, shared: Sequence[SharedShard]) -> WrittenArray:
        """Write an array, shard by shard in threads."""
        spec = rows.spec

        def shard(k: int) -> Shard:
            if k < len(shared):
                return self.put(folder, spec, shared[k])
            return write_pieces(folder, spec, k, pieces(rows, k), durable=False)

        return WrittenArray(spec, in_threads(shard, spec.grid.n_shards(spec.shape[0])))


def like(store: Store, array: str, n_rows: int, level: Level) -> ArraySpec:
    """Return an array as one of a store is, with other rows, of which a chunk has as many as in a new group.

    Parameters
    ----------
    store, array
        The one that there is.
    n_rows
        The rows of the new one.
    level
        What they are of, as for `choose_grid`.
    """
    said = store.documents(array.rpartition("/")[0])[array]
    spec, _ = array_said(array, said)
    attrs = {key: value for key, value in said.get("attributes", {}).items() if key != "digest"}
    row = int(np.dtype(spec.dtype).itemsize * np.prod(spec.shape[1:], dtype=int))
    return replace(
        spec,
        path=array.rpartition("/")[2],
        shape=(n_rows, *spec.shape[1:]),
        attrs=attrs,
        grid=choose_grid(n_rows, row, level),
    )


def in_threads(function: Callable[[int], Any], n: int) -> list[Any]:
    """Return what a function has for the numbers up to one."""
    found: list[Any] = [None] * n
    for k, result in parallel.run(function, range(n), runs_in="here"):
        found[k] = result
    return found


def pieces(rows: NewRows, shard: int) -> Iterator[NDArray[Any]]:
    """Yield the rows of a shard, a chunk at a time."""
    grid = rows.spec.grid
    stop = min((shard + 1) * grid.shard_rows, rows.spec.shape[0])
    for begin in range(shard * grid.shard_rows, stop, grid.chunk_rows):
        yield rows.read(begin, min(begin + grid.chunk_rows, stop))
