"""Dropping: the store that a build of the other structures makes; in one step, on record, with its groups."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest

import zstruct
from tests.building.test_from_stores import assert_same_values, build, rich_frames, shards
from tests.conftest import extxyz_text, random_atoms, tree_bytes
from zstruct import ChangedInputError, InputError, cli
from zstruct.store import savings
from zstruct.store.store import Store


def drop(store, which, **options):
    return zstruct.drop(store, which, progress=False, **options)


@pytest.fixture
def store(tmp_path, monkeypatch, small_chunks):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    Path("a.xyz").write_text(extxyz_text([random_atoms(rng) for _ in range(60)]))
    return build("a.xyz", "a.zarr")


@pytest.mark.parametrize("encoding", [None, "float32", "decimal", {"compression": "small"}])
def test_what_is_left_is_what_a_build_of_it_makes(store, encoding, monkeypatch):
    monkeypatch.setattr(savings, "_WORTH_BYTES", -(2**60))
    build("a.xyz", "b.zarr", encoding=encoding)
    n_atoms = Store("b.zarr").read("n_atoms")
    report = drop("b.zarr", "n_atoms > 3")
    gone = n_atoms > 3
    assert (report.n_dropped, report.n_structures) == (gone.sum(), 60 - gone.sum())
    assert (report.n_atoms_dropped, report.n_atoms) == (n_atoms[gone].sum(), n_atoms[~gone].sum())
    build("a.xyz", "c.zarr", encoding=encoding)
    expected = build("c.zarr", "d.zarr", select="n_atoms <= 3", encoding=encoding)
    assert Store("b.zarr").digest == Store(expected).digest
    assert shards("b.zarr") == shards(expected)
    assert Store("b.zarr").attrs["build"]["options"] == Store("c.zarr").attrs["build"]["options"]
    zstruct.verify("b.zarr")
    assert sorted(p.name for p in Path().iterdir()) == ["a.xyz", "a.zarr", "b.zarr", "c.zarr", "d.zarr"]


def test_positions_and_another_place(store):
    before = tree_bytes(store)
    report = drop(store, [7, 59, 7, -60], out="b.zarr")
    assert tree_bytes(store) == before
    assert report.n_dropped == 3
    kept = [k for k in range(60) if k not in (0, 7, 59)]
    assert Store("b.zarr").read("frame").tolist() == kept
    assert_same_values("b.zarr", build(store, "c.zarr", select=kept))
    step = zstruct.log("b.zarr")[-1]
    assert (step.did, step.n_structures, step.n_kept) == ("drop", 57, 0)
    assert [one.did for one in zstruct.log("b.zarr")] == ["build", "drop"]


def test_all_kinds_of_fields_and_old_stores(tmp_path, store):
    whole = build(rich_frames(1), "rich.zarr")
    shutil.copytree(whole, "expected.zarr")
    drop(whole, [0, 5, 6])
    kept = [k for k in range(Store("expected.zarr").n_structures) if k not in (0, 5, 6)]
    assert_same_values(whole, build("expected.zarr", "cut.zarr", select=kept))
    shutil.unpack_archive(Path(__file__).parents[1] / "data" / "store-0.1.zip", tmp_path)
    shutil.copytree("store-0.1.zarr", "old.zarr")
    drop("store-0.1.zarr", [1])
    n = Store("old.zarr").n_structures
    kept = [k for k in range(n) if k != 1]
    assert_same_values("store-0.1.zarr", build("old.zarr", "cut-old.zarr", select=kept))
    assert zstruct.log("store-0.1.zarr").rows_kept(Store("old.zarr").digest) == 1
    zstruct.verify("store-0.1.zarr")


def test_the_form_that_a_store_was_rewritten_in_stays(store):
    zstruct.rewrite(store, "b.zarr", chunks={"atom": 8, "structure": 2}, progress=False)
    drop("b.zarr", [3])
    assert Store("b.zarr").grid("positions").chunk_rows == 8
    assert Store("b.zarr").grid("energy").chunk_rows == 2
    zstruct.verify("b.zarr")


def test_labels_follow_and_those_that_were_stale_stay_so(store):
    def count(batch):
        return {"energy": batch.n_atoms.astype(float)}

    zstruct.label(store, count, "n", version=1, progress=False)
    assert drop(store, [40, 50]).groups.followed == ["labels/n"]
    energies = zstruct.open(store).zs.labels("n").energy.values
    assert energies.tolist() == Store(store).read("n_atoms").tolist()
    zstruct.append(store, "a.xyz@40:45", repeat=True, progress=False)
    report = drop(store, [2])
    assert (report.groups.followed, report.groups.stale) == ([], ["labels/n"])
    assert "stale, as made of other structures: labels/n" in str(report)
    with pytest.raises(zstruct.StaleGroupError):
        zstruct.open_labels(store, "n")
    with pytest.raises(zstruct.StoreExistsError, match="of other content than the store has now"):
        zstruct.label(store, count, "n", version=1, progress=False)
    zstruct.label(store, count, "n", version=1, overwrite=True, progress=False)


def test_what_was_stale_is_right_again_when_what_came_since_is_dropped(store):
    zstruct.split(store, [0.5, 0.5], name="default")
    zstruct.statistics(store, name="all", progress=False)
    before = tree_bytes(Path(store, "statistics"))
    zstruct.append(store, "a.xyz@:3", repeat=True, progress=False)
    with pytest.raises(zstruct.StaleGroupError):
        zstruct.open_statistics(store, "all")
    report = drop(store, [60, 61, 62])
    assert report.groups.followed == ["splits/default", "statistics/all"]
    assert zstruct.open_statistics(store, "all") is not None
    assert tree_bytes(Path(store, "statistics")) == before


def test_what_can_not_be_dropped(store):
    before = tree_bytes(store)
    for which, sentence in (
        ("n_atoms > 1000", "no structure is selected, so none is dropped"),
        ("n_atoms > 0", "all of its 60 structures are selected"),
        ("nonsense >", "nonsense"),
        (None, "nothing says which structures"),
    ):
        with pytest.raises(InputError, match=sentence):
            drop(store, which)
    with pytest.raises(IndexError, match="there is no structure 60"):
        drop(store, [60])
    with pytest.raises(InputError, match="into local directories only"):
        drop("https://example.org/a.zarr", [0])
    with pytest.raises(zstruct.StoreExistsError):
        drop(store, [0], out=build(store, "there.zarr"))
    assert tree_bytes(store) == before
    assert not Path("a.zarr.building").exists()


def test_an_open_reader_has_what_it_opened_or_is_told(store):
    opened, energies = Store(store), Store(store).read("energy")
    reader = zstruct.StructureReader(store)
    drop(store, [0])
    for read in (lambda: opened.read("energy"), lambda: reader.take(np.arange(60)).columns["energy"]):
        with contextlib.suppress(ChangedInputError):
            assert read().tolist() == energies.tolist()


def test_on_the_command_line(store, capsys):
    assert cli.main(["drop", "a.zarr", "n_atoms > 3", "--quiet"]) == 0
    assert "structures dropped" in capsys.readouterr().out
    n = Store("a.zarr").n_structures
    assert cli.main(["drop", "a.zarr", "n_atoms > 3", "--quiet"]) == 1
    assert "none is dropped" in capsys.readouterr().err
    assert cli.main(["drop", "a.zarr"]) == 1
    assert Store("a.zarr").n_structures == n < 60
