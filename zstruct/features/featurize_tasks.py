"""The first tasks of `featurize`: features of a range of atoms, and how many neighbours each of them has.

A task writes whole shards into the working directory, then a marker with their digests; a task that has one
is not done again. What is known of the first structures is taken as it is: shards that are full, rows of
others. Nothing here knows of locks or of how a group becomes visible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.disk import save_array
from zstruct.errors import InputError
from zstruct.features.descriptor import Descriptor
from zstruct.features.known_rows import NOTHING, KnownRows
from zstruct.features.statistics import by_species
from zstruct.geometry.neighbors import NeighborList, Neighbors
from zstruct.geometry.pieces import numbered_from, visit
from zstruct.geometry.structures import Structures
from zstruct.ragged import atom_rows, counts_to_offsets
from zstruct.schema import ATOM
from zstruct.store.chunks import choose_grid
from zstruct.store.shared_shards import SharedShard, put_shard
from zstruct.store.spec import ArraySpec, GroupKind
from zstruct.store.store import Store
from zstruct.store.workdir import write_json
from zstruct.store.write import write_shard

__all__ = ["OFFSETS", "SELECTED", "AtomTask", "Job", "do_atoms", "values_spec"]

OFFSETS, SELECTED = "offsets.npy", "selected.npy"


@dataclass(frozen=True)
class Job:
    """What is computed, of which store, and where it is kept until it is whole.

    Parameters
    ----------
    store
        Path of the store.
    work
        The working directory; ``work / kind`` becomes the group.
    what
        A descriptor or a neighbour list.
    kinds
        Groups to make.
    dtype
        Of the floats in them.
    known
        What is known of the first structures, by kind.
    n_threads
        Of each task.
    """

    store: str
    work: Path
    what: Descriptor | NeighborList
    kinds: tuple[GroupKind, ...]
    dtype: str
    known: Mapping[GroupKind, KnownRows] = field(default_factory=dict)
    n_threads: int = 1

    def known_of(self, kind: GroupKind | None) -> KnownRows:
        """Return what is known of a kind."""
        return NOTHING if kind is None else self.known.get(kind, NOTHING)

    @property
    def pairs_kind(self) -> GroupKind | None:
        """The group that has a row for each pair, if there is one to make."""
        return next((kind for kind in self.kinds if kind != "features"), None)

    @cached_property
    def opened(self) -> Store:
        """The store, opened once: for a small task, opening it takes longer than reading."""
        return Store(self.store)

    def load(self, first: int, last: int, keep: NDArray[np.bool_] | None = None) -> Structures:
        """Return structures ``first:last`` of the store, or those of them to keep."""
        opened = self.opened
        offsets = np.load(self.work / OFFSETS, mmap_mode="r")[first : last + 1]
        a, b = int(offsets[0]), int(offsets[-1])
        numbers, positions = opened.read("numbers", a, b), opened.read("positions", a, b)
        cells, pbc = (
            opened.read(name, first, last) if name in opened.fields else None for name in ("cell", "pbc")
        )
        cells = None if cells is None else np.nan_to_num(cells)  # a missing cell is NaN
        edges = offsets - a
        if keep is not None and not keep.all():
            counts = np.diff(edges)[keep]
            rows = atom_rows(edges[:-1][keep], counts)
            edges, numbers, positions = counts_to_offsets(counts), numbers[rows], positions[rows]
            cells = None if cells is None else cells[keep]
            pbc = None if pbc is None else pbc[keep]
        try:
            return Structures.of_arrays(edges, numbers, positions, cells, pbc)
        except ValueError as error:
            raise InputError(f"{error}: nothing can be computed for it") from error


def values_spec(job: Job, n_atoms: int) -> ArraySpec:
    """Return the array of the features."""
    assert isinstance(job.what, Descriptor)
    width = job.what.n_features
    return ArraySpec(
        "values",
        (ATOM, "feature"),
        (n_atoms, width),
        job.dtype,
        {"long_name": "features of the atoms", "feature_names": job.what.feature_names},
        math.nan,
        choose_grid(n_atoms, width * np.dtype(job.dtype).itemsize, ATOM),
    )


@dataclass(frozen=True)
class AtomTask:
    """Features, or only the numbers of neighbours, of the atoms in rows ``start:stop``: one shard.

    `shared` is that of the features that there is already, `summed` whether its moments are known, too.
    """

    job: Job
    number: int
    start: int
    stop: int
    values: ArraySpec | None
    shared: SharedShard | None = None
    summed: bool = False

    @property
    def marker(self) -> Path:
        """The file that says that it is done."""
        return self.job.work / "done" / f"atoms.{self.number}.json"

    @property
    def counts(self) -> Path:
        """The file with the numbers of neighbours."""
        return self.job.work / "done" / f"counts.{self.number}.npy"

    @property
    def nbytes(self) -> int:
        """Bytes that it makes."""
        width = 4 if self.values is None else np.dtype(self.values.dtype).itemsize * self.values.shape[1]
        return (self.stop - self.start) * width


def do_atoms(task: AtomTask) -> dict[str, Any]:
    """Do a task; return digest and statistics of the features, and the largest shift."""
    job, m = task.job, task.stop - task.start
    values: NDArray[Any] | None = None
    counts = np.zeros(m, np.int32)
    ends = []  # up to where features and numbers of neighbours are known
    if task.shared is not None:
        ends.append(task.stop)
    elif task.values is not None:
        values = np.empty((m, task.values.shape[1]), task.values.dtype)
        ends.append(_copy_known(job, "features", "values", task.start, values))
    if job.pairs_kind is not None:
        ends.append(_copy_known(job, job.pairs_kind, "counts", task.start, counts))
    begin = min(ends)
    summary: dict[str, Any] = {"largest_shift": 0}
    if begin < task.stop:
        summary["largest_shift"] = _compute(task, begin, values, ends[0], counts, ends[-1])
    if task.values is not None:
        if not task.summed:
            if values is None:
                values = job.known_of("features").read(job.opened, "values", task.start, task.stop)
            summary["statistics"] = _statistics(task, values)
        if task.shared is not None:
            put_shard(task.shared, job.work / "features", task.values, links=True, durable=True)
            summary["shard"] = task.shared.known
        else:
            assert values is not None
            summary["shard"] = write_shard(job.work / "features", task.values, task.number, values)
    if job.pairs_kind is not None:
        save_array(task.counts, counts)
    write_json(task.marker, summary)
    return summary


def _copy_known(job: Job, kind: GroupKind, array: str, start: int, out: NDArray[Any]) -> int:
    """Put what is known of rows from one on into an array of them; return the row where that ends."""
    known = job.known_of(kind)
    end = max(start, min(known.n_atoms, start + len(out)))
    if end > start:
        out[: end - start] = known.read(job.opened, array, start, end)
    return end


def _compute(
    task: AtomTask,
    begin: int,
    values: NDArray[Any] | None,
    values_from: int,
    counts: NDArray[np.int32],
    counts_from: int,
) -> int:
    """Compute features and numbers of neighbours of atoms, each from a row on; return the largest shift."""
    job = task.job
    offsets = np.load(job.work / OFFSETS, mmap_mode="r")
    first = int(np.searchsorted(offsets, begin, side="right")) - 1
    last = int(np.searchsorted(offsets, task.stop, side="left"))
    before = begin - int(offsets[first])  # rows of a structure whose first ones are not asked for

    def fill(row: int, part: Structures, neighbors: Neighbors) -> int:
        start = row + neighbors.start - before + begin
        stop = start + len(neighbors)
        skipped = max(0, counts_from - start)
        counts[start + skipped - task.start : stop - task.start] = np.diff(neighbors.offsets)[skipped:]
        if values is not None and isinstance(job.what, Descriptor) and stop > values_from:
            skipped = max(0, values_from - start)
            rows = slice(start + skipped - task.start, stop - task.start)
            values[rows] = job.what.values(part, neighbors)[skipped:]
        if isinstance(job.what, NeighborList):
            return int(np.abs(neighbors.shifts).max(initial=0))
        return 0

    with numbered_from(first):
        structures = job.load(first, last)
        end = before + task.stop - begin
        return max(visit(fill, structures, job.what.cutoff, before, end, job.n_threads))


def _statistics(task: AtomTask, values: NDArray[Any]) -> dict[str, Any]:
    """Return the moments of features.

    Raises
    ------
    InputError
        If one is not finite; names the structure.
    """
    numbers = task.job.opened.read("numbers", task.start, task.stop)
    found = by_species(values, numbers)
    if not all(np.isfinite(moments.squares).all() for moments in found.values()):
        row = task.start + int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        offsets = np.load(task.job.work / OFFSETS, mmap_mode="r")
        lost = int(np.searchsorted(offsets, row, side="right")) - 1
        raise InputError(f"structure {lost} has features that are not finite")
    return {str(z): moments.to_dict() for z, moments in found.items()}
