"""Write a group of labels: fields shard by shard, who has them, and why structures have none.

A field is missing for all atoms of a structure or for none, as in a store itself. Where rows come from is not
known here.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.errors import InputError
from zstruct.schema import ATOM, STRUCTURE, Field
from zstruct.store.shared_shards import SharedShard, put_shard, shared_shards
from zstruct.store.spec import FAILURE, ArraySpec, categories_specs, spec_of
from zstruct.store.store import Store
from zstruct.store.write import Shard, WrittenArray, complete, create, write_array, write_pieces

__all__ = ["FAILURE_FIELD", "Failures", "KeptLabels", "LabelColumn", "write_labels"]

#: What says why structures have no labels.
FAILURE_FIELD = Field(
    FAILURE, (STRUCTURE,), "category", "int32", "", "why the structure has no labels", "scalar"
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class KeptLabels:
    """What the first structures of a store have of a field already, in a group that there is.

    Parameters
    ----------
    store, array
        Where it is.
    n_structures, n_rows
        Of which structures, the first ones, and how many rows they have.
    is_all
        Whether the group has no others: what it says of the field is said of these.
    links
        Whether the files of shards may be the same, here or at a server.
    """

    store: Store
    array: str
    n_structures: int
    n_rows: int
    is_all: bool = True
    links: bool = True

    def shared(self, spec: ArraySpec) -> list[SharedShard]:
        """Return the first shards of the new array that are as they are."""
        return shared_shards(self.store, self.array, spec, self.n_rows, anywhere=self.links)

    @property
    def coverage(self) -> int:
        """How many of the structures have the field."""
        return int(self.store.array_attrs(self.array).get("coverage", self.n_structures))

    @property
    def range(self) -> list[float]:
        """The smallest and the largest number; nothing if there is none."""
        found: list[float] = self.store.array_attrs(self.array).get("actual_range", [])
        return found


@dataclass(frozen=True, eq=False)
class LabelColumn:
    """A field of labels, and what has its rows.

    Parameters
    ----------
    field
        The field.
    read
        Returns rows from the first to before the second, as they are to be stored: a missing float is NaN.
        Called by several threads.
    present
        Which structures have it, of whole numbers and booleans; None: all.
    attrs
        What else is said of it.
    kept
        What the first structures have already: their rows are read only where a shard has others, too.
    """

    field: Field
    read: Callable[[int, int], NDArray[Any]]
    present: NDArray[np.bool_] | None = None
    attrs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    kept: KeptLabels | None = None

    @property
    def mask(self) -> Field | None:
        """The field that says which structures have this one, if its values can't and not all do."""
        return None if self.present is None or self.present.all() else self.field.presence()

    @property
    def said(self) -> KeptLabels | None:
        """Those of the first structures of which the group that there is says what is to be said."""
        return None if self.kept is None or not self.kept.is_all else self.kept


@dataclass(frozen=True, eq=False)
class Failures:
    """Why structures have no labels.

    Parameters
    ----------
    codes
        The reason of each structure by its place in `texts`, -1 for none, shape (n_structures,).
    texts
        The reasons.
    """

    codes: NDArray[np.int32]
    texts: list[str]


def write_labels(
    folder: Path,
    columns: Sequence[LabelColumn],
    offsets: NDArray[np.int64],
    attrs: Mapping[str, Any],
    failures: Failures | None = None,
    workers: int | None = None,
) -> None:
    """Write a group of labels, complete.

    Parameters
    ----------
    folder
        Where it is made.
    columns
        The fields.
    offsets
        Row edges of the structures, shape (n_structures + 1,).
    attrs
        Attributes of the group.
    failures
        Why structures have no labels, if some failed.
    workers
        Threads; by default one per processor.

    Raises
    ------
    InputError
        If a field is infinite somewhere, or given for a part of a structure only; names the structure.
    """
    n, of_atoms = len(offsets) - 1, int(offsets[-1])
    specs: list[ArraySpec] = []
    small: list[tuple[ArraySpec, NDArray[Any]]] = []
    for column in columns:
        rows = of_atoms if column.field.level == ATOM else n
        attrs_of = dict(column.attrs)
        if column.mask is not None and column.present is not None:
            attrs_of |= {"presence": column.mask.name, "ancillary_variables": column.mask.name}
            said = {"presence_of": column.field.name, "coverage": n}
            small.append((spec_of(column.mask, column.mask.name, n, said), column.present))
        specs.append(spec_of(column.field, column.field.name, rows, attrs_of))
    if failures is not None:
        said = {"coverage": int((failures.codes >= 0).sum())}
        small.append((spec_of(FAILURE_FIELD, FAILURE, n, said), failures.codes))
        small += categories_specs(FAILURE, failures.texts)
    create(folder, [*specs, *(spec for spec, _ in small)], attrs)
    tasks = []
    for column, spec in zip(columns, specs, strict=True):
        shared = [] if column.kept is None else column.kept.shared(spec)
        for k in range(spec.grid.n_shards(spec.shape[0])):
            same = shared[k] if k < len(shared) else None
            tasks.append(_Task(folder, column, spec, k, offsets, same))
    seen: list[Any] = [None] * len(tasks)
    for k, result in parallel.run(_write_shard, tasks, runs_in="here", workers=workers):
        seen[k] = result
    written = [write_array(folder, spec, rows) for spec, rows in small]
    for column, spec in zip(columns, specs, strict=True):
        mine = [one for task, one in zip(tasks, seen, strict=True) if task.column is column]
        known = {"coverage": _coverage(column, mine, offsets), **_range(column, mine)}
        written.append(WrittenArray(spec, [one.shard for one in mine], known))
    complete(folder, {}, written)


@dataclass(frozen=True, eq=False)
class _Task:
    """One shard of a field; `shared` is that which there is already."""

    folder: Path
    column: LabelColumn
    spec: ArraySpec
    number: int
    offsets: NDArray[np.int64]
    shared: SharedShard | None

    @property
    def rows(self) -> tuple[int, int]:
        """The first row, and the one after the last."""
        start = self.number * self.spec.grid.shard_rows
        return start, min(start + self.spec.grid.shard_rows, self.spec.shape[0])

    def structures(self, rows: Any) -> Any:
        """Return which structures rows are of."""
        if self.column.field.level != ATOM:
            return rows
        return np.searchsorted(self.offsets, rows, side="right") - 1


@dataclass(eq=False)
class _Seen:
    """What was seen of a shard while it was written: its range, and how many rows structures miss."""

    low: float = np.inf
    high: float = -np.inf
    missing: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = dataclasses.field(default_factory=list)
    shard: Shard | None = None


def _write_shard(task: _Task) -> _Seen:
    """Write a shard."""
    seen = _Seen()
    if task.shared is None:
        seen.shard = write_pieces(task.folder, task.spec, task.number, _pieces(task, seen))
    else:
        kept = task.column.kept
        links = kept is not None and kept.links
        put_shard(task.shared, task.folder, task.spec, links=links, durable=True)
        if task.column.said is None:
            deque(_pieces(task, seen), maxlen=0)
        seen.shard = task.shared.known
    return seen


def _pieces(task: _Task, seen: _Seen) -> Iterator[NDArray[Any]]:
    """Yield the rows of a shard, a chunk at a time, and note what is seen of them."""
    start, stop = task.rows
    for begin in range(start, stop, task.spec.grid.chunk_rows):
        rows = task.column.read(begin, min(begin + task.spec.grid.chunk_rows, stop))
        if rows.dtype.kind == "f":
            rows = rows + np.zeros((), rows.dtype)  # the sign of zero is not kept: -0.0 + 0.0 is 0.0
            _look(task, seen, begin, rows)
        elif rows.dtype.kind in "iu" and rows.size:
            seen.low, seen.high = min(seen.low, rows.min().item()), max(seen.high, rows.max().item())
        yield rows


def _look(task: _Task, seen: _Seen, begin: int, rows: NDArray[Any]) -> None:
    """Note the range of floats, and which are missing.

    Raises
    ------
    InputError
        If one is infinite, or if some numbers of a row are missing.
    """
    if not rows.size:
        return
    low, high = rows.min(), rows.max()
    lost = bool(np.isnan(low))
    if lost:
        low, high = np.fmin.reduce(rows, axis=None), np.fmax.reduce(rows, axis=None)
    if np.isinf(low) or np.isinf(high):
        row = int(np.flatnonzero(np.isinf(rows.reshape(len(rows), -1)).any(axis=1))[0])
        raise InputError(
            f"{task.column.field.name} of structure {task.structures(begin + row)} is infinite; where a "
            "label is missing, it is NaN"
        )
    if not np.isnan(low):
        seen.low, seen.high = min(seen.low, low.item()), max(seen.high, high.item())
    if lost:
        there = ~np.isnan(rows.reshape(len(rows), -1))
        whole, some = there.all(axis=1), there.any(axis=1)
        if (some & ~whole).any():
            _refuse_half(task.column, task.structures(begin + int(np.flatnonzero(some & ~whole)[0])))
        of = task.structures(begin + np.flatnonzero(~whole))
        seen.missing.append(np.unique(of, return_counts=True))


def _coverage(column: LabelColumn, seen: Sequence[_Seen], offsets: NDArray[np.int64]) -> int:
    """Return how many structures have a field.

    Raises
    ------
    InputError
        If one has it for some of its atoms only.
    """
    if column.present is not None:
        return int(column.present.sum())
    first, n = 0, len(offsets) - 1  # of those that have to be counted
    if column.said is not None:
        first = column.said.n_structures
        n -= first - column.said.coverage
    missing = [pair for one in seen for pair in one.missing]
    if not missing:
        return n
    of, which = np.unique(np.concatenate([structures for structures, _ in missing]), return_inverse=True)
    n_lost = np.bincount(which, np.concatenate([counts for _, counts in missing]))
    of, n_lost = of[of >= first], n_lost[of >= first]
    n_rows = offsets[of + 1] - offsets[of] if column.field.level == ATOM else 1
    if (n_lost < n_rows).any():
        _refuse_half(column, int(of[np.flatnonzero(n_lost < n_rows)[0]]))
    return n - len(of)


def _refuse_half(column: LabelColumn, structure: int) -> NoReturn:
    raise InputError(
        f"{column.field.name} of structure {structure} is NaN in some places and a number in others; a label "
        "that is missing is NaN throughout"
    )


def _range(column: LabelColumn, seen: Sequence[_Seen]) -> dict[str, Any]:
    """Return the attribute that has the smallest and the largest number, if there is any."""
    before = [] if column.said is None else column.said.range
    low = min([*(one.low for one in seen), *before], default=np.inf)
    high = max([*(one.high for one in seen), *before], default=-np.inf)
    return {"actual_range": [low, high]} if low <= high else {}
