"""The encode step: one task = one whole shard of one array, from the parts to the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.building.blocks import Block
from zstruct.building.fields import PlannedField, unit_factor
from zstruct.building.markers import marker_of, settle
from zstruct.building.passing import file_of, passing
from zstruct.building.plan import Plan, load_plan
from zstruct.building.publication import Target
from zstruct.building.stored_blocks import StoredInput
from zstruct.errors import InputError
from zstruct.precision import copied
from zstruct.ragged import atom_rows, convert
from zstruct.schema import ATOM, Field
from zstruct.store.files import shard_path
from zstruct.store.shared_shards import SharedShard, put_shard
from zstruct.store.write import write_pieces

__all__ = ["EncodeTask", "encode_shard", "encode_tasks"]


@dataclass(frozen=True)
class EncodeTask:
    """Everything a worker needs to write one shard; a `ShardTask`.

    Parameters
    ----------
    work, identity
        The working directory, and the build.
    name, shard
        The array, and the number of its shard.
    marker
        The file that says that it is done.
    file
        The file of the shard.
    nbytes
        Of its rows.
    settles
        Whether the worker settles it.
    inputs
        The stores among the inputs, by their place.
    shared
        The shard of another store that it is, if it need not be written again.
    links
        Whether it may have a name in both stores.
    known_rows
        So many rows of the array are known already as for what is said of them: those of another store that
        are all here.
    """

    work: Path
    identity: str
    name: str
    shard: int
    marker: Path
    file: Path
    nbytes: int
    settles: bool
    inputs: Mapping[int, StoredInput]
    shared: SharedShard | None
    links: bool
    known_rows: int


def encode_tasks(
    plan: Plan, target: Target, identity: str, *, settles: bool, links: bool = False
) -> list[EncodeTask]:
    """Return a task for every shard of every field, large arrays first.

    Parameters
    ----------
    plan
        What is in them.
    target
        Where they go.
    identity
        Of the build.
    settles, links
        As for an `EncodeTask`.
    """
    tasks = []
    for planned in plan.fields:
        spec, name, shared = plan.spec(planned), planned.field.name, plan.shared(planned)
        whole = plan.beginning is not None and plan.beginning.is_whole
        known_rows = shared[0].store.shape(shared[0].array)[0] if shared and whole else 0
        for k in range(spec.grid.n_shards(spec.shape[0])):
            marker = marker_of(target.encoded, name, k)
            file = shard_path(target.store, name, k, len(spec.shape))
            rows = min(spec.grid.shard_rows, spec.shape[0] - k * spec.grid.shard_rows)
            nbytes = rows * planned.field.row_bytes
            same = shared[k] if k < len(shared) else None
            tasks.append(
                EncodeTask(
                    target.work,
                    identity,
                    name,
                    k,
                    marker,
                    file,
                    nbytes,
                    settles,
                    plan.inputs,
                    same,
                    links,
                    known_rows,
                )
            )
    return sorted(tasks, key=lambda task: -task.nbytes)


def encode_shard(task: EncodeTask) -> dict[str, Any]:
    """Write one shard and return its digest and range."""
    plan = load_plan(task.work / "plan.json", task.identity, task.inputs)
    planned = plan.planned(task.name)
    spec = plan.spec(planned)
    folder = task.work / "store"
    start = task.shard * spec.grid.shard_rows
    stop = min(start + spec.grid.shard_rows, spec.shape[0])
    rows = _Rows(planned, task.known_rows - start)
    pieces = rows.seen(_pieces(plan, planned, start, stop, spec.grid.chunk_rows))
    if task.shared is not None:
        how = put_shard(task.shared, folder, spec, links=task.links, durable=task.settles)
        if rows.says and not task.known_rows:
            deque(pieces, maxlen=0)
        summary: dict[str, Any] = {"shard": task.shared.known, "how": how, **rows.summary()}
    else:
        looked_at = passing(plan, planned, start, stop)
        if looked_at is not None:
            pieces = looked_at.seen(pieces)
        shard = write_pieces(folder, spec, task.shard, pieces, durable=task.settles)
        if looked_at is not None:
            looked_at.save(file_of(task.marker))
        summary = {"shard": shard, **rows.summary()}
    if task.settles:
        settle(task, summary)
    return summary


class _Rows:
    """What is said of the rows of a shard, which pass by chunk by chunk: their range, or their elements.

    Parameters
    ----------
    planned
        The field.
    known
        So many of the first rows are elements that are counted elsewhere.
    """

    def __init__(self, planned: PlannedField, known: int):
        field, self._known = planned.field, known
        self._is_float, self._are_elements = field.kind == "float", field.name == "numbers"
        self._has_range = field.kind in ("float", "int") and not self._are_elements
        self._ranges: list[tuple[Any, Any]] = []
        self._species = np.zeros(256, dtype=np.int64)

    @property
    def says(self) -> bool:
        """Whether there is anything to be said of them."""
        return self._has_range or self._are_elements

    def seen(self, pieces: Iterable[tuple[NDArray[Any], NDArray[np.bool_] | None]]) -> Iterator[NDArray[Any]]:
        """Yield rows as they are stored, given with a mask of those that are no fill values."""
        room = None
        for given_rows, given in pieces:
            rows = given_rows
            if self._is_float:
                room = np.empty_like(rows) if room is None else room
                # The sign of zero is not kept: -0.0 + 0.0 is 0.0. What is added to may be a part's.
                rows = np.add(rows, 0.0, out=room[: len(rows)])
            if self._has_range:
                self._add_range(rows if given is None else rows[given])
            if self._are_elements:
                self._species += np.bincount(rows[max(0, self._known) :], minlength=256)
                self._known -= len(rows)
            yield rows

    def _add_range(self, known: NDArray[Any]) -> None:
        if not known.size:
            return
        low, high = np.fmin.reduce(known, axis=None), np.fmax.reduce(known, axis=None)
        if not (np.isfinite(low) and np.isfinite(high)):
            known = known[np.isfinite(known)]
            if not known.size:
                return
            low, high = known.min(), known.max()
        self._ranges.append((low, high))

    def summary(self) -> dict[str, Any]:
        """Return what the summary of the shard says of its rows."""
        if self._are_elements:
            return {"species": np.trim_zeros(self._species, "b").tolist()}
        if self._ranges:
            low, high = min(r[0] for r in self._ranges), max(r[1] for r in self._ranges)
            return {"range": [low.item(), high.item()]}
        return {}


def _pieces(
    plan: Plan, planned: PlannedField, start: int, stop: int, size: int
) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_] | None]]:
    """Yield rows ``start:stop`` of a field, so many at a time, and which are given."""
    if plan.order is None and planned.categories is None:
        for begin in range(start, stop, size):
            yield _ordered(plan, planned, begin, min(begin + size, stop))
        return
    # Once through the parts, and once through the texts of each.
    rows, given = (_ordered if plan.order is None else _shuffled)(plan, planned, start, stop)
    for begin in range(0, stop - start, size):
        here = slice(begin, begin + size)
        yield rows[here], None if given is None else given[here]


def _ordered(
    plan: Plan, planned: PlannedField, start: int, stop: int
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Rows ``start:stop`` of a field, and which are given; the structures being in the order of the parts.

    They may be the part's own.
    """
    edges = plan.atom_edges if planned.field.level == ATOM else plan.structure_edges
    first = int(np.searchsorted(edges, start, side="right")) - 1
    block = plan.blocks[first]
    if edges[first + 1] >= stop and block.coverage.get(planned.original) == block.n_structures:
        low = start - int(edges[first])
        if planned.is_presence:
            return np.ones(stop - start, dtype=bool), None
        return _finished(plan, planned, block, block.rows(planned.original, low, low + stop - start)), None
    out, given = _nothing(plan, planned, stop - start)
    for b in range(first, len(plan.blocks)):
        if edges[b] >= stop:
            break
        block = plan.blocks[b]
        if planned.original not in block.fields:
            continue
        low, high = max(start, int(edges[b])), min(stop, int(edges[b + 1]))
        local = slice(low - int(edges[b]), high - int(edges[b]))
        here = slice(low - start, high - start)
        if planned.is_presence:
            out[here] = block.present(planned.original)[local]
            continue
        rows = _finished(plan, planned, block, block.rows(planned.original, local.start, local.stop))
        present = _present_rows(block, planned)
        mask: slice | NDArray[np.bool_] = slice(None) if present is None else present[local]
        out[here][mask] = rows[mask]
        if given is not None:
            given[here][mask] = True
    return out, given


def _shuffled(
    plan: Plan, planned: PlannedField, start: int, stop: int
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Rows ``start:stop`` of a field, and which are given; the structures being in the plan's order."""
    assert plan.order is not None
    if planned.field.level == ATOM:
        edges, offsets = plan.atom_edges, plan.offsets
        first = int(np.searchsorted(offsets, start, side="right")) - 1
        last = int(np.searchsorted(offsets, stop, side="left"))
        sources = atom_rows(plan.part_offsets[plan.order[first:last]], plan.counts[first:last])
        sources = sources[start - int(offsets[first]) :][: stop - start]
    else:
        edges, sources = plan.structure_edges, plan.order[start:stop]
    out, given = _nothing(plan, planned, stop - start)
    by_block = np.argsort(sources, kind="stable")
    bounds = np.searchsorted(sources[by_block], edges)
    for b, block in enumerate(plan.blocks):
        here = by_block[bounds[b] : bounds[b + 1]]
        if len(here) == 0 or planned.original not in block.fields:
            continue
        local = sources[here] - int(edges[b])
        if planned.is_presence:
            out[here] = block.present(planned.original)[local]
            continue
        present = _present_rows(block, planned)
        if present is not None:
            here, local = here[present[local]], local[present[local]]
        out[here] = _finished(plan, planned, block, np.asarray(block.column(planned.original)[local]))
        if given is not None:
            given[here] = True
    return out, given


def _nothing(plan: Plan, planned: PlannedField, n: int) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return n rows in which everything is missing, and a mask of given ones where values don't say so."""
    field = planned.field
    silent = field.presence() is not None and planned.coverage < len(plan.counts)
    return np.full((n, *field.shape), field.missing, field.dtype), np.zeros(n, bool) if silent else None


def _finished(plan: Plan, planned: PlannedField, block: Block, rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows of a block as those of the field."""
    field, own = planned.field, block.fields[planned.original]
    factor = unit_factor(own, field)
    if factor is not None:
        rows = rows.astype(np.float64, copy=False) * factor
    if field.kind == "category":
        index = plan.category_index[field.name]
        return convert(rows, field, block.categories.get(planned.original), index)
    if rows.dtype == np.float64 and field.dtype == "float32":
        return _narrowed(rows, field, block)
    return convert(rows, field)


def _narrowed(rows: NDArray[np.float64], field: Field, block: Block) -> NDArray[np.float32]:
    """Return rows in single precision, of which none becomes infinite."""
    out = np.empty(rows.shape, np.float32)
    try:
        copied(rows, out)
    except FloatingPointError:
        raise InputError(
            f"{field.name} has a number that single precision makes infinite: store it in double precision, "
            f"encoding='float64', or leave it out with exclude=[{field.name!r}]",
            block.label,
        ) from None
    return out


def _present_rows(block: Block, planned: PlannedField) -> NDArray[np.bool_] | None:
    """Return which rows of a block are given; None: all, or they say so themselves."""
    if block.coverage[planned.original] == block.n_structures:
        return None
    if block.fields[planned.original].kind == planned.field.kind and block.says_missing(planned.original):
        return None
    present = block.present(planned.original)
    return np.repeat(present, block.counts()) if planned.field.level == ATOM else present
