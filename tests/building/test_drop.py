"""Dropping: the store that a build of the other structures makes; in one step, on record, with its groups."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest

import zstruct
from tests.building.test_from_stores import assert_same_values, build, rich_frames, shards
from tests.conftest import extxyz_text, random_atoms, shrink_chunks, tree_bytes
from zstruct import ChangedInputError, InputError, cli
from zstruct.features import Chebyshev, NeighborList
from zstruct.store import savings
from zstruct.store.store import Store


def drop(store, which, **options):
    return zstruct.drop(store, which, progress=False, **options)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a file of structures, and a store of it."""
    folder, rng = tmp_path_factory.mktemp("drop"), np.random.default_rng(5)
    (folder / "a.xyz").write_text(extxyz_text([random_atoms(rng) for _ in range(60)]))
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        shrink_chunks(patch)
        build("a.xyz", "a.zarr")
    return folder


@pytest.fixture
def store(tmp_path, made, monkeypatch, small_chunks):
    """The name of a store here, beside the file that it is of."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path, dirs_exist_ok=True))
    return "a.zarr"


@pytest.mark.parametrize(
    "encoding",
    [
        None,
        "decimal",
        pytest.param("float32", marks=pytest.mark.long),
        pytest.param({"compression": "small"}, marks=pytest.mark.long),
    ],
)
def test_what_is_left_is_what_a_build_of_it_makes(store, encoding, monkeypatch):
    monkeypatch.setattr(savings, "_WORTH_BYTES", -(2**60))
    build("a.xyz", "c.zarr", encoding=encoding)
    shutil.copytree("c.zarr", "b.zarr")
    n_atoms = Store("b.zarr").read("n_atoms")
    report = drop("b.zarr", "n_atoms > 3")
    gone = n_atoms > 3
    assert (report.n_dropped, report.n_structures) == (gone.sum(), 60 - gone.sum())
    assert (report.n_atoms_dropped, report.n_atoms) == (n_atoms[gone].sum(), n_atoms[~gone].sum())
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


def count(batch):
    """Return labels that say how many atoms there are."""
    sizes = batch.n_atoms.astype(float)
    return {"energy": sizes, "forces": np.repeat(sizes, batch.n_atoms)[:, None] * np.ones(3)}


def test_labels_follow_and_what_came_without_lacks_them(store):
    def counted(batch):
        asked.append(len(batch))
        return count(batch)

    asked = []
    zstruct.label(store, counted, "n", version=1, progress=False)
    assert drop(store, [40, 50]).groups.followed == ["labels/n"]
    energies = zstruct.open(store).zs.labels("n").energy.values
    assert energies.tolist() == Store(store).read("n_atoms").tolist()
    zstruct.append(store, "a.xyz@40:45", repeat=True, progress=False)
    cut = build(store, "cut.zarr", select=range(20, 63))
    report = drop(store, [2, 60])
    assert (report.groups.followed, report.groups.stale) == (["labels/n"], [])
    for path, n_lacking in ((store, 4), (cut, 5)):
        labels, sizes = zstruct.open_labels(path, "n"), Store(path).read("n_atoms")
        assert labels.coverage("energy") == len(sizes) - n_lacking
        assert labels.read("energy")[:-n_lacking].tolist() == sizes[:-n_lacking].tolist()
        assert np.isnan(labels.read("energy")[-n_lacking:]).all()
        assert np.isnan(labels.read("forces")[-sizes[-n_lacking:].sum() :]).all()
        zstruct.verify(path)
    asked.clear()
    zstruct.label(store, counted, "n", version=1, progress=False)
    assert sum(asked) == 4
    assert zstruct.open_labels(store, "n").read("energy").tolist() == Store(store).read("n_atoms").tolist()


BEGINNING_WITH_OTHERS = (
    *("positions", "forces", "numbers", "energy", "cell", "pbc", "frame", "source", "n_atoms", "offsets"),
    *("features/chebyshev/values", "neighbors/rc2/counts", "labels/n/energy", "labels/n/forces"),
)


def test_shards_before_the_first_that_goes_are_those_of_the_version_before(store, no_clones):
    cheb = Chebyshev(zstruct.open(store).zs.elements, 2, 2.0, 1, 2.0)
    for what in (NeighborList(2.0), cheb):
        zstruct.featurize(store, what, progress=False)
    zstruct.label(store, count, "n", version=1, progress=False)
    report = drop(store, [33, 50], out="b.zarr")
    stats = [file.stat() for file in Path("b.zarr").rglob("*") if file.is_file()]
    assert report.nbytes_shared == sum(stat.st_size for stat in stats if stat.st_nlink > 1) > 10_000
    edges, files = Store(store).read("offsets"), tree_bytes("b.zarr")
    n_linked = 0
    for name in BEGINNING_WITH_OTHERS:
        now = Store("b.zarr")
        rows = int(edges[33]) if now.shape(name)[0] == now.n_atoms else 33
        rows = 34 if name == "offsets" else rows
        shards_of = {f for f in files if f.startswith(f"{name}/c/")}
        shared = [f for f in shards_of if Path("b.zarr", f).stat().st_nlink > 1]
        linked = {int(f.split("/c/")[1].split("/")[0]) for f in shared}
        assert linked == set(range(rows // now.grid(name).shard_rows)), name
        n_linked += len(linked)
    assert n_linked > 40
    kept = [k for k in range(60) if k not in (33, 50)]
    expected = build(store, "c.zarr", select=kept)
    assert Store("b.zarr").digest == Store(expected).digest
    gone = Store(store).read("energy")[[33, 50]].tolist()
    parsed = build("a.xyz", "d.zarr", filters={"where": lambda frame: frame["energy"] not in gone})
    assert shards("b.zarr") == shards(expected)
    assert shards(parsed).items() <= shards("b.zarr").items()  # which has groups, too
    for name in Store(expected).array_names():
        assert Store("b.zarr").array_attrs(name) == Store(expected).array_attrs(name), name
    assert Store("b.zarr").attrs["species"] == Store(expected).attrs["species"]
    for kind in ("features", "neighbors", "index"):
        assert tree_bytes(Path("b.zarr", kind)) == tree_bytes(Path(expected, kind)), kind
    labels = [zstruct.open_labels(path, "n") for path in ("b.zarr", expected)]
    assert labels[0].digest == labels[1].digest
    for name in ("energy", "forces"):
        attrs = [one.store.array_attrs(one.array(name)) for one in labels]
        assert attrs[0] == attrs[1]
    zstruct.verify("b.zarr")


def test_texts_that_go_with_structures(tmp_path, small_chunks, no_clones):
    frames = [random_atoms(np.random.default_rng(k), 1) for k in range(50)]
    for k, text in enumerate("a" * 20 + "b" + "acad" * 7 + "e"):
        frames[k].info["config_type"] = text
    store = build(frames, tmp_path / "a.zarr")
    for gone in ([20], [25, 33], [48], [*range(20, 49)]):
        drop(store, gone, out=tmp_path / "b.zarr", overwrite=True)
        kept = [k for k in range(50) if k not in gone]
        expected = build(store, tmp_path / "c.zarr", select=kept, overwrite=True)
        assert shards(tmp_path / "b.zarr") == shards(expected)
        assert Store(tmp_path / "b.zarr").categories("config_type") == Store(expected).categories(
            "config_type"
        )
        zstruct.verify(tmp_path / "b.zarr")


def test_of_what_is_stale_rows_stay_that_are_right(store):
    zstruct.featurize(store, NeighborList(2.0), progress=False)
    before = tree_bytes(Path(store, "neighbors"))
    zstruct.append(store, "a.xyz@:3", repeat=True, progress=False)
    assert drop(store, [61]).groups.stale == ["neighbors/rc2"]
    assert tree_bytes(Path(store, "neighbors")) == before
    assert drop(store, [45, 20]).groups.stale == ["neighbors/rc2"]
    now = Store(store)
    n_atoms = int(now.read("offsets")[20])
    assert now.shape("neighbors/rc2/counts") == (n_atoms,)
    assert now.shape("neighbors/rc2/offsets") == (21,)
    zstruct.verify(store)
    zstruct.append(store, "a.xyz@5:7", repeat=True, progress=False)
    shutil.copytree(store, "whole.zarr")
    assert zstruct.featurize(store, NeighborList(2.0), progress=False).n_known == n_atoms
    zstruct.featurize("whole.zarr", NeighborList(2.0), overwrite=True, progress=False)
    assert tree_bytes(Path(store, "neighbors")) == tree_bytes(Path("whole.zarr", "neighbors"))
    zstruct.append(store, "a.xyz@7:8", repeat=True, progress=False)
    report = drop(store, [0])
    assert (report.groups.followed, report.groups.stale) == ([], [])
    assert report.groups.left_out == {
        "neighbors/rc2": "it is stale, and the first structure that it is of has gone"
    }


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
