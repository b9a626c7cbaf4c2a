"""Put an index into a store that has none: an older one, or one that should have more columns."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zstruct import parallel
from zstruct.arguments import check
from zstruct.disk import bytes_within
from zstruct.errors import InputError
from zstruct.indexing.columns import write_columns
from zstruct.keywords import keywords
from zstruct.parallel import WORKERS
from zstruct.paths_and_urls import check_writable
from zstruct.progress import Runner
from zstruct.query.index import GROUP, NAME, ON_REQUEST, index_of, indexed
from zstruct.store.group_publication import publish
from zstruct.store.groups import writing_group
from zstruct.store.spec import INDEX
from zstruct.store.store import Store
from zstruct.text import counted, sized

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["IndexReport", "index"]


@dataclass(frozen=True)
class IndexReport:
    """Result of `zstruct.index`; printing it gives a summary.

    Parameters
    ----------
    path
        The store.
    columns
        The quantities that its index has.
    made
        Whether this call wrote it; it may have been there.
    n_structures
        Structures of the store.
    nbytes
        Bytes of the index on disk.
    seconds
        How long this call took.
    """

    path: str
    columns: Sequence[str]
    made: bool
    n_structures: int
    nbytes: int
    seconds: float

    def __str__(self) -> str:
        did = f"made in {self.seconds:.2f} s" if self.made else "there already, nothing to do"
        of = f"{', '.join(self.columns)} of {counted(self.n_structures, 'structure')}"
        return f"{self.path}: {GROUP}: {of}, {sized(self.nbytes)}, {did}"


@keywords(WORKERS)
def index(
    store: str | os.PathLike[str] | Store,
    *,
    shortest_distance: bool = False,
    workers: int | Client | None = None,
    progress: bool = False,
) -> IndexReport:
    """Keep columns in a store from which selections are answered, in place of forces and cells.

    Builds and appends do this as they go; it is for stores that were made before there were indexes, and for
    `shortest_distance`. Writes the group ``index/default``. It never changes what a selection selects, and
    an index of other content than the store has is not used. Killed at any instant, the same call does it;
    until the group is whole, nobody sees it.

    Parameters
    ----------
    store
        The store, in a local directory.
    shortest_distance
        Whether it also has the shortest distance between two atoms of each structure, which takes longest to
        find. An index that has it keeps it.
    workers
        Number of threads, by default one per processor. Or a `distributed.Client` to run on, by default
        the active one.
    progress
        Whether to show a progress bar.

    Raises
    ------
    InputError
        If the store has neither forces nor cells, so that there is nothing to keep.
    BuildLockedError
        If another process is writing groups into the store.
    StoreFormatError
        If there is no finished store.
    ChangedInputError
        If the store was replaced meanwhile.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> report = zstruct.build([ase.build.molecule(m) for m in ("H2O", "CO2")], path, progress=False)
    >>> report = zstruct.index(path, shortest_distance=True)
    >>> report.columns
    ['formula', 'volume', 'shortest_distance']
    >>> zstruct.Selection().select("shortest_distance < 1").structures(zstruct.Store(path))
    array([0])
    """
    began = time.perf_counter()
    path = check_writable(store.path if isinstance(store, Store) else store)
    check(shortest_distance=shortest_distance, progress=progress)
    runner = Runner(parallel.chosen_workers(workers), progress)
    opened = Store(path)
    try:
        with writing_group(opened) as (there, scratch):
            columns, new = _kept(there, scratch / INDEX, runner, shortest_distance)
            if new:
                publish(Path(there.path), scratch, NAME, [INDEX], "", opened.digest)
    finally:
        runner.close()
    nbytes = bytes_within(Path(path, GROUP))
    return IndexReport(path, columns, new, opened.n_structures, nbytes, time.perf_counter() - began)


def _kept(there: Store, folder: Path, runner: Runner, shortest: bool) -> tuple[list[str], bool]:
    """Return what the index of a store should have, and whether it was written into a folder."""
    known = index_of(there)
    before = frozenset() if known is None else known.columns
    also = tuple(name for name in ON_REQUEST if shortest or name in before)
    names = indexed(there, also)
    if not names:
        raise InputError(f"{there.path} has neither forces nor cells: there is nothing for an index to keep")
    if set(names) <= before:
        return names, False
    return write_columns(there, folder, runner, also=also), True
