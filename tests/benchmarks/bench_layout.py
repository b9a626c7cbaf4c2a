"""Chunk and shard sizes: sequential and random reading, files and bytes, for several sizes."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from tests.benchmarks.common import alternate, machine, median, show
from zstruct.schema import FIELDS
from zstruct.store.chunks import ChunkGrid
from zstruct.store.spec import spec_of
from zstruct.store.store import Store
from zstruct.store.write import create, finish, write_array

FIELD_NAMES = ("positions", "forces", "numbers")
CHUNK_ROWS = (1 << 12, 1 << 14, 1 << 16, 1 << 18)
CHUNKS_PER_SHARD = 16


def main(scale: float = 1.0) -> None:
    print(machine())
    n_atoms = int(8_000_000 * scale)
    rng = np.random.default_rng(0)
    values = {
        "positions": np.round(rng.normal(0, 4, (n_atoms, 3)), 8),
        "forces": np.round(rng.normal(0, 1, (n_atoms, 3)), 8),
        "numbers": rng.choice(np.array([1, 6, 7, 8], dtype=np.uint8), n_atoms),
    }
    raw = sum(v.nbytes for v in values.values())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    batch = np.sort(rng.integers(0, n_atoms - 64, 64))
    try:
        rows = []
        stores = {}
        for chunk_rows in CHUNK_ROWS:
            path = folder / f"{chunk_rows}.zarr"
            grid = ChunkGrid(chunk_rows, chunk_rows * CHUNKS_PER_SHARD)
            _write(path, values, grid)
            stores[chunk_rows] = path
        sides = {}
        for chunk_rows, path in stores.items():
            sides |= {
                f"zarr {chunk_rows}": lambda p=path: _read_all(p),
                f"xarray {chunk_rows}": lambda p=path: _read_xarray(p),
                f"random {chunk_rows}": lambda p=path: _read_batch(p, batch),
            }
        seconds = alternate(sides)
        for chunk_rows, path in stores.items():
            files = [f for f in path.rglob("*") if f.is_file()]
            size = sum(f.stat().st_size for f in files)
            rows.append(
                [
                    f"{chunk_rows:,}",
                    f"{raw / median(seconds[f'zarr {chunk_rows}']) / 1e6:,.0f}",
                    f"{raw / median(seconds[f'xarray {chunk_rows}']) / 1e6:,.0f}",
                    f"{len(batch) / median(seconds[f'random {chunk_rows}']):,.0f}",
                    len(files),
                    f"{size / n_atoms:.2f}",
                ]
            )
        title = (
            f"{n_atoms:,} atoms, positions and forces float64, numbers; 16 chunks per shard; page cache warm"
        )
        header = [
            "rows per chunk",
            "zarr MB/s",
            "xarray MB/s",
            "64 atoms at random places/s",
            "files",
            "bytes/atom",
        ]
        show(title, rows, header)
    finally:
        shutil.rmtree(folder)


def _write(path: Path, values: dict[str, np.ndarray], grid: ChunkGrid) -> None:
    n_atoms = len(values["numbers"])
    specs = {n: replace(spec_of(FIELDS[n], n, n_atoms, {"coverage": 1}), grid=grid) for n in values}
    create(path, specs.values(), {"n_structures": 1, "n_atoms": n_atoms})
    for name, rows in values.items():
        write_array(path, specs[name], rows)
    finish(path, {"digest": ""}, {})


def _read_all(path: Path) -> None:
    opened = Store(path)
    for name in FIELD_NAMES:
        opened.read(name)


def _read_xarray(path: Path) -> None:
    with xr.open_zarr(path) as dataset:
        dataset.load()


def _read_batch(path: Path, starts: np.ndarray) -> None:
    opened = Store(path)
    for start in starts.tolist():
        for name in FIELD_NAMES:
            opened.read(name, start, start + 64)
