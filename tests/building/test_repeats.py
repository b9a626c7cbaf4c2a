"""Content that came in before is refused, what has grown is continued, duplicates are left out if asked."""

import gzip
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

import zstruct
from tests.building.test_from_stores import assert_same_values, build, shards
from tests.conftest import extxyz_text, random_atoms, tree_bytes
from zstruct import InputError
from zstruct.store.store import Store


def append(store, inputs, **options):
    return zstruct.append(store, inputs, progress=False, **options)


@pytest.fixture
def frames(tmp_path, monkeypatch, small_chunks):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(8)
    frames = [random_atoms(rng) for _ in range(40)]
    for k, atoms in enumerate(frames):
        atoms.info["config_type"] = "ab"[k % 2]
    return frames


def write(name, frames):
    Path(name).write_text(extxyz_text(frames))
    return name


def test_the_same_content_is_refused_under_any_name(frames):
    write("a.xyz", frames[:20])
    build("a.xyz", "s.zarr")
    before = tree_bytes("s.zarr")
    shutil.copy("a.xyz", "renamed.extxyz")
    with gzip.open("packed.xyz.gz", "wt") as file:
        file.write(Path("a.xyz").read_text())
    ase.io.write("a.traj", ase.io.read("a.xyz", ":"))
    for name in ("renamed.extxyz", "packed.xyz.gz", "a.traj"):
        with pytest.raises(
            InputError, match=rf"^{name}: its content, 20 structures, came in before, as a\.xyz; leave it out"
        ):
            append("s.zarr", name)
    with pytest.raises(
        InputError, match=r"^a\.xyz: its content, 20 structures, came in before; leave it out"
    ):
        append("s.zarr", ["a.xyz", write("b.xyz", frames[20:])])
    with pytest.raises(
        InputError, match=r"^copy\.xyz: its content, 20 structures, came in before, as b\.xyz"
    ):
        append("s.zarr", ["b.xyz", shutil.copy("b.xyz", "copy.xyz")])
    assert tree_bytes("s.zarr") == before
    assert not Path("s.zarr.building").exists()
    append("s.zarr", "renamed.extxyz", repeat=True)
    assert Store("s.zarr").n_structures == 40


def test_the_same_structures_with_other_labels_are_other_content(frames):
    build(write("a.xyz", frames[:5]), "s.zarr")
    for atoms in frames[:5]:
        atoms.calc.results["energy"] += 1.0
    assert append("s.zarr", write("other.xyz", frames[:5])).n_added == 5


def test_what_was_filtered_out_came_in_too(frames):
    build(write("a.xyz", frames), "s.zarr", filters={"max_force": 1.8})
    n = Store("s.zarr").n_structures
    assert 0 < n < 40
    with pytest.raises(InputError, match="its content, 40 structures, came in before"):
        append("s.zarr", "a.xyz")
    report = append("s.zarr", "a.xyz", skip_duplicates=True)
    assert (report.n_added, report.n_duplicates) == (40 - n, n)


def test_a_file_that_has_grown_is_continued(frames):
    build(write("a.xyz", frames[:12]), "s.zarr")
    append("s.zarr", write("b.xyz", frames[30:]))
    report = append("s.zarr", [write("a.xyz", frames[:20]), write("c.xyz", frames[20:25])])
    assert (report.n_added, report.continued) == (13, {"a.xyz": 12})
    assert "a.xyz: its first 12 structures came in before" in str(report)
    expected = build(["a.xyz@:12", "b.xyz", "a.xyz@12:", "c.xyz"], "expected.zarr")
    a, b = Store("s.zarr"), Store(expected)
    assert np.array_equal(a.read("positions"), b.read("positions"))
    assert a.read("frame").tolist() == [*range(12), *range(10), *range(12, 20), *range(5)]
    build(write("d.xyz", frames[:12]), "grown.zarr")
    append("grown.zarr", write("d.xyz", frames[:30]), filters={"max_force": 1.9})
    report = append("grown.zarr", write("d.xyz", frames))  # as it was before the filter
    assert report.continued == {"d.xyz": 30}
    assert Store("grown.zarr").read("frame")[-10:].tolist() == [*range(30, 40)]
    build(write("e.xyz", frames[:12]), "one.zarr")
    append("one.zarr", write("e.xyz", frames))
    whole = build("e.xyz", "whole.zarr")
    assert Store("one.zarr").digest == Store(whole).digest
    assert shards("one.zarr") == shards(whole)
    zstruct.verify("s.zarr")


def test_stores_that_came_in_are_refused_and_other_structures_of_them_are_not(frames):
    build(write("a.xyz", frames[:10]), "s.zarr")
    build(write("b.xyz", frames[10:20]), "b.zarr")
    append("s.zarr", "b.zarr@:5")
    append("s.zarr", "b.zarr@5:")
    shutil.copytree("b.zarr", "c.zarr")
    with pytest.raises(InputError, match=r"^c\.zarr@:5: its content came in before, as b\.zarr@:5; leave"):
        append("s.zarr", "c.zarr@:5")
    report = append("s.zarr", "c.zarr", skip_duplicates=True)
    assert (report.n_added, report.n_duplicates) == (0, 10)
    assert Store("s.zarr").n_structures == 20


def equal(a, b):
    return (
        a.numbers.tolist() == b.numbers.tolist()
        and a.positions.tolist() == b.positions.tolist()
        and a.cell.tolist() == b.cell.tolist()
        and a.pbc.tolist() == b.pbc.tolist()
    )


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        pytest.param(kind, encoding, marks=[] if telling else pytest.mark.long)
        for kind, given in (("files", None), ("stores", "decimal"), ("atoms", "float32"))
        for encoding in (None, "float32", "decimal")
        for telling in [encoding == given]
    ],
)
def test_duplicates_are_left_out_and_named(frames, kind, encoding):
    rng = np.random.default_rng(3)
    old, new = [frames[k] for k in rng.integers(0, 20, 25)], [frames[k] for k in rng.integers(10, 40, 60)]
    for atoms in new[::7]:
        atoms.info["config_type"] = "other"  # labels make no difference
    expected: list[Atoms] = []
    left_out = []
    for k, atoms in enumerate([*old, *new]):
        if k >= 25 and any(equal(atoms, one) for one in [*old, *expected]):
            left_out.append(k - 25)
        elif k >= 25:
            expected.append(atoms)
    build(write("old.xyz", old), "s.zarr", encoding=encoding)
    inputs = write("new.xyz", new)
    if kind == "stores":
        inputs = build("new.xyz", "new.zarr", encoding=encoding)
    elif kind == "atoms":
        inputs = ase.io.read("new.xyz", ":")
    report = append("s.zarr", inputs, skip_duplicates=True)
    assert (report.n_added, report.n_duplicates) == (len(expected), len(left_out))
    assert [frame for _, frame in report.duplicates] == left_out
    assert "there already, and left out" in str(report)
    kept = [k for k in range(60) if k not in left_out]
    whole = build(["old.xyz", *(f"new.xyz@{k}" for k in kept)], "whole.zarr", encoding=encoding)
    a, b = Store("s.zarr"), Store(whole)
    for name in ("numbers", "positions", "cell", "energy", "forces"):
        assert a.read(name).tobytes() == b.read(name).tobytes()
    said = a.attrs["build"]
    assert (said["n_duplicates"], len(said["duplicates"])) == (len(left_out), len(left_out))
    zstruct.verify("s.zarr")


def test_a_build_leaves_them_out_too(frames):
    write("a.xyz", [*frames[:10], frames[3], frames[4]])
    zeros = Atoms("H", positions=[[-0.0, 0, 0]]), Atoms("H", positions=[[0.0, -0.0, 0]])
    report = zstruct.build(["a.xyz", *zeros], "s.zarr", skip_duplicates=True, progress=False)
    assert (report.n_structures, report.n_duplicates) == (11, 3)
    assert report.duplicates[:2] == [("a.xyz", 10), ("a.xyz", 11)]
    build(["a.xyz"], "b.zarr")
    build("b.zarr", "c.zarr", select=[11, 4, 3, 10, 3], skip_duplicates=True)
    assert_same_values("c.zarr", build("b.zarr", "d.zarr", select=[4, 3, 3]))


def test_other_atoms_cells_and_periodicity_are_no_duplicates(frames):
    one = Atoms("HO", positions=[[0, 0, 0], [0, 0, 1]], cell=[3, 3, 3], pbc=True)
    others = [one.copy() for _ in range(5)]
    others[0].pbc = [True, True, False]
    others[1].cell[0, 1] = 1e-300
    others[2].numbers = [8, 1]
    others[3].positions = one.positions[::-1]
    others[4].positions[1, 2] = np.nextafter(1.0, 2.0)
    report = zstruct.build([one, *others, one], "s.zarr", skip_duplicates=True, progress=False)
    assert (report.n_structures, report.n_duplicates) == (6, 1)
