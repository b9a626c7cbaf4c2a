"""What rewriting a store does shard by shard: which numbers are decimals, and shards of the new store.

A task is done when its marker is there; what it found is in that. Which arrays there are, and how they will
be stored, is known elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from zstruct.disk import sync_to_disk
from zstruct.errors import CorruptStoreError
from zstruct.store.decimals import DecimalRange
from zstruct.store.files import shard_path
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.workdir import read_json, write_json
from zstruct.store.write import Shard, write_chunks, write_shard

__all__ = [
    "NO_DECIMALS",
    "RangeTask",
    "ShardTask",
    "find_range",
    "found",
    "marker_of",
    "rewrite_shard",
    "settle",
]

#: Why an array is not stored as decimals.
NO_DECIMALS = "there are other numbers"
SIGNED_ZERO = "there is -0.0, whose sign would be lost"
STRANGE_NAN = "there is a NaN of another kind than NumPy's, which would be lost"

_NAN = 0x7FF8000000000000


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
        said = {"reason": SIGNED_ZERO} if needs.signed_zeros else asdict(needs)
    mark(task.marker, said)
    return said


def _reason(rows: NDArray[np.float64]) -> str:
    """Return why some numbers can't be stored as decimals."""
    absent = np.isnan(rows)
    strange = rows[absent].view(np.int64) != _NAN
    return STRANGE_NAN if strange.any() else NO_DECIMALS


@dataclass(frozen=True)
class ShardTask:
    """One shard of the new store.

    Parameters
    ----------
    store, name
        The given store, and the path of the array in it.
    marker
        The file that says that it is done.
    folder, spec
        Where the new store or group is made, and the array in it.
    shard
        Its number.
    digest
        Of its rows, if the given store says so of a shard with the same rows.
    as_it_is
        Whether its chunks stay what they are.
    settles
        Whether the worker waits until it is on the disk and marks it. Otherwise whoever hands out the tasks
        does, by `settle`, while workers go on.
    nbytes
        Of its rows.
    """

    store: Store
    name: str
    marker: Path
    folder: Path
    spec: ArraySpec
    shard: int
    digest: str | None
    as_it_is: bool
    settles: bool
    nbytes: int


def rewrite_shard(task: ShardTask) -> Shard:
    """Write one shard and return its digest and checksum.

    Raises
    ------
    CorruptStoreError
        If it does not have the rows that the given store says.
    """
    spec, k = task.spec, task.shard
    if task.as_it_is and task.digest is not None:
        chunks = task.store.encoded(task.name, k)
        shard = Shard(task.digest, write_chunks(task.folder, spec, k, chunks, durable=task.settles))
    else:
        start, stop = k * spec.grid.shard_rows, min((k + 1) * spec.grid.shard_rows, spec.shape[0])
        rows = task.store.read(task.name, start, stop)
        shard = write_shard(task.folder, spec, k, rows, durable=task.settles)
    if task.digest not in (None, shard.digest):
        raise CorruptStoreError(
            f"{task.store.path}: shard {k} of {task.name} does not have the content it was built with; "
            "restore the store from a copy or build it again"
        )
    if task.settles:
        settle(task, shard)
    return shard


def settle(task: ShardTask, shard: Shard) -> None:
    """Have a shard on the disk, and then its marker."""
    if not task.settles:
        sync_to_disk(shard_path(task.folder, task.spec.path, task.shard, len(task.spec.shape)))
    mark(task.marker, shard)


def marker_of(folder: Path, name: str, shard: int) -> Path:
    """Return the marker of a shard of an array."""
    return folder / f"{quote(name, safe='')}.{shard}.json"


def found(marker: Path) -> Any:
    """Return what was found by a task that was done; None if it was not."""
    try:
        return read_json(marker)
    except ValueError:  # of a power failure
        return None


def mark(marker: Path, result: Any) -> None:
    """Write down that a task is done, and its result."""
    marker.parent.mkdir(exist_ok=True)
    write_json(marker, result, durable=False)
