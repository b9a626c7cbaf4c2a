"""Rewriting a store in another form, against copying its files with cp -r.

Random decimals of eight digits, as text has them. Rates are of the bytes of the plain store, be it what is
read or what is written. What was written is on the disk at the end, of both sides; the page cache is warm.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import zstruct
from tests.benchmarks.common import costs, machine, show

_ATOMS = 12_000_000
_REPEATS = 3
_COPY = "cp -r, plain"
_FORMS = {
    "as it is": ("plain", {}),
    "plain to decimal": ("plain", {"encoding": "decimal"}),
    "decimal to plain": ("decimal", {"encoding": "plain"}),
    "plain in other chunks": ("plain", {"chunks": {"atom": 1 << 15}}),
    "plain to small": ("plain", {"compression": "small"}),
}


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        for name in ("plain", "decimal"):
            encoding = {"decimal": name == "decimal"}
            zstruct.build(_source(int(_ATOMS * scale)), folder / name, encoding=encoding, progress=False)
        _compare(folder)
    finally:
        shutil.rmtree(folder)


def _source(n_atoms: int) -> zstruct.sources.Source:
    draw = np.random.default_rng(0)
    n = n_atoms // 20
    return zstruct.sources.arrays(
        positions=np.round(draw.normal(0, 4, (20 * n, 3)), 8),
        numbers=draw.choice([1, 6, 7, 8], 20 * n).astype(np.uint8),
        offsets=np.arange(n + 1) * 20,
        energy=np.round(draw.normal(-4000, 100, n), 8),
        forces=np.round(draw.normal(0, 1, (20 * n, 3)), 8),
    )


def _compare(folder: Path) -> None:
    def copied(out):
        subprocess.run(["cp", "-r", folder / "plain", out], check=True)
        os.sync()

    def rewritten(name, form):
        return lambda out: zstruct.rewrite(folder / name, out, progress=False, **form)

    sides = {_COPY: copied} | {side: rewritten(*what) for side, what in _FORMS.items()}
    found = costs(sides, folder, _REPEATS)
    nbytes = zstruct.Store(folder / "plain").nbytes_stored()
    rows = []
    for side, cost in found.items():
        wall, cpu = (f"{nbytes / seconds / 1e9:.2f}" for seconds in (cost.wall, cost.cpu))
        rows.append([side, wall, "-" if side == _COPY else cpu, f"{cost.wall / found[_COPY].wall:.1f}"])
    header = ["", "GB/s", "GB per CPU-second", "times cp -r"]
    show(f"a store that takes {nbytes / 1e6:,.0f} MB when it is plain", rows, header)
