"""Stores from strangers: nothing of them is run, opened elsewhere or believed without bound."""

import gzip
import json
import random
import re
import shutil
import time
import tracemalloc

import numpy as np
import pytest

import zstruct
from tests.edits import changed_at, keys_of, values_for
from tests.full_store import write_full_store
from tests.hostile import TRICKS, edit
from zstruct.features import NeighborList
from zstruct.store.store import Store

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


#: What the tricks are called that ask for much memory.
LARGE = re.compile("[0-9]|billion|million|many|wide|any length|end|device")


@pytest.mark.parametrize("trick", TRICKS)
def test_a_hostile_store_gets_a_sentence_and_nothing_else(good, tmp_path, trick, long_run):
    path, marker = tmp_path / "s.zarr", tmp_path / "ran"
    shutil.copytree(good, path)
    TRICKS[trick](path, marker)
    said = []
    began, most = time.perf_counter(), 0
    traced = long_run or LARGE.search(trick)  # which makes all slow
    if traced:
        tracemalloc.start()
    try:
        for read in READERS.values():
            try:
                read(path)
            except zstruct.ZstructError as error:
                said.append(str(error))
        if traced:
            _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(said) >= 2  # those that read what was changed
    assert all(str(path) in sentence and len(sentence) < 700 for sentence in said)
    assert not marker.exists()
    assert most < 300e6
    assert time.perf_counter() - began < 20


USERS = READERS | {
    "groups": lambda path: zstruct.StructureReader(
        path, features="chebyshev", derivatives="chebyshev", neighbors="rc2", references=True
    ).take([0, 1]),
    "kept": lambda path: (
        zstruct.open_split(path),
        zstruct.open_statistics(path, "all"),
        zstruct.open_references(path),
    ),
    "atoms": lambda path: zstruct.open(path).zs.to_ase(),
}


def test_damaged_keys_of_any_document_get_sentences(tmp_path, long_run):
    """Each edit is made in the document and in the consolidated metadata, so that nothing contradicts it."""
    good, path = tmp_path / "good.zarr", tmp_path / "s.zarr"
    write_full_store(good)
    listed = json.loads((good / "zarr.json").read_text())["consolidated_metadata"]["metadata"]
    seed = 11 if long_run else random.randrange(1000)
    chance, wrong = random.Random(seed), []
    for _ in range(400 if long_run else 6):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(good, path)
        name = chance.choice(["", *listed])
        document = json.loads((path / name / "zarr.json").read_text())
        keys = [key for key in keys_of(document) if key[0] != "consolidated_metadata"]
        key = chance.choice(keys)
        value = document
        for part in key:
            value = value[part]
        changed = changed_at(document, key, chance.choice(values_for(value)))
        (path / name / "zarr.json").write_text(json.dumps(changed))
        if name:
            edit(path / "zarr.json", lambda d: _relisted(d, name, changed))  # noqa: B023
        for what, use in USERS.items():
            try:
                use(path)
            except zstruct.ZstructError:
                continue
            except Exception as error:  # noqa: BLE001
                wrong.append(f"{what}: {name} {key}: {type(error).__name__}: {error}")
    assert wrong == [], seed


@pytest.mark.parametrize("level", ["xxxx", None, [5]])
def test_a_level_of_blosc_that_is_no_number_is_named(good, tmp_path, level):
    path = tmp_path / "s.zarr"
    shutil.copytree(good, path)

    def change(document):
        chain = document["codecs"][0]["configuration"]["codecs"]
        next(one for one in chain if one["name"] == "blosc")["configuration"]["clevel"] = level

    edit(path / "energy" / "zarr.json", change)
    with pytest.raises(zstruct.CorruptStoreError, match=r"energy.*clevel of its blosc"):
        zstruct.Store(path).read("energy")


@pytest.mark.parametrize(
    "said",
    [
        {"n_ignored": -1},
        {"n_ignored": "3"},
        {"n_ignored": 0, "ignored": ["a.txt"]},
        {"n_ignored": 3},  # and none of them is named
        {"ignored": ["a.txt"]},
        {"n_ignored": 2, "ignored": "a.txt"},
        {"n_ignored": 2, "ignored": ["a.txt", None]},
        {"n_skipped": 1},
        {"n_skipped": 0, "skipped": [["a.xyz", 1, "it is odd"]]},
        {"remarks": {"a sentence": -1}},
        {"remarks": ["a sentence"]},
    ],
    ids=repr,
)
def test_what_a_build_says_of_its_inputs_is_looked_at(good, tmp_path, said):
    path = tmp_path / "s.zarr"
    shutil.copytree(good, path)
    edit(path / "zarr.json", lambda root: root["attributes"]["build"].update(n_ignored=2, ignored=["a"]))
    assert Store(path).attrs["build"]["n_ignored"] == 2
    edit(path / "zarr.json", lambda root: root["attributes"]["build"].update(n_ignored=0, ignored=[]))
    edit(path / "zarr.json", lambda root: root["attributes"]["build"].update(said))
    with pytest.raises(zstruct.CorruptStoreError, match=r"the store has build = .*, which can't be"):
        Store(path)


def _relisted(root, name, document):
    metadata = root["consolidated_metadata"]["metadata"]
    nested = metadata[name].get("consolidated_metadata")
    metadata[name] = document | ({} if nested is None else {"consolidated_metadata": nested})


@pytest.mark.parametrize("content", [bytes(1 << 20), b"H 0 0 0\n" * (1 << 17)])
def test_a_bomb_among_inputs_is_refused_in_bounded_memory(tmp_path, content):
    bomb = tmp_path / "bomb.xyz.gz"
    with gzip.open(bomb, "wb") as file:
        for _ in range(200):
            file.write(content)
    assert bomb.stat().st_size < 1e6
    tracemalloc.start()
    try:
        with pytest.raises(zstruct.InputError, match="bomb"):
            zstruct.build(bomb, tmp_path / "s.zarr", progress=False)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 150e6
