"""One version of zstruct in a process of its own, which times what it is asked to: a JSON line each way.

``python -m tests.benchmarks.version_worker FOLDER``, with that version first on the path.
"""

import gc
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import zstruct
from tests.benchmarks.version_workloads import Unit, Workloads, write_stores

_WARM = 0.3  # seconds of calls before the first that counts


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a version prints is no answer
    with Worker(Path(sys.argv[1])) as worker:
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            answers.write(json.dumps(getattr(worker, name)(*arguments)) + "\n")


class Worker:
    """What can be asked for.

    Parameters
    ----------
    folder
        That of the texts and stores.
    """

    def __init__(self, folder: Path):
        self._folder, self._scratch = folder, TemporaryDirectory(dir=folder)
        self._workloads = Workloads(folder, Path(self._scratch.name))
        self._unit: Unit | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self._scratch.cleanup()

    def package(self) -> str:
        """Return where the version lies."""
        return str(Path(zstruct.__file__).parent)

    def names(self) -> list[str]:
        """Return the names of the workloads."""
        return self._workloads.names

    def warmup(self) -> None:
        """Compile all kernels."""
        zstruct.warmup()

    def write(self, scale: float) -> None:
        """Build the stores that are read."""
        write_stores(self._folder, scale)

    def set_up(self, name: str) -> None:
        """Make the unit of a workload, and let it do its work until all is compiled and in memory."""
        self._unit = None
        gc.collect()
        self._unit = self._workloads.unit(name)
        warm = 0.0
        while warm < _WARM:
            warm += self._unit.time().wall
        gc.collect()

    def time(self, n: int) -> list[float]:
        """Return the seconds that so many calls of the unit take, on the wall and of the processor."""
        unit: Any = self._unit
        return [sum(each) for each in zip(*(unit.time() for _ in range(n)), strict=True)]


if __name__ == "__main__":
    main()
