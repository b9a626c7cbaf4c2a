"""Where a first epoch takes its time, page cache warm: each part by itself, in one thread, beside the whole.

A as for reading, 100,000 periodic structures of 64 atoms, stored as they are by default and with
``compression="raw"``. Processor time of all threads, in milliseconds. Parts are done with what the store
has, in the order of its chunks; what is left is what threads cost each other: waking up, caches, Python.
"""

import functools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from tests.benchmarks import workloads
from tests.benchmarks.bench_read import opened
from tests.benchmarks.common import columns_of, machine, median, show
from tests.benchmarks.files import REPEATS, Files, Ours, OursUncompressed, epoch_rate
from tests.benchmarks.peers import Atompack, Memmap
from tests.benchmarks.workloads import FIELDS
from zstruct.loading import Shuffle
from zstruct.store.chunk_reader import ChunkReader
from zstruct.store.store import Store

BATCH = 256
_WHOLE = "first epoch, all threads"
_KINDS = {"fast": Ours, "raw": OursUncompressed}


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        files = Files("A", workloads.solids(int(100_000 * scale)), folder / "A")
        sides = {name: _Parts(files.path(kind), kind) for name, kind in _KINDS.items()}
        found: dict[str, dict[str, list[float]]] = {name: {} for name in sides}
        for turn in range(REPEATS + 1):
            for name, side in sides.items():
                for part, seconds in side.times().items():
                    found[name].setdefault(part, []).extend([seconds] if turn else [])
        columns = {name: _column(parts) for name, parts in found.items()}
        header, rows = columns_of(columns)
        show(f"{files.title}, a first epoch, batches of {BATCH}; processor time, ms", rows, header)
        _walls(files)
    finally:
        shutil.rmtree(folder)


def _column(parts: Mapping[str, list[float]]) -> dict[str, str]:
    medians = {part: 1e3 * median(seconds) for part, seconds in parts.items()}
    whole = medians.pop(_WHOLE)
    medians |= {"what threads cost each other": whole - sum(medians.values()), _WHOLE: whole}
    return {part: f"{ms:.0f}" for part, ms in medians.items()}


class _Parts:
    """What a first epoch does, a step at a time.

    Parameters
    ----------
    path
        The store.
    kind
        Its reader.
    """

    def __init__(self, path: Path, kind: type[Ours]):
        self._path, self._kind = path, kind
        store = Store(path)
        readers = []
        for name in FIELDS:
            spec = store.profile(name)
            assert spec is not None
            readers.append(ChunkReader(store.path, spec, functools.partial(store.checksums, name)))
        self._chunks = [
            (reader, reader.encoded(chunk))
            for reader in readers
            for chunk in reader.chunks(0, reader.spec.shape[0])
        ]
        self._sealed = [encoded.tobytes() for _, encoded in self._chunks]
        self._rows = [
            np.ones((reader.spec.grid.chunk_rows, *reader.spec.shape[1:]), reader.spec.dtype)
            for reader, _ in self._chunks
        ]
        self._warm = kind(path, cache="memory").dataset
        self._warm.cache_warmup()

    def times(self) -> dict[str, float]:
        """Return the seconds of each part."""
        steps: dict[str, Callable[[], object]] = {
            "opening": lambda: self._kind(self._path, cache="memory"),
            "files from the page cache": self._read,
            "checksums": lambda: [google_crc32c.value(one) for one in self._sealed],
            "Blosc, into memory that is there": self._decode,
            "new memory, zeroed by the system": self._touch,
            "order and batches, all decoded": self._gather,
            _WHOLE: lambda: _exhaust(self._kind(self._path, cache="memory").dataset),
        }
        found = {}
        for name, step in steps.items():
            began = time.process_time()
            step()
            found[name] = time.process_time() - began
        return found

    def _read(self) -> None:
        for name in FIELDS:
            for path in sorted(Path(self._path, name, "c").rglob("*")):
                if path.is_file():
                    with path.open("rb", buffering=0) as file:
                        while file.read(1 << 19):
                            pass

    def _decode(self) -> None:
        for (reader, encoded), rows in zip(self._chunks, self._rows, strict=True):
            spec = reader.spec
            spec.codec.decompress(encoded, spec.dtype, rows.shape, rows)

    def _touch(self) -> None:
        memory = np.zeros(sum(rows.nbytes for rows in self._rows), np.uint8)
        memory[:: os.sysconf("SC_PAGE_SIZE")] = 1

    def _gather(self) -> None:
        for batch in self._warm.loader(BATCH, Shuffle("block", seed=1), threads=0):
            del batch


def _exhaust(dataset: Any) -> None:
    for batch in dataset.loader(BATCH, Shuffle("block", seed=1)):
        del batch


def _walls(files: Files) -> None:
    """Elapsed times of the same, beside peers that have nothing to decode."""
    kinds = [*_KINDS.values(), *(kind for kind in (Atompack, Memmap) if kind.installed())]
    seconds: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    for turn in range(2 * REPEATS + 1):
        for kind in kinds:
            rate = epoch_rate(lambda kind=kind: opened(files, kind))
            seconds[kind.name] += [len(files.structures) / rate] if turn else []
    rows = [[name, f"{1e3 * median(of):.0f}"] for name, of in seconds.items()]
    show("the same by the clock on the wall, all cores", rows, ["", "ms"])
