"""The cache across processes: whoever reads, with whichever cache, sees the same numbers."""

import gc
import os
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from zstruct import layouts
from zstruct.loading import Cache, ZarrStructureDataset
from zstruct.store.shards import ArrayReader

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker:UserWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]


def opened(source, kind, directory):
    fields = ["numbers", "positions", "energy"]
    cache, budget = {"small": ("memory", 500), "directory": (directory, None)}.get(kind, (kind, None))
    return ZarrStructureDataset(source.path, fields, torch.float64, cache=Cache(cache, bytes=budget))


@pytest.mark.parametrize(
    ("kind", "context"),
    [
        *((kind, "fork") for kind in ("small", "directory")),
        *(pytest.param(kind, "fork", marks=pytest.mark.long) for kind in ("auto", "memory", "shared", None)),
        ("directory", "forkserver"),
        pytest.param("memory", "forkserver", marks=pytest.mark.long),
        *(pytest.param(kind, "spawn", marks=pytest.mark.long) for kind in ("memory", "directory")),
    ],
)
def test_workers_read_what_was_written(source, tmp_path, kind, context):
    data = opened(source, kind, tmp_path)
    data.take(range(20))  # the parent has read; nothing it opened may break a child
    loader = DataLoader(
        data, 8, shuffle=True, num_workers=2, multiprocessing_context=context, collate_fn=layouts.graph
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


def test_processes_decode_each_block_once(source, tmp_path, monkeypatch):
    log, read_into = tmp_path / "log", ArrayReader.read_into
    log.touch()

    def noted(self, start, stop, out, **given):
        with open(log, "a") as file:
            file.write(f"{self.name} {start}\n")
        time.sleep(0.002)  # there is something to wait for
        read_into(self, start, stop, out, **given)

    monkeypatch.setattr(ArrayReader, "read_into", noted)
    data = ZarrStructureDataset(source.path, ["numbers", "positions"], cache=tmp_path)
    expected = ZarrStructureDataset(source.path, ["numbers", "positions"]).take(range(61))
    len(data._gather.cache.offsets)  # read once, before
    log.write_text("")
    children = []
    for k in range(3):
        pid = os.fork()
        if pid == 0:
            found = data.take(np.roll(np.arange(61), 20 * k))
            os._exit(0 if len(found) == 61 else 1)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0]

    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines)) > 20
    found = data.take(range(61))
    for name in ("numbers", "positions"):
        assert np.array_equal(found.columns[name], expected.columns[name])


def test_two_datasets_share_one_arena(source, tmp_path):
    a, b = opened(source, "directory", tmp_path), opened(source, "directory", tmp_path)
    a.take([3])
    assert b._gather.cache.decoded_bytes == a._gather.cache.decoded_bytes > 0
    assert len(list(tmp_path.iterdir())) == 1
    other = ZarrStructureDataset(source.path, ["numbers"], cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    del a, b, other
    assert list(tmp_path.iterdir()) == []
