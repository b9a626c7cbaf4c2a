"""Appending: the store that a build of all inputs makes, for the price of the new ones; whole at any time."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

import zstruct
from tests.building.test_from_stores import (
    Stated,
    assert_same_values,
    build,
    decimal_of,
    rich_frames,
    shards,
)
from tests.conftest import extxyz_text, random_atoms, tree_bytes
from zstruct import InputError
from zstruct.store import savings
from zstruct.store.spec import INDEX, KINDS
from zstruct.store.store import Store

#: The structures of the first of the files.
OLD = 24
CHUNKS = {"chunks": {"atom": 8, "structure": 2}}


def append(store, inputs, **options):
    return zstruct.append(store, inputs, progress=False, **options)


@pytest.fixture
def everything_is_worth_it(monkeypatch):
    monkeypatch.setattr(savings, "_WORTH_BYTES", -(2**60))


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three files of decimals, the last of which has no forces."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(4)
    for k, n in enumerate((OLD, 7, 5)):
        frames = [random_atoms(rng) for _ in range(n)]
        for i, atoms in enumerate(frames):
            atoms.info |= {"config_type": f"{k}{i % 2}", "count": i}
            if k == 2:
                atoms.calc.results.pop("forces")
                del atoms.info["count"]
        Path(f"{k}.xyz").write_text(extxyz_text(frames))
    return ["0.xyz", "1.xyz", "2.xyz"]


def assert_same_store(a, b):
    assert_same_values(a, b)
    one, other = Store(a), Store(b)
    assert one.digest == other.digest
    for name in one.columns:
        assert one.array_attrs(name) == other.array_attrs(name)
    for key in ("species", "n_structures", "n_atoms"):
        assert one.attrs[key] == other.attrs[key]
    zstruct.verify(b)


@pytest.mark.parametrize(
    "encoding",
    [
        None,
        "decimal",
        *(
            pytest.param(other, marks=pytest.mark.long)
            for other in ("float32", {"compression": "small"}, {"compression": "raw"})
        ),
    ],
)
def test_one_after_the_other_is_both_is_one_build(files, small_chunks, everything_is_worth_it, encoding):
    whole = build(files, "whole.zarr", encoding=encoding)
    shutil.copytree(build(files[:1], "a.zarr", encoding=encoding), "b.zarr")
    append("a.zarr", files[1])
    append("a.zarr", files[2])
    report = append("b.zarr", files[1:])
    for name in ("a.zarr", "b.zarr"):
        assert_same_store(whole, name)
        assert shards(name) == shards(whole)
        said, expected = Store(name).attrs["build"], Store(whole).attrs["build"]
        digits = [{n: one["digits"] for n, one in each.pop("decimals").items()} for each in (said, expected)]
        assert digits[0] == digits[1]
        assert said == expected
    assert (report.n_added, report.n_structures) == (12, OLD + 12)
    assert report.n_atoms_added == Store("whole.zarr").read("n_atoms")[OLD:].sum()
    assert "12 structures added" in str(report)
    assert sorted(p.name for p in Path().iterdir() if p.suffix != ".xyz") == [
        "a.zarr",
        "b.zarr",
        "whole.zarr",
    ]


def test_all_kinds_of_fields(tmp_path, small_chunks):
    frames = [rich_frames(k) for k in (1, 2)]
    whole = build([*frames[0], *frames[1]], tmp_path / "whole.zarr")
    store = build(frames[0], tmp_path / "s.zarr")
    report = append(store, frames[1])
    assert report.new_fields == ["only_here"]
    a, b = Store(whole), Store(store)
    assert a.columns == b.columns
    for name in set(a.columns) - {"frame"}:
        assert a.read(name).tobytes() == b.read(name).tobytes(), name
    assert b.read("frame").tolist() == [*range(24), *range(24)]


def test_full_shards_are_in_both_versions(files, small_chunks, no_clones):
    build(files[:1], "a.zarr")
    before, first = tree_bytes("a.zarr"), Store("a.zarr")
    n = first.n_atoms // 32
    report = append("a.zarr", files[1:], out="b.zarr")
    assert tree_bytes("a.zarr") == before
    for k in range(n):
        one, other = (Path(name, "positions", "c", str(k), "0") for name in ("a.zarr", "b.zarr"))
        assert os.path.samefile(one, other)
        assert not one.stat().st_mode & 0o222
    assert not os.path.samefile("a.zarr/positions/zarr.json", "b.zarr/positions/zarr.json")
    assert report.nbytes_shared > 0
    new = [f for f in Path("b.zarr").rglob("c/**/*") if f.is_file() and f.stat().st_nlink == 1]
    arrays = {str(f.relative_to("b.zarr")).split("/c/")[0] for f in new}
    rows = {name: Store("b.zarr").shape(name)[0] for name in arrays}
    for name in arrays - {"shards/digests", "shards/checksums"}:
        grid = Store("b.zarr").grid(name)
        old = first.shape(name)[0] if name in (*first.columns, "offsets", "n_atoms") else 0
        mine = [f for f in new if str(f.relative_to("b.zarr")).split("/c/")[0] == name]
        assert len(mine) <= grid.n_shards(rows[name]) - old // grid.shard_rows
    shutil.rmtree("a.zarr")
    zstruct.verify("b.zarr")


@pytest.mark.parametrize("links", [True, False])
def test_where_nothing_can_be_shared_it_is_copied(files, small_chunks, no_clones, monkeypatch, links):
    if not links:

        def refuse(*_):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    whole = build(files[:2], "whole.zarr")
    build(files[:1], "a.zarr")
    report = append("a.zarr", files[1])
    assert_same_store(whole, "a.zarr")
    assert (report.nbytes_shared > 0) == links


def test_what_does_not_fit_into_decimals_is_named(files, small_chunks, everything_is_worth_it):
    build(files[:1], "a.zarr", encoding="decimal")
    assert decimal_of("a.zarr").digits == 8
    Path("odd.xyz").write_text(
        "1\nProperties=species:S:1:pos:R:3\nH 0 0 0\n1\nProperties=species:S:1:pos:R:3\nH 0 0.123456789 0\n"
    )
    before = tree_bytes("a.zarr")
    sentence = (
        r"^odd\.xyz, frame 1: positions is 0\.123456789, and .*a\.zarr stores it as decimals of 8 digits in "
        r"int32, which have no such number; pass reencode=True \(--reencode\) .*exclude=\['positions'\]"
    )
    with pytest.raises(InputError, match=sentence):
        append("a.zarr", "odd.xyz")
    assert tree_bytes("a.zarr") == before
    assert not Path("a.zarr.building").exists()
    append("a.zarr", "odd.xyz", reencode=True)
    whole = build([files[0], "odd.xyz"], "whole.zarr", encoding="decimal")
    assert_same_store(whole, "a.zarr")
    assert decimal_of("a.zarr").digits == 9


def test_numbers_too_large_for_decimals_are_named(files, small_chunks, everything_is_worth_it):
    build(files[:1], "a.zarr", encoding="decimal")
    Path("far.xyz").write_text("1\nProperties=species:S:1:pos:R:3\nH 0 0 12345.5\n")
    with pytest.raises(InputError, match=r"far\.xyz, frame 0: positions is 12345\.5, and .* digits in int32"):
        append("a.zarr", "far.xyz")
    build("far.xyz", "far.zarr")
    with pytest.raises(InputError, match=r"far\.xyz, frame 0: positions is 12345\.5"):  # where it came from
        append("a.zarr", "far.zarr")


def test_another_kind_of_values_is_named(files, small_chunks):
    build(files[:1], "a.zarr")
    frames = [Atoms("H"), Atoms("H", info={"count": 1.5}), Atoms("H", info={"count": 2.0})]
    with pytest.raises(
        InputError, match=r"atoms, frame 1: count has numbers here and whole numbers in a\.zarr"
    ):
        append("a.zarr", frames)
    append("a.zarr", frames, reencode=True)
    counts = Store("a.zarr").read("count")
    assert counts.dtype == np.float64
    assert counts[-3:].tolist()[1:] == [1.5, 2.0]
    append("a.zarr", [Atoms("H", info={"count": 3})])  # whole numbers are numbers
    assert Store("a.zarr").read("count")[-1] == 3.0
    with pytest.raises(InputError, match="count has texts here and numbers in"):
        append("a.zarr", [Atoms("H", info={"count": "many"})])
    append("a.zarr", [Atoms("H", info={"config_type": 7})])
    texts = Store("a.zarr").categories("config_type")
    assert texts[Store("a.zarr").read("config_type")[-1]] == "7"


def test_single_precision_stays_and_is_no_place_for_what_is_too_large(files, small_chunks):
    build(files[:1], "a.zarr", encoding="float32")
    append("a.zarr", files[1])
    assert Store("a.zarr").dtype("positions") == np.float32
    build([Atoms("H", positions=[[1e300, 0, 0]])], "large.zarr")
    with pytest.raises(InputError, match="positions has a number that single precision makes infinite"):
        append("a.zarr", "large.zarr")
    with pytest.raises(InputError, match="a value such as 1e\\+300 is too large for float32"):
        append("a.zarr", [Atoms("H", positions=[[1e300, 0, 0]])])
    zstruct.verify("a.zarr")
    assert Store("a.zarr").n_structures == OLD + 7


@pytest.mark.parametrize(
    "form",
    [
        CHUNKS | {"compression": "small"},
        pytest.param(CHUNKS, marks=pytest.mark.long),
        pytest.param({"compression": "small"}, marks=pytest.mark.long),
    ],
)
def test_the_form_that_a_store_was_rewritten_in_stays(files, small_chunks, form):
    build(files[:2], "whole.zarr")
    build(files[:1], "a.zarr")
    zstruct.rewrite("a.zarr", "b.zarr", progress=False, **form)
    zstruct.rewrite("whole.zarr", "expected.zarr", progress=False, **form)
    append("b.zarr", files[1])
    a, b = Store("expected.zarr"), Store("b.zarr")
    for name in a.array_names():
        assert (a.grid(name), a.profile(name).codec) == (b.grid(name), b.profile(name).codec), name
    assert_same_values("expected.zarr", "b.zarr")
    assert a.digest == b.digest
    zstruct.verify("b.zarr")


def test_stores_and_some_of_their_structures(files, small_chunks):
    build(files[:1], "a.zarr")
    build(files[1:], "b.zarr")
    append("a.zarr", "b.zarr", out="all.zarr")
    assert_same_values(build(["a.zarr", "b.zarr"], "joined.zarr"), "all.zarr")
    append("a.zarr", "b.zarr", select=[5, 3, 3, 0], out="some.zarr")
    build("b.zarr", "cut.zarr", select=[5, 3, 3, 0])
    assert_same_values(build(["a.zarr", "cut.zarr"], "expected.zarr"), "some.zarr")
    append("a.zarr", "b.zarr", filters={"max_force": 1.8}, exclude=["count"])
    assert OLD < Store("a.zarr").n_structures < OLD + 12
    assert Store("a.zarr").coverage("count") == OLD  # nothing is left out of what is there
    with pytest.raises(InputError, match="this is the store itself"):
        append("a.zarr", "a.zarr")


def test_units_are_those_of_the_store(tmp_path):
    store = build(Stated("eV"), tmp_path / "s.zarr")
    append(store, Stated("meV"))
    assert Store(store).read("gap").tolist() == [1.5, 0.0015]


def test_bad_frames_and_filters_are_told(files, small_chunks):
    build(files[:1], "a.zarr", filters={"max_force": 2.5}, on_error="skip")
    text = Path("1.xyz").read_text()
    Path("1.xyz").write_text(text + "1\nProperties=species:S:1:pos:R:3\nH 0 0\n")
    with pytest.raises(InputError, match=r"1\.xyz, frame 7"):
        append("a.zarr", files[1])
    report = append("a.zarr", files[1], on_error="skip", filters={"max_force": 1.5})
    assert report.n_skipped == 1
    assert report.skipped[0][:2] == ("1.xyz", 7)
    assert report.dropped["max_force"] == 7 - report.n_added
    whole = build(files[:2], "whole.zarr", on_error="skip", filters={"max_force": 2.5})
    assert Store(whole).attrs["build"]["n_skipped"] == Store("a.zarr").attrs["build"]["n_skipped"]


def test_reference_energies_of_the_store_must_not_be_contradicted(files):
    energies = dict.fromkeys(("H", "C", "O", "Ti"), -1.0)
    build(files[:1], "a.zarr", filters={"atomic_energies": energies})
    with pytest.raises(InputError, match=r"the store has -1\.0 eV for Ti, and -2\.0 is given"):
        append("a.zarr", files[1], filters={"atomic_energies": energies | {"Ti": -2.0}})
    append("a.zarr", files[1], filters={"atomic_energies": energies | {"Au": -3.0}})
    assert Store("a.zarr").attrs["atomic_energies"] == energies | {"Au": -3.0}


def test_a_store_of_version_0_1(tmp_path, files):
    shutil.unpack_archive(Path(__file__).parents[1] / "data" / "store-0.1.zip", tmp_path)
    shutil.copytree("store-0.1.zarr", "old.zarr")
    append("store-0.1.zarr", files[1])
    assert_same_values(build(["old.zarr", files[1]], "expected.zarr"), "store-0.1.zarr")
    zstruct.verify("store-0.1.zarr")


@pytest.mark.parametrize(
    ("store", "kind", "sentence"),
    [
        ("nothing.zarr", zstruct.StoreFormatError, "can't open the store"),
        ("s3://bucket/a.zarr", InputError, "give the new version another URL"),
        ("0.xyz", InputError, "is a file"),
    ],
)
def test_what_can_not_be_extended(files, store, kind, sentence):
    with pytest.raises(kind, match=sentence):
        append(store, files[1])
    assert sorted(os.listdir()) == files


def test_a_target_that_is_there_is_not_replaced_unasked(files, small_chunks):
    build(files[:1], "a.zarr")
    build(files[1], "b.zarr")
    with pytest.raises(zstruct.StoreExistsError):
        append("a.zarr", files[2], out="b.zarr")
    assert append("a.zarr", files[2], out="b.zarr", overwrite=True).n_structures == OLD + 5
    assert Store("a.zarr").n_structures == OLD


def test_in_memory_and_in_place_again_and_again(tmp_path, small_chunks):
    frames = [random_atoms(np.random.default_rng(k)) for k in range(22)]
    store = build(frames[:10], tmp_path / "s.zarr")
    for k in range(10, 22, 3):
        append(store, frames[k : k + 3])
    assert_same_values(build(zstruct.open(store).zs.to_ase(), tmp_path / "whole.zarr"), store)
    assert Store(store).read("energy").tolist() == [atoms.calc.results["energy"] for atoms in frames]


def test_groups_come_along(full, tmp_path, no_clones):
    before = Store(full)
    groups = {
        f"{kind}/{name}": before.group_attrs(f"{kind}/{name}")
        for kind in KINDS
        if kind != INDEX
        for name in before.group_names(kind)
    }
    shutil.copytree(full, tmp_path / "copy.zarr")
    report = append(full, [random_atoms(np.random.default_rng(k)) for k in range(3)], split="val")
    now = Store(full)
    assert report.groups.followed == ["splits/default"]
    assert sorted(report.groups.stale) == sorted(set(groups) - {"splits/default"})
    assert "stale, as made of other structures: features/chebyshev, derivatives/chebyshev" in str(report)
    old, new = (zstruct.open_split(path) for path in (tmp_path / "copy.zarr", full))
    assert new.codes.tolist() == [*old.codes.tolist(), 1, 1, 1]
    assert new.recipe["appended"] == [{"structures": 3, "part": "val"}]
    zstruct.verify(full)
    for group in report.groups.stale:
        assert now.group_attrs(group) == groups[group]
        for name in before.array_names(group):
            assert now.read(name).tobytes() == Store(tmp_path / "copy.zarr").read(name).tobytes()
    with pytest.raises(zstruct.StaleGroupError):
        zstruct.features.open_group(full, "features", "chebyshev")
    with pytest.raises(zstruct.StaleGroupError):
        zstruct.open_statistics(full, "all")
    append(full, [random_atoms(np.random.default_rng(9))])
    assert zstruct.open_split(full).codes.tolist() == [*new.codes.tolist(), -1]


def test_groups_of_others_are_named(full):
    shutil.copytree(full / "splits", full / "strange")
    report = append(full, [Atoms("H")])
    assert report.groups.left_out == {f"strange of {full}": "no groups of zstruct"}
    assert f"left out: strange of {full}: no groups of zstruct" in str(report)


def test_new_structures_are_dealt_out(tmp_path):
    store = build([random_atoms(np.random.default_rng(k)) for k in range(10)], tmp_path / "s.zarr")
    zstruct.split(store, [0.8, 0.2], name="default")
    zstruct.split(store, [0.5, 0.5], name="other", labels=["a", "b"])
    more = [random_atoms(np.random.default_rng(k)) for k in range(20, 40)]
    append(store, more, split={"default": [0.75, 0.25], "other": "b"}, out=tmp_path / "t.zarr")
    codes = zstruct.open_split(tmp_path / "t.zarr").codes[10:]
    assert np.bincount(codes).tolist() == [15, 5]
    assert (np.diff(codes) != 0).sum() > 2  # not in their order
    assert (zstruct.open_split(tmp_path / "t.zarr", "other").codes[10:] == 1).all()
    append(store, more, split={"default": [0.75, 0.25]}, out=tmp_path / "u.zarr")
    assert np.array_equal(zstruct.open_split(tmp_path / "u.zarr").codes[10:], codes)


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        ("test", "the split 'default' has no part 'test'; it has train, val"),
        ({"mine": "train"}, "has no split 'mine'; it has default"),
        ([0.5, 0.3], "are 2 numbers that sum to 1"),
        ([1.0], "are 2 numbers that sum to 1"),
        (3, "split is a label, or fractions"),
    ],
)
def test_parts_that_are_not_there(full, split, sentence):
    with pytest.raises(InputError, match=sentence):
        append(full, [Atoms("H")], split=split)
    assert Store(full).n_structures == 8
