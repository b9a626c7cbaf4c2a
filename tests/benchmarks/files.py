"""Structures in files, zstruct's reader of them with checks of what is read, and how fast reading is."""

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

import zstruct
from tests.benchmarks.common import median
from tests.benchmarks.peers import READERS, Peer, ZarrOindex
from tests.benchmarks.workloads import FIELDS, Structures, Tensors
from zstruct.layouts.graph import graph

REPEATS = 5
SECONDS = 0.4  # of one repeat of one side, where that is not a whole epoch


class Ours(Peer):
    """A zstruct store, the side that all others are compared with."""

    name = "zstruct"
    requires = "zstruct"
    compression: ClassVar[str] = "fast"

    def __init__(self, path: Path, numbers: str = "int64", **options: Any):
        super().__init__(path)
        dtype = {"energy": torch.float64, "numbers": numbers}
        self.dataset = zstruct.ZarrStructureDataset(path, fields=FIELDS, dtype=dtype, **options)

    @classmethod
    def write(cls, path: Path, structures: Structures) -> None:
        encoding = zstruct.Encoding("float32", compression=cls.compression)
        zstruct.build(structures.source(), path, encoding=encoding, progress=False)

    def batch(self, indices: Any) -> Tensors:
        return graph(self.dataset.__getitems__(indices))

    def one(self, index: int) -> Tensors:
        return self.dataset[index]


class OursUncompressed(Ours):
    """The same in a store of more bytes."""

    name = "zstruct, uncompressed"
    compression = "raw"


class Files:
    """Structures, what each side makes of them on disk, and the readers of that.

    Parameters
    ----------
    name
        What to call the structures.
    structures
        The structures.
    folder
        Where to write.
    """

    def __init__(self, name: str, structures: Structures, folder: Path):
        counts = np.diff(structures.offsets)
        atoms = f"{counts.min()}-{counts.max()}" if np.ptp(counts) else f"{counts[0]}"
        self.name, self.title = name, f"{name}: {len(structures):,} structures of {atoms} atoms"
        self.structures, self.folder = structures, folder
        self._readers: list[Peer] = []
        folder.mkdir()

    def path(self, kind: type[Peer]) -> Path:
        """Return the file or folder of a side, written when first asked for."""
        written = Ours if kind is ZarrOindex else kind
        path = self.folder / written.name.replace(" ", "-")
        if not path.exists():
            written.write(path, self.structures)
        return path

    def size(self, kind: type[Peer]) -> int:
        """Return the bytes that a side has on disk."""
        path = self.path(kind)
        return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())

    def readers(self) -> list[Peer]:
        """Return a reader for every side, each checked to give what was written."""
        if not self._readers:
            self._readers = [kind(self.path(kind)) for kind in (Ours, *READERS) if kind.installed()]
            for reader in self._readers:
                self._check(reader)
        return self._readers

    def close(self) -> None:
        """Let go of the readers, and so of their files, memory maps and decoded blocks."""
        self._readers = []
        gc.collect()

    def n(self, reader: Peer) -> int:
        """Return how many structures a reader has."""
        return min(len(self.structures), reader.most or len(self.structures))

    def _check(self, reader: Peer) -> None:
        """Raise unless a batch and some single structures are exactly what was written."""
        n = self.n(reader)
        indices = np.random.default_rng(3).integers(0, n, 300)
        indices[:3] = 0, n - 1, 0
        self._compare(reader.name, reader.batch(indices.tolist() if reader.lists else indices), indices)
        for i in indices[:20].tolist():
            one = reader.one(i)
            index = torch.zeros(len(one["numbers"]), dtype=torch.int64)
            as_batch = {**one, "energy": one["energy"].reshape(1), "batch": index}
            self._compare(reader.name, as_batch, np.array([i]))

    def _compare(self, side: str, batch: Mapping[str, torch.Tensor], indices: np.ndarray) -> None:
        for field, expected in self.structures.batch(indices).items():
            if batch[field].dtype != expected.dtype or not torch.equal(batch[field], expected):
                raise RuntimeError(f"{side} gives other {field} than were written ({self.name})")

    def check_epoch(self, side: str, batches: Iterable[Tensors]) -> None:
        """Raise unless batches hold every structure exactly once; its energy tells which one it is."""
        order = np.argsort(self.structures.energy)
        seen = np.zeros(len(self.structures), dtype=np.int64)
        for batch in batches:
            rank = np.searchsorted(self.structures.energy, batch["energy"].numpy(), sorter=order)
            indices = order[np.minimum(rank, len(order) - 1)]
            self._compare(side, batch, indices)
            seen[indices] += 1
        if not np.all(seen == 1):
            raise RuntimeError(f"an epoch of {side} does not hold every structure once ({self.name})")


def median_rates(sides: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Run all sides in turn, several times; return the median of the rates that each returns."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(REPEATS):
        for name, side in sides.items():
            found[name].append(side())
    return {name: median(rates) for name, rates in found.items()}


def for_some_time(pieces: Iterator[Any], read: Callable[[Any], object], seconds: float) -> float:
    """Read pieces until the time is over; return structures per second."""
    n, passed, began = 0, 0.0, time.perf_counter()
    for piece in pieces:
        read(piece)
        n += len(piece)
        passed = time.perf_counter() - began
        if passed > seconds:
            break
    return n / passed


def epoch_rate(make: Callable[[], Iterable[Tensors]]) -> float:
    """Read an epoch, opening what has to be opened; return structures per second."""
    began = time.perf_counter()
    n = sum(len(batch["energy"]) for batch in make())
    return n / (time.perf_counter() - began)
