"""Groups of stores that are cut and joined: what belongs to structures follows them, the rest is named."""

import random
import shutil
import signal

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import zstruct
from tests.conftest import random_atoms, shrink_chunks, tree_bytes
from tests.kills import count_steps, ended, shrink
from zstruct.features import Chebyshev, NeighborList
from zstruct.ragged import atom_rows
from zstruct.store.store import Store

COMPUTED = ("features/chebyshev", "derivatives/chebyshev", "neighbors/rc2")
DESCRIPTOR = Chebyshev(["H", "C", "O", "Ti"], 3, 2.5, 2, 2.0)


def build(inputs, out, **options):
    return zstruct.build(inputs, out, progress=False, **options)


def add_more(path):
    """Add labels with all that labels can have, and features from elsewhere with all kinds of rows."""
    store, rng = Store(path), np.random.default_rng(1)
    n, n_atoms = store.n_structures, store.n_atoms
    energy, charges = rng.normal(size=n), rng.normal(size=n_atoms)
    energy[1] = np.nan
    charges[store.read("offsets")[2] : store.read("offsets")[3]] = np.nan
    steps = [None if k % 3 == 0 else k for k in range(n)]
    zstruct.labels.add(path, "other", energy=energy, charges=charges, units={"energy": "meV"}, steps=steps)
    zstruct.label(path, fails_of_some, "failing", version=1, progress=False)
    zstruct.features.add(path, "of_structures", rng.normal(size=(n, 3)), level="structure")
    zstruct.features.add(path, "of_atoms", rng.integers(0, 9, (n_atoms, 2)), level="atom", description="x")
    rows = [rng.normal(size=(k % 4, 5)) for k in range(n)]
    zstruct.features.add(path, "of_rows", rows, level="row")


def fails_of_some(batch):
    if (batch.n_atoms > 5).any():
        raise ValueError("too large")
    return {"energy": batch.n_atoms.astype(float), "forces": batch.columns["positions"]}


@pytest.fixture(scope="module")
def originals(tmp_path_factory, full_once):
    """Two stores with groups of all kinds, of other structures."""
    full, other = (tmp_path_factory.mktemp("groups") / f"{name}.zarr" for name in ("full", "other"))
    shutil.copytree(full_once, full)
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        build([random_atoms(np.random.default_rng(k), labels=True) for k in range(90, 121)], other)
        zstruct.featurize(other, NeighborList(2.0), progress=False)
        zstruct.featurize(other, DESCRIPTOR, True, progress=False)
        zstruct.split(other, [0.3, 0.7], name="default", seed=4)
        zstruct.statistics(other, name="all", progress=False)
        for path in (full, other):
            add_more(path)
    return [full, other]


@pytest.fixture
def two(originals, tmp_path, small_chunks):
    """Copies of both."""
    return [shutil.copytree(path, tmp_path / path.name) for path in originals]


@pytest.fixture
def full(two):
    """The first of them."""
    return two[0]


def assert_followed(path, stores, structures):
    """Check that groups have the rows of structures, given by store and number."""
    made, opened = Store(path), [Store(store) for store in stores]
    zstruct.verify(path)
    fresh = path.with_name("fresh.zarr")
    shutil.copytree(path, fresh)
    zstruct.featurize(fresh, NeighborList(2.0), progress=False, overwrite=True)
    zstruct.featurize(fresh, DESCRIPTOR, True, progress=False, overwrite=True)
    for group in COMPUTED:
        assert tree_bytes(path / group) == tree_bytes(fresh / group), group
    for name in ("of_structures", "of_atoms", "of_rows"):
        group = zstruct.features.open_group(path, "features", name)
        expected, lengths = [], []
        for k, i in structures:
            store, path_of = opened[k], f"features/{name}/values"
            edges = {
                "atom": lambda store: store.read("offsets"),
                "structure": lambda store: np.arange(store.n_structures + 1),
                "row": lambda store, name=name: store.read(f"features/{name}/offsets"),
            }[group.level](store)
            expected.append(store.read(path_of, int(edges[i]), int(edges[i + 1])))
            lengths.append(len(expected[-1]))
        assert_array_equal(made.read(f"features/{name}/values"), np.concatenate(expected))
        if group.level == "row":
            assert_array_equal(np.diff(made.read(f"features/{name}/offsets")), lengths)
        again = zstruct.features.add(
            fresh,
            name,
            np.concatenate(expected) if group.level != "row" else expected,
            level=group.level,
            description=group.attrs.get("description"),
        )
        assert not again.added, name
    for name in ("other", "failing"):
        labels = zstruct.open_labels(path, name)
        from_there = [zstruct.open_labels(store, name) for store in stores]
        for field in labels.fields:
            of_atoms = labels.fields[field].level == "atom"
            rows = [
                from_there[k].read(
                    field,
                    int(opened[k].read("offsets")[i]) if of_atoms else i,
                    int(opened[k].read("offsets")[i + 1]) if of_atoms else i + 1,
                )
                for k, i in structures
            ]
            assert_array_equal(labels.read(field), np.concatenate(rows))
            present = [from_there[k].present(field)[i] for k, i in structures]
            assert_array_equal(labels.present(field), present)
            assert labels.coverage(field) == sum(present)
        reasons = [from_there[k].failures().get(i) for k, i in structures]
        assert [labels.failures().get(i) for i in range(len(structures))] == reasons
    codes = [zstruct.open_split(store).codes for store in stores]
    assert_array_equal(zstruct.open_split(path).codes, [codes[k][i] for k, i in structures])
    shutil.rmtree(fresh)


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param([1, 2, 5, 6], id="cut", marks=pytest.mark.long),
        pytest.param([6, 1, 1, 3, 0], id="in another order"),
        pytest.param(range(8), id="all of it"),
    ],
)
def test_groups_follow_some_structures(full, tmp_path, chosen):
    report = build(full, tmp_path / "cut.zarr", select=list(chosen))
    assert_followed(tmp_path / "cut.zarr", [full], [(0, i) for i in chosen])
    assert set(COMPUTED) < set(report.groups.followed)
    assert report.groups.left_out == {}
    if len(chosen) < 8:
        assert report.groups.stale == ["statistics/all", "references/default"]
        assert "stale, as made of other structures: statistics/all, references/default" in str(report)
        with pytest.raises(zstruct.StaleGroupError):
            zstruct.open_statistics(tmp_path / "cut.zarr", "all")
    else:
        assert zstruct.open_statistics(tmp_path / "cut.zarr", "all") is not None
    assert zstruct.open_split(tmp_path / "cut.zarr").recipe["taken"] == {"structures": len(chosen)}


@pytest.mark.parametrize("seed", [pytest.param(None, marks=pytest.mark.long), 5])
def test_groups_of_several_stores_are_joined(two, tmp_path, seed):
    out = tmp_path / "both.zarr"
    report = build(two, out, encoding={"shuffle_seed": seed})
    order = np.arange(39) if seed is None else np.random.default_rng(seed).permutation(39)
    n = Store(two[0]).n_structures
    computed = {name for name in report.groups.followed if not name.startswith("features/of_")}
    assert computed == {*COMPUTED, "labels/other", "labels/failing", "splits/default"}
    assert all("manifest" in report.groups.left_out[f"features/of_{x}"] for x in ("atoms", "rows"))
    assert "have one each" in report.groups.left_out["statistics/all"]
    assert report.groups.stale == ["references/default"]
    for name in ("of_structures", "of_atoms", "of_rows"):  # so that all can be looked at
        values = [zstruct.Store(path).read(f"features/{name}/values") for path in two]
        level = Store(two[0]).group_attrs(f"features/{name}")["level"]
        edges = [
            zstruct.Store(path).read(f"features/{name}/offsets" if level == "row" else "offsets")
            for path in two
        ]
        if level == "structure":
            rows = np.concatenate(values)[order]
        else:
            starts = np.concatenate([edges[0][:-1], edges[1][:-1] + edges[0][-1]])[order]
            counts = np.concatenate([np.diff(edge) for edge in edges])[order]
            rows = np.concatenate(values)[atom_rows(starts, counts)]
            rows = np.split(rows, np.cumsum(counts)[:-1]) if level == "row" else rows
        description = Store(two[0]).group_attrs(f"features/{name}").get("description")
        zstruct.features.add(out, name, rows, level=level, description=description)
    assert_followed(out, two, [(0, int(i)) if i < n else (1, int(i) - n) for i in order])
    recipe = zstruct.open_split(out).recipe
    assert (recipe["method"], len(recipe["recipes"])) == ("joined", 2)


def test_what_does_not_go_together_is_left_out_and_named(two, tmp_path):
    full, other = two
    zstruct.featurize(
        other, Chebyshev(["H", "C", "O", "Ti"], 4, 2.5, 2, 2.0), True, overwrite=True, progress=False
    )
    zstruct.label(other, fails_of_some, "failing", version=2, overwrite=True, progress=False)
    zstruct.split(other, [0.3, 0.7], name="default", labels=["a", "b"], overwrite=True)
    shutil.copytree(full / "splits", full / "strange")
    zstruct.labels.add(full, "PBE", energy=np.zeros(8))
    zstruct.labels.add(other, "pbe", energy=np.zeros(31))
    report = build(two, tmp_path / "both.zarr")
    said = report.groups.left_out
    for group in ("features/chebyshev", "derivatives/chebyshev", "labels/failing"):
        assert "differ in its manifest" in said[group] or "differ in its feature_names" in said[group]
        assert group not in report.groups.followed
    assert "differ in its labels" in said["splits/default"]
    assert said["labels/pbe"] == "it differs from labels/PBE in case only"
    assert said[f"strange of {full}"] == "no groups of zstruct"
    assert "left out: splits/default: " in str(report)
    zstruct.verify(tmp_path / "both.zarr")


def test_structures_without_labels_have_none_and_are_in_no_part(full, tmp_path):
    frames = [random_atoms(np.random.default_rng(k)) for k in range(40, 43)]
    build(frames, tmp_path / "plain.zarr")
    report = build([tmp_path / "plain.zarr", full, frames[0]], tmp_path / "both.zarr")
    both = tmp_path / "both.zarr"
    zstruct.verify(both)
    assert report.groups.followed == ["labels/failing", "labels/other", "splits/default"]
    assert "plain.zarr has none" in report.groups.left_out["features/chebyshev"]
    energy = zstruct.open_labels(both, "other").read("energy")
    there = zstruct.open_labels(full, "other").read("energy")
    assert_array_equal(energy, [*[np.nan] * 3, *there, np.nan])
    assert_array_equal(zstruct.open_split(both).codes, [-1, -1, -1, *zstruct.open_split(full).codes, -1])
    asked = []

    def label(batch):
        asked.extend(batch.structures.tolist())
        return fails_of_some(batch)

    label.__qualname__, label.__module__ = fails_of_some.__qualname__, fails_of_some.__module__
    zstruct.label(both, label, "failing", version=1, progress=False)
    assert sorted(set(asked)) == [0, 1, 2, 11]
    mixed = build([full, frames[0]], tmp_path / "mixed.zarr")
    assert "come from no store" in mixed.groups.left_out["neighbors/rc2"]


def test_what_is_computed_is_that_of_the_very_geometry(full, tmp_path):
    report = build(full, tmp_path / "single.zarr", encoding="float32")
    assert report.groups.left_out["features/chebyshev"] == "positions became single precision"
    assert "labels/other" in report.groups.followed
    zstruct.append(full, [random_atoms(np.random.default_rng(1))], progress=False)
    report = build(full, tmp_path / "stale.zarr")
    assert report.groups.left_out["neighbors/rc2"] == f"it is stale in {full}"
    assert "splits/default" in report.groups.followed


def test_groups_follow_what_is_left_when_others_are_dropped(full, tmp_path):
    shutil.copytree(full, tmp_path / "before.zarr")
    before = tmp_path / "before.zarr"
    shutil.copytree(full / "splits", full / "strange")
    report = zstruct.drop(full, [3, 0], progress=False)
    assert set(COMPUTED) < set(report.groups.followed)
    assert report.groups.stale == ["statistics/all", "references/default"]
    assert report.groups.left_out == {f"strange of {full}": "no groups of zstruct"}
    assert "groups that follow the structures: features/chebyshev" in str(report)
    assert_followed(full, [before], [(0, i) for i in (1, 2, 4, 5, 6, 7)])
    cut = tmp_path / "cut.zarr"
    build(before, cut, select=[1, 2, 4, 5, 6, 7])
    for group in report.groups.followed:
        assert tree_bytes(full / group) == tree_bytes(cut / group), group


def test_groups_of_stores_that_are_appended_join_those_that_are_there(two, tmp_path, no_clones):
    full, other = two
    zstruct.labels.add(other, "more", energy=np.zeros(31))
    report = zstruct.append(full, other, out=tmp_path / "both.zarr", progress=False)
    build(two, tmp_path / "built.zarr")
    both, built = tmp_path / "both.zarr", tmp_path / "built.zarr"
    zstruct.verify(both)
    assert set(report.groups.followed) == {*COMPUTED, "labels/other", "labels/failing", "splits/default"}
    for group in (*COMPUTED, "labels/other", "labels/failing"):
        assert tree_bytes(both / group) == tree_bytes(built / group), group
    assert_array_equal(zstruct.open_split(both).codes, zstruct.open_split(built).codes)
    recipes = [zstruct.open_split(path).recipe for path in two]
    appended = [{"structures": 31, "part": None, "recipes": recipes[1:]}]
    assert zstruct.open_split(both).recipe == recipes[0] | {"appended": appended}
    stale = ["features/of_atoms", "features/of_rows", "features/of_structures"]
    assert report.groups.stale == [*stale, "statistics/all", "references/default"]
    for group in stale:
        assert "differ in its manifest" in report.groups.left_out[f"{group} of {other}"]
        assert tree_bytes(both / group) == tree_bytes(full / group), group
    assert "have one each" in report.groups.left_out[f"statistics/all of {other}"]
    assert report.groups.left_out[f"labels/more of {other}"] == f"{full} has none"
    shared = {file.name for group in COMPUTED for file in (both / group).rglob("c/**/*") if links(file) > 1}
    assert shared


def links(file):
    """Return how many names a file has."""
    return file.stat().st_nlink if file.is_file() else 0


def test_appended_with_files_some_groups_join_and_others_wait(two, tmp_path):
    full, other = two
    frame = random_atoms(np.random.default_rng(7))
    report = zstruct.append(full, [other, frame], out=tmp_path / "a.zarr", split="val", progress=False)
    assert report.groups.followed == ["labels/failing", "labels/other", "splits/default"]
    assert "come from no store" in report.groups.left_out[f"features/chebyshev of {other}"]
    energy = zstruct.open_labels(tmp_path / "a.zarr", "other").read("energy")
    there = [zstruct.open_labels(path, "other").read("energy") for path in two]
    assert_array_equal(energy, np.concatenate([*there, [np.nan]]))
    codes = zstruct.open_split(tmp_path / "a.zarr").codes
    assert_array_equal(codes, [*zstruct.open_split(full).codes, *[1] * 32])
    zstruct.split(other, [0.3, 0.7], name="default", labels=["a", "b"], overwrite=True)
    report = zstruct.append(full, other, out=tmp_path / "b.zarr", progress=False)
    assert "differ in its labels" in report.groups.left_out[f"splits/default of {other}"]
    assert_array_equal(zstruct.open_split(tmp_path / "b.zarr").codes[8:], -1)
    report = zstruct.append(full, [frame], out=tmp_path / "c.zarr", progress=False)
    assert report.groups.followed == ["splits/default"]
    assert {*COMPUTED, "labels/other", "labels/failing"} < {*report.groups.stale}
    assert report.groups.left_out == {}


def test_groups_in_files_elsewhere_follow_too(full, tmp_path):
    shutil.make_archive(str(tmp_path / "full"), "zip", full)
    build(full, tmp_path / "a.zarr", select=[4, 5, 7])
    build(tmp_path / "full.zip", tmp_path / "b.zarr", select=[4, 5, 7])
    for kind in ("features", "derivatives", "neighbors", "labels", "splits", "statistics", "references"):
        assert tree_bytes(tmp_path / "a.zarr" / kind) == tree_bytes(tmp_path / "b.zarr" / kind), kind


def _made(folder, what, kill_at=0):
    shrink()
    steps = count_steps(kill_at)
    if what == "build":
        zstruct.build(folder / "full.zarr", folder / "out.zarr", select=[7, 1, 2], progress=False)
    elif what == "drop":
        zstruct.drop(folder / "out.zarr", [7, 1, 2], progress=False)
    else:
        zstruct.append(folder / "out.zarr", folder / "new.zarr", progress=False)
    (folder / "steps").write_text(str(len(steps)))


@pytest.mark.parametrize("what", ["build", "append", "drop"])
def test_killed_among_groups_it_resumes_to_the_same_bytes(spawner, full, tmp_path, what, long_run):
    build(full, tmp_path / "new.zarr", select=[5, 3])
    out = tmp_path / "out.zarr"

    def run(*arguments):
        return ended(spawner, _made, tmp_path, what, *arguments)

    def begin():
        shutil.rmtree(out, ignore_errors=True)
        if what != "build":
            shutil.copytree(full, out)

    begin()
    assert run() == 0
    whole, total = tree_bytes(out), int((tmp_path / "steps").read_text())
    for step in range(1, total) if long_run else [random.randint(total // 2, total - 4)]:
        begin()
        before = tree_bytes(out)
        assert run(step) == -signal.SIGKILL
        reached = tree_bytes(out)
        assert reached in (before, whole), step
        # What was done but for what cleans up is done; what had cleaned up is asked for twice, and refused.
        twice = what != "build" and reached == whole and not list(tmp_path.glob("*out.zarr?*"))
        assert run() == (1 if twice else 0), step
        assert tree_bytes(out) == whole, step
