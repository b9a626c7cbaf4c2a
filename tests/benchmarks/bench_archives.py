"""An archive of thousands of XSF files, against version 0.1 on the same files unpacked, wall time.

Structures are those of the TiO2 set moved about, or crystals drawn at random if it is not there. Each version
is at work in a process of its own, which has built once before; they take turns.
"""

import bz2
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from tests.benchmarks.bench_cold import OLD
from tests.benchmarks.common import checkout, machine, median, show

REPEATS = 5
_N_FILES = 10_000
_ASKED = 3.0  # times as fast, of the archive of .tar.bz2
_REAL = Path(__file__).parents[3] / "shared" / "data" / "tio2_xsf"
_MEMORY = Path("/dev/shm")
_BUILDS = """
    import json, os, sys, time
    import zstruct
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        given, out = json.loads(line)
        began = time.perf_counter()
        zstruct.build(given, out, progress=False)
        print(time.perf_counter() - began, file=answers)
"""
Files = list[tuple[str, bytes]]


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        _compare(folder, int(_N_FILES * scale), 2 if scale < 1 else REPEATS)
    finally:
        shutil.rmtree(folder)


def _compare(folder: Path, n: int, repeats: int) -> None:
    files = _structures(n)
    size = sum(len(data) for _, data in files)
    (folder / "xsf").mkdir()
    for name, data in files:
        (folder / name).write_bytes(data)
    checkout(OLD, folder / "old")
    sides = {f"{OLD}, unpacked": ("old", folder / "xsf"), "unpacked": ("new", folder / "xsf")}
    for suffix, make in _ARCHIVES.items():
        path = folder / f"xsf{suffix}"
        path.write_bytes(make(files))
        sides[suffix] = ("new", path)
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    with ExitStack() as stack:
        trees = {"old": folder / "old", "new": Path(__file__).parents[2]}
        builders = {name: stack.enter_context(_builder(tree)) for name, tree in trees.items()}
        for turn in range(repeats + 1):
            for side, (version, given) in sides.items():
                out = folder / "out.zarr"
                passed = builders[version](given, out)
                shutil.rmtree(out)
                seconds[side] += [passed] if turn else []
    old = median(seconds[f"{OLD}, unpacked"])
    rows = [
        [side, f"{median(of):.2f}", f"{size / median(of) / 1e6:.1f}", f"{old / median(of):.1f}"]
        for side, of in seconds.items()
    ]
    show(
        f"{n:,} files of XSF, {size / 1e6:.0f} MB; medians of {repeats}",
        rows,
        ["", "s", "MB/s", "times as fast"],
    )
    ratio = old / median(seconds[".tar.bz2"])
    if ratio < _ASKED:
        raise SystemExit(f".tar.bz2 is {ratio:.2f} times as fast, not {_ASKED:g} times")


@contextmanager
def _builder(tree: Path) -> Iterator[Callable[[Path, Path], float]]:
    """Have a version in a process of its own; yield what builds there, and returns the seconds it took."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_BUILDS)],
        env={**os.environ, "PYTHONPATH": str(tree)},
        cwd=tree,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def build(given: Path, out: Path) -> float:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([str(given), str(out)]) + "\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    try:
        yield build
    finally:
        process.communicate()


def _structures(n: int) -> Files:
    """Return files as aenet writes them."""
    rng = np.random.default_rng(0)
    paths = sorted(_REAL.glob("*.xsf"))
    kinds = [_parsed(path.read_text()) for path in paths] or [_drawn(rng, k) for k in (23, 46, 95)]
    return [(f"xsf/structure-{k:05d}.xsf", _moved(rng, *kinds[k % len(kinds)])) for k in range(n)]


def _parsed(text: str) -> tuple[list[str], list[str], np.ndarray]:
    """Return the lines in front of the atoms, their symbols, and positions and forces, shape (n, 6)."""
    lines = text.splitlines()
    first = lines.index("PRIMCOORD") + 2
    words = [line.split() for line in lines[first:] if line.strip()]
    return lines[:first], [row[0] for row in words], np.array([row[1:7] for row in words], dtype=float)


def _drawn(rng: np.random.Generator, n_atoms: int) -> tuple[list[str], list[str], np.ndarray]:
    size = (12.0 * n_atoms) ** (1 / 3)
    cell = [" ".join(f"{x:14.8f}" for x in row) for row in size * np.eye(3)]
    lead = ["# total energy = 0.0 eV", "", "CRYSTAL", "PRIMVEC", *cell, "PRIMCOORD", f"{n_atoms} 1"]
    symbols = ["Ti" if k < n_atoms // 3 else "O" for k in range(n_atoms)]
    return lead, symbols, np.hstack([rng.uniform(0, size, (n_atoms, 3)), rng.normal(size=(n_atoms, 3))])


def _moved(rng: np.random.Generator, lead: list[str], symbols: list[str], rows: np.ndarray) -> bytes:
    moved = rows + rng.normal(0, 0.05, rows.shape)
    atoms = [
        f"{symbol:2}" + "".join(f"{x:15.8f}" for x in row)
        for symbol, row in zip(symbols, moved.tolist(), strict=True)
    ]
    energy = f"# total energy = {rng.normal(-19000, 100):.8f} eV"
    return "\n".join([energy, *lead[1:], *atoms, ""]).encode()


def _tar(files: Files) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in files:
            item = tarfile.TarInfo(name)
            item.size = len(data)
            archive.addfile(item, io.BytesIO(data))
    return made.getvalue()


def _zip(files: Files) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return made.getvalue()


_ARCHIVES: dict[str, Callable[[Files], bytes]] = {
    ".tar": _tar,
    ".tar.gz": lambda files: gzip.compress(_tar(files)),
    ".tar.bz2": lambda files: bz2.compress(_tar(files)),
    ".zip": _zip,
}
