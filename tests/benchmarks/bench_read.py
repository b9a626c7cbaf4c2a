"""Reading for training, against peers: random batches, single structures, epochs, sizes, memory.

The environment variable PARTS chooses some of the parts: batches, one, epoch, first, cold, sizes,
memory, opening, separated by commas.
"""

import functools
import gc
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

import zstruct
from tests.benchmarks import bench_open, workloads
from tests.benchmarks.common import columns_of, fresh, machine, median, show, times
from tests.benchmarks.files import (
    REPEATS,
    SECONDS,
    Files,
    Ours,
    OursUncompressed,
    epoch_rate,
    for_some_time,
    median_rates,
)
from tests.benchmarks.findings import Finding, conclude
from tests.benchmarks.peers import READERS, WRITERS, Atompack, AtompackLz4, Lmdb, Memmap, Peer
from tests.benchmarks.workloads import Tensors

BATCH = 256
_IN_ORDER = ", in order"
_WARM_UP = 4 * SECONDS
_STORES: tuple[type[Ours], ...] = (Ours, OursUncompressed)
# Titles of tables.
_SHUFFLED = "structures/s, shuffled, warm, one process"
_EPOCHS = f"structures/s of whole shuffled epochs, loaders with batches of {BATCH}, warm"
_FIRST = f"structures/s of opening and a first epoch, batches of {BATCH}"
_SIZES = "bytes per structure on disk"


findings: list[Finding] = []
#: Tables by title, their columns by what is read and how, cells by side.
tables: dict[str, dict[str, dict[str, str]]] = {}


def main(scale: float = 1.0) -> None:
    print(machine())
    print(_versions())
    findings.clear(), tables.clear()
    chosen = os.environ.get("PARTS", "batches,one,epoch,first,cold,sizes,memory,opening").split(",")
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    reading = (_batches, _one, _epoch, _first, _cold, _sizes)
    try:
        for name, make, n, parts in (
            ("A", workloads.solids, 100_000, (*reading, _memory)),
            ("Q", workloads.molecules, 200_000, reading),
            ("real", workloads.real, 50_000, (_sizes,)),
        ):
            asked = [part for part in parts if part.__name__.strip("_") in chosen]
            structures = make(int(n * scale)) if asked else None
            if structures is None:
                if asked:
                    print(f"no {name} data: there is no {workloads.REAL}")
                continue
            files = Files(name, structures, folder / name)
            print(f"\n{files.title}")
            for part in asked:
                part(files)
            files.close()
            shutil.rmtree(files.folder)
        for title, columns in tables.items():
            header, rows = columns_of(columns)
            show(title, rows, header)
        if "opening" in chosen:
            _opening(folder, int(10_000_000 * scale))
    finally:
        shutil.rmtree(folder)
    conclude(findings)


def _versions() -> str:
    found, missing = [], []
    for package in ("torch", "atompack-db", "lmdb", "h5py"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        found.append(
            f"left out, for they are not installed: {' '.join(missing)} (pip install 'zstruct[bench]')"
        )
    return ", ".join(found)


class _Served(Dataset[Tensors]):
    """A reader behind a torch DataLoader, which asks it for whole batches."""

    def __init__(self, reader: Peer, n: int):
        self.reader, self.n = reader, n

    def __len__(self) -> int:
        return self.n

    def __getitems__(self, indices: list[int]) -> Tensors:
        return self.reader.batch(indices)


def _same(batch: Tensors) -> Tensors:
    return batch


def _loader(files: Files, reader: Peer, shuffle: Any = True, workers: int = 0) -> Iterable[Tensors]:
    options: dict[str, Any] = {"shuffle": shuffle, "num_workers": workers}
    if workers:
        # Started afresh: atompack's threads do not outlive a fork, and its children hang.
        options |= {"persistent_workers": True, "multiprocessing_context": "forkserver"}
    if isinstance(reader, Ours):
        return reader.dataset.loader(BATCH, **options)
    return DataLoader(_Served(reader, files.n(reader)), BATCH, collate_fn=_same, **options)


def _judge(measure: str, files: Files, rates: Mapping[str, float], target: float | None) -> None:
    """Note how zstruct, the first one, stands against the fastest of the others."""
    ours, *others = rates
    if others:
        best = max(others, key=lambda name: rates[name])
        ratio = rates[ours] / rates[best]
        speeds = f"{ours.removeprefix('zstruct, ')} {rates[ours]:,.0f}/s", f"{best} {rates[best]:,.0f}/s"
        findings.append(Finding(measure, files.name, *speeds, ratio, target))


def _note(title: str, column: str, rates: Mapping[str, float], ours: Sequence[str] = (Ours.name,)) -> None:
    """Put a column into a table: rates, and how many times as fast zstruct is."""
    cells = {}
    for name, rate in rates.items():
        ratios = " / ".join(times(rates[of] / rate) for of in ours)
        cells[name] = f"{rate:,.0f}" if name.startswith(Ours.name) else f"{rate:,.0f} ({ratios})"
    tables.setdefault(title, {})[column] = cells


def _batches(files: Files) -> None:
    """Shuffled batches in one process, everything in memory that a side keeps there."""
    rng = np.random.default_rng(4)
    for size in (256, 32):
        sides = {}
        for reader in files.readers():
            order = rng.permutation(files.n(reader))
            cut = [order[k : k + size] for k in range(0, len(order), size)]
            pieces = itertools.cycle([piece.tolist() for piece in cut] if reader.lists else cut)
            for_some_time(itertools.islice(pieces, len(cut)), reader.batch, _WARM_UP)
            sides[reader.name] = functools.partial(for_some_time, pieces, reader.batch, SECONDS)
        rates = median_rates(sides)
        _judge(f"shuffled batches of {size}", files, rates, target=2)
        of = f"of {size}" if size != BATCH else f"batches of {BATCH}"
        _note(_SHUFFLED, f"{files.name}, {of}", rates)


def _one(files: Files) -> None:
    """Single structures in random order, as dicts of tensors."""
    sides = {}
    for reader in files.readers():
        order = np.random.default_rng(5).permutation(files.n(reader)).tolist()
        cut = [order[k : k + 64] for k in range(0, len(order), 64)]
        pieces = itertools.cycle(cut)

        def read(piece: list[int], one: Callable[[int], Tensors] = reader.one) -> None:
            for i in piece:
                one(i)

        for_some_time(itertools.islice(pieces, len(cut)), read, _WARM_UP)
        sides[reader.name] = functools.partial(for_some_time, pieces, read, SECONDS)
    rates = median_rates(sides)
    _judge("one by one", files, rates, target=1)
    _note(_SHUFFLED, f"{files.name}, one by one", rates)


def _epoch(files: Files) -> None:
    """Whole shuffled epochs through loaders, after a first one that is checked."""
    readers = [reader for reader in files.readers() if not reader.slow]
    columns = {}
    for workers in (0, 2):
        sides = {}
        for reader in readers:
            loader = _loader(files, reader, workers=workers)
            files.check_epoch(f"{reader.name} with {workers} workers", loader)
            sides[reader.name] = functools.partial(epoch_rate, lambda loader=loader: loader)
        columns[f"{workers} workers"] = median_rates(sides)
        del sides, loader  # ends the workers
    ours = columns["0 workers"][Ours.name]
    for (column, rates), target in zip(columns.items(), (2, 5), strict=True):
        others = {name: rate for name, rate in rates.items() if name != Ours.name}
        _judge(f"epoch; peers with {column}", files, {Ours.name: ours, **others}, target)
        without = [ours / rate for rate in others.values()]
        if column != "0 workers":
            least, most = times(min(without)), times(max(without))
            print(
                f"{files.name}: without workers zstruct is {least}-{most} times as fast as others with two."
            )
    _judge("epoch; 2 workers each", files, columns["2 workers"], target=1)
    for column, rates in zip(("one process", "2 workers each"), columns.values(), strict=True):
        _note(_EPOCHS, f"{files.name}, {column}", rates)


def _first(files: Files) -> None:
    """The first epoch of a dataset just opened, page cache warm."""
    files.close()
    kinds = [*_STORES, *(kind for kind in READERS if kind.installed() and not kind.slow)]
    rates = median_rates(
        {kind.name: lambda kind=kind: epoch_rate(lambda: opened(files, kind)) for kind in kinds}
    )
    if files.name == "A":
        speed = rates[Ours.name]
        findings.append(
            Finding("first epoch", "A", f"{speed:,.0f}/s", "300,000/s asked for", speed / 300_000, 1, False)
        )
    plain = {kind.name: rates[kind.name] for kind in (Atompack, Memmap) if kind.name in rates}
    for kind in _STORES:
        _judge("first epoch; uncompressed peers", files, {kind.name: rates[kind.name], **plain}, target=1)
    _note(_FIRST, f"{files.name}, page cache warm", rates, [kind.name for kind in _STORES])


def opened(files: Files, kind: type[Peer], in_order: bool = False) -> Iterable[Tensors]:
    """Open a reader and return a loader: shuffled, by blocks where decoding is in blocks."""
    if issubclass(kind, Ours):
        return _loader(files, kind(files.path(kind), cache="memory"), shuffle="block")
    return _loader(files, kind(files.path(kind)), shuffle=not in_order)


def _cold(files: Files) -> None:
    """The first epoch with nothing in the page cache; peers also in order, which spares them seeking."""
    files.close()
    how, fetched = "", {}
    sides = {}
    for kind in (*_STORES, Atompack, AtompackLz4, Memmap, Lmdb):
        for in_order in (False, True)[: 1 if kind in _STORES else 2]:
            if kind.installed():
                name = kind.name + (_IN_ORDER if in_order else "")
                files.path(kind)
                fetched[name] = []

                def side(kind: type[Peer] = kind, in_order: bool = in_order, name: str = name) -> float:
                    nonlocal how
                    how = _forget(files.folder)
                    before = _bytes_read()
                    rate = epoch_rate(lambda: opened(files, kind, in_order))
                    fetched[name].append(_bytes_read() - before)
                    return rate

                sides[name] = side
    rates = median_rates(sides)
    in_order = {name.removesuffix(_IN_ORDER): rates[name] for name in rates if name.endswith(_IN_ORDER)}
    shuffled = {name: rate for name, rate in rates.items() if not name.endswith(_IN_ORDER)}
    sizes = {kind.name: files.size(kind) for kind in (*_STORES, *READERS) if kind.name in rates}
    for kind in _STORES:
        ours = {kind.name: shuffled[kind.name]}
        theirs = {name: rate for name, rate in shuffled.items() if name in in_order}
        _judge("shuffled first epoch, page cache cold", files, ours | theirs, target=1)
        for name, rate in in_order.items():
            if sizes[name] >= 0.99 * sizes[kind.name]:
                _judge("the same; peer read in order", files, ours | {name: rate}, target=1)
    ours = {kind.name: shuffled[kind.name] for kind in _STORES}
    _note(_FIRST, f"{files.name}, cold", shuffled, list(ours))
    _note(_FIRST, f"{files.name}, cold, in order", ours | in_order, list(ours))
    for name in ours:
        del tables[_FIRST][f"{files.name}, cold, in order"][name]
    read = ", ".join(f"{name} {median(nbytes) / 1e6:,.0f}" for name, nbytes in fetched.items())
    print(f"page cache emptied by {how}; MB from disk: {read}")


def _forget(folder: Path) -> str:
    """Empty the page cache, or ask the kernel to let go of the files of a folder; say which."""
    gc.collect()
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError:
        for file in folder.rglob("*"):
            if file.is_file():
                with open(file, "rb") as opened:
                    os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return "posix_fadvise"
    return "drop_caches"


def _bytes_read() -> int:
    """Return the bytes that this process has had fetched from disk."""
    line = next(s for s in Path("/proc/self/io").read_text().splitlines() if s.startswith("read_bytes"))
    return int(line.split()[1])


def _sizes(files: Files) -> None:
    """Bytes on disk."""
    sizes = {}
    for kind in (*_STORES, *WRITERS):
        if kind.installed() and not (kind is Lmdb and files.structures.cell is not None):
            sizes[kind.name] = files.size(kind) / len(files.structures)
    ours = sizes[Ours.name]
    for other in ("atompack lz4", "h5py gzip", "h5py gzip + shuffle"):
        if other in sizes:
            numbers = f"{ours:,.0f} B", f"{other} {sizes[other]:,.0f} B"
            target = None if "shuffle" in other else 1
            findings.append(Finding("bytes per structure", files.name, *numbers, sizes[other] / ours, target))
    tables.setdefault(_SIZES, {})[files.name] = {name: f"{size:,.0f}" for name, size in sizes.items()}


_MEMORY = """
    import sys
    from pathlib import Path
    import torch, zstruct

    def pss(pid):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        own = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        threads = Path(f"/proc/{pid}/task").glob("*/children")
        return own + sum(pss(child) for file in threads for child in file.read_text().split())

    path, cache, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
    fields = ["positions", "forces", "numbers", "energy"]
    data = zstruct.ZarrStructureDataset(path, fields=fields, cache=cache)
    loader = data.loader(256, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    for batch in loader:
        pass
    print(pss("self") / 1024)
"""


def _memory(files: Files) -> None:
    """Memory of a process and its workers after an epoch, shared pages counted once."""
    rows, found = [], {}
    for cache, workers in (("memory", 0), ("shared", 0), ("shared", 4), ("memory", 4)):
        runs = [float(fresh(_MEMORY, files.path(Ours), cache, workers)[0]) for _ in range(REPEATS)]
        found[cache, workers] = median(runs)
        ratio = found[cache, workers] / found["memory", 0]
        how = f"{workers} workers" if workers else "one process"
        rows.append([f'`cache="{cache}"`, {how}', f"{found[cache, workers]:,.0f}", f"{ratio:.2f}"])
    one, shared = found["memory", 0], found["shared", 4]
    findings.append(
        Finding("PSS with 4 workers", files.name, f"{shared:,.0f} MiB", f"one process {one:,.0f} MiB",
                one / shared, 1 / 1.3, False)
    )  # fmt: skip
    show(f"{files.title}; PSS after an epoch", rows, ["", "MiB", "ratio"])


def _opening(folder: Path, n: int) -> None:
    """Open a store of many small structures."""
    path = folder / "many.zarr"
    bench_open.synthetic(path, n, atoms=(1, 3))
    opening, first, objects = [], [], []
    for _ in range(REPEATS):
        gc.collect()
        before, began = len(gc.get_objects()), time.perf_counter()
        dataset = zstruct.ZarrStructureDataset(path)
        opening.append(time.perf_counter() - began)
        began = time.perf_counter()
        dataset[n // 2]
        first.append(time.perf_counter() - began)
        objects.append(len(gc.get_objects()) - before)
        del dataset
    print(
        f"\nOpening a store of {n:,} structures takes {1e3 * median(opening):.0f} ms and makes "
        f"{median(objects):,.0f} Python objects; its first structure comes {median(first):.2f} s later."
    )
    seconds = median(opening)
    findings.append(
        Finding("opening", f"{n:,}", f"{seconds:.3f} s", "0.3 s asked for", 0.3 / seconds, 1, False)
    )
