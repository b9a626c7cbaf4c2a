"""Splits: exact, disjoint, exhaustive, whole groups, the same everywhere; kept in the store and served."""

import shutil
from itertools import pairwise

import ase.build
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from zstruct import (
    BuildLockedError,
    CorruptStoreError,
    InputError,
    StaleGroupError,
    StoreExistsError,
    StoreFormatError,
)
from zstruct.features import NeighborList
from zstruct.random import hashes
from zstruct.splits.allocation import dealt, dealt_whole, rounded
from zstruct.store.store import Store
from zstruct.store.workdir import WorkingDirectory

MOLECULES = ["H2O", "CO2", "CH4", "NH3", "O2", "C2H6"]

fractions = st.lists(st.floats(0, 1), min_size=1, max_size=5).filter(lambda x: sum(x) > 1e-3)
shares = st.lists(st.integers(0, 40), min_size=1, max_size=5)


def molecules(n=60):
    """Molecules of six formulas; every third has no label, the others one of two."""
    made = []
    for i in range(n):
        atoms = ase.build.molecule(MOLECULES[i * i % 7 % 6])
        atoms.info["serial"] = i // 4
        atoms.info["gap"] = 0.5 * i
        if i % 3:
            atoms.info["config_type"] = "cold" if i % 3 == 1 else "hot"
        made.append(atoms)
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    path = tmp_path_factory.mktemp("splits") / "molecules.zarr"
    zstruct.build(molecules(), path, progress=False)
    return path


@pytest.fixture
def path(built, tmp_path):
    """A store of sixty molecules that may be written to."""
    return shutil.copytree(built, tmp_path / "molecules.zarr")


def formulas(path):
    return zstruct.open(path).zs.formula.values


def check_exhaustive(parts, n):
    """Every structure is in exactly one part; indices are ascending int64."""
    assert sorted(i for part in parts for i in part.tolist()) == list(range(n))
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)


# What it draws


def test_hashes_are_splitmix64():
    # Reference: java.util.SplittableRandom's algorithm from a state of zero begins with these numbers;
    # hashes(n, seed) starts from the first number of the state `seed`.
    first = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    mask, gamma = 2**64 - 1, 0x9E3779B97F4A7C15

    def sequence(state, n):
        for _ in range(n):
            state = (state + gamma) & mask
            z = state
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
            yield z ^ (z >> 31)

    assert list(sequence(0, 3)) == first
    assert hashes(5, 0).tolist() == list(sequence(first[0], 5))
    assert len(set(hashes(100_000, 42).tolist())) == 100_000
    assert hashes(3, 1).tolist() != hashes(3, 2).tolist()


@given(fractions, st.integers(0, 10_000))
@settings(deadline=None)
def test_fractions_are_rounded_to_less_than_one(wanted, n):
    counts = rounded(np.array(wanted), n)
    assert counts.sum() == n
    assert np.abs(counts - np.array(wanted) / sum(wanted) * n).max() < 1


@given(shares, st.integers(1, 12), st.integers(0, 2**70))
@settings(deadline=None)
def test_strata_are_proportional_and_sizes_exact(counts, n_strata, seed):
    n = sum(counts)
    strata = (hashes(n, 3) % np.uint64(n_strata)).astype(np.int64)
    codes = dealt(strata, np.array(counts), seed)
    assert np.bincount(codes, minlength=len(counts)).tolist() == counts
    for s in np.unique(strata):
        here = np.bincount(codes[strata == s], minlength=len(counts))
        assert np.abs(here - np.array(counts) * (strata == s).sum() / n).max() <= 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), shares, st.integers(0, 2**64))
@settings(deadline=None)
def test_groups_stay_whole_and_sizes_near(group_sizes, weights, seed):
    groups = np.repeat(np.arange(len(group_sizes)), group_sizes)
    counts = rounded(np.array(weights) + 0.01, len(groups))
    codes = dealt_whole(groups, counts, seed)
    assert all(len(set(codes[groups == g].tolist())) == 1 for g in range(len(group_sizes)))
    got = np.bincount(codes, minlength=len(counts))
    if len(group_sizes) >= (counts > 0).sum():
        assert (got[counts > 0] > 0).all()
    assert (got - counts).max() < max(group_sizes)
    if max(group_sizes) == 1:
        assert got.tolist() == counts.tolist()


def test_groups_reach_the_sizes_where_they_can():
    groups = np.repeat(np.arange(6), [50, 20, 10, 10, 5, 5])
    for seed in range(20):
        codes = dealt_whole(groups, np.array([80, 10, 10]), seed)
        assert np.bincount(codes).tolist() == [80, 10, 10]


def test_every_structure_is_as_likely_in_any_part():
    # 2000 draws: the standard deviation of a mean is 0.009 for a probability of 0.2.
    codes = np.array([dealt(np.zeros(10, int), np.array([8, 2]), seed) for seed in range(2000)])
    assert np.abs(codes.mean(axis=0) - 0.2).max() < 0.045
    alone = np.array([dealt(np.arange(10), np.array([8, 2]), seed) for seed in range(2000)])
    assert np.abs(alone.mean(axis=0) - 0.2).max() < 0.045
    whole = np.array([dealt_whole(np.arange(10), np.array([8, 2]), seed) for seed in range(2000)])
    assert np.abs(whole.mean(axis=0) - 0.2).max() < 0.045
    assert abs(np.corrcoef(codes[:, 3], codes[:, 4])[0, 1] + 1 / 9) < 0.09  # drawn without replacement


# What seed 42 draws from sixty structures; must never change.
VAL, TEST = [14, 25, 29, 38, 54, 56], [1, 21, 32, 36, 47, 57]


def test_a_split_is_the_same_on_every_machine(built):
    train, val, test = zstruct.split(built, [0.8, 0.1, 0.1])
    assert val.tolist() == VAL
    assert test.tolist() == TEST
    again = zstruct.split(Store(built), [48, 6, 6], seed=42)
    assert again["train"].tolist() == train.tolist()
    assert zstruct.split(built, [48, 6, 6], seed=43)["val"].tolist() != VAL


# What it is asked for


@pytest.mark.parametrize("by", ["random", "order", "formula", "config_type", "serial"])
def test_every_way_is_exhaustive(built, by):
    parts = zstruct.split(built, [0.5, 0.3, 0.2], by=by)
    check_exhaustive(parts, 60)
    if by in ("random", "order"):
        assert [len(part) for part in parts] == [30, 18, 12]


def test_contiguous_parts(built):
    head, tail = zstruct.split(built, [50, 10], by="order", labels=["old", "new"])
    assert head.tolist() == list(range(50))
    assert tail.tolist() == list(range(50, 60))


def test_formulas_never_straddle(built):
    parts = zstruct.split(built, [0.6, 0.4], by="formula")
    train, val = (set(formulas(built)[part]) for part in parts)
    assert train
    assert val
    assert not train & val


@pytest.mark.parametrize("n_atoms", [1, 7, 100])
def test_formulas_are_found_block_by_block(built, monkeypatch, n_atoms):
    whole = zstruct.split(built, [0.6, 0.4], by="formula")
    monkeypatch.setattr("zstruct.splits.strata._BLOCK_ATOMS", n_atoms)
    assert zstruct.split(built, [0.6, 0.4], by="formula").codes.tolist() == whole.codes.tolist()


def test_no_part_is_empty(built):
    parts = zstruct.split(built, [0.8, 0.1, 0.1], by="config_type")
    assert [len(part) for part in parts] == [20, 20, 20]
    with pytest.raises(InputError, match="by='source' makes 1 group, which stay whole: too few for 2 parts"):
        zstruct.split(built, [0.5, 0.5], by="source")


def test_structures_without_a_label_stay_together(built):
    parts = zstruct.split(built, [20, 40], by="config_type")
    missing = np.flatnonzero(np.arange(60) % 3 == 0)
    assert {tuple(sorted(set(parts.codes[missing])))} <= {(0,), (1,)}
    assert [len(part) for part in parts] == [20, 40]


def test_a_function_groups(built):
    parts = zstruct.split(built, [0.5, 0.5], by=lambda store: store.read("gap") // 5)
    assert all(not {i // 10 for i in a} & {i // 10 for i in b} for a, b in pairwise(parts))
    assert [len(part) for part in parts] == [30, 30]


def test_strata(built):
    parts = zstruct.split(built, [0.7, 0.2, 0.1], stratify="formula")
    assert [len(part) for part in parts] == [42, 12, 6]
    there = formulas(built)
    for formula in set(there):
        n = (there == formula).sum()
        for part, fraction in zip(parts, [0.7, 0.2, 0.1], strict=True):
            assert abs((there[part] == formula).sum() - fraction * n) <= 1


def test_strata_of_numbers_are_ranges(built):
    gap = np.arange(60) * 0.5
    parts = zstruct.split(built, [0.5, 0.5], stratify="gap", bins=6)
    for part in parts:
        assert np.bincount((gap[part] // 5).astype(int)).tolist() == [5] * 6
    assert parts.recipe["bins"] == 6
    sizes = Store(built).read("n_atoms")
    parts = zstruct.split(built, [0.5, 0.5], stratify="n_atoms", bins=60)
    for size in np.unique(sizes):
        assert abs((sizes[parts["train"]] == size).sum() - (sizes == size).sum() / 2) <= 0.5


def test_numbers_of_a_function_are_ranges_too(built):
    gap = np.arange(60) * 0.5
    for function in (lambda store: store.read("gap"), lambda store: np.arange(60)):
        parts = zstruct.split(built, [0.5, 0.5], stratify=function, bins=6)
        for part in parts:
            assert np.bincount((gap[part] // 5).astype(int)).tolist() == [5] * 6
    # Whole numbers that many structures share are classes.
    classes = zstruct.split(built, [0.5, 0.5], stratify=lambda store: np.arange(60) // 15, bins=2)
    assert [np.bincount(part // 15, minlength=4).max() for part in classes] == [8, 8]
    assert {count for part in classes for count in np.bincount(part // 15)} <= {7, 8}


def test_many_texts_are_no_numbers(tmp_path):
    frames = molecules(40)
    for i, atoms in enumerate(frames):
        atoms.info["config_type"] = f"run {i // 2}"
    zstruct.build(frames, tmp_path / "runs.zarr", progress=False)
    train, _ = zstruct.split(tmp_path / "runs.zarr", [0.5, 0.5], stratify="config_type")
    assert np.bincount(train // 2).tolist() == [1] * 20


def test_several_criteria(built):
    parts = zstruct.split(built, [0.5, 0.5], stratify=["config_type", "gap"], bins=2)
    kinds = np.arange(60) % 3 * 2 + (np.arange(60) >= 30)
    for part in parts:
        assert np.bincount(kinds[part]).tolist() == [5] * 6
    assert parts.recipe["stratify"] == ["config_type", "gap"]


def test_structures_without_a_value_are_a_stratum(tmp_path):
    frames = molecules(40)
    for i, atoms in enumerate(frames):
        if i % 2:
            atoms.calc = SinglePointCalculator(atoms, energy=float(i * len(atoms)))
    zstruct.build(frames, tmp_path / "some.zarr", progress=False)
    train, _ = zstruct.split(tmp_path / "some.zarr", [0.5, 0.5], stratify="energy_per_atom", bins=5)
    assert np.bincount(train % 2).tolist() == [10, 10]
    odd = train[train % 2 == 1]
    assert np.bincount(odd // 8).tolist() == [2] * 5
    folds = zstruct.kfold(tmp_path / "some.zarr", 2, stratify="energy", bins=1)
    assert np.bincount(folds[0]["val"] % 2).tolist() == [10, 10]


def test_schnetpack_split_files(built, tmp_path):
    file = tmp_path / "split.npz"
    np.savez(file, train_idx=[0, 2, 4], val_idx=[1], test_idx=[5, 3])
    parts = zstruct.split(built, file)
    assert parts.labels == ("train", "val", "test")
    assert parts["test"].tolist() == [3, 5]
    np.savez(file, idx_train=[7])
    assert zstruct.split(built, str(file))["train"].tolist() == [7]
    # As kinoml writes them, beside other things.
    np.savez(file, X=np.ones((3, 2)), y=np.ones(3), idx_train=[0, 1], idx_test=[2])
    assert {k: v.tolist() for k, v in dict(zstruct.split(built, file)).items()} == {
        "train": [0, 1],
        "test": [2],
    }
    np.savez(file, idx_train=[0, 1], train_idx=[2])
    with pytest.raises(InputError, match="two of idx_train, train_idx are one part"):
        zstruct.split(built, file)
    np.savez(file, train=[0], val=[1])
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="can't be read as an"):
        zstruct.split(built, file)
    file.write_text("0\n1\n")
    np.save(tmp_path / "a.npy", [0, 1])
    for other in (file, str(tmp_path / "a.npy")):
        with pytest.raises(InputError, match=r"it is not an \.npz file of indices"):
            zstruct.split(built, other)
    with pytest.raises(InputError, match="can't be read as an"):
        zstruct.split(built, tmp_path / "nothing.npz")


def test_a_split_is_kept_after_a_look(path):
    parts = zstruct.split(path, [0.75, 0.25], seed=3, stratify="formula")
    zstruct.split(path, parts, name="kept")
    again = zstruct.open_split(path, "kept")
    assert again.codes.tolist() == parts.codes.tolist()
    assert again.recipe == parts.recipe
    with pytest.raises(InputError, match="needs no by"):
        zstruct.split(path, parts, by="formula")
    some = zstruct.split(path, {"train": [1], "val": [2]})
    with pytest.raises(InputError, match="one of 60 structures, and there are 1 here"):
        zstruct.split(zstruct.StructureReader(path)[some["train"]], some)


def test_given_parts(built):
    mask = np.zeros(60, dtype=bool)
    mask[5:9] = True
    parts = zstruct.split(built, {"a": [3, 1], "b": mask, "c": []})
    assert [part.tolist() for part in parts] == [[1, 3], [5, 6, 7, 8], []]


def test_indices_in_a_file_are_imported_and_exported(built, tmp_path):
    parts = zstruct.split(built, [0.5, 0.5])
    np.savez(tmp_path / "split.npz", **parts)
    with np.load(tmp_path / "split.npz") as file:
        again = zstruct.split(built, file)
    assert again.keys() == ("train", "val")
    assert {label: part.tolist() for label, part in dict(again).items()} == {
        label: part.tolist() for label, part in dict(parts).items()
    }


@pytest.mark.parametrize("by", ["random", "order", "formula"])
def test_folds(built, by):
    folds = zstruct.kfold(built, 4, by=by)
    check_exhaustive([parts["val"] for parts in folds], 60)
    for parts in folds:
        check_exhaustive(parts, 60)
    if by != "formula":
        assert [len(parts["val"]) for parts in folds] == [15] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": [0.8, 0.1]}, "sum to 1, not 0.9"),
        ({"sizes": [40, 10]}, "the 60 structures there are, not 50"),
        ({"sizes": [1.5, -0.5]}, "none below zero"),
        ({"sizes": [float("nan"), 0.5]}, "none below zero"),
        ({"sizes": []}, "1 to 127 different names"),
        ({"sizes": 0.8}, "a list of one size for each part"),
        ({"sizes": "ab"}, "a list of one size for each part"),
        ({"sizes": [0.25] * 4}, "4 parts need labels"),
        ({"sizes": [0.5, 0.5], "labels": ["a", "a"]}, "different names"),
        ({"sizes": [0.5, 0.5], "labels": "ab"}, "list of names"),
        ({"sizes": [0.5, 0.5], "labels": ["a", 1]}, "labels is a list of names, and 1 is none"),
        ({"sizes": [0.5, 0.5], "seed": 1.5}, "seed is a whole number"),
        ({"sizes": [0.5, 0.5], "by": "gap"}, "can't be grouped by 'gap'.*config_type"),
        ({"sizes": [0.5, 0.5], "by": "numbers"}, "can't be grouped by 'numbers'"),
        ({"sizes": [0.5, 0.5], "stratify": "enrgy"}, "stratified by 'enrgy', but by formula, n_atoms.*gap"),
        ({"sizes": [[0, 1], [2]]}, "a list of one size for each part"),
        ({"sizes": [0.5, 0.5], "by": 3}, "names or functions"),
        ({"sizes": [0.5, 0.5], "by": lambda store: [1, 2]}, "one for each of the 60"),
        ({"sizes": [0.5, 0.5], "by": lambda store: np.array([None, "a"] * 30)}, "can't be compared"),
        ({"sizes": [0.5, 0.5], "by": "formula", "stratify": "source"}, 'needs by="random"'),
        ({"sizes": [0.5, 0.5], "stratify": 3}, "a name, a function or a list"),
        ({"sizes": [0.5, 0.5], "stratify": "gap", "bins": 0}, "bins is a whole number from 1"),
        ({"sizes": [0.5, 0.5], "stratify": "energy_per_atom"}, "need energies, and .* has none"),
        ({"sizes": {"a": [0], "b": [0]}}, "'b' has structure 0, which is in another part"),
        ({"sizes": {"a": [0, 0]}}, "'a' has a structure twice"),
        ({"sizes": {"a": [60]}}, "outside 0 to 59"),
        ({"sizes": {"a": [-1]}}, "outside 0 to 59"),
        ({"sizes": {"a": [0.5]}}, "neither a list of indices nor a mask"),
        ({"sizes": {"a": [True, False]}}, "neither a list of indices nor a mask"),
        ({"sizes": {"a": [0]}, "by": "formula"}, "parts that are given need no by"),
        ({"sizes": [0.5, 0.5], "name": "../x"}, "can't name a split"),
    ],
)
def test_what_can_not_be_used_is_said(built, arguments, message):
    with pytest.raises(InputError, match=message):
        zstruct.split(built, **arguments)


def test_other_misuse_is_said(built):
    with pytest.raises(InputError, match="from 2 to the 60 structures"):
        zstruct.kfold(built, 1)
    with pytest.raises(InputError, match="a store, its path or a dataset"):
        zstruct.split([1, 2, 3], [0.5, 0.5])
    with pytest.raises(KeyError, match="no part 'dev'; it has train, val"):
        zstruct.split(built, [0.5, 0.5])["dev"]


# What is kept


def test_a_kept_split_is_read_again(path):
    before = Store(path).digest
    parts = zstruct.split(path, [0.8, 0.1, 0.1], seed=7, stratify="formula", name="default")
    again = zstruct.open_split(path)
    assert again.labels == ("train", "val", "test")
    assert again.codes.tolist() == parts.codes.tolist()
    assert again.recipe == {
        "method": "random",
        "seed": 7,
        "stratify": "formula",
        "bins": 10,
        "sizes": [0.8, 0.1, 0.1],
        "structures": 60,
    }
    assert repr(again) == "Split(train: 48, val: 6, test: 6)"
    assert Store(path).digest == before
    assert not path.with_name(path.name + ".featurizing").exists()
    zstruct.verify(path)
    assert zstruct.open(path).sizes["structure"] == 60


def test_the_same_call_does_nothing_and_another_is_refused(path):
    parts = zstruct.split(path, [0.8, 0.2], name="a")
    file = path / "splits" / "a" / "codes" / "c" / "0"
    written = file.stat().st_ino
    zstruct.split(path, [0.8, 0.2], name="a")
    assert file.stat().st_ino == written
    with pytest.raises(StoreExistsError, match=r"another split 'a'.*overwrite=True"):
        zstruct.split(path, [0.8, 0.2], seed=1, name="a")
    assert zstruct.open_split(path, "a").codes.tolist() == parts.codes.tolist()
    other = zstruct.split(path, [0.8, 0.2], seed=1, name="a", overwrite=True)
    assert zstruct.open_split(path, "a").codes.tolist() == other.codes.tolist()
    zstruct.split(path, [1.0], name="b")
    assert Store(path).group_names("splits") == ["a", "b"]
    zstruct.verify(path)


def test_a_store_that_was_opened_before_has_it(path):
    store = Store(path)
    assert store.group_names("splits") == []
    parts = zstruct.split(store, [0.5, 0.5], name="default")
    assert zstruct.open_split(store).codes.tolist() == parts.codes.tolist()


def test_kept_folds(path):
    folds = zstruct.kfold(path, 3, name="cv")
    for k, parts in enumerate(folds):
        kept = zstruct.open_split(path, f"cv-{k}")
        assert kept["val"].tolist() == parts["val"].tolist()
        assert kept.recipe["fold"] == k
    assert len(zstruct.kfold(path, 3, name="cv")) == 3  # the same again


def test_folds_of_two_divisions_do_not_mix(path):
    zstruct.split(path, [0.5, 0.5], name="cv-2")
    with pytest.raises(StoreExistsError, match="another split 'cv-2' already"):
        zstruct.kfold(path, 4, name="cv")
    assert Store(path).group_names("splits") == ["cv-2"]
    zstruct.kfold(path, 4, name="cv", overwrite=True)
    with pytest.raises(StoreExistsError, match="has cv-3, of more folds than 3"):
        zstruct.kfold(path, 3, name="cv", overwrite=True)
    assert zstruct.open_split(path, "cv-0").recipe["folds"] == 4


def test_what_is_not_there_is_said(path):
    with pytest.raises(InputError, match=r"no split 'default'; it has none; make one with zstruct.split"):
        zstruct.open_split(path)
    zstruct.split(path, [1.0], name="all")
    with pytest.raises(InputError, match="no split 'default'; it has all"):
        zstruct.open_split(path)


def test_a_split_of_other_content_is_stale(path):
    zstruct.split(path, [0.5, 0.5], name="default")
    zstruct.build(molecules(20), path.with_name("other.zarr"), progress=False)
    other = path.with_name("other.zarr")
    shutil.copytree(path / "splits", other / "splits")
    zstruct.split(other, [0.5, 0.5], name="fresh")  # writes the consolidated metadata again
    with pytest.raises(StaleGroupError, match="made for other content"):
        zstruct.open_split(other)
    zstruct.verify(other)
    with pytest.raises(StoreExistsError):
        zstruct.split(other, [0.5, 0.5], name="default")
    zstruct.split(other, [0.5, 0.5], name="default", overwrite=True)
    check_exhaustive(zstruct.open_split(other), 20)


def test_newer_versions_are_refused(path):
    zstruct.split(path, [0.5, 0.5], name="default")
    for file in (path / "zarr.json", path / "splits" / "default" / "zarr.json"):
        text = file.read_text()
        at = text.index('"zstruct-splits"')
        file.write_text(text[:at] + text[at:].replace('"1.0"', '"2.0"', 1))
    with pytest.raises(StoreFormatError, match=r"format version 2.0"):
        zstruct.open_split(path)


def test_damage_is_found(path):
    zstruct.split(path, [0.5, 0.5], name="default")
    for file in (path / "zarr.json", path / "splits" / "default" / "zarr.json"):
        text = file.read_text()
        at = text.index('"labels"')
        begin, end = text.index("[", at), text.index("]", at)
        file.write_text(text[:begin] + '["train"' + text[end:])
    with pytest.raises(CorruptStoreError, match="are not those that were written"):
        zstruct.verify(path)


def test_one_process_at_a_time_writes(path):
    with (
        WorkingDirectory(path.with_name(path.name + ".featurizing"), "writing groups"),
        pytest.raises(BuildLockedError),
    ):
        zstruct.split(path, [0.5, 0.5], name="default")


def test_groups_of_other_kinds_stay_and_an_interrupted_featurize_goes_on(path):
    zstruct.featurize(path, NeighborList(2.0), progress=False)
    work = path.with_name(path.name + ".featurizing")
    with WorkingDirectory(work, "writing groups"):
        (work / "job.json").write_text("[]")
        (work / "keeping").mkdir()  # left by a split that was killed
    zstruct.split(path, [0.5, 0.5], name="default")
    assert sorted(entry.name for entry in work.iterdir()) == ["job.json", "lock"]
    assert Store(path).group_names("neighbors") == ["rc2"]
    zstruct.featurize(path, NeighborList(2.5), progress=False)
    assert Store(path).group_names("splits") == ["default"]
    assert not work.exists()
    zstruct.verify(path)


def test_a_featurize_that_was_killed_while_publishing_is_finished(path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("zstruct.store.publish.create_parent", killed)
        with pytest.raises(KeyboardInterrupt):
            zstruct.featurize(path, NeighborList(2.0), progress=False)
    assert Store(path).group_names("neighbors") == []
    zstruct.split(path, [0.5, 0.5], name="default")
    assert Store(path).group_names("neighbors") == ["rc2"]
    finished = (path / "neighbors" / "rc2").stat().st_ino
    zstruct.featurize(path, NeighborList(2.0), progress=False)
    assert (path / "neighbors" / "rc2").stat().st_ino == finished
    assert not path.with_name(path.name + ".featurizing").exists()
    zstruct.verify(path)


def test_a_split_that_was_killed_is_made_again(path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("zstruct.store.publish.consolidate_again", killed)
        with pytest.raises(KeyboardInterrupt):
            zstruct.split(path, [0.5, 0.5], name="default")
    assert Store(path).group_names("splits") == ["default"]  # it is whole, though plain Zarr does not see it
    parts = zstruct.split(path, [0.5, 0.5], name="default")
    assert zstruct.open_split(path).codes.tolist() == parts.codes.tolist()
    assert not path.with_name(path.name + ".featurizing").exists()


def test_only_local_stores_are_written(path, monkeypatch):
    store = Store(path)
    monkeypatch.setattr(store, "path", "memory://molecules.zarr")
    with pytest.raises(InputError, match="local directories only"):
        zstruct.split(store, [0.5, 0.5], by="order", name="default")


# What a dataset does with it


def test_the_dataset_serves_a_part(path):
    pytest.importorskip("torch")
    parts = zstruct.split(path, [0.8, 0.2], name="default")
    zstruct.split(path, {"few": [4, 2]}, name="mine")
    train = zstruct.ZarrStructureDataset(path, split="train")
    assert train.structures.tolist() == parts["train"].tolist()
    assert train[5]["serial"].item() == parts["train"][5] // 4
    few = zstruct.ZarrStructureDataset(path, split=("mine", "few"))
    assert [sample["gap"].item() for sample in few] == [1.0, 2.0]
    assert zstruct.ZarrStructureDataset(path).structures.tolist() == list(range(60))
    with pytest.raises(InputError, match=r"'default' of .* has no part 'test'; it has train, val"):
        zstruct.ZarrStructureDataset(path, split="test")
    with pytest.raises(InputError, match="no split 'cv'"):
        zstruct.ZarrStructureDataset(path, split=("cv", "train"))
    with pytest.raises(TypeError, match="split is a label"):
        zstruct.ZarrStructureDataset(path, split=["train"])


def test_splitting_a_split_stays_inside(path):
    pytest.importorskip("torch")
    outer = zstruct.split(path, [0.5, 0.5], name="default")
    half = zstruct.ZarrStructureDataset(path, split="train")
    inner = zstruct.split(half, [20, 10], by="formula", name="inner")
    check_exhaustive(inner, 30)
    kept = zstruct.open_split(path, "inner")
    assert kept["train"].tolist() == half[inner["train"]].structures.tolist()
    assert set(kept["train"]) | set(kept["val"]) == set(outer["train"].tolist())
    assert not set(formulas(path)[kept["train"]]) & set(formulas(path)[kept["val"]])
    assert (kept.codes[outer["val"]] == -1).all()
    backwards = half[::-1]
    last = zstruct.split(backwards, [1, 29], by="order")["train"]
    assert backwards[last].structures.tolist() == [outer["train"][-1]]
    zstruct.split(path, dict(kept), name="inner2")  # structures of the store go in as they came out
    assert zstruct.open_split(path, "inner2").codes.tolist() == kept.codes.tolist()


def test_a_dataset_with_repeats_is_refused(path):
    pytest.importorskip("torch")
    data = zstruct.ZarrStructureDataset(path)
    with pytest.raises(InputError, match="structure 3 of the store more than once"):
        zstruct.split(data[[1, 3, 3]], [0.5, 0.5])
