"""A report: how long a page takes to make, how large it is, and how fast it is in a browser.

Structures of 62 atoms with energies and forces, in three groups, one more than a page holds and ten times as
many. First picture: from when the file was read to when map and viewer are drawn. Selection: the next
structure, drawn, median and largest of a hundred. In headless Chromium, without a graphics card.
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

import zstruct
from tests.benchmarks.common import machine
from tests.chromium import Browser, executable

_N = 20_001
_ATOMS = 62
_FIRST = """performance.getEntriesByName('first-picture')[0].startTime
  - performance.getEntriesByType('navigation')[0].responseEnd"""
_SELECTIONS = """(() => {
  const next = document.getElementById('next'), pen = document.getElementById('viewer').getContext('2d');
  const once = () => {
    const began = performance.now();
    next.click(), pen.getImageData(0, 0, 1, 1);
    return performance.now() - began;
  };
  return Array.from({ length: 100 }, once);
})()"""


def main(scale: float = 1.0) -> None:
    print(machine())
    zstruct.warmup()
    head = ("structures", "made in s", "1/s", "of it duplicates, s", "in the page", "MB", "first picture, ms")
    print(" | ".join((*head, "selection, ms")))
    for n in (int(_N * scale), int(10 * _N * scale)):
        folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
        try:
            print(" | ".join(_row(folder, n)))
        finally:
            shutil.rmtree(folder)


def _row(folder: Path, n: int) -> list[str]:
    draw = np.random.default_rng(0)
    grid = 2.1 * np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)[:_ATOMS]
    source = zstruct.sources.arrays(
        draw.choice([1, 6, 8, 22], n * _ATOMS),
        (grid + draw.normal(0, 0.1, (n, _ATOMS, 3))).reshape(-1, 3),
        n_atoms=np.full(n, _ATOMS),
        energy=draw.normal(size=n),
        forces=draw.normal(size=(n * _ATOMS, 3)),
        config_type=draw.choice(["bulk", "surface", "cluster"], n).tolist(),
    )
    zstruct.build(source, folder / "a.zarr", progress=False)
    began = time.perf_counter()
    zstruct.report(folder / "a.zarr", folder / "plain.html", tolerance=None)
    plain = time.perf_counter() - began
    began = time.perf_counter()
    made = zstruct.report(folder / "a.zarr", folder / "r.html")
    whole = time.perf_counter() - began
    megabytes = (folder / "r.html").stat().st_size / 1e6
    cells = [
        f"{n:,}",
        f"{whole:.1f}",
        f"{n / whole:,.0f}",
        f"{whole - plain:.1f}",
        f"{made.n_shown:,}",
        f"{megabytes:.1f}",
    ]
    return [*cells, *_in_browser(folder)]


def _in_browser(folder: Path) -> list[str]:
    program = executable()
    if program is None:
        return ["no Chromium"]
    browser = Browser(program, folder)
    try:
        page = browser.page(folder / "r.html")
        first, times = page.evaluate(_FIRST), page.evaluate(_SELECTIONS)
    finally:
        browser.close()
    return [f"{first:.0f}", f"{np.median(times):.1f}, {np.max(times):.1f}"]
