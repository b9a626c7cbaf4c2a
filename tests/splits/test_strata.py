"""Groups that stay whole and strata that are divided, by field, formula or function."""

from itertools import pairwise

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from tests.splits.conftest import formulas, molecules
from zstruct import (
    InputError,
)
from zstruct.store.store import Store


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
