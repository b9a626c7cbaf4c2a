"""The tasks of `featurize`: features of a range of atoms, then arrays of a range of pairs.

How many pairs there are is known only when neighbours have been counted, which the first kind of
task does; the second finds them again, for that takes less time than to keep them on disk. A task
writes whole shards into the working directory, then a marker with their digests; a task that has
one is not done again. Nothing here knows of locks or of how a group becomes visible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.disk import allocate, naming, save_array
from zstruct.errors import InputError
from zstruct.features.descriptor import Descriptor
from zstruct.features.statistics import by_species
from zstruct.geometry.neighbors import PAIRS, NeighborList, Neighbors
from zstruct.geometry.pieces import numbered_from, visit
from zstruct.geometry.structures import Structures
from zstruct.ragged import atom_rows, counts_to_offsets
from zstruct.schema import ATOM
from zstruct.store.chunks import choose_grid
from zstruct.store.spec import ArraySpec, GroupKind
from zstruct.store.store import Store
from zstruct.store.workdir import write_json
from zstruct.store.write import Shard, write_shard

__all__ = [
    "EDGES",
    "OFFSETS",
    "SELECTED",
    "AtomTask",
    "Job",
    "PairTask",
    "count_pairs",
    "do_atoms",
    "do_pairs",
    "pair_specs",
    "values_spec",
]

OFFSETS, SELECTED, EDGES = "offsets.npy", "selected.npy", "pair_edges.npy"
_PIECE_BYTES = 1 << 25  # of the derivatives of a piece


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
    n_threads
        Of each task.
    """

    store: str
    work: Path
    what: Descriptor | NeighborList
    kinds: tuple[GroupKind, ...]
    dtype: str
    n_threads: int = 1

    @property
    def pairs_kind(self) -> GroupKind | None:
        """The group that has a row for each pair, if there is one to make."""
        return next((kind for kind in self.kinds if kind != "features"), None)

    @cached_property
    def _opened(self) -> Store:
        """The store, opened once: for a small task, opening it takes longer than reading."""
        return Store(self.store)

    def load(self, first: int, last: int, keep: NDArray[np.bool_] | None = None) -> Structures:
        """Return structures ``first:last`` of the store, or those of them to keep."""
        opened = self._opened
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


def pair_specs(job: Job, n_pairs: int, largest_shift: int) -> dict[str, ArraySpec]:
    """Return the arrays over pairs; they share their shards, for the widest of them."""
    rows: dict[str, tuple[str, tuple[int, ...], tuple[str, ...], str]] = {
        "indices": ("int32", (), (), "row of the neighbour within its structure")
    }
    if isinstance(job.what, NeighborList):
        dtype = next(d for d in ("int8", "int16", "int32") if largest_shift <= np.iinfo(d).max)
        rows["shifts"] = dtype, (3,), ("cell_vector",), "cell vectors added to the neighbour's position"
    else:
        rows["vectors"] = job.dtype, (3,), ("xyz",), "from the atom to its neighbour"
        for name, shape in job.what.pair_arrays().items():
            dims = tuple(f"{name}_{k}" for k in range(1, len(shape) + 1))
            rows[name] = job.dtype, shape, dims, "derivatives of the atom's features by the vector"
    widest = max(np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape, _, _ in rows.values())
    grid = choose_grid(n_pairs, widest, ATOM)
    specs = {}
    for name, (dtype, shape, dims, text) in rows.items():
        attrs = {"long_name": text} | ({"units": "angstrom"} if name == "vectors" else {})
        fill: float = math.nan if dtype.startswith("float") else 0
        specs[name] = ArraySpec(name, ("pair", *dims), (n_pairs, *shape), dtype, attrs, fill, grid)
    return specs


@dataclass(frozen=True)
class AtomTask:
    """Features, or only the numbers of neighbours, of the atoms in rows ``start:stop``: one shard."""

    job: Job
    number: int
    start: int
    stop: int
    values: ArraySpec | None

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
    offsets = np.load(job.work / OFFSETS, mmap_mode="r")
    first = int(np.searchsorted(offsets, task.start, side="right")) - 1
    last = int(np.searchsorted(offsets, task.stop, side="left"))
    before = task.start - int(offsets[first])
    counts = np.zeros(m, np.int32)
    values = None if task.values is None else np.empty((m, task.values.shape[1]), task.values.dtype)

    def fill(row: int, part: Structures, neighbors: Neighbors) -> int:
        rows = slice(row + neighbors.start - before, row + neighbors.start - before + len(neighbors))
        counts[rows] = np.diff(neighbors.offsets)
        if values is not None and isinstance(job.what, Descriptor):
            values[rows] = job.what.values(part, neighbors)
        if isinstance(job.what, NeighborList):
            return int(np.abs(neighbors.shifts).max(initial=0))
        return 0

    with numbered_from(first):
        structures = job.load(first, last)
        shifts = visit(fill, structures, job.what.cutoff, before, before + m, job.n_threads)
    summary: dict[str, Any] = {"largest_shift": max(shifts)}
    if values is not None and task.values is not None:
        statistics = by_species(values, structures.numbers[before : before + m])
        if not all(np.isfinite(found.squares).all() for found in statistics.values()):
            row = task.start + int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            lost = int(np.searchsorted(offsets, row, side="right")) - 1
            raise InputError(f"structure {lost} has features that are not finite")
        summary["statistics"] = {str(z): found.to_dict() for z, found in statistics.items()}
        summary["shard"] = write_shard(job.work / "features", task.values, task.number, values)
    if job.pairs_kind is not None:
        save_array(task.counts, counts)
    write_json(task.marker, summary)
    return summary


def count_pairs(job: Job, tasks: list[AtomTask]) -> int:
    """Write the pair edges of all atoms and return how many pairs there are."""
    offsets, selected = (np.load(job.work / name, mmap_mode="r") for name in (OFFSETS, SELECTED))
    file = job.work / EDGES
    with naming(file):
        edges = np.lib.format.open_memmap(file, "w+", np.int64, (int(offsets[-1]) + 1,))
    allocate(file)
    total = 0
    for task in tasks:
        counts = np.load(task.counts).astype(np.int64)
        first = int(np.searchsorted(offsets, task.start, side="right")) - 1
        last = int(np.searchsorted(offsets, task.stop, side="left"))
        inside = np.diff(np.clip(offsets[first : last + 1], task.start, task.stop))
        counts[~np.repeat(selected[first:last], inside)] = 0
        edges[task.start + 1 : task.stop + 1] = total + np.cumsum(counts)
        total = int(edges[task.stop])
    edges.flush()
    return total


@dataclass(frozen=True)
class PairTask:
    """One shard of every array over pairs."""

    job: Job
    number: int
    specs: dict[str, ArraySpec]

    @property
    def marker(self) -> Path:
        """The file that says that it is done."""
        return self.job.work / "done" / f"pairs.{self.number}.json"

    @property
    def range(self) -> tuple[int, int]:
        """The rows."""
        spec = self.specs["indices"]
        start = self.number * spec.grid.shard_rows
        return start, min(start + spec.grid.shard_rows, spec.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes that it makes."""
        start, stop = self.range
        widths = (np.dtype(spec.dtype).itemsize * math.prod(spec.shape[1:]) for spec in self.specs.values())
        return (stop - start) * sum(widths)


def do_pairs(task: PairTask) -> dict[str, Shard]:
    """Do a task; return what is known of each array's shard."""
    job, (start, stop) = task.job, task.range
    assert job.pairs_kind is not None
    offsets, selected, edges = (
        np.load(job.work / name, mmap_mode="r") for name in (OFFSETS, SELECTED, EDGES)
    )
    # The atoms with the first and the last of these pairs; a structure that is not selected has none.
    low = int(np.searchsorted(edges, start, side="right")) - 1
    high = int(np.searchsorted(edges, stop, side="left"))
    first = int(np.searchsorted(offsets, low, side="right")) - 1
    last = int(np.searchsorted(offsets, high - 1, side="right"))
    keep = np.asarray(selected[first:last])
    chosen = np.flatnonzero(keep) + first
    out = {name: np.empty((stop - start, *spec.shape[1:]), spec.dtype) for name, spec in task.specs.items()}

    def fill(row: int, part: Structures, neighbors: Neighbors) -> None:
        at = row + neighbors.start
        k = int(np.searchsorted(structures.offsets, at, side="right")) - 1
        begin = int(edges[offsets[chosen[k]] + at - structures.offsets[k]]) - start
        inside = slice(max(0, -begin), min(neighbors.n_pairs, stop - start - begin))
        rows = slice(begin + inside.start, begin + inside.stop)
        arrays: dict[str, NDArray[Any]] = {}
        if isinstance(job.what, Descriptor):
            arrays |= job.what.derivatives(part, neighbors)
        arrays["indices"] = neighbors.indices - _first_rows(part, neighbors)
        arrays["shifts" if isinstance(job.what, NeighborList) else "vectors"] = (
            neighbors.shifts if isinstance(job.what, NeighborList) else neighbors.vectors
        )
        for name, array in out.items():
            array[rows] = arrays[name][inside]

    structures = job.load(first, last, keep)
    end = structures.n_atoms - (int(offsets[last]) - high)
    pairs = max(1024, min(PAIRS, _PIECE_BYTES // (2 * task.nbytes // (stop - start))))
    visit(fill, structures, job.what.cutoff, low - int(offsets[first]), end, job.n_threads, pairs)
    folder = job.work / job.pairs_kind
    summary = {name: write_shard(folder, spec, task.number, out[name]) for name, spec in task.specs.items()}
    write_json(task.marker, summary)
    return summary


def _first_rows(part: Structures, neighbors: Neighbors) -> NDArray[np.int64]:
    """Return the row of the first atom of the structure of each pair, shape (p,)."""
    centres = np.arange(neighbors.start, neighbors.start + len(neighbors))
    first = part.offsets[np.searchsorted(part.offsets, centres, side="right") - 1]
    return np.repeat(first, np.diff(neighbors.offsets))
