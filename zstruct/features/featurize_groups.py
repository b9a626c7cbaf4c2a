"""Assemble groups in a working directory: run the tasks, then write what is known only after them.

A step that was interrupted is taken up again where its markers end. Nothing here knows where the
groups go when they are whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from zstruct.disk import save_array
from zstruct.features.featurize_tasks import (
    EDGES,
    OFFSETS,
    SELECTED,
    AtomTask,
    Job,
    PairTask,
    count_pairs,
    do_atoms,
    do_pairs,
    pair_specs,
    values_spec,
)
from zstruct.features.statistics import described
from zstruct.moments import ColumnMoments
from zstruct.progress import Runner
from zstruct.schema import ATOM
from zstruct.store.chunks import choose_grid
from zstruct.store.spec import ArraySpec, GroupKind
from zstruct.store.store import Store
from zstruct.store.workdir import read_json, write_json
from zstruct.store.write import Shard, WrittenArray, complete, create, write_array, write_shard

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
    if values is not None:
        _create(job, "features", [values], attrs["features"])
    starts = range(0, n_atoms, rows)
    ready = replace(job, n_threads=_threads(runner, len(starts)))
    tasks = [AtomTask(ready, k, a, min(a + rows, n_atoms), values) for k, a in enumerate(starts)]
    done = _run(runner, "features" if values is not None else "neighbors", do_atoms, tasks)
    if values is not None:
        summaries = [
            {int(z): ColumnMoments.from_dict(found) for z, found in task["statistics"].items()}
            for task in done
        ]
        written = WrittenArray(values, [Shard(*task["shard"]) for task in done])
        complete(job.work / "features", {"statistics": described(summaries)}, [written])
    if job.pairs_kind is not None:
        largest_shift = max(task["largest_shift"] for task in done)
        _make_pairs(job, job.pairs_kind, tasks, largest_shift, counts, attrs[job.pairs_kind], runner)


def _make_pairs(
    job: Job,
    kind: GroupKind,
    counted: list[AtomTask],
    largest_shift: int,
    counts: ArraySpec,
    attrs: dict[str, Any],
    runner: Runner,
) -> None:
    n_pairs = count_pairs(job, counted)
    atom_offsets = np.load(job.work / OFFSETS, mmap_mode="r")
    edges = np.load(job.work / EDGES, mmap_mode="r")
    offsets = _edge_spec("offsets", "structure_edge", len(atom_offsets), "int64", "first pair of a structure")
    specs = pair_specs(job, n_pairs, largest_shift)
    _create(job, kind, [offsets, counts, *specs.values()], attrs)
    n_tasks = specs["indices"].grid.n_shards(n_pairs)
    ready = replace(job, n_threads=_threads(runner, n_tasks))
    done = _run(runner, kind, do_pairs, [PairTask(ready, k, specs) for k in range(n_tasks)])
    written = [WrittenArray(spec, [Shard(*task[name]) for task in done]) for name, spec in specs.items()]
    folder, rows = job.work / kind, counts.grid.shard_rows
    written.append(write_array(folder, offsets, edges[atom_offsets]))
    per_atom = [
        write_shard(folder, counts, k, np.diff(edges[k * rows : (k + 1) * rows + 1]))
        for k in range(counts.grid.n_shards(counts.shape[0]))
    ]
    written.append(WrittenArray(counts, per_atom))
    complete(folder, {"n_pairs": n_pairs}, written)


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
