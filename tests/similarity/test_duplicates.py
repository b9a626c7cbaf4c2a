"""Groups of duplicates: all that were planted, none else, whatever the store and however they are spread."""

import io

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from tests.conftest import random_atoms
from tests.similarity.test_search import disguised
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.similarity import pairs, search

HEAD = "group,store,structure,energy_per_atom,energy_spread,force_difference,force_spread"


def build(frames, path, **options):
    zstruct.build(frames, path, progress=False, **options)
    return path


def with_energy(atoms, energy):
    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, energy=energy)
    return atoms


def groups_of(found):
    return {
        frozenset(zip(found.store[a:b].tolist(), found.structure[a:b].tolist(), strict=True))
        for a, b in zip(found.edges[:-1], found.edges[1:], strict=True)
    }


@pytest.fixture
def planted(rng):
    """Structures with copies of every third in disguise, in a random order; and the groups there are."""
    frames, origin = [], []
    for k in range(120):
        atoms = random_atoms(rng, 5 + k % 7, labels=False, periodic=bool(k % 2))
        for copy in range(1 + 2 * (k % 3 == 0)):
            frames.append(disguised(atoms, rng, 0.001) if copy else atoms)
            origin.append(k)
    order = rng.permutation(len(frames))
    origin = np.array(origin)[order]
    groups = {frozenset((0, int(k)) for k in np.flatnonzero(origin == g)) for g in range(0, 120, 3)}
    return [frames[k] for k in order], groups


def test_all_that_were_planted_are_found_and_none_else(tmp_path, planted, monkeypatch):
    frames, groups = planted
    path = build(frames, tmp_path / "a.zarr")
    found = zstruct.duplicates(path, 0.004)
    assert groups_of(found) == groups
    assert found.n_structures == len(frames)
    assert found.redundant().tolist() == sorted(n for g in groups for _, n in sorted(g)[1:])
    monkeypatch.setattr(search, "_BUFFER", 16)  # many rounds come to the same
    monkeypatch.setattr(search, "_TASK_PAIRS", 3)
    again = zstruct.duplicates(zstruct.Store(path), 0.004, workers=1)
    np.testing.assert_array_equal(again.structure, found.structure)


def test_within_and_between_stores_of_any_precision(tmp_path, planted):
    frames, groups = planted
    half = len(frames) // 2
    a = build(frames[:half], tmp_path / "a.zarr")
    b = build(frames[half:], tmp_path / "b.zarr", encoding=zstruct.Encoding(dtype="float32"))
    found = zstruct.duplicates([a, b], 0.004)
    moved = {frozenset((int(n >= half), n - half * (n >= half)) for _, n in g) for g in groups}
    assert groups_of(found) == moved
    table = pd.DataFrame(found.columns)
    assert len(table) == found.edges[-1]
    assert set(table["store"]) == {str(a), str(b)}
    again = pd.read_csv(io.StringIO(found.csv()))
    assert again["structure"].tolist() == found.structure.tolist()
    assert f"{a}: " in str(found)
    part = zstruct.StructureReader(a).select(list(range(0, half, 2)))
    some = zstruct.duplicates([part, b], 0.004)
    kept = {frozenset(x for x in g if x[0] or x[1] % 2 == 0) for g in moved}
    assert groups_of(some) == {g for g in kept if len(g) > 1}


def test_many_copies_and_a_trajectory_of_small_steps(tmp_path):
    water = molecule("H2O")
    same = build([water] * 3000, tmp_path / "same.zarr")
    found = zstruct.duplicates(same)
    assert found.sizes.tolist() == [3000]
    steps = []
    for k in range(200):
        atoms = molecule("H2O")
        atoms.positions[1] += [0, 0.005 * k, 0]
        steps.append(atoms)
    chained = zstruct.duplicates(build(steps, tmp_path / "steps.zarr"), 0.004)
    assert chained.sizes.tolist() == [200]  # the first and the last differ by 1 angstrom
    assert "of 200 to 200" in str(chained)
    assert len(zstruct.duplicates(tmp_path / "steps.zarr", 0.001)) == 0


def test_those_whose_labels_disagree_come_first(tmp_path):
    water, methane, ammonia = (molecule(name) for name in ("H2O", "CH4", "NH3"))
    frames = [with_energy(water, -3.0), with_energy(methane, -5.0), with_energy(water, -3.0), ammonia]
    frames += [with_energy(methane, -4.0), with_energy(water, -2.97), ammonia, ammonia, ammonia]
    found = zstruct.duplicates(build(frames, tmp_path / "a.zarr"))
    assert groups_of(found) == {frozenset((0, k) for k in g) for g in ((1, 4), (0, 2, 5), (3, 6, 7, 8))}
    assert [found.structure[a] for a in found.edges[:-1]] == [1, 0, 3]
    np.testing.assert_allclose(found.energy_spread, [0.2, 0.01, np.nan])
    lines = str(found).splitlines()
    assert lines[0] == "9 structures compared, within 0.01 angstrom"
    assert lines[1] == "9 of them in 3 groups of 2 to 4; without duplicates 3"
    assert lines[2] == "  2: 1, 4; energies differ by 0.2 eV/atom"
    assert lines[-1] == "  4: 3, 6, 7, 8"


def test_nothing_to_find_and_nothing_to_say(tmp_path):
    far = Atoms("H2", [[0, 0, 0], [0, 0, 1e13]])
    found = zstruct.duplicates(build([far, far, molecule("H2O")], tmp_path / "a.zarr"))
    assert (len(found), found.n_structures, found.not_compared) == (0, 1, 2)
    assert str(found).endswith("not compared, for there is no saying: 2\nno duplicates")
    assert found.csv() == HEAD + "\n"
    assert found.energy_spread.shape == (0,)
    assert found.redundant().tolist() == []


def test_splits_keep_duplicates_together(tmp_path, planted):
    frames, groups = planted
    path = build(frames, tmp_path / "a.zarr")
    found = zstruct.duplicates(path)
    for by in ("duplicate", found):
        parts = zstruct.split(path, [0.7, 0.3], by=by, seed=3)
        assert all(len({int(parts.codes[n]) for _, n in g}) == 1 for g in groups)
    other = build(frames[:50], tmp_path / "b.zarr")
    with pytest.raises(InputError, match=r"not of .* as it is now; find them again"):
        zstruct.split(other, [0.7, 0.3], by=found)


@pytest.mark.parametrize(
    ("stores", "tolerance", "error", "says"),
    [
        ([], 0.01, InputError, "there are no stores"),
        (5, 0.01, InputError, "a store, its path or a dataset of it is needed, not 5"),
        (None, 0.7, InputError, "tolerance is a length of 0 to 0.5 angstrom, not 0.7"),
        (None, -1, InputError, "tolerance is a number from 0, not -1"),
        (None, "much", ArgumentTypeError, "tolerance is a number from 0, not 'much'"),
    ],
)
def test_bad_arguments(tmp_path, stores, tolerance, error, says):
    path = build([molecule("H2O")], tmp_path / "a.zarr")
    with pytest.raises(error, match=says):
        zstruct.duplicates(path if stores is None else stores, tolerance)


def test_exact_ones_at_no_tolerance(tmp_path, rng):
    atoms = random_atoms(rng, 9, labels=False, periodic=False)
    path = build([atoms, disguised(atoms, rng, 0.0), disguised(atoms, rng, 0.01)], tmp_path / "a.zarr")
    assert zstruct.duplicates(path, 0).structure.tolist() == [0, 1]


def test_pairs_that_take_too_long_are_counted_and_said(tmp_path, rng, monkeypatch):
    methane = molecule("CH4")
    path = build([methane, methane, disguised(methane, rng, 0.0)], tmp_path / "a.zarr")
    monkeypatch.setattr(pairs, "WORK", 10)
    found = zstruct.duplicates(path, workers=1)
    assert groups_of(found) == {frozenset({(0, 0), (0, 1)})}
    assert found.undecided == 2
    assert repr(found) == str(found)
    said = "not known to be duplicates or not, as it takes long: 2 pairs"
    assert said in str(found).splitlines()
    zstruct.split(path, [0.5, 0.5], name="default")
    assert said in str(zstruct.leaks(path)).splitlines()
    page = tmp_path / "page.html"
    zstruct.report(path, page, progress=False)
    assert "Of 2 pairs it is not known" in page.read_text()
