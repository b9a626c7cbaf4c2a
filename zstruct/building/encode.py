"""The encode step: one task = one whole shard of one array, from the parts to the store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct import store
from zstruct.building.parts import Block
from zstruct.building.plan import Plan, PlannedField, load_plan
from zstruct.ragged import atom_rows, convert
from zstruct.schema import ATOM
from zstruct.working import write_json

__all__ = ["EncodeTask", "encode_shard", "encode_tasks", "encoded"]


@dataclass(frozen=True)
class EncodeTask:
    """Everything a worker needs to write one shard."""

    work: Path
    identity: str
    name: str
    shard: int
    nbytes: int


def encode_tasks(plan: Plan, work: Path, identity: str) -> list[EncodeTask]:
    """Return a task for every shard of every field, large arrays first."""
    tasks = []
    for planned in plan.fields:
        spec = plan.spec(planned)
        row = planned.field.row_bytes
        for k in range(spec.layout.n_shards(spec.shape[0])):
            rows = min(spec.layout.shard_rows, spec.shape[0] - k * spec.layout.shard_rows)
            tasks.append(EncodeTask(work, identity, planned.field.name, k, rows * row))
    return sorted(tasks, key=lambda task: -task.nbytes)


def encoded(task: EncodeTask) -> dict[str, Any] | None:
    """Return the summary of a shard that is already written, or None."""
    try:
        summary: dict[str, Any] = json.loads(_marker(task).read_text())
    except FileNotFoundError:
        return None
    return summary


def _marker(task: EncodeTask) -> Path:
    return task.work / "encoded" / f"{task.name}.{task.shard}.json"


def encode_shard(task: EncodeTask) -> dict[str, Any]:
    """Write one shard and return its digest and range."""
    plan = load_plan(task.work / "plan.json", task.identity)
    planned = plan.planned(task.name)
    spec = plan.spec(planned)
    start = task.shard * spec.layout.shard_rows
    stop = min(start + spec.layout.shard_rows, spec.shape[0])
    rows = (
        _shuffled(plan, planned, start, stop)
        if plan.order is not None
        else _ordered(plan, planned, start, stop)
    )
    summary: dict[str, Any] = {"digest": store.write_shard(task.work / "store", spec, task.shard, rows)}
    if planned.field.kind in ("float", "int") and task.name != "numbers":
        low, high = np.fmin.reduce(rows, axis=None), np.fmax.reduce(rows, axis=None)
        if np.isfinite(low) and np.isfinite(high):
            summary["range"] = [low.item(), high.item()]
    if task.name == "numbers":
        summary["species"] = np.bincount(rows.astype(np.int64)).tolist()
    write_json(_marker(task), summary)
    return summary


def _ordered(plan: Plan, planned: PlannedField, start: int, stop: int) -> NDArray:
    """Rows ``start:stop`` of a field, the structures being in the order of the parts."""
    edges = plan.atom_edges if planned.field.level == ATOM else plan.structure_edges
    out = np.full((stop - start, *planned.field.shape), planned.field.missing, planned.field.dtype)
    first = int(np.searchsorted(edges, start, side="right")) - 1
    for b in range(first, len(plan.blocks)):
        if edges[b] >= stop:
            break
        block = plan.blocks[b]
        if planned.original not in block.fields:
            continue
        low, high = max(start, int(edges[b])), min(stop, int(edges[b + 1]))
        local = slice(low - int(edges[b]), high - int(edges[b]))
        rows = _finished(plan, planned, block, block.rows(planned.original, local.start, local.stop))
        present = _present_rows(block, planned)
        if present is None:
            out[low - start : high - start] = rows
        else:
            mask = present[local]
            out[low - start : high - start][mask] = rows[mask]
    return out


def _shuffled(plan: Plan, planned: PlannedField, start: int, stop: int) -> NDArray:
    """Rows ``start:stop`` of a field, the structures being in the plan's order."""
    assert plan.order is not None
    if planned.field.level == ATOM:
        edges, offsets = plan.atom_edges, plan.offsets
        first = int(np.searchsorted(offsets, start, side="right")) - 1
        last = int(np.searchsorted(offsets, stop, side="left"))
        sources = atom_rows(plan.part_offsets[plan.order[first:last]], plan.counts[first:last])
        sources = sources[start - int(offsets[first]) :][: stop - start]
    else:
        edges, sources = plan.structure_edges, plan.order[start:stop]
    out = np.full((stop - start, *planned.field.shape), planned.field.missing, planned.field.dtype)
    by_block = np.argsort(sources, kind="stable")
    bounds = np.searchsorted(sources[by_block], edges)
    for b, block in enumerate(plan.blocks):
        here = by_block[bounds[b] : bounds[b + 1]]
        if len(here) == 0 or planned.original not in block.fields:
            continue
        local = sources[here] - int(edges[b])
        present = _present_rows(block, planned)
        if present is not None:
            here, local = here[present[local]], local[present[local]]
        out[here] = _finished(plan, planned, block, np.asarray(block.column(planned.original)[local]))
    return out


def _finished(plan: Plan, planned: PlannedField, block: Block, rows: NDArray) -> NDArray:
    index = plan.category_index.get(planned.field.name)
    return convert(rows, planned.field, block.categories.get(planned.original), index)


def _present_rows(block: Block, planned: PlannedField) -> NDArray[np.bool_] | None:
    if block.coverage[planned.original] == block.n_structures:
        return None
    present = block.present(planned.original)
    return np.repeat(present, block.counts()) if planned.field.level == ATOM else present
