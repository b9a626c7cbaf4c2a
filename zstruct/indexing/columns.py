"""Work out the columns of an index and write them, range by range of structures, as a scan computes them.

The codes of formulas are those of the store, as narrow as they can be. Of other columns, what is known is
taken from where it is known: from indexes of stores that structures come from, in whole shards where a store
begins with all of another one. How an index comes to its place is not known here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct.memory import keep_freed
from zstruct.progress import Runner
from zstruct.query.block import Block, Lookup
from zstruct.query.formulas import n_formulas
from zstruct.query.index import Index, indexed
from zstruct.query.quantities import FORMULA, QUANTITIES
from zstruct.query.table import StoreTable
from zstruct.schema import STRUCTURE
from zstruct.store.chunk_codec import ChunkCodec
from zstruct.store.chunks import grid_with
from zstruct.store.scattered import read_scattered
from zstruct.store.shared_shards import SharedShard, put_shard, shared_shards
from zstruct.store.spec import CATEGORIES, GROUP_VERSION, INDEX, ArraySpec
from zstruct.store.store import Store
from zstruct.store.write import Shard, WrittenArray, complete, write_shard

__all__ = ["Indexed", "Known", "column_spec", "write_columns"]

_TASK_ATOMS = 1 << 19  # that one task looks at, about
# Columns are read from end to end: large chunks take less to read, and bytes that stay as they are to decode.
_CHUNK_ROWS = 1 << 16
_CODEC = ChunkCodec("lz4", 5, "noshuffle")


class Known(Protocol):
    """What is known of structures ``start:stop`` of a store."""

    @property
    def start(self) -> int:
        """The first of them."""

    @property
    def stop(self) -> int:
        """The one behind them."""

    @property
    def columns(self) -> frozenset[str]:
        """The quantities that are known."""

    def read(self, name: str, start: int, stop: int) -> NDArray[np.float64]:
        """Return a quantity of some of them."""


@dataclass(frozen=True)
class Indexed:
    """Structures ``start:stop`` of a store that are structures of another one, which has an index.

    Parameters
    ----------
    start, stop
        Which they are.
    index
        Of the other store.
    chosen
        Their rows there, ascending, shape (stop - start,); None: they are all of it.
    """

    start: int
    stop: int
    index: Index
    chosen: NDArray[np.int64] | None = None

    @property
    def columns(self) -> frozenset[str]:
        """The quantities that the index has."""
        return self.index.columns

    def read(self, name: str, start: int, stop: int) -> NDArray[np.float64]:
        """Return a quantity of some of them."""
        array, first, last = self.index.path(name), start - self.start, stop - self.start
        if self.chosen is None:
            return self.index.store.read(array, first, last)
        return read_scattered(self.index.store, array, self.chosen[first:last])

    def shared(self, spec: ArraySpec, *, anywhere: bool) -> list[SharedShard]:
        """Return the first shards of a column of a store that begins with all of the other one.

        Parameters
        ----------
        spec
            The column.
        anywhere
            Whether the other store may be elsewhere, where a server copies files.
        """
        if self.start or self.chosen is not None or spec.path not in self.columns:
            return []
        return shared_shards(self.index.store, self.index.path(spec.path), spec, anywhere=anywhere)


@dataclass(frozen=True)
class _Range:
    """Structures ``start:stop`` of a store, and what is to be worked out of them."""

    store: Store
    name: str
    start: int
    stop: int


def write_columns(
    store: Store,
    folder: Path,
    runner: Runner,
    *,
    also: Sequence[str] = (),
    known: Sequence[Known] = (),
    links: bool = False,
    durable: bool = True,
) -> list[str]:
    """Write the index of a store into a folder, as a group; return the quantities that it has.

    Parameters
    ----------
    store
        The store.
    folder
        Where it is written, in place of what was left there. If the index would have no columns, nothing is
        written.
    runner
        Where tasks run.
    also
        Quantities that it has on request.
    known
        What need not be worked out.
    links
        Whether shards that another store has, too, may be the same file, here or at a server.
    durable
        Whether all is on the disk when this returns.
    """
    names = indexed(store, tuple(also))
    if not names:
        return []
    shutil.rmtree(folder, ignore_errors=True)
    keep_freed()
    written = []
    for name in names:
        spec = column_spec(name, store.n_structures, _dtype(store, name))
        shards = _put_known(store, folder, spec, known, links=links, durable=durable)
        for rows in _shards(store, spec, len(shards), runner, known):
            shards.append(write_shard(folder, spec, len(shards), rows, durable=durable))
        written.append(WrittenArray(spec, shards))
    attrs = {
        "encoding-type": f"zstruct-{INDEX}",
        "encoding-version": GROUP_VERSION,
        "store_digest": store.digest,
    }
    complete(folder, attrs, written, durable=durable)
    return names


def column_spec(name: str, n: int, dtype: str = "float64") -> ArraySpec:
    """Return the array that has a quantity of each structure, or the code of its formula."""
    quantity = QUANTITIES[name]
    attrs = {"long_name": quantity.description, "units": quantity.unit}
    if name == FORMULA:
        attrs = {"long_name": "which of the formulas of the store a structure has"}
    fill = 0 if name == FORMULA else np.nan
    return ArraySpec(name, (STRUCTURE,), (n,), dtype, attrs, fill, grid_with(n, _CHUNK_ROWS), _CODEC)


def _dtype(store: Store, name: str) -> str:
    """Return the dtype of a column: of codes, the smallest that has room for all of them."""
    if name != FORMULA:
        return "float64"
    return next(kind for kind in ("uint8", "uint16", "uint32") if n_formulas(store) - 1 <= np.iinfo(kind).max)


def _put_known(
    store: Store, folder: Path, spec: ArraySpec, known: Sequence[Known], *, links: bool, durable: bool
) -> list[Shard]:
    """Put the first shards of a column, which another store has, too, in their places."""
    first = known[0] if known else None
    if not isinstance(first, Indexed):
        return []
    if spec.path == FORMULA and not _begin_alike(store, first.index.store):
        return []
    shared = first.shared(spec, anywhere=links)
    for one in shared:
        put_shard(one, folder, spec, links=links, durable=durable)
    return [one.known for one in shared]


def _begin_alike(store: Store, other: Store) -> bool:
    """Return whether codes of formulas of another store are the same in this one."""
    for table in ("data", "offsets"):
        texts = other.read(f"{CATEGORIES}/{FORMULA}/{table}")
        if not np.array_equal(store.read(f"{CATEGORIES}/{FORMULA}/{table}", 0, len(texts)), texts):
            return False
    return True


def _shards(
    store: Store, spec: ArraySpec, first: int, runner: Runner, known: Sequence[Known]
) -> Iterator[NDArray[Any]]:
    """Yield the rows of one shard of a column after the other."""
    n, rows = store.n_structures, spec.grid.shard_rows
    starts = range(first * rows, n, rows)
    if spec.path == FORMULA:
        for start in starts:
            yield store.read(FORMULA, start, min(start + rows, n)).astype(spec.dtype)
        return
    of_column = sorted((one for one in known if spec.path in one.columns), key=lambda one: one.start)
    tasks = list(_ranges(store, spec.path, first * rows, of_column, rows))
    atoms = max(1, store.n_atoms // max(1, n))
    sizes = [(task.stop - task.start) * atoms * 24 for task in tasks]
    runner.begin("index", sum(sizes), 0)
    done = runner.run(_work_out, tasks, sizes)
    waiting: dict[int, NDArray[np.float64]] = {}
    following = 0
    for start in starts:
        stop = min(start + rows, n)
        column = np.empty(stop - start)
        for one in of_column:
            a, b = max(start, one.start), min(stop, one.stop)
            if a < b:
                column[a - start : b - start] = one.read(spec.path, a, b)
        while following < len(tasks) and tasks[following].start < stop:
            task = tasks[following]
            while following not in waiting:
                which, found = next(done)
                waiting[which] = found
            column[task.start - start : task.stop - start] = waiting.pop(following)
            following += 1
        yield column
    for _ in done:  # the pool ends
        pass


def _ranges(store: Store, name: str, first: int, known: Sequence[Known], rows: int) -> Iterator[_Range]:
    """Yield ranges of about as many atoms as one task looks at, of what is not known from a structure on.

    None crosses the edge of a shard.
    """
    n = store.n_structures
    step = max(1, _TASK_ATOMS * n // max(1, store.n_atoms))
    for begin, end in [*((one.start, one.stop) for one in known), (n, n)]:
        while first < begin:
            stop = min(first + step, (first // rows + 1) * rows, begin)
            yield _Range(store, name, first, stop)
            first = stop
        first = max(first, end)


def _work_out(task: _Range) -> NDArray[np.float64]:
    """Return the column of a range."""
    block = Block(Lookup(StoreTable(task.store, computing=True)), task.start, task.stop)
    return block.quantity(QUANTITIES[task.name], slice(0, task.stop - task.start)).values
