"""Formats in and out: arrays beside the price of their bytes, text beside ASE and dpdata.

Of arrays that come in, `zstruct.build` makes a store; out, `zstruct.export` makes files of one. Beside
them is what no builder can do without, if its input is not compressed: the bytes of the file are read,
hashed by SHA-256 and compressed as chunks of stores are, in as many threads as there are processors, and
thrown away. Of text that comes in, reading alone is timed: into columns here, into objects there; others
write such objects from memory. All is in MB of the file per second, of the wall and of processor time,
medians.
"""

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np

import zstruct
from tests.benchmarks.common import Cost, costs, machine, show
from tests.benchmarks.format_files import (
    BINARY,
    BINARY_OUT,
    TEXT,
    TEXT_OUT,
    FormatFile,
    OutFile,
    TextFile,
    sample_path,
    size_of,
)
from zstruct import parallel
from zstruct.sources import expand
from zstruct.sources.options import SourceOptions

_PIECE = 4 << 20
_OF_FLOOR = 0.3


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
        for file in (*BINARY, *BINARY_OUT, *TEXT, *TEXT_OUT):
            if wanted and not any(name in file.name for name in wanted):
                continue
            one = folder / "one"
            one.mkdir()
            rows += _measured(file, one, scale)
            shutil.rmtree(one)
        header = ["", "MB", "structures", "beside", "MB/s", "ratio", "MB per CPU-second", "ratio", "target"]
        show("Formats in and out (FORMATS='HDF5,out' for some of them)", rows, header)
    finally:
        shutil.rmtree(folder)


def _measured(file: FormatFile | TextFile | OutFile, folder: Path, scale: float) -> list[list[str]]:
    if isinstance(file, FormatFile):
        return _in_beside_floor(file, folder, scale)
    return _in_beside_peers(file, folder, scale) if isinstance(file, TextFile) else _out(file, folder, scale)


def _in_beside_floor(file: FormatFile, folder: Path, scale: float) -> list[list[str]]:
    """Compare a build with the floor."""
    n = max(100, int(file.n * scale))
    path = file.write(n, folder)
    options = {"encoding": "float32", "progress": False, **file.options}
    sides = {"zstruct": lambda out: zstruct.build(path, out, **options), "floor": lambda out: _floor(path)}
    sizes = dict.fromkeys(sides, size_of(path))
    return _rows(file.name, n, costs(sides, folder), sizes, _OF_FLOOR)


def _out(file: OutFile, folder: Path, scale: float) -> list[list[str]]:
    """Compare an export with the floor, or with what others write."""
    n = max(file.share, int(file.n * scale))
    store = file.store(n, folder)
    path = _exported(store, folder / "whole", file)
    sizes = {"zstruct": size_of(path)}
    sides: dict[str, Callable[[Path], object]] = {"zstruct": lambda out: _exported(store, out, file)}
    if file in BINARY_OUT:
        sides["floor"] = lambda out: _floor(path)
        sizes["floor"] = sizes["zstruct"]
        return _rows(f"{file.name}, out", n, costs(sides, folder), sizes, _OF_FLOOR)
    reader = zstruct.StructureReader(store)
    some = [reader.get_atoms(k) for k in range(n // file.share)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, peer in file.peers.items():
            sides[name], sizes[name] = peer(some), sizes["zstruct"] / file.share
        found = costs(sides, folder, repeats=3)
    return _rows(f"{file.name}, out", n, found, sizes, file.asked)


def _exported(store: Path, folder: Path, file: OutFile) -> Path:
    folder.mkdir()
    path = folder / file.target
    zstruct.export(store, path, file.format, fields=file.fields, progress=False)
    return path


def _in_beside_peers(file: TextFile, folder: Path, scale: float) -> list[list[str]]:
    """Compare a reader with those of other packages, which read a sample."""
    n = max(file.share, int(file.n * scale))
    path, few = file.write(n, folder / "all"), file.write(n // file.share, folder / "few")
    sizes = {"zstruct": size_of(path), **dict.fromkeys(file.peers, size_of(few))}
    sides: dict[str, Callable[[Path], object]] = {"zstruct": lambda out: _read(path, file.options)}
    sides |= {name: lambda out, read=read: read(sample_path(few)) for name, read in file.peers.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = costs(sides, folder, repeats=3)
    return _rows(file.name, n, found, sizes, file.asked)


def _rows(
    name: str, n: int, found: Mapping[str, Cost], sizes: Mapping[str, float], target: float | None
) -> list[list[str]]:
    """Return a row for each of those that are beside ours."""
    speeds = {side: _Speed(sizes[side] / cost.wall, sizes[side] / cost.cpu) for side, cost in found.items()}
    ours = speeds.pop("zstruct")
    others = list(speeds.items()) or [("nobody else", ours)]
    return [_row(name, sizes["zstruct"], n, ours, other, target) for other in others]


def _row(
    name: str, size: float, n: int, ours: _Speed, other: tuple[str, _Speed], target: float | None
) -> list[str]:
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
        "" if target is None or ours is theirs else f"{target:g}",
    ]


def _read(path: Path, options: Mapping[str, Any]) -> int:
    sources, _ = expand(str(path), options=SourceOptions(**options))
    return sum(len(raw.frames) for source in sources for piece in source.scan() for raw in source.read(piece))


def _floor(path: Path) -> None:
    """Read files, hash them and compress them, with nothing else."""
    files = sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]
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
