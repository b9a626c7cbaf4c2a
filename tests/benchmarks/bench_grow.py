"""Joining stores, against verifying them, with their groups or without; features of a store that grew; and
appending and dropping, against building: bytes, time, memory.

Random decimals of eight digits, as text has them. What was written is on the disk at the end; the page cache
is warm. A store that grew has one structure in a hundred that is new; its features are computed of these, or
of all of them. Memory is that of a process that does nothing else.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import zstruct
from tests.benchmarks.common import Cost, costs, fresh, machine, median, show
from tests.benchmarks.findings import Finding, conclude
from zstruct.features import Chebyshev

_ATOMS = 12_000_000
_STRUCTURES, _SMALL = 5_000_000, 4  # of a store that is extended, and atoms of each
_REPEATS = 3
#: What is asked for: joining takes at most so many times what verifying takes, and so many MiB.
_TIMES_VERIFY, _MIB = 1.5, 1024
_DESCRIPTOR = Chebyshev(["H", "C", "N", "O"], 8, 3.0, 3, 2.0)


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        for seed, name in enumerate(("a.zarr", "b.zarr", "c.zarr")):
            zstruct.build(_source(int(_ATOMS * scale) // 3, seed), folder / name, progress=False)
        findings = _join(folder, "stores")
        for store in sorted(folder.glob("*.zarr")):
            zstruct.featurize(store, _DESCRIPTOR, progress=False)
            zstruct.split(store, [0.8, 0.2], name="default")
        findings += _join(folder, "stores with features")
        _grow(folder, scale)
        for store in folder.glob("*.zarr"):
            shutil.rmtree(store)
        findings += _extend(folder, int(_STRUCTURES * scale))
    finally:
        shutil.rmtree(folder)
    conclude(findings)


def _source(n_atoms: int, seed: int, each: int = 20) -> zstruct.sources.Source:
    draw = np.random.default_rng(seed)
    n = n_atoms // each
    return zstruct.sources.arrays(
        positions=np.round(draw.normal(0, 4, (each * n, 3)), 8),
        numbers=draw.choice([1, 6, 7, 8], each * n).astype(np.uint8),
        offsets=np.arange(n + 1) * each,
        energy=np.round(draw.normal(-4000, 100, n), 8),
        forces=np.round(draw.normal(0, 1, (each * n, 3)), 8),
    )


def _extend(folder: Path, n: int) -> list[Finding]:
    """Append a hundredth to a store of so many structures, and to one of a tenth of them; drop as many."""
    old, tenth, new = (folder / name for name in ("old.zarr", "tenth.zarr", "new.zarr"))
    zstruct.build(_source(_SMALL * n, 7, _SMALL), old, progress=False)
    zstruct.build(_source(_SMALL * n // 10, 6, _SMALL), tenth, progress=False)
    zstruct.build(_source(_SMALL * n // 100, 8, _SMALL), new, progress=False)
    before = zstruct.Store(old)
    said: dict[str, zstruct.AppendReport] = {}

    def built(out: Path) -> None:
        zstruct.build(new, out, progress=False)
        os.sync()

    def appended(out: Path) -> None:
        said["append"] = zstruct.append(old, new, out=out, progress=False)
        os.sync()

    def appended_to_tenth(out: Path) -> None:
        zstruct.append(tenth, new, out=out, progress=False)
        os.sync()

    def without_duplicates(out: Path) -> None:
        said["duplicates"] = zstruct.append(old, new, out=out, skip_duplicates=True, progress=False)
        os.sync()

    def dropped(out: Path) -> None:
        zstruct.drop(old, np.arange(0, n, 100), out=out, progress=False)
        os.sync()

    def last_dropped(out: Path) -> None:
        zstruct.drop(old, np.arange(n - n // 100, n), out=out, progress=False)
        os.sync()

    def verified(out: Path) -> None:
        zstruct.verify(old)

    sides = {
        "build of what is new": built,
        "append": appended,
        "append to a tenth": appended_to_tenth,
        "append, skip_duplicates": without_duplicates,
        "drop of every hundredth": dropped,
        "drop of the last ones": last_dropped,
        "verify": verified,
    }
    found = costs(sides, folder, _REPEATS)
    rows = [[side, f"{cost.wall:.2f}", f"{cost.cpu:.2f}"] for side, cost in found.items()]
    title = f"{n // 100:,} to {n:,} structures of {_SMALL} atoms, {before.nbytes_stored() / 1e6:,.0f} MB"
    show(title, rows, ["", "s", "CPU s"])
    written = said["append"].nbytes - said["append"].nbytes_shared
    tails = sum(_tail(shards) for shards in old.rglob("c"))  # of the index, too
    added, data = zstruct.Store(new).nbytes_stored(), f"{n // 100:,} to {n:,} structures"
    print(f"{said['duplicates'].n_duplicates} duplicates found")
    allowed = f"what is new takes {added / 1e6:,.1f} MB, last shards of arrays {tails / 1e6:,.1f} MB"
    bytes_of = f"written: {written / 1e6:,.1f} MB"
    code = "zstruct.append(sys.argv[2], sys.argv[3:], out=sys.argv[1], progress=False)"
    return [
        Finding("bytes of an append", data, bytes_of, allowed, (added + tails) / written, 1.0, peer=False),
        *(_times("append", data, found, side) for side in ("append to a tenth", "build of what is new")),
        _memory("memory of an append", data, _peak(code, folder, old, new)),
    ]


def _times(side: str, data: str, found: Mapping[str, Cost], other: str, most: float | None = None) -> Finding:
    """Return how long a side takes against another one, of which it may take so many times."""
    ours, theirs = found[side].wall, found[other].wall
    target = None if most is None else 1 / most
    return Finding(side, data, f"{ours:.2f} s", f"{other}: {theirs:.2f} s", theirs / ours, target, peer=False)


def _memory(side: str, data: str, peak: float) -> Finding:
    return Finding(side, data, f"{peak:,.0f} MiB", f"{_MIB:,} MiB", _MIB / peak, 1.0, peer=False)


def _peak(code: str, folder: Path, *paths: Path) -> float:
    """Return the most MiB that a process takes for some code that makes a store at the first of its paths."""
    out = folder / "alone.zarr"
    _, peak = fresh(f"import sys, zstruct\n{code}", out, *paths)
    shutil.rmtree(out)
    return peak


def _tail(shards: Path) -> int:
    """Return the bytes of the last shard in the folder of those of an array."""
    files = [file for file in shards.rglob("*") if file.is_file()]
    return max(files, key=lambda file: int(file.relative_to(shards).parts[0])).stat().st_size


def _join(folder: Path, what: str) -> list[Finding]:
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
    show(f"three {what} of {nbytes / 1e6:,.0f} MB in all", rows, ["", "s", "GB/s", "times verify"])
    data = f"three {what}"
    peak = _peak("zstruct.build(sys.argv[2:], sys.argv[1], progress=False)", folder, *stores)
    return [
        *(_times(side, data, found, "verify, all of them", _TIMES_VERIFY) for side in list(sides)[1:]),
        _memory("memory of a join", data, peak),
    ]


def _grow(folder: Path, scale: float) -> None:
    """Featurize a store that grew by one in a hundred, and one without features."""
    grown = folder / "grown.zarr"
    new = _source(int(_ATOMS * scale) // 300, 9)
    zstruct.append(folder / "a.zarr", new, out=grown, progress=False)

    def featurized(overwrite: bool) -> float:
        store = folder / "now.zarr"
        shutil.copytree(grown, store)
        os.sync()
        began = time.perf_counter()
        zstruct.featurize(store, _DESCRIPTOR, overwrite=overwrite, progress=False)
        os.sync()
        seconds = time.perf_counter() - began
        shutil.rmtree(store)
        return seconds

    found = {
        side: median([featurized(overwrite) for _ in range(_REPEATS)])
        for side, overwrite in (("all of it", True), ("what is new", False))
    }
    rows = [
        [side, f"{seconds:.2f}", f"{seconds / found['all of it']:.3f}"] for side, seconds in found.items()
    ]
    show(f"features of {zstruct.Store(grown).n_atoms:,} atoms, 1 % of them new", rows, ["", "s", "of all"])
