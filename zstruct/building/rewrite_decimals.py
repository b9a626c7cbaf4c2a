"""Which arrays of a store that is rewritten are decimals: the numbers are looked at, shard by shard."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.building.markers import mark, marker_of, results
from zstruct.building.rewrite_plan import Given
from zstruct.progress import Runner
from zstruct.store.decimals import Decimal, DecimalRange
from zstruct.store.store import Store

__all__ = ["find_decimals"]

# Why an array is not stored as decimals.
_NO_DECIMALS = "there are other numbers"
_SIGNED_ZERO = "there is -0.0, whose sign would be lost"
_STRANGE_NAN = "there is a NaN of another kind than NumPy's, which would be lost"

_NAN = 0x7FF8000000000000


def find_decimals(runner: Runner, folder: Path, given: Given) -> dict[str, Decimal | str]:
    """Return how each array that may be decimals is stored as such, or why it can't be.

    Parameters
    ----------
    runner
        Where shards are looked at.
    folder
        Of the markers of those that were.
    given
        The store.
    """
    candidates = given.candidates()
    first: list[RangeTask] = []
    more: list[RangeTask] = []
    for name, spec in candidates.items():
        row = given.store.nbytes(name) // spec.shape[0]
        for k in range(spec.grid.n_shards(spec.shape[0])):
            start, stop = k * spec.grid.shard_rows, min((k + 1) * spec.grid.shard_rows, spec.shape[0])
            task = RangeTask(
                given.store,
                marker_of(folder, name, k),
                name,
                start,
                stop,
                row * (stop - start),
            )
            (more if k else first).append(task)
    needs: dict[str, DecimalRange | str] = dict.fromkeys(candidates, DecimalRange())
    for step in (first, more):  # most that are no decimals show it in their first shard
        tasks = [task for task in step if isinstance(needs[task.name], DecimalRange)]
        for task, said in zip(tasks, results(runner, "look", find_range, tasks), strict=True):
            here, before = said.get("reason") or DecimalRange(**said), needs[task.name]
            if isinstance(before, DecimalRange):
                both = before.joined(here) if isinstance(here, DecimalRange) else here
                needs[task.name] = _NO_DECIMALS if both is None else both
    return {name: need if isinstance(need, str) else need.decimal for name, need in needs.items()}


@dataclass(frozen=True)
class RangeTask:
    """One shard of an array that is looked at: what its numbers need to be stored as decimals."""

    store: Store
    marker: Path
    name: str
    start: int
    stop: int
    nbytes: int


def find_range(task: RangeTask) -> dict[str, Any]:
    """Return what the numbers of a shard need, as keywords of a `DecimalRange`, or the ``reason`` why not."""
    rows = task.store.read(task.name, task.start, task.stop)
    needs = DecimalRange.of(rows)
    if needs is None:
        said: dict[str, Any] = {"reason": _reason(rows)}
    else:
        said = {"reason": _SIGNED_ZERO} if needs.signed_zeros else asdict(needs)
    mark(task, said)
    return said


def _reason(rows: NDArray[np.float64]) -> str:
    """Return why some numbers can't be stored as decimals."""
    absent = np.isnan(rows)
    strange = rows[absent].view(np.int64) != _NAN
    return _STRANGE_NAN if strange.any() else _NO_DECIMALS
