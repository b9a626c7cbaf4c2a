"""The history of a store: every step, by digests; what is kept of earlier ones; old stores have none."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import zstruct
from tests.conftest import extxyz_text, random_atoms, tree_bytes
from zstruct import cli
from zstruct.store.history import History, Step
from zstruct.store.store import Store


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    for name, n in (("a", 5), ("b", 3)):
        Path(f"{name}.xyz").write_text(extxyz_text([random_atoms(rng) for _ in range(n)]))
    zstruct.build("a.xyz", "s.zarr", filters={"max_force": 100}, progress=False)
    return "s.zarr"


def test_every_step_is_told(files):
    built = Store("s.zarr").digest
    zstruct.append("s.zarr", "b.xyz", progress=False)
    grown = Store("s.zarr").digest
    zstruct.rewrite("s.zarr", "r.zarr", chunks=2, progress=False)
    history = zstruct.log("r.zarr")
    assert [(step.did, step.n_structures) for step in history] == [
        ("build", 5),
        ("append", 8),
        ("rewrite", 8),
    ]
    assert [step.digest for step in history] == [built, grown, Store("r.zarr").digest]
    assert [step.before for step in history] == [None, built, grown]
    assert [[one.label for one in step.inputs] for step in history] == [["a.xyz"], ["b.xyz"], []]
    assert history[0].options["filters"] == {"max_force": 100.0}
    assert history[2].options == {"chunks": {"atom": 2, "structure": 2}}
    zstruct.build(["s.zarr", "b.xyz"], "joined.zarr", progress=False)
    store, file = zstruct.log("joined.zarr")[0].inputs
    assert (str(store), store.digest, store.content) == (f"s.zarr ({grown[:12]})", grown, None)
    assert file == history[1].inputs[0]
    assert str(file).startswith("b.xyz (3 structures, ")
    zstruct.verify("r.zarr")
    shutil.make_archive("r.zarr", "zip", "r.zarr")
    assert zstruct.log("r.zarr.zip").steps == history.steps
    assert "append: 8 structures" in str(history)


def test_the_same_steps_make_the_same_bytes_and_no_other_content(files):
    zstruct.append("s.zarr", "b.xyz", progress=False)
    zstruct.build("a.xyz", "again.zarr", filters={"max_force": 100}, progress=False)
    zstruct.append("again.zarr", "b.xyz", progress=False)
    assert tree_bytes("s.zarr") == tree_bytes("again.zarr")
    zstruct.build(["a.xyz", "b.xyz"], "whole.zarr", filters={"max_force": 100}, progress=False)
    whole, grown = Store("whole.zarr").attrs, Store("s.zarr").attrs
    assert (whole["digest"], whole["metadata_digest"]) == (grown["digest"], grown["metadata_digest"])
    assert len(zstruct.log("whole.zarr")) == 1


def test_how_many_rows_are_those_of_an_earlier_digest(files):
    digests = [Store("s.zarr").digest]
    zstruct.append("s.zarr", "b.xyz", progress=False)
    digests.append(Store("s.zarr").digest)
    zstruct.append("s.zarr", "b.xyz@:1", progress=False)
    history = zstruct.log("s.zarr")
    assert [history.rows_kept(digest) for digest in digests] == [5, 8]
    assert history.rows_kept(history.digest) == 9
    assert history.rows_kept("another") is None


def test_what_is_lost_on_the_way_is_not_kept():
    steps = [
        Step("build", "a", 9, 90),
        Step("append", "b", 12, 120, "a", 9),
        Step("drop", "c", 11, 110, "b", 4),
        Step("append", "d", 20, 200, "c", 11),
    ]
    history = History("s.zarr", 20, "d", steps)
    assert [history.rows_kept(digest) for digest in "abcd"] == [4, 4, 11, 20]
    assert [history.grew_from(digest) for digest in "abcde"] == [None, None, 11, 20, None]
    assert History("s.zarr", 12, "b", steps[:2]).grew_from("a") == 9
    assert History("s.zarr", 20, "d", steps[2:]).rows_kept("b") == 4  # it came from a store without a history
    assert History("s.zarr", 20, "e", steps).rows_kept("d") is None  # of a writer that knows of no history
    assert [Step.from_json(json.loads(json.dumps(one.to_json()))) for one in steps] == steps


def test_old_stores_have_no_history_and_get_one(tmp_path, files):
    shutil.unpack_archive(Path(__file__).parents[1] / "data" / "store-0.1.zip", tmp_path)
    old = Store("store-0.1.zarr")
    assert list(zstruct.log(old)) == []
    assert "has no history" in str(zstruct.log(old))
    zstruct.append("store-0.1.zarr", "b.xyz", progress=False)
    history = zstruct.log("store-0.1.zarr")
    assert [step.did for step in history] == ["append"]
    assert history.rows_kept(old.digest) == old.n_structures


def test_a_history_of_another_store_or_none_is_found_out(files):
    file = next(Path("s.zarr/history").rglob("c/0"))
    zstruct.build("b.xyz", "b.zarr", progress=False)
    shutil.copytree("s.zarr", "mixed.zarr")
    shutil.rmtree("mixed.zarr/history")
    shutil.copytree("b.zarr/history", "mixed.zarr/history")
    with pytest.raises(zstruct.CorruptStoreError):
        zstruct.verify("mixed.zarr")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(zstruct.CorruptStoreError, match="history/log/steps"):
        zstruct.log("s.zarr")


def test_on_the_command_line(files, capsys):
    zstruct.append("s.zarr", "b.xyz", progress=False)
    capsys.readouterr()
    assert cli.main(["log", "s.zarr"]) == 0
    assert "append: 8 structures" in capsys.readouterr().out
    assert cli.main(["log", "s.zarr", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["did"] for line in lines] == ["build", "append"]
