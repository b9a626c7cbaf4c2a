"""Where tasks run, and the bar that they move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from zstruct import parallel
from zstruct.disk import WAITS

if TYPE_CHECKING:
    from tqdm import tqdm

    from zstruct.parallel import Client

__all__ = ["Runner"]


class Runner:
    """Runs the tasks of all steps of a job, and shows how far they are in one bar, in bytes or otherwise.

    Parameters
    ----------
    workers
        Local workers, or the cluster to run on; None: one for each processor here.
    progress
        Whether to show the bar.
    unit
        What it counts in place of bytes.
    """

    def __init__(self, workers: int | Client | None, progress: bool, unit: str = "B"):
        self._workers, self._progress, self._unit = workers, progress, unit
        self._bar: tqdm | None = None

    @property
    def n_workers(self) -> int | None:
        """Workers of this machine; None on a cluster."""
        workers = parallel.cpu_count() if self._workers is None else self._workers
        return workers if isinstance(workers, int) else None

    def begin(self, step: str, nbytes: int, done: int) -> None:
        """Begin a step of `nbytes`, of which `done` are there from an earlier run."""
        if not self._progress:
            return
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=0, unit=self._unit, unit_scale=True, delay=0.5)
        self._bar.total += nbytes
        self._bar.set_description(step, refresh=False)
        self._bar.update(done)

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Sequence[Any],
        sizes: Sequence[int],
        runs_in: parallel.RunsIn = "threads",
        settle: Callable[[Any, Any], None] | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each task and what the function returned, as they end.

        Parameters
        ----------
        function, tasks, runs_in
            As for `zstruct.parallel.run`.
        sizes
            The bytes by which each task moves the bar.
        settle
            Called with each task and its result while others run, for what waits for the disk; all is
            settled when the last task has been yielded.
        """
        done = parallel.run(function, tasks, runs_in=runs_in, workers=self._workers)
        waits: list[Future[None]] = []
        with ThreadPoolExecutor(WAITS) as pool:
            for k, result in done:
                if settle is not None:
                    waits.append(pool.submit(settle, tasks[k], result))
                yield k, result
                if self._bar is not None:
                    self._bar.update(sizes[k])
        for wait in waits:
            wait.result()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
