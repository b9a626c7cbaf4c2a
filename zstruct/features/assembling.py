"""Assemble groups in a working directory: run the tasks, then write what is known only after them.

A step that was interrupted is taken up again where its markers end. Nothing here knows where the
groups go when they are whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel, store
from zstruct.features.groups import Kind
from zstruct.features.statistics import Moments, described
from zstruct.features.storing import (
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
    save_array,
    values_spec,
)
from zstruct.schema import ATOM
from zstruct.store import ArraySpec, Store
from zstruct.working import read_json, write_json

if TYPE_CHECKING:
    from distributed import Client  # noqa: TID251
    from tqdm import tqdm

__all__ = ["Run", "make", "prepare"]


class Run:
    """Where tasks run and the progress bar they move."""

    def __init__(self, client: Client | None, n_workers: int, progress: bool):
        self.client, self.n_workers, self._progress = client, n_workers, progress
        self._bar: tqdm | None = None

    def __call__(self, step: str, function: Any, tasks: list[Any]) -> list[Any]:
        """Do the tasks that have no marker; return what all of them returned, in order."""
        found = [read_json(task.marker) for task in tasks]
        todo = [k for k, result in enumerate(found) if result is None]
        if self._progress:
            if self._bar is None:
                from tqdm.auto import tqdm

                self._bar = tqdm(total=0, unit="B", unit_scale=True, delay=0.5)
            self._bar.total += sum(task.nbytes for task in tasks)
            self._bar.set_description(step, refresh=False)
            self._bar.update(sum(task.nbytes for k, task in enumerate(tasks) if found[k] is not None))
        pending = [tasks[k] for k in todo]
        for k, result in parallel.run(function, pending, client=self.client, n_workers=self.n_workers):
            found[todo[k]] = result
            if self._bar is not None:
                self._bar.update(pending[k].nbytes)
        return found

    def threads(self, n_tasks: int) -> int:
        """Return how many threads each task may use, if there are fewer tasks than workers."""
        return 1 if self.client is not None else max(1, self.n_workers // max(1, n_tasks))

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


def prepare(job: Job, opened: Store, only: str | None) -> None:
    """Write what the tasks read: the offsets of the atoms, and which structures have pairs."""
    (job.work / "done").mkdir()
    offsets = opened.read("offsets")
    save_array(job.work / OFFSETS, offsets)
    selected = np.ones(opened.n_structures, dtype=bool)
    if only == "forces" and opened.coverage("forces") < opened.n_structures:
        selected = _with_forces(opened, offsets)
    save_array(job.work / SELECTED, selected)


def _with_forces(opened: Store, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which structures have forces: they are missing for all atoms of one or for none."""
    found, rows = [], opened.layout("forces").shard_rows
    for start in range(0, opened.n_atoms, rows):
        stop = min(start + rows, opened.n_atoms)
        first = offsets[np.searchsorted(offsets, start) : np.searchsorted(offsets, stop)] - start
        found.append(~np.isnan(opened.read("forces", start, stop)[first]).all(axis=1))
    return np.concatenate(found)


def make(job: Job, opened: Store, attrs: Mapping[Kind, dict[str, Any]], run: Run) -> None:
    """Make the groups of a job, complete, with the given attributes and those found on the way."""
    n_atoms = opened.n_atoms
    counts = _edge_spec("counts", ATOM, n_atoms, "int32", "number of pairs")
    values = values_spec(job, n_atoms) if "features" in job.kinds else None
    rows = counts.layout.chunk_rows if values is None else values.layout.shard_rows
    if values is not None:
        _create(job, "features", [values], attrs["features"])
    starts = range(0, n_atoms, rows)
    ready = replace(job, n_threads=run.threads(len(starts)))
    tasks = [AtomTask(ready, k, a, min(a + rows, n_atoms), values) for k, a in enumerate(starts)]
    done = run("features" if values is not None else "neighbors", do_atoms, tasks)
    if values is not None:
        summaries = [
            {int(z): Moments.from_json(found) for z, found in task["statistics"].items()} for task in done
        ]
        written = store.WrittenArray(values, [store.Shard(*task["shard"]) for task in done])
        store.complete(job.work / "features", {"statistics": described(summaries)}, [written])
    if job.pairs_kind is not None:
        largest_shift = max(task["largest_shift"] for task in done)
        _make_pairs(job, job.pairs_kind, tasks, largest_shift, counts, attrs[job.pairs_kind], run)


def _make_pairs(
    job: Job,
    kind: Kind,
    counted: list[AtomTask],
    largest_shift: int,
    counts: ArraySpec,
    attrs: dict[str, Any],
    run: Run,
) -> None:
    n_pairs = count_pairs(job, counted)
    atom_offsets = np.load(job.work / OFFSETS, mmap_mode="r")
    edges = np.load(job.work / EDGES, mmap_mode="r")
    offsets = _edge_spec("offsets", "structure_edge", len(atom_offsets), "int64", "first pair of a structure")
    specs = pair_specs(job, n_pairs, largest_shift)
    _create(job, kind, [offsets, counts, *specs.values()], attrs)
    n_tasks = specs["indices"].layout.n_shards(n_pairs)
    ready = replace(job, n_threads=run.threads(n_tasks))
    done = run(kind, do_pairs, [PairTask(ready, k, specs) for k in range(n_tasks)])
    written = [
        store.WrittenArray(spec, [store.Shard(*task[name]) for task in done]) for name, spec in specs.items()
    ]
    folder, rows = job.work / kind, counts.layout.shard_rows
    written.append(store.write_array(folder, offsets, edges[atom_offsets]))
    per_atom = [
        store.write_shard(folder, counts, k, np.diff(edges[k * rows : (k + 1) * rows + 1]))
        for k in range(counts.layout.n_shards(counts.shape[0]))
    ]
    written.append(store.WrittenArray(counts, per_atom))
    store.complete(folder, {"n_pairs": n_pairs}, written)


def _edge_spec(name: str, dim: str, n: int, dtype: str, text: str) -> ArraySpec:
    level: Any = ATOM if dim == ATOM else "structure"
    layout = store.choose_layout(n, np.dtype(dtype).itemsize, level)
    return ArraySpec(name, (dim,), (n,), dtype, {"long_name": text}, 0, layout)


def _create(job: Job, kind: Kind, specs: list[ArraySpec], attrs: dict[str, Any]) -> None:
    """Create a group without data, unless an earlier run did."""
    marker = job.work / "done" / f"{kind}.json"
    if read_json(marker) is None:
        store.create(job.work / kind, specs, attrs)
        write_json(marker, True)
