"""This tree against another version of zstruct: is anything slower? Pairs of processes, in turn.

The environment variable AGAINST names the other version, a revision of the repository, by default the
last one before the package was laid out anew. WORKLOADS chooses some of the workloads, as patterns
separated by commas: ``take-*,import``. After MINUTES, by default 18, no further round begins. BUSY says
how many cores are kept busy meanwhile, by default none.

Both versions run in the same interpreter and read the same stores, which the other one has built, on a
file system in memory if there is one. Each round starts a process for each; of every workload it times
a few pairs of units, which consist of slices of the two in turn (ABBABAAB), so that drifts of the
machine cancel. Rounds go on until each interval says enough. Memory lies elsewhere in each process, so
more pairs of the same two would not do.
"""

import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.common import checkout, machine, median, show
from tests.benchmarks.ratios import MARGIN, SLOWER, UNDECIDED, ratio_of
from tests.benchmarks.version_workloads import Seconds, write_texts

BEFORE_THE_MOVE = "8c02bd8"
ROUNDS, MOST_ROUNDS = 8, 40
PAIRS = 2  # of a workload in a round
_SLICE, _UNIT = 0.08, 0.3  # seconds of one side
_IMPORT = 0.15  # seconds allowed
_ON_TOP = {"rotation-noise": "take-A-256"}  # workloads that are others and something more
_ROOT = Path(__file__).parents[2]
_MEMORY = Path("/dev/shm")


def main(scale: float = 1.0) -> None:
    against = os.environ.get("AGAINST", BEFORE_THE_MOVE)
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        with _busy(int(os.environ.get("BUSY", 0))):
            _compare(folder, against, scale)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _busy(n: int) -> Iterator[None]:
    """Keep some cores busy."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


class Worker:
    """A version at work in a process of its own (`version_worker`).

    Parameters
    ----------
    tree
        Has the version and the benchmarks.
    data
        The folder of texts and stores.
    """

    def __init__(self, tree: Path, data: Path):
        self._tree = tree
        # Kernels are kept in the tree, and no bars are drawn.
        environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.version_worker", str(data)],
            env={**environment, "PYTHONPATH": str(tree), "TQDM_DISABLE": "1"},
            cwd=tree,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *request: Any) -> Any:
        """Have something done, and wait for it."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        asked.write(json.dumps(request) + "\n")
        asked.flush()
        answer = answers.readline()
        if not answer:
            raise RuntimeError(f"{' '.join(map(str, request))}: the process died, for the reason above")
        return json.loads(answer)

    def __enter__(self) -> "Worker":
        if (package := self.ask("package")) != str(self._tree / "zstruct"):
            raise RuntimeError(f"{package} was imported, not the version in {self._tree}")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()  # it ends when nothing more can be asked


@dataclass
class Measured:
    """What is known of a workload.

    Parameters
    ----------
    calls
        Calls in a slice.
    slices
        Slices of each side in a unit.
    wall, cpu
        Ratios of the pairs, new to old, by round.
    old, new
        Seconds that a call took, in each unit.
    """

    calls: int
    slices: int
    wall: list[list[float]] = field(default_factory=list)
    cpu: list[list[float]] = field(default_factory=list)
    old: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """By the clock on the wall; if others were too busy for that, by that of the processor."""
        of_wall, of_cpu = ratio_of(self.wall).verdict, ratio_of(self.cpu).verdict
        return f"{of_cpu} (CPU)" if of_wall == UNDECIDED and of_cpu != UNDECIDED else of_wall


def _compare(folder: Path, against: str, scale: float) -> None:
    old, new, data = folder / "old", folder / "new", folder / "data"
    data.mkdir()
    checkout(against, old)
    shutil.copytree(_ROOT / "zstruct", new / "zstruct", ignore=shutil.ignore_patterns("__pycache__"))
    for tree in (old, new):
        shutil.copytree(Path(__file__).parent, tree / "tests" / "benchmarks")
        (tree / "tests" / "__init__.py").touch()
    began = time.monotonic()
    ends = began + 60 * float(os.environ.get("MINUTES", 18))
    found = _prepare(old, new, data, scale)
    print(f"prepared, {time.monotonic() - began:,.0f} s", file=sys.stderr)
    n_rounds, loads = 3 if scale < 1 else ROUNDS, []
    for k in range(MOST_ROUNDS):
        chosen = {name: of for name, of in found.items() if k < n_rounds or of.verdict == UNDECIDED}
        if not chosen or (k >= n_rounds and (scale < 1 or time.monotonic() > ends)):
            break
        _round(old, new, data, chosen, k)
        loads.append(os.getloadavg()[0])
        print(f"round {k + 1}, {len(chosen)} workloads, {time.monotonic() - began:,.0f} s", file=sys.stderr)
    _report(against, found, median(loads))


def _prepare(old: Path, new: Path, data: Path, scale: float) -> dict[str, Measured]:
    """Write texts and stores, have all kernels compiled, and find out how long calls take.

    All kernels are compiled by both: small ones that are nowhere on disk would be run by Python first.
    """
    write_texts(data, scale)
    found = {}
    with _both(old, new, data) as workers:
        _of_both(workers, "warmup")
        workers[0].ask("write", scale)
        for name in _chosen(workers):
            _of_both(workers, "set_up", name)
            began = time.perf_counter()
            for worker in workers:
                worker.ask("time", 2)
            seconds = (time.perf_counter() - began) / 4  # a call, with what is not timed
            calls = max(1, round(_SLICE / seconds))
            found[name] = Measured(calls, max(1, round(_UNIT / (calls * seconds))))
    return found


def _round(old: Path, new: Path, data: Path, chosen: Mapping[str, Measured], k: int) -> None:
    """Time some pairs of each workload in new processes."""
    with _both(old, new, data) as workers:
        for name, measured in chosen.items():
            _of_both(workers, "set_up", name)
            pairs = [_pair(workers, measured, pair) for pair in range(k * PAIRS, (k + 1) * PAIRS)]
            measured.wall.append([new.wall / old.wall for old, new in pairs])
            measured.cpu.append([new.cpu / old.cpu for old, new in pairs])
            measured.old += [old.wall for old, _ in pairs]
            measured.new += [new.wall for _, new in pairs]


def _pair(workers: Sequence[Worker], measured: Measured, pair: int) -> tuple[Seconds, Seconds]:
    """Return what a call takes each of the two, on average over slices in turn: ABBABAAB and so on."""
    passed = np.zeros((2, 2))
    for k in range(pair * measured.slices, (pair + 1) * measured.slices):
        for side in (0, 1) if k.bit_count() % 2 else (1, 0):
            passed[side] += workers[side].ask("time", measured.calls)
    old, new = (passed / (measured.calls * measured.slices)).tolist()
    return Seconds(*old), Seconds(*new)


@contextmanager
def _both(old: Path, new: Path, data: Path) -> Iterator[tuple[Worker, Worker]]:
    """Return a worker for each version, which end with the block."""
    workers = Worker(old, data), Worker(new, data)  # both start before either is waited for
    with workers[0], workers[1]:
        yield workers


def _of_both(workers: Sequence[Worker], *request: Any) -> None:
    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(lambda worker: worker.ask(*request), workers))


def _chosen(workers: Sequence[Worker]) -> list[str]:
    """Return the names of the workloads that WORKLOADS asks for."""
    patterns = os.environ.get("WORKLOADS", "*").split(",")
    names = workers[0].ask("names")
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise SystemExit(f"no workload is called {pattern!r}; there are {', '.join(names)}")
    return [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]


def _report(against: str, found: Mapping[str, Measured], load: float) -> None:
    rows = [
        [name, f"{1e3 * median(of.old):,.1f}", f"{1e3 * median(of.new):,.1f}", ratio_of(of.wall),
         ratio_of(of.cpu), len(of.new), of.verdict]
        for name, of in found.items()
    ]  # fmt: skip
    show(
        f"this tree against {against}; medians of pairs with 95 % intervals; load {load:.1f}, 1 of it ours",
        rows,
        ["", f"{against}, ms", "this tree, ms", "wall time, ratio", "CPU time, ratio", "pairs", ""],
    )
    for name, base in _ON_TOP.items():
        if name in found and base in found:
            old, new = (
                median(getattr(found[name], side)) - median(getattr(found[base], side))
                for side in ("old", "new")
            )
            print(f"\n{name} on top of {base}: {new / old:.2f} times what it was")
    failed = {
        verdict: [name for name, of in found.items() if of.verdict.startswith(verdict)]
        for verdict in (SLOWER, UNDECIDED)
    }
    complaints = [f"{verdict}: {', '.join(names)}" for verdict, names in failed.items() if names]
    if "import" in found:
        seconds = median(found["import"].new)
        print(f"\nimport zstruct: {seconds:.3f} s, {_IMPORT} s allowed")
        if seconds > _IMPORT:
            complaints.append(f"import takes {seconds:.3f} s")
    if complaints:
        raise SystemExit("; ".join(complaints))
    print(f"\nnothing is slower by more than {MARGIN:.0%}")
