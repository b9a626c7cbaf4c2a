"""Tasks that write shards, and the markers that say which of them are done.

A marker is a small file with what a task returned, written when its shard is on the disk. Whoever goes on
with what was interrupted does the tasks that have none. What tasks do is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from zstruct.disk import sync_to_disk
from zstruct.parallel import RunsIn
from zstruct.progress import Runner
from zstruct.store.workdir import read_json, write_json

__all__ = ["MarkedTask", "ShardTask", "mark", "marker_of", "results", "settle"]


class MarkedTask(Protocol):
    """What can be done again, or found done."""

    @property
    def marker(self) -> Path:
        """The file that says that it is done."""

    @property
    def nbytes(self) -> int:
        """The bytes by which it moves the bar."""


class ShardTask(MarkedTask, Protocol):
    """Writes one shard.

    With `settles`, the worker waits until the shard is on the disk, and then writes down that it is there.
    Otherwise whoever hands out the tasks does it, by `settle`, while workers go on.
    """

    @property
    def file(self) -> Path:
        """The file of the shard."""

    @property
    def settles(self) -> bool:
        """Whether the worker settles it."""


_Task = TypeVar("_Task", bound=MarkedTask)


def results(
    runner: Runner,
    step: str,
    function: Callable[[_Task], Any],
    tasks: Sequence[_Task],
    settle: Callable[[_Task, Any], None] | None = None,
    runs_in: RunsIn = "threads",
) -> list[Any]:
    """Do the tasks that have no marker; return what all of them returned, in order.

    Parameters
    ----------
    runner
        Where they run.
    step
        What the bar says.
    function, tasks, settle, runs_in
        As for `Runner.run`.
    """
    found = [_found(task.marker) for task in tasks]
    todo = [k for k, result in enumerate(found) if result is None]
    sizes = [tasks[k].nbytes for k in todo]
    total = sum(task.nbytes for task in tasks)
    runner.begin(step, total, total - sum(sizes))
    for k, result in runner.run(function, [tasks[k] for k in todo], sizes, runs_in, settle):
        found[todo[k]] = result
    return found


def settle(task: ShardTask, result: Any) -> None:
    """Have a shard on the disk, and then its marker."""
    if not task.settles:
        sync_to_disk(task.file)
    mark(task, result)


def marker_of(folder: Path, name: str, shard: int) -> Path:
    """Return the marker of a task for a shard of an array; in a folder of those of a step."""
    return folder / f"{quote(name, safe='')}.{shard}.json"


def mark(task: MarkedTask, result: Any) -> None:
    """Write down that a task is done, and what it returned."""
    task.marker.parent.mkdir(exist_ok=True)
    write_json(task.marker, result, durable=False)


def _found(marker: Path) -> Any:
    """Return what was found by a task that was done; None if it was not."""
    try:
        return read_json(marker)
    except ValueError:  # of a power failure
        return None
