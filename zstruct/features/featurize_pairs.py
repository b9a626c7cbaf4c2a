"""The second tasks of `featurize`: arrays of a range of pairs, of derivatives or of neighbours.

How many pairs each atom has is known from the first ones; neighbours are found again, for that takes less
time than to keep them on disk. What is known of the pairs of the first structures is taken as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.disk import allocate, naming
from zstruct.features.descriptor import Descriptor
from zstruct.features.featurize_tasks import OFFSETS, SELECTED, AtomTask, Job
from zstruct.geometry.neighbors import PAIRS, NeighborList, Neighbors
from zstruct.geometry.pieces import visit
from zstruct.geometry.structures import Structures
from zstruct.schema import ATOM
from zstruct.store.chunks import choose_grid
from zstruct.store.shared_shards import SharedShard, put_shard
from zstruct.store.spec import ArraySpec
from zstruct.store.workdir import write_json
from zstruct.store.write import Shard, write_shard

__all__ = ["EDGES", "PairTask", "count_pairs", "do_pairs", "pair_specs"]

EDGES = "pair_edges.npy"
_PIECE_BYTES = 1 << 25  # of the derivatives of a piece


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


def count_pairs(job: Job, tasks: Sequence[AtomTask]) -> int:
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
        counts[~np.repeat(selected[first:last], inside)] = 0  # those that are known are so already
        edges[task.start + 1 : task.stop + 1] = total + np.cumsum(counts)
        total = int(edges[task.stop])
    edges.flush()
    return total


@dataclass(frozen=True)
class PairTask:
    """One shard of every array over pairs; `shared` are those that there are already, by array."""

    job: Job
    number: int
    specs: dict[str, ArraySpec]
    shared: Mapping[str, SharedShard] = field(default_factory=dict)

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
    folder, known = job.work / job.pairs_kind, job.known_of(job.pairs_kind)
    summary: dict[str, Shard] = {}
    out: dict[str, NDArray[Any]] = {}
    begin = max(start, min(known.n_pairs, stop))  # of what has to be computed
    for name, spec in task.specs.items():
        if name in task.shared:
            shared = task.shared[name]
            put_shard(shared, folder, spec, links=True, durable=True)
            summary[name] = shared.known
            continue
        out[name] = np.empty((stop - start, *spec.shape[1:]), spec.dtype)
        if begin > start:
            out[name][: begin - start] = known.read(job.opened, name, start, begin)
    if out and begin < stop:
        _compute(task, begin, out)
    for name, rows in out.items():
        summary[name] = write_shard(folder, task.specs[name], task.number, rows)
    write_json(task.marker, summary)
    return summary


def _compute(task: PairTask, begin: int, out: dict[str, NDArray[Any]]) -> None:
    """Compute the pairs of a shard from one on, and put them into its arrays."""
    job, (start, stop) = task.job, task.range
    offsets, selected, edges = (
        np.load(job.work / name, mmap_mode="r") for name in (OFFSETS, SELECTED, EDGES)
    )
    # The atoms with the first and the last of these pairs; a structure that is not selected has none.
    low = int(np.searchsorted(edges, begin, side="right")) - 1
    high = int(np.searchsorted(edges, stop, side="left"))
    first = int(np.searchsorted(offsets, low, side="right")) - 1
    last = int(np.searchsorted(offsets, high - 1, side="right"))
    keep = np.asarray(selected[first:last])
    chosen = np.flatnonzero(keep) + first

    def fill(row: int, part: Structures, neighbors: Neighbors) -> None:
        at = row + neighbors.start
        k = int(np.searchsorted(structures.offsets, at, side="right")) - 1
        here = int(edges[offsets[chosen[k]] + at - structures.offsets[k]])
        inside = slice(max(0, begin - here), min(neighbors.n_pairs, stop - here))
        rows = slice(here - start + inside.start, here - start + inside.stop)
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


def _first_rows(part: Structures, neighbors: Neighbors) -> NDArray[np.int64]:
    """Return the row of the first atom of the structure of each pair, shape (p,)."""
    centres = np.arange(neighbors.start, neighbors.start + len(neighbors))
    first = part.offsets[np.searchsorted(part.offsets, centres, side="right") - 1]
    return np.repeat(first, np.diff(neighbors.offsets))
