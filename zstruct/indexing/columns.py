"""Work out the columns of an index and write them, range by range of structures, as a scan computes them.

The codes of formulas are those of the store, as narrow as they can be. What other columns say of structures
that come from other stores that have an index is taken from there, in whole shards where a store begins with
all of another one. How an index comes to its place is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.progress import Runner
from zstruct.query.block import Block, Lookup
from zstruct.query.formulas import formulas_of
from zstruct.query.index import Index, indexed
from zstruct.query.quantities import FORMULA, QUANTITIES
from zstruct.query.table import StoreTable
from zstruct.schema import STRUCTURE
from zstruct.store.chunk_codec import ChunkCodec
from zstruct.store.chunks import grid_with
from zstruct.store.scattered import read_scattered
from zstruct.store.shared_shards import put_shard, shared_shards
from zstruct.store.spec import CATEGORIES, GROUP_VERSION, INDEX, ArraySpec
from zstruct.store.store import Store
from zstruct.store.write import Shard, WrittenArray, complete, create, write_shard

__all__ = ["Known", "column_spec", "write_columns"]

_TASK_ATOMS = 1 << 21  # that one task looks at, about
# Columns are read from end to end: large chunks take less to read, and bytes that stay as they are to decode.
_CHUNK_ROWS = 1 << 16
_CODEC = ChunkCodec("lz4", 5, "noshuffle")


@dataclass(frozen=True)
class Known:
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

    def read(self, name: str, start: int, stop: int) -> NDArray[np.float64]:
        """Return a column of some of them."""
        array, first, last = self.index.path(name), start - self.start, stop - self.start
        if self.chosen is None:
            return self.index.store.read(array, first, last)
        return read_scattered(self.index.store, array, self.chosen[first:last])


@dataclass(frozen=True)
class _Range:
    """Structures ``start:stop`` of a store, and what is to be worked out of them."""

    store: Store
    names: tuple[str, ...]
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
        Where there is nothing yet. If the index would have no columns, nothing is there afterwards.
    runner
        Where tasks run.
    also
        Quantities that it has on request.
    known
        Structures that need not be looked at, ascending.
    links
        Whether shards that another store has, too, may be the same file.
    durable
        Whether all is on the disk when this returns.
    """
    names = indexed(store, tuple(also))
    if not names:
        return []
    specs = [column_spec(name, store.n_structures, _dtype(store, name)) for name in names]
    attrs = {
        "encoding-type": f"zstruct-{INDEX}",
        "encoding-version": GROUP_VERSION,
        "store_digest": store.digest,
    }
    create(folder, specs, attrs)
    usable = [one for one in known if set(names) <= one.index.columns]
    shards = {
        spec.path: _put_known(store, folder, spec, usable, links=links, durable=durable) for spec in specs
    }
    first = min(map(len, shards.values()))
    for k, columns in _shards(store, specs, first, runner, usable):
        for spec in specs:
            if len(shards[spec.path]) == k:
                shards[spec.path].append(write_shard(folder, spec, k, columns[spec.path], durable=durable))
    complete(folder, {}, [WrittenArray(spec, shards[spec.path]) for spec in specs], durable=durable)
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
    n_formulas = len(formulas_of(store, FORMULA).offsets) - 1
    return next(dtype for dtype in ("uint8", "uint16", "uint32") if n_formulas - 1 <= np.iinfo(dtype).max)


def _put_known(
    store: Store, folder: Path, spec: ArraySpec, known: Sequence[Known], *, links: bool, durable: bool
) -> list[Shard]:
    """Put the first shards of a column, which another store has, too, in their places."""
    if not known or known[0].start or known[0].chosen is not None:
        return []
    index = known[0].index
    if spec.path == FORMULA and not _begin_alike(store, index.store):
        return []
    shared = shared_shards(index.store, index.path(spec.path), spec)
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
    store: Store, specs: Sequence[ArraySpec], first: int, runner: Runner, known: Sequence[Known]
) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """Yield the columns of one shard after the other: those of no more than are worked on are in memory."""
    dtypes = {spec.path: spec.dtype for spec in specs}
    names, rows = tuple(name for name in dtypes if name != FORMULA), specs[0].grid.shard_rows
    n = store.n_structures
    tasks = list(_ranges(store, names, first * rows, known, rows)) if names else []
    atoms = max(1, store.n_atoms // max(1, n))
    sizes = [(task.stop - task.start) * atoms * 24 for task in tasks]
    runner.begin("index", sum(sizes), 0)
    done = runner.run(_work_out, tasks, sizes)
    waiting: dict[int, dict[str, NDArray[np.float64]]] = {}
    following = 0
    for k, start in enumerate(range(first * rows, n, rows), first):
        stop = min(start + rows, n)
        columns = {name: np.empty(stop - start, dtype) for name, dtype in dtypes.items()}
        if FORMULA in columns:
            columns[FORMULA][:] = store.read(FORMULA, start, stop)
        for one in known:
            a, b = max(start, one.start), min(stop, one.stop)
            if a < b:
                for name in names:
                    columns[name][a - start : b - start] = one.read(name, a, b)
        while following < len(tasks) and tasks[following].start < stop:
            task = tasks[following]
            while following not in waiting:
                which, found = next(done)
                waiting[which] = found
            for name, values in waiting.pop(following).items():
                columns[name][task.start - start : task.stop - start] = values
            following += 1
        yield k, columns
    for _ in done:  # the pool ends
        pass


def _ranges(
    store: Store, names: tuple[str, ...], first: int, known: Sequence[Known], rows: int
) -> Iterator[_Range]:
    """Yield ranges of about as many atoms as one task looks at, of what is not known from a structure on.

    None crosses the edge of a shard.
    """
    n = store.n_structures
    step = max(1, _TASK_ATOMS * n // max(1, store.n_atoms))
    for begin, end in [*((one.start, one.stop) for one in known), (n, n)]:
        while first < begin:
            stop = min(first + step, (first // rows + 1) * rows, begin)
            yield _Range(store, names, first, stop)
            first = stop
        first = max(first, end)


def _work_out(task: _Range) -> dict[str, NDArray[np.float64]]:
    """Return the columns of a range."""
    block = Block(Lookup(StoreTable(task.store, computing=True)), task.start, task.stop)
    every = slice(0, task.stop - task.start)
    return {name: block.quantity(QUANTITIES[name], every).values for name in task.names}
