"""Joining stores, against verifying them: bytes of both, and the most memory that it takes.

Random decimals of eight digits, as text has them. What was written is on the disk at the end; the page cache
is warm.
"""

import os
import resource
import shutil
import tempfile
from pathlib import Path

import numpy as np

import zstruct
from tests.benchmarks.common import costs, machine, show

_ATOMS = 12_000_000
_REPEATS = 3


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        for seed, name in enumerate(("a.zarr", "b.zarr", "c.zarr")):
            zstruct.build(_source(int(_ATOMS * scale) // 3, seed), folder / name, progress=False)
        _join(folder)
    finally:
        shutil.rmtree(folder)


def _source(n_atoms: int, seed: int) -> zstruct.sources.ArraySource:
    draw = np.random.default_rng(seed)
    n = n_atoms // 20
    return zstruct.sources.ArraySource(
        positions=np.round(draw.normal(0, 4, (20 * n, 3)), 8),
        numbers=draw.choice([1, 6, 7, 8], 20 * n).astype(np.uint8),
        offsets=np.arange(n + 1) * 20,
        energy=np.round(draw.normal(-4000, 100, n), 8),
        forces=np.round(draw.normal(0, 1, (20 * n, 3)), 8),
    )


def _join(folder: Path) -> None:
    stores = sorted(folder.glob("*.zarr"))

    def verified(out: Path) -> None:
        for store in stores:
            zstruct.verify(store)

    def joined(out: Path) -> None:
        zstruct.build(stores, out, progress=False)
        os.sync()

    def joined_first(out: Path) -> None:
        zstruct.build(stores, out, encoding="decimal", progress=False)
        os.sync()

    sides = {"verify, all of them": verified, "joined": joined, "joined as decimals": joined_first}
    found = costs(sides, folder, _REPEATS)
    nbytes = sum(zstruct.Store(store).nbytes_stored() for store in stores)
    first = found["verify, all of them"]
    rows = [
        [side, f"{cost.wall:.2f}", f"{nbytes / cost.wall / 1e9:.2f}", f"{cost.wall / first.wall:.2f}"]
        for side, cost in found.items()
    ]
    show(f"three stores of {nbytes / 1e6:,.0f} MB in all", rows, ["", "s", "GB/s", "times verify"])
    print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB of memory")
