"""Where tasks run, and the bar that they move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zstruct import parallel

if TYPE_CHECKING:
    from tqdm import tqdm

    from zstruct.parallel import Client

__all__ = ["Runner"]


class Runner:
    """Runs the tasks of all steps of a job, and shows how far they are in one bar, in bytes.

    Parameters
    ----------
    client
        The cluster to run on; None: this machine.
    n_workers
        Local workers; None: one for each processor.
    progress
        Whether to show the bar.
    """

    def __init__(self, client: Client | None, n_workers: int | None, progress: bool):
        self.client, self.n_workers, self._progress = client, n_workers, progress
        self._bar: tqdm | None = None

    def begin(self, step: str, nbytes: int, done: int) -> None:
        """Begin a step of `nbytes`, of which `done` are there from an earlier run."""
        if not self._progress:
            return
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=0, unit="B", unit_scale=True, delay=0.5)
        self._bar.total += nbytes
        self._bar.set_description(step, refresh=False)
        self._bar.update(done)

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Sequence[Any],
        sizes: Sequence[int],
        runs_in: parallel.RunsIn = "threads",
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each task and what the function returned, as they end.

        Parameters
        ----------
        function, tasks, runs_in
            As for `zstruct.parallel.run`.
        sizes
            The bytes by which each task moves the bar.
        """
        done = parallel.run(function, tasks, runs_in=runs_in, client=self.client, n_workers=self.n_workers)
        for k, result in done:
            yield k, result
            if self._bar is not None:
                self._bar.update(sizes[k])

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
