"""A store behind an S3 server on loopback: the same values, each block fetched once."""

import os
import shutil
from collections import Counter

import fsspec
import numpy as np
import pytest
import torch

import zstruct
from tests.conftest import random_atoms
from tests.servers import new_bucket
from zstruct.errors import CorruptStoreError
from zstruct.features import Chebyshev, NeighborList
from zstruct.store.store import Store

s3fs = pytest.importorskip("s3fs")

# The server and its clients leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory, s3_server):
    """A store of many blocks, here and in a bucket; tests leave it as it is."""
    here, rng = tmp_path_factory.mktemp("stored") / "s.zarr", np.random.default_rng(20261120)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zstruct.store.chunks._CHUNK_ROWS", {"atom": 64, "structure": 16})
        patch.setattr("zstruct.store.chunks._CHUNKS_PER_SHARD", 2)
        zstruct.build([random_atoms(rng, periodic=True) for _ in range(80)], here, progress=False)
    with new_bucket(s3_server, here) as bucket:
        s3fs.S3FileSystem().put(str(here), f"{bucket}/s.zarr", recursive=True)
        yield here, f"s3://{bucket}/s.zarr"


def test_values_are_those_of_the_local_store(stored):
    here, there = (zstruct.ZarrStructureDataset(path) for path in stored)
    order = np.random.default_rng(0).permutation(len(here))
    a, b = (zstruct.layouts.graph(data.__getitems__(order)) for data in (here, there))
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name
    dataset = zstruct.open(stored[1])
    np.testing.assert_array_equal(dataset.positions.values, zstruct.open(stored[0]).positions.values)


def test_features_and_edges_are_those_of_the_local_store(folder_in_memory, tmp_path, rng):
    path = tmp_path / "f.zarr"
    zstruct.build([random_atoms(rng, periodic=True) for _ in range(20)], path, progress=False)
    species = zstruct.open(path).zs.elements
    cheb = Chebyshev(species, 2, 3.0, 1, 3.0)
    zstruct.featurize(path, cheb, derivatives=True, name="cheb", progress=False)
    zstruct.featurize(path, NeighborList(3.0), progress=False)
    fsspec.filesystem("memory").put(str(path), f"{folder_in_memory}/f.zarr", recursive=True)
    wanted = {"features": "cheb", "derivatives": "cheb", "neighbors": 3.0}
    here, there = (zstruct.ZarrStructureDataset(p, **wanted) for p in (path, f"{folder_in_memory}/f.zarr"))
    a, b = (zstruct.layouts.graph(data.take([7, 3, 19])) for data in (here, there))
    assert "edges: rc3, stored" in repr(there)
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name
    remote = zstruct.open(f"{folder_in_memory}/f.zarr").zs.features("cheb")
    np.testing.assert_array_equal(remote, zstruct.open(path).zs.features("cheb"))


def test_each_block_is_fetched_once(stored, monkeypatch):
    fetched = Counter()
    real = Store.read

    def counted(self, name, start=0, stop=None):
        fetched[name, start, stop] += 1
        return real(self, name, start, stop)

    monkeypatch.setattr(Store, "read", counted)
    data = zstruct.ZarrStructureDataset(stored[1], fields=["numbers", "positions", "energy"])
    for epoch in range(2):
        for batch in data.loader(batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(epoch)):
            assert torch.isfinite(batch["positions"]).all()
    n_atom_blocks = -(-data.store.n_atoms // data.store.grid("positions").chunk_rows)
    assert sum(name == "positions" for name, _, _ in fetched) == n_atom_blocks
    assert set(fetched.values()) == {1}


def test_worker_processes_open_their_own_connections(stored):
    # The environment of workers is that of the process they are forks of: they are told what is here.
    options = {"key": "testing", "secret": "testing", "endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    data = zstruct.ZarrStructureDataset(stored[1], ["positions", "energy"], storage_options=options)
    expected = data[7]["energy"]
    batches = list(data.loader(batch_size=20, num_workers=2, multiprocessing_context="forkserver"))
    assert torch.equal(batches[0]["energy"][7], expected)
    assert sum(len(batch["energy"]) for batch in batches) == 80


def test_a_shard_that_was_not_copied_is_missed(stored):
    here, there = stored
    shard = sorted((here / "positions" / "c").rglob("*"))[-1].relative_to(here)
    files, name = s3fs.S3FileSystem(), f"{there.removeprefix('s3://')}/{shard}"
    files.rm(name)
    try:
        with pytest.raises(CorruptStoreError, match="shards of positions are missing"):
            zstruct.ZarrStructureDataset(there)
        assert len(zstruct.ZarrStructureDataset(there, ["numbers"])) == 80
    finally:
        files.put(str(here / shard), name)


def test_zip_files_are_stores_too(stored, tmp_path):
    here, _ = stored
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", here)
    order = np.random.default_rng(0).permutation(80)
    a, b = (zstruct.ZarrStructureDataset(path).take(order) for path in (here, packed))
    assert all(np.array_equal(a.columns[name], b.columns[name], equal_nan=True) for name in a.columns)
    assert zstruct.open(packed).sizes["structure"] == 80
