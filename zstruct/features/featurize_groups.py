"""Assemble groups in a working directory: run the tasks, then write what is known only after them.

A step that was interrupted is taken up again where its markers end. Nothing here knows where the
groups go when they are whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.disk import save_array
from zstruct.features.featurize_pairs import EDGES, PairTask, count_pairs, do_pairs, pair_specs
from zstruct.features.featurize_tasks import OFFSETS, SELECTED, AtomTask, Job, do_atoms, values_spec
from zstruct.features.statistics import statistics_of
from zstruct.geometry.neighbors import NeighborList
from zstruct.moments import ColumnMoments
from zstruct.progress import Runner
from zstruct.schema import ATOM
from zstruct.store.chunks import choose_grid
from zstruct.store.shared_shards import write_growing
from zstruct.store.spec import ArraySpec, GroupKind
from zstruct.store.store import Store
from zstruct.store.workdir import read_json, write_json
from zstruct.store.write import Shard, WrittenArray, complete, create

__all__ = ["make", "prepare"]


def _run(runner: Runner, step: str, function: Any, tasks: list[Any]) -> list[Any]:
    """Do the tasks that have no marker; return what all of them returned, in order."""
    found = [read_json(task.marker) for task in tasks]
    todo = [k for k, result in enumerate(found) if result is None]
    sizes = [task.nbytes for task in tasks]
    runner.begin(step, sum(sizes), sum(sizes) - sum(sizes[k] for k in todo))
    for k, result in runner.run(function, [tasks[k] for k in todo], [sizes[k] for k in todo]):
        found[todo[k]] = result
    return found


def _threads(runner: Runner, n_tasks: int) -> int:
    """Return how many threads each task may use, if there are fewer tasks than workers."""
    return 1 if runner.n_workers is None else max(1, runner.n_workers // max(1, n_tasks))


def prepare(job: Job, opened: Store, only: str | None) -> None:
    """Write what the tasks read: the offsets of the atoms, and which structures have pairs."""
    (job.work / "done").mkdir()
    save_array(job.work / OFFSETS, opened.read("offsets"))
    selected = np.ones(opened.n_structures, dtype=bool) if only is None else opened.present(only)
    save_array(job.work / SELECTED, selected)


def make(job: Job, opened: Store, attrs: Mapping[GroupKind, dict[str, Any]], runner: Runner) -> None:
    """Make the groups of a job, complete, with the given attributes and those found on the way."""
    n_atoms = opened.n_atoms
    counts = _edge_spec("counts", ATOM, n_atoms, "int32", "number of pairs")
    values = values_spec(job, n_atoms) if "features" in job.kinds else None
    rows = counts.grid.chunk_rows if values is None else values.grid.shard_rows
    known, shared = job.known_of("features"), []
    if values is not None:
        _create(job, "features", [values], attrs["features"])
        shared = known.shared(opened, values, known.n_atoms)
    first = known.moments(opened, len(shared))
    starts = range(0, n_atoms, rows)
    ready = replace(job, n_threads=_threads(runner, len(starts)))
    tasks = [
        AtomTask(
            ready,
            k,
            start,
            min(start + rows, n_atoms),
            values,
            shared[k] if k < len(shared) else None,
            k < first.shards,
        )
        for k, start in enumerate(starts)
    ]
    done = _run(runner, "features" if values is not None else "neighbors", do_atoms, tasks)
    if values is not None:
        moments = [
            {int(z): ColumnMoments.from_dict(found) for z, found in task["statistics"].items()}
            for task in done[first.shards :]
        ]
        written = WrittenArray(values, [Shard(*task["shard"]) for task in done])
        complete(job.work / "features", statistics_of(first, moments, n_atoms // rows), [written])
    if job.pairs_kind is not None:
        largest_shift = max(task["largest_shift"] for task in done)
        _make_pairs(job, opened, job.pairs_kind, tasks, largest_shift, counts, attrs[job.pairs_kind], runner)


def _make_pairs(
    job: Job,
    opened: Store,
    kind: GroupKind,
    counted: list[AtomTask],
    largest_shift: int,
    counts: ArraySpec,
    attrs: dict[str, Any],
    runner: Runner,
) -> None:
    n_pairs, known = count_pairs(job, counted), job.known_of(kind)
    atom_offsets = np.load(job.work / OFFSETS, mmap_mode="r")
    edges = np.load(job.work / EDGES, mmap_mode="r")
    offsets = _edge_spec("offsets", "structure_edge", len(atom_offsets), "int64", "first pair of a structure")
    if isinstance(job.what, NeighborList) and known.n_pairs:
        largest_shift = max(largest_shift, known.largest_shift(opened))
    specs = pair_specs(job, n_pairs, largest_shift)
    _create(job, kind, [offsets, counts, *specs.values()], attrs)
    shared = {name: known.shared(opened, spec, known.n_pairs) for name, spec in specs.items()}
    n_tasks = specs["indices"].grid.n_shards(n_pairs)
    ready = replace(job, n_threads=_threads(runner, n_tasks))
    tasks = [
        PairTask(ready, k, specs, {name: some[k] for name, some in shared.items() if k < len(some)})
        for k in range(n_tasks)
    ]
    done = _run(runner, kind, do_pairs, tasks)
    written = [WrittenArray(spec, [Shard(*task[name]) for task in done]) for name, spec in specs.items()]

    def edge_array(spec: ArraySpec, rows: int, read: Callable[[int, int], NDArray[Any]]) -> WrittenArray:
        same = known.shared(opened, spec, rows)
        return write_growing(job.work / kind, spec, same, read, links=True, durable=True)

    n_edges = known.n_structures + 1 if known.n_structures else 0
    written += [
        edge_array(offsets, n_edges, lambda a, b: edges[atom_offsets[a:b]]),
        edge_array(counts, known.n_atoms, lambda a, b: np.diff(edges[a : b + 1])),
    ]
    complete(job.work / kind, {"n_pairs": n_pairs}, written)


def _edge_spec(name: str, dim: str, n: int, dtype: str, text: str) -> ArraySpec:
    level: Any = ATOM if dim == ATOM else "structure"
    grid = choose_grid(n, np.dtype(dtype).itemsize, level)
    return ArraySpec(name, (dim,), (n,), dtype, {"long_name": text}, 0, grid)


def _create(job: Job, kind: GroupKind, specs: list[ArraySpec], attrs: dict[str, Any]) -> None:
    """Create a group without data, unless an earlier run did."""
    marker = job.work / "done" / f"{kind}.json"
    if read_json(marker) is None:
        create(job.work / kind, specs, attrs)
        write_json(marker, True)
