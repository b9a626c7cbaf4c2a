"""What the benchmarks share: alternating runs, medians, data of known shape, a table."""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

SYMBOLS = np.array(["H", "C", "N", "O"])


def alternate(sides: Mapping[str, Callable[[], object]], repeats: int = 5) -> dict[str, list[float]]:
    """Run every side in turn, `repeats` times, and return the seconds of each run."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - began)
    return seconds


@dataclass(frozen=True)
class Cost:
    """What a side takes, medians: wall time, and processor time of all its threads, in seconds."""

    wall: float
    cpu: float


def costs(sides: Mapping[str, Callable[[Path], object]], folder: Path, repeats: int = 5) -> dict[str, Cost]:
    """Run every side once to warm it up, then all in turn, and return what each takes.

    A side is given a path in a folder where there is nothing, and what it leaves for the disk to write is
    written before the next one begins. All is removed at the end: file systems that have just removed
    files take longer to make new ones.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    made = []
    for turn in range(repeats + 1):
        for name, side in sides.items():
            out = folder / f"out{len(made)}"
            made.append(out)
            os.sync()
            began = time.perf_counter(), time.process_time()
            side(out)
            passed = time.perf_counter() - began[0], time.process_time() - began[1]
            if turn:
                found[name].append(passed)
    for out in made:
        if out.is_dir():
            shutil.rmtree(out)
        else:
            out.unlink(missing_ok=True)
    return {name: Cost(*map(median, zip(*runs, strict=True))) for name, runs in found.items()}


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def times(ratio: float) -> str:
    """Return how many times as fast something is, with as many digits as say something.

    Examples
    --------
    >>> times(0.4567), times(3.14159), times(1234.5)
    ('0.46', '3.1', '1,200')
    """
    if ratio < 2:
        return f"{ratio:.2f}"
    return f"{ratio:.1f}" if ratio < 10 else f"{float(f'{ratio:.2g}'):,.0f}"


def columns_of(columns: Mapping[str, Mapping[str, str]]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table, of which cells are given by column and then by row."""
    names = list(dict.fromkeys(name for cells in columns.values() for name in cells))
    rows = [[name, *(cells.get(name, "") for cells in columns.values())] for name in names]
    return ["", *columns], rows


def show(title: str, rows: Sequence[Sequence[object]], header: Sequence[str]) -> None:
    """Print a Markdown table."""
    cells = [[str(c) for c in row] for row in [header, *rows]]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    print(f"\n{title}")
    for i, row in enumerate(cells):
        print("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |")
        if i == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")


def machine() -> str:
    """Describe the machine and the versions that matter."""
    import ase
    import numba
    import zarr

    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return (
        f"{len(os.sched_getaffinity(0))} x {model}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, numba {numba.__version__}, zarr {zarr.__version__}, ase {ase.__version__}"
    )


def fresh(code: str, *arguments: object) -> tuple[str, float]:
    """Run code in a fresh interpreter; return its output and its peak memory in MiB."""
    script = textwrap.dedent(code) + (
        # Not ru_maxrss: that begins at the size of the process that started this one.
        "\nimport sys as _s\n"
        "_peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(int(_peak.split()[1]) / 1024, file=_s.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout, float(done.stderr.splitlines()[-1])


def checkout(revision: str, folder: Path) -> None:
    """Write the package as it was in a revision of the repository into a folder."""
    root = Path(__file__).parents[2]
    packed = subprocess.run(
        ["git", "-C", str(root), "archive", revision, "zstruct"], stdout=subprocess.PIPE, check=True
    )
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")


def write_molecules(path: Path, n_frames: int, low: int, high: int, seed: int = 0) -> int:
    """Write extended XYZ frames of `low` to `high` atoms with energy and forces; return its size.

    Coordinates and forces have eight decimals, as ASE writes them.
    """
    rng = np.random.default_rng(seed)
    with open(path, "w") as file:
        for begin in range(0, n_frames, 1000):
            counts = rng.integers(low, high + 1, min(1000, n_frames - begin))
            total = int(counts.sum())
            symbols = SYMBOLS[rng.integers(0, 4, total)]
            values = np.hstack([rng.normal(0, 4, (total, 3)), rng.normal(0, 1, (total, 3))])
            rows = (
                np.char.mod("%-2s ", symbols).tolist(),
                ["".join([f"{x:16.8f}" for x in row]) + "\n" for row in values.tolist()],
            )
            lines = [s + r for s, r in zip(*rows, strict=True)]
            edge = 0
            for n, energy in zip(counts.tolist(), rng.normal(-4000, 100, len(counts)).tolist(), strict=True):
                file.write(
                    f'{n}\nLattice="20.0 0.0 0.0 0.0 20.0 0.0 0.0 0.0 20.0" '
                    f'Properties=species:S:1:pos:R:3:forces:R:3 energy={energy:.8f} pbc="F F F"\n'
                )
                file.writelines(lines[edge : edge + n])
                edge += n
    return path.stat().st_size
