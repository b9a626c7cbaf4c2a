"""`zstruct.verify` finds every kind of damage."""

import json
import shutil

import numpy as np
import pytest

import zstruct
from zstruct import CorruptStoreError
from zstruct.store.files import shard_path
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.write import write_array


@pytest.fixture
def built(tmp_path, frames, small_chunks):
    zstruct.build(frames, tmp_path / "s.zarr", progress=False)
    zstruct.verify(tmp_path / "s.zarr")
    return tmp_path / "s.zarr"


def test_a_flipped_bit_anywhere_in_the_data_is_found(built, long_run):
    rng = np.random.default_rng(0)
    shards = sorted(p for p in built.rglob("*") if p.is_file() and "c" in p.relative_to(built).parts)
    assert len(shards) > 20
    for shard in shards if long_run else shards[::12]:
        good = shard.read_bytes()
        bad = bytearray(good)
        bad[int(rng.integers(len(bad)))] ^= 1 << int(rng.integers(8))
        shard.write_bytes(bad)
        with pytest.raises(CorruptStoreError):
            zstruct.verify(built)
        shard.write_bytes(good)
    zstruct.verify(built)


def test_a_missing_shard_is_found_not_read_as_fill(built):
    shard_path(built, "positions", 1, 2).unlink()
    with pytest.raises(CorruptStoreError, match="positions"):
        zstruct.verify(built)


def test_exchanged_shards_are_found(built):
    a, b = (shard_path(built, "energy", k, 1) for k in (0, 1))
    keep = a.read_bytes()
    shutil.copy(b, a)
    b.write_bytes(keep)
    with pytest.raises(CorruptStoreError, match=r"energy can.t be decoded .*is not the one that was built"):
        zstruct.verify(built)


def test_edges_that_disagree_are_found(built):
    opened = Store(built)
    wrong = opened.read("n_atoms")
    wrong[[0, 1]] += [1, -1]
    spec = ArraySpec("n_atoms", ("structure",), wrong.shape, "int32", {}, 0, opened.grid("n_atoms"))
    write_array(built, spec, wrong)
    with pytest.raises(CorruptStoreError, match=r"n_atoms .*is not the one that was built"):
        zstruct.verify(built)


def test_a_changed_digest_is_found(built):
    file = built / "zarr.json"
    metadata = json.loads(file.read_text())
    metadata["attributes"]["digest"] = "0" * 64
    file.write_text(json.dumps(metadata))
    with pytest.raises(CorruptStoreError, match="are not those that were written"):
        zstruct.verify(built)


def test_damage_to_statistics_is_found(built):
    zstruct.statistics(built, name="all", progress=False)
    zstruct.verify(built)
    shards = [p for p in (built / "statistics").rglob("*") if p.is_file() and p.name != "zarr.json"]
    assert shards

    content = bytearray(shards[0].read_bytes())
    content[len(content) // 2] ^= 1
    shards[0].write_bytes(content)

    with pytest.raises(CorruptStoreError, match="statistics/all/"):
        zstruct.verify(built)
