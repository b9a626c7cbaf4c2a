"""Energies of free atoms are fitted as least squares has it."""

from itertools import pairwise

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given
from hypothesis import strategies as st

import zstruct
from tests.stats.conftest import built, labelled
from zstruct import InputError
from zstruct.stats.reference_fit import _Triangle
from zstruct.store.store import Store


@pytest.fixture
def path(compositions):
    return compositions


def whole(path):
    """Compositions and energies of the structures that have one."""
    store = Store(path)
    numbers, offsets, energy = store.read("numbers"), store.read("offsets"), store.read("energy")
    elements = np.unique(numbers)
    rows = [numbers[a:b] for a, b in pairwise(offsets)]
    x = np.array([(row[:, None] == elements).sum(axis=0) for row in rows], float)
    return x[~np.isnan(energy)], energy[~np.isnan(energy)]


def test_a_fit_is_that_of_lstsq(path):
    x, y = whole(path)
    found = zstruct.fit_references(path)
    expected = np.linalg.lstsq(x, y)[0]
    assert list(found) == ["H", "C", "O", "Ti"]
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-10)
    assert found.rmse == pytest.approx(np.sqrt((((y - x @ expected) / x.sum(axis=1)) ** 2).mean()), rel=1e-9)
    assert (found.n_structures, found.n_missing, found.rank, found.singular) == (54, 6, 4, False)
    assert "fitted from 54 structures" in repr(found)


def test_a_ridge_shrinks(path):
    x, y = whole(path)
    found = zstruct.fit_references(path, ridge=3.0)
    expected = np.linalg.solve(x.T @ x + 3 * np.eye(4), x.T @ y)
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-10)
    assert "ridge 3" in repr(found)


@pytest.mark.parametrize("ridge", [None, 0.1])
def test_fixed_ratios_are_said(tmp_path, ridge):
    frames = [labelled(f"H{2 * n}O{n}", -100.0 * n) for n in (1, 2, 3)]
    path = built(frames, tmp_path / "water.zarr")
    with pytest.warns(UserWarning, match="only 1 independent combinations of the 2 elements H, O"):
        found = zstruct.fit_references(path, ridge=ridge)
    assert found.singular
    assert "singular: only 1 of 2 determined" in repr(found)
    if ridge is None:  # the shortest solution of 2 h + o = -100
        np.testing.assert_allclose([found["H"], found["O"]], [-40, -20])
    else:
        assert 2 * found["H"] + found["O"] == pytest.approx(-100, rel=1e-2)


def test_parts_and_blocks(path, monkeypatch):
    zstruct.split(path, [0.6, 0.4], name="default")
    whole_fit, train = zstruct.fit_references(path), zstruct.fit_references(path, "train")
    monkeypatch.setattr("zstruct.stats.reference_fit._BLOCK", 2)
    np.testing.assert_allclose(
        list(zstruct.fit_references(path).values()), list(whole_fit.values()), rtol=1e-10
    )
    assert train.n_structures + train.n_missing == 36
    assert train["H"] != whole_fit["H"]


@given(st.integers(0, 2**32), st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_triangles_stack_in_any_grouping(seed, sizes):
    rng = np.random.default_rng(seed)
    parts, rows = [], []
    for n in sizes:
        numbers = np.sort(rng.choice(6, int(rng.integers(1, 6)), replace=False))
        made = np.column_stack([rng.integers(0, 9, (n, len(numbers))), rng.normal(size=n)])
        parts.append(_Triangle(numbers, made, n))
        full = np.zeros((n, 7))
        full[:, numbers], full[:, -1] = made[:, :-1], made[:, -1]
        rows.append(full)
    total = _Triangle()
    for part in reversed(parts):
        total = part.stacked(total)
    full = np.concatenate(rows)[:, [*total.numbers, 6]]
    np.testing.assert_allclose(total.rows.T @ total.rows, full.T @ full, rtol=1e-10, atol=1e-9)
    assert total.n == len(full)


def test_one_structure_and_none(tmp_path):
    path = built([labelled("H2", -32.0)], tmp_path / "one.zarr")
    assert zstruct.fit_references(path)["H"] == pytest.approx(-16)
    with pytest.raises(InputError, match="has none"):
        zstruct.fit_references(built([labelled("H2")], tmp_path / "none.zarr"))
    path = built([labelled("H2", -32.0), labelled("O2")], tmp_path / "half.zarr")
    zstruct.split(path, {"lost": [1]}, name="default")
    with pytest.raises(InputError, match="none of the structures"):
        zstruct.fit_references(path, "lost")
    assert list(zstruct.fit_references(path)) == ["H"]  # oxygen has no energy


def test_a_large_spread_of_energies_keeps_its_digits(tmp_path):
    exact = {"H": -13.587, "Au": -535123.25}
    frames = [labelled(f"H{i + 1}Au{(i * i) % 7 + 1}") for i in range(30)]
    for atoms in frames:
        energy = sum(exact[s] for s in atoms.get_chemical_symbols())
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    found = zstruct.fit_references(built(frames, tmp_path / "gold.zarr"))
    assert found["H"] == pytest.approx(exact["H"], rel=1e-9)
    assert found["Au"] == pytest.approx(exact["Au"], rel=1e-13)


@pytest.mark.parametrize("ridge", [0, -1, True, "1", np.inf])
def test_a_ridge_is_above_zero(path, ridge):
    with pytest.raises(InputError, match="ridge is a number above zero"):
        zstruct.fit_references(path, ridge=ridge)
