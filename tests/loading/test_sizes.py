"""Sizes that matter: the memory of several readers, and a store of ten million structures.

A module of its own: the tests beside it make their chunks a few rows small.
"""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.handmade import write_store
from zstruct.loading import ZarrStructureDataset
from zstruct.schema import FIELDS, Field
from zstruct.transforms import AddNoise, RandomRotation


def big_store(make_store, path, n):
    """A store of `n` structures of 64 atoms, 1.6 kB each once decoded."""
    rng = np.random.default_rng(0)
    columns = {
        "numbers": rng.integers(1, 9, n * 64).astype(np.uint8),
        "positions": rng.random((n * 64, 3), np.float32),
        "forces": rng.random((n * 64, 3), np.float32),
        "energy": rng.random(n),
    }
    single = {
        name: Field.from_json({**{k: getattr(FIELDS[name], k) for k in Field.__slots__}, "dtype": "float32"})
        for name in ("positions", "forces")
    }
    return make_store(path, np.full(n, 64), columns, single)


READER = """
import sys, zstruct
from zstruct.jit import kernel
kernel._LOADING = kernel._COMPILING = 0.0  # Numba is loaded at once, so that who is idle has it, too
data = getattr(zstruct, sys.argv[1])(sys.argv[2], cache="shared")
data.take([0])
print("ready", flush=True)
sys.stdin.readline()
for start in range(0, len(data), 256):
    data.take(range(start, min(start + 256, len(data))))
print("read", flush=True)
sys.stdin.readline()
"""


def pss(pids):
    """Proportional set size of processes together, in bytes."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
    return total


def memory_of_readers(n, reader, path):
    """Return the bytes that one of `n` readers takes, then all of them, beyond what they do when idle."""
    command = [sys.executable, "-c", READER, reader, str(path)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        for _ in range(n)
    ]
    assert [process.stdout.readline() for process in running] == ["ready\n"] * n
    pids = [process.pid for process in running]
    found = [pss(pids)]
    for some in (running[:1], running[1:]):
        for process in some:
            process.stdin.write("\n")
        assert [process.stdout.readline() for process in some] == ["read\n"] * len(some)
        found.append(pss(pids))
    for process in running:
        process.communicate("\n")
        assert process.returncode == 0
    return found[1] - found[0], found[2] - found[0]


@pytest.mark.long
@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs /proc")
def test_memory_of_four_processes(tmp_path):
    """Four readers of all the data take hardly more than one, beyond what Python itself takes."""
    n = 70_000
    big_store(write_store, tmp_path / "big.zarr", n)
    for reader in ["StructureReader", "ZarrStructureDataset"]:
        one, four = memory_of_readers(4, reader, tmp_path / "big.zarr")
        assert one > 1150 * n
        assert four < 1.3 * one


@pytest.mark.slow
def test_opening_ten_million_structures(tmp_path):
    """What is per structure, the offsets included, is not read before it is needed."""
    n = 10_000_000
    columns = {"numbers": np.ones(n, np.uint8), "energy": np.zeros(n)}
    made = write_store(tmp_path / "many.zarr", np.ones(n, np.int64), columns)
    ZarrStructureDataset(made.path)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        data = ZarrStructureDataset(made.path)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.3
    assert len(data) == n
    assert data[n - 1]["numbers"].tolist() == [1]


@pytest.mark.parametrize("turns", [True, False])
def test_structures_of_all_sizes_are_turned_and_shaken_on_the_way(tmp_path, turns):
    counts = np.r_[
        0:35, 63, 64, 65, 1000, 30_000, 3
    ]  # with the last but one, a batch is more than caches hold
    rng = np.random.default_rng(0)
    rows = int(counts.sum())
    columns = {name: rng.normal(size=(rows, 3)) for name in ("forces", "positions", "velocities")}
    write_store(tmp_path / "sizes.zarr", counts, {"numbers": np.ones(rows, np.uint8), **columns})
    transform = [*([RandomRotation(seed=1)] if turns else []), AddNoise(0.05, seed=3)]
    way, after = (
        ZarrStructureDataset(tmp_path / "sizes.zarr", cache=cache, transform=transform)
        for cache in ("memory", None)
    )
    way.cache_warmup()

    for some in ([38, 0, 1, 36, 35], range(38), [39, 40, 38]):
        found, expected = way.take(some).columns, after.take(some).columns
        assert all(found[name].tobytes() == expected[name].tobytes() for name in columns)
    assert set(way._pipeline.completion.motion.names) == set(columns)
    assert way._gather.everything
    assert not after._gather.everything
