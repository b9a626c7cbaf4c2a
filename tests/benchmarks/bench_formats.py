"""Formats read: arrays beside reading the file, hashing it and compressing it; text beside ASE and dpdata.

Of arrays, `zstruct.build` makes a store. The floor is what no builder can do without, if its input is not
compressed: the bytes of the file are read, hashed by SHA-256 and compressed as chunks of stores are, in as
many threads as there are processors, and thrown away. Of text, reading alone is timed: into columns here,
into objects there. All is in MB of the file per second, of the wall and of processor time, medians.
"""

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numcodecs
import numpy as np

import zstruct
from tests.benchmarks.common import costs, machine, show
from tests.benchmarks.format_files import BINARY, TEXT, FormatFile, TextFile, sample_path
from zstruct import parallel
from zstruct.sources import expand

_PIECE = 4 << 20
_OF_FLOOR, _OF_PEERS = 0.3, 10.0


@dataclass(frozen=True)
class _Speed:
    """MB per second, and per second of processor time."""

    wall: float
    cpu: float


def main(scale: float = 1.0) -> None:
    print(machine())
    wanted = [name.strip() for name in os.environ.get("FORMATS", "").split(",") if name.strip()]
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        rows = []
        for file in (*BINARY, *TEXT):
            if wanted and not any(name in file.name for name in wanted):
                continue
            one = folder / "one"
            one.mkdir()
            measured = _beside_floor if isinstance(file, FormatFile) else _beside_peers
            rows += measured(file, one, scale)
            shutil.rmtree(one)
        header = ["", "MB", "structures", "beside", "MB/s", "ratio", "MB per CPU-second", "ratio", "target"]
        show("Formats read (FORMATS='HDF5,NPZ' for some of them)", rows, header)
    finally:
        shutil.rmtree(folder)


def _beside_floor(file: FormatFile, folder: Path, scale: float) -> list[list[str]]:
    """Compare a build with the floor."""
    n = max(100, int(file.n * scale))
    path = file.write(n, folder)
    files = sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]
    size = sum(part.stat().st_size for part in files) / 1e6
    options = {"encoding": "float32", "progress": False, **file.options}
    found = costs(
        {
            "zstruct.build": lambda out: zstruct.build(path, out, **options),
            "floor": lambda out: _floor(files),
        },
        folder,
    )
    speeds = {side: _Speed(size / cost.wall, size / cost.cpu) for side, cost in found.items()}
    return [_row(file.name, size, n, speeds["zstruct.build"], ("floor", speeds["floor"]), _OF_FLOOR)]


def _beside_peers(file: TextFile, folder: Path, scale: float) -> list[list[str]]:
    """Compare a reader with those of other packages, which read a sample."""
    n = max(file.share, int(file.n * scale))
    path, few = file.write(n, folder / "all"), file.write(n // file.share, folder / "few")
    sizes = {"zstruct": _size(path), **dict.fromkeys(file.peers, _size(few))}
    sides: dict[str, Callable[[Path], object]] = {"zstruct": lambda out: _read(path)}
    sides |= {name: lambda out, read=read: read(sample_path(few)) for name, read in file.peers.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = costs(sides, folder, repeats=3)
    speeds = {side: _Speed(sizes[side] / cost.wall, sizes[side] / cost.cpu) for side, cost in found.items()}
    ours = speeds.pop("zstruct")
    others = list(speeds.items()) or [("nobody else", ours)]
    return [_row(file.name, sizes["zstruct"], n, ours, other, _OF_PEERS) for other in others]


def _row(name: str, size: float, n: int, ours: _Speed, other: tuple[str, _Speed], target: float) -> list[str]:
    beside, theirs = other
    return [
        name,
        f"{size:.0f}",
        f"{n:,}",
        beside,
        f"{ours.wall:.0f}",
        f"{ours.wall / theirs.wall:.2f}",
        f"{ours.cpu:.0f}",
        f"{ours.cpu / theirs.cpu:.2f}",
        f"{target:g}",
    ]


def _read(path: Path) -> int:
    sources, _ = expand(str(path))
    return sum(len(raw.frames) for source in sources for piece in source.scan() for raw in source.read(piece))


def _size(path: Path) -> float:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def _floor(files: list[Path]) -> None:
    """Read files, hash them and compress them, with nothing else."""
    codec = numcodecs.Blosc("lz4", clevel=9, shuffle=numcodecs.Blosc.SHUFFLE)
    numcodecs.blosc.use_threads = False

    def piece(where: tuple[Path, int]) -> None:
        path, start = where
        data = np.fromfile(path, np.uint8, _PIECE, offset=start)
        sha256(data).digest()
        codec.encode(data[: len(data) // 4 * 4].view(np.float32))

    pieces = [(file, start) for file in files for start in range(0, file.stat().st_size, _PIECE)]
    with ThreadPoolExecutor(parallel.cpu_count()) as pool:
        list(pool.map(piece, pieces))
