"""Exports: extended XYZ as zstruct.export and ASE write it, structures per second and per CPU-second."""

import shutil
import tempfile
from pathlib import Path

import ase.io

import zstruct
from tests.benchmarks.common import costs, machine, show, write_molecules

_SHARE = 10  # ASE writes one structure of so many


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        _extended_xyz(folder, max(_SHARE, int(20_000 * scale)))
    finally:
        shutil.rmtree(folder)


def _extended_xyz(folder: Path, n: int) -> None:
    size = write_molecules(folder / "in.xyz", n, 20, 30)
    store = folder / "in.zarr"
    zstruct.build(folder / "in.xyz", store, progress=False)
    reader = zstruct.StructureReader(store)
    some = [reader.get_atoms(k) for k in range(0, n, _SHARE)]
    found = costs(
        {
            "zstruct.export": lambda out: zstruct.export(store, out, "xyz", progress=False),
            "ase.io.write": lambda out: ase.io.write(out, some, format="extxyz"),
        },
        folder,
    )
    counts = {"zstruct.export": n, "ase.io.write": len(some)}
    ours = found["zstruct.export"]
    rows = [
        [
            name,
            f"{counts[name] / cost.wall:,.0f}",
            f"{cost.wall / counts[name] / (ours.wall / n):.1f}",
            f"{counts[name] / cost.cpu:,.0f}",
            f"{cost.cpu / counts[name] / (ours.cpu / n):.1f}",
        ]
        for name, cost in found.items()
    ]
    header = ["", "per second", "zstruct is faster by", "per CPU-second", "zstruct is faster by"]
    show(f"{n:,} structures of 20-30 atoms with forces out, {size / 1e6:.0f} MB", rows, header)
