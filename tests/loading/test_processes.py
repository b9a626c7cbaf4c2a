"""The cache across processes: whoever reads, with whichever cache, sees the same numbers."""

import gc
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from zstruct.loading import ZarrStructureDataset, collate
from zstruct.schema import FIELDS, Field

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker:UserWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]


def opened(source, kind, directory):
    fields = ["numbers", "positions", "energy"]
    cache, budget = {"small": ("memory", 500), "directory": (directory, None)}.get(kind, (kind, None))
    return ZarrStructureDataset(source.path, fields, torch.float64, cache=cache, cache_bytes=budget)


@pytest.mark.parametrize(
    ("kind", "context"),
    [
        *((kind, "fork") for kind in ("auto", "memory", "small", "shared", "directory", None)),
        pytest.param("memory", "spawn", marks=pytest.mark.slow),
        pytest.param("directory", "forkserver", marks=pytest.mark.slow),
        pytest.param("directory", "spawn", marks=pytest.mark.slow),
    ],
)
def test_workers_read_what_was_written(source, tmp_path, kind, context):
    data = opened(source, kind, tmp_path)
    data.take(range(20))  # the parent has read; nothing it opened may break a child
    loader = DataLoader(
        data, 8, shuffle=True, num_workers=2, multiprocessing_context=context, collate_fn=collate.graph
    )
    for _ in range(2 if context == "fork" else 1):
        seen = []
        for batch in loader:
            for k, i in enumerate(batch["structure"].tolist()):
                atoms = slice(*batch["ptr"][k : k + 2].tolist())
                assert np.array_equal(batch["positions"][atoms].numpy(), source.value("positions", i))
                assert np.array_equal(batch["numbers"][atoms].numpy(), source.value("numbers", i))
                assert batch["energy"][k] == source.columns["energy"][i]
                seen.append(i)
        assert sorted(seen) == list(range(len(source)))
    assert np.array_equal(data.take([7]).columns["positions"], source.value("positions", 7))
    del data, loader
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_what_a_child_decodes_the_parent_has(source, tmp_path):
    data = opened(source, "directory", tmp_path)
    pid = os.fork()
    if pid == 0:
        data.take(range(len(source)))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    cache = data._gather.cache
    assert cache.decoded_bytes == cache.nbytes
    assert repr(data).endswith(f"cache: shared in {tmp_path}, {cache.nbytes / 1e3:.3g} kB decoded)")


def test_two_datasets_share_one_arena(source, tmp_path):
    a, b = opened(source, "directory", tmp_path), opened(source, "directory", tmp_path)
    a.take([3])
    assert b._gather.cache.decoded_bytes == a._gather.cache.decoded_bytes > 0
    assert len(list(tmp_path.iterdir())) == 1
    other = ZarrStructureDataset(source.path, ["numbers"], cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    del a, b, other
    assert list(tmp_path.iterdir()) == []


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
import sys
from zstruct.loading import ZarrStructureDataset
data = ZarrStructureDataset(sys.argv[1], cache=sys.argv[2])
data.take([0])
print("ready", flush=True)
if sys.argv[3] == "read":
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


def memory_of(n, path, cache, what):
    command = [sys.executable, "-c", READER, str(path), cache, what]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(n)
    ]
    for process in running:
        assert [process.stdout.readline(), process.stdout.readline()] == ["ready\n", "read\n"]
    found = pss([process.pid for process in running])
    for process in running:
        process.communicate("\n")
        assert process.returncode == 0
    return found


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs /proc")
def test_memory_of_four_processes(tmp_path):
    """Four readers of all the data take hardly more than one, beyond what Python itself takes."""
    from tests.loading.conftest import write_store

    big_store(write_store, tmp_path / "big.zarr", 70_000)
    idle = [memory_of(n, tmp_path / "big.zarr", "shared", "idle") for n in (1, 4)]
    full = [memory_of(n, tmp_path / "big.zarr", "shared", "read") for n in (1, 4)]
    data = [f - i for f, i in zip(full, idle, strict=True)]
    assert data[0] > 80e6
    assert data[1] < 1.3 * data[0]


@pytest.mark.slow
def test_opening_ten_million_structures(tmp_path):
    """What is per structure, the offsets included, is not read before it is needed."""
    from tests.loading.conftest import write_store

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
