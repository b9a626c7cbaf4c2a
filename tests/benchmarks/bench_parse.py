"""Extended XYZ: a finished store against other parsers that only read, MB per second and per CPU-second.

chemfiles and the C parser of the package extxyz make objects of every frame, which are dropped.
"""

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import zstruct
from tests.benchmarks.common import costs, machine, show, write_molecules

_BYTES_PER_FRAME = 2629  # of what `write_molecules` writes here


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        for megabytes in (30, 300):
            path = folder / "frames.xyz"
            size = write_molecules(path, int(megabytes * scale * 1e6 / _BYTES_PER_FRAME), 20, 30)
            _compare(path, size, folder)
    finally:
        shutil.rmtree(folder)


def _compare(path: Path, size: int, folder: Path) -> None:
    ours = "zstruct.build"
    sides = {ours: lambda out: zstruct.build(path, out, progress=False)}
    sides |= {
        name: lambda _, read=read: read(path)
        for name, read in _PARSERS.items()
        if importlib.util.find_spec(name) is not None
    }
    found = costs(sides, folder)
    rows = [
        [
            name,
            f"{size / cost.wall / 1e6:.0f}",
            f"{cost.wall / found[ours].wall:.2f}",
            f"{size / cost.cpu / 1e6:.0f}",
            f"{cost.cpu / found[ours].cpu:.2f}",
        ]
        for name, cost in found.items()
    ]
    header = ["", "MB/s", "zstruct is faster by", "MB per CPU-second", "zstruct is faster by"]
    show(f"{size / 1e6:.0f} MB of frames of 20-30 atoms with forces", rows, header)


def _chemfiles(path: Path) -> int:
    import chemfiles

    with chemfiles.Trajectory(str(path)) as trajectory:
        return sum(len(trajectory.read().positions) for _ in range(trajectory.nsteps))


def _extxyz(path: Path) -> int:
    import extxyz

    return sum(frame.natoms for frame in extxyz.iread_dicts(str(path)))


_PARSERS: dict[str, Callable[[Path], int]] = {"chemfiles": _chemfiles, "extxyz": _extxyz}
