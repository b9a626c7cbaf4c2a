"""Building stores from files of every format, beside reading the file, hashing it and compressing it.

The floor is what no builder can do without, if its input is not compressed: the bytes of the file are read,
hashed by SHA-256 and compressed as chunks of stores are, in as many threads as there are processors, and
thrown away. A row is a function that writes structures into a file of a format, and the options of the build.
"""

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np

import zstruct
from tests.benchmarks.common import costs, machine, show
from tests.benchmarks.workloads import Structures, molecules
from zstruct import parallel

_PIECE = 4 << 20
_TARGET = 0.3


@dataclass(frozen=True)
class Row:
    """A format: how a file of it is made, and what a build is told."""

    name: str
    write: Callable[[Structures, Path], None]
    suffix: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def _exported(format: str, *fields: str) -> Callable[[Structures, Path], None]:
    def write(structures: Structures, path: Path) -> None:
        store = path.with_suffix(".zarr")
        zstruct.build(structures.source(), store, encoding="float32", progress=False)
        zstruct.export(store, path, format, fields=[*fields], progress=False)
        shutil.rmtree(store)

    return write


_LABELS = ("energy", "forces")
ROWS = (
    Row("NPZ, padded", _exported("npz", *_LABELS), ".npz"),
    Row("NPZ, packed", _exported("npz-ragged", *_LABELS), ".npz"),
    Row("HDF5, flat", _exported("hdf5-flat", *_LABELS), ".h5"),
    Row("packed memmap", _exported("packed-memmap", *_LABELS), "", {"units": "ase"}),
)


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        structures = molecules(int(400_000 * scale))
        rows = [_measured(row, structures, folder) for row in ROWS]
        title = f"{len(structures):,} structures of 5-29 atoms with energy and forces, in single precision"
        header = ["", "MB", "MB/s", "floor, MB/s", f"of the floor (target {_TARGET})", "structures/s"]
        show(title, rows, header)
    finally:
        shutil.rmtree(folder)


def _measured(row: Row, structures: Structures, folder: Path) -> list[str]:
    path = folder / f"input{row.suffix}"
    row.write(structures, path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files) / 1e6
    options = {"encoding": "float32", "progress": False} | row.options
    found = costs(
        {"floor": lambda out: _floor(files), "build": lambda out: zstruct.build(path, out, **options)}, folder
    )
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    speed, floor = (size / found[side].wall for side in ("build", "floor"))
    n = len(structures) / found["build"].wall
    return [row.name, f"{size:.0f}", f"{speed:.0f}", f"{floor:.0f}", f"{speed / floor:.2f}", f"{n:,.0f}"]


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
