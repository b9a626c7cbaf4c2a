"""Stores from strangers: nothing of them is run, opened elsewhere or believed without bound."""

import shutil
import time
import tracemalloc

import numpy as np
import pytest

import zstruct
from tests.hostile import TRICKS
from zstruct.features import NeighborList
from zstruct.store import Store

READERS = {
    "Store": lambda path: [Store(path).read(name) for name in Store(path).fields],
    "open": lambda path: zstruct.open(path).load(),
    "verify": zstruct.verify,
    "info": lambda path: str(zstruct.open(path).zs),
    "reader": lambda path: zstruct.StructureReader(path).take([0, 1]),
    "statistics": lambda path: zstruct.statistics(path, progress=False),
    "featurize": lambda path: zstruct.featurize(path, NeighborList(2.0), progress=False),
    "split": lambda path: zstruct.split(path, [0.5, 0.5], name="new"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    from tests.conftest import random_atoms

    rng = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("good") / "s.zarr"
    zstruct.build([random_atoms(rng) for _ in range(6)], path, progress=False)
    zstruct.split(path, [0.5, 0.5], name="default")
    for read in READERS.values():  # what is compiled and imported once is no matter of the tricks
        read(path)
    shutil.rmtree(path / "neighbors")
    return path


@pytest.mark.parametrize("trick", TRICKS)
def test_a_hostile_store_gets_a_sentence_and_nothing_else(good, tmp_path, trick):
    path, marker = tmp_path / "s.zarr", tmp_path / "ran"
    shutil.copytree(good, path)
    TRICKS[trick](path, marker)
    said = []
    began = time.perf_counter()
    tracemalloc.start()
    try:
        for read in READERS.values():
            try:
                read(path)
            except zstruct.ZstructError as error:
                said.append(str(error))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(said) >= 2  # those that read what was changed
    assert all(str(path) in sentence and len(sentence) < 700 for sentence in said)
    assert not marker.exists()
    assert most < 300e6
    assert time.perf_counter() - began < 20
