"""Statistics: equal to NumPy's on the whole arrays, merged in any grouping, kept and read again."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from tests.conftest import random_atoms
from zstruct import InputError, StaleGroupError, StoreExistsError
from zstruct.features import NeighborList
from zstruct.geometry.distances import shortest_distances
from zstruct.stats import Magnitudes, Moments
from zstruct.stats.histogram import collected
from zstruct.store.store import Store

FRACTIONS = [0.0, 0.1, 0.5, 0.9, 0.999, 1.0]

floats = st.floats(-1e6, 1e6, allow_subnormal=False)


def built(frames, path):
    zstruct.build(frames, path, progress=False)
    return path


@pytest.fixture
def path(tmp_path, rng, small_chunks):
    """Sixty structures in many shards; some lack everything, some are single atoms."""
    frames = [random_atoms(rng, labels=bool(i % 5)) for i in range(59)]
    return built([*frames, Atoms("H")], tmp_path / "frames.zarr")


def check(moments, values):
    """Moments are NumPy's of the values that are not NaN."""
    there = values[~np.isnan(values)]
    assert moments.count == len(there)
    expected = [there.mean(), there.std(), np.sqrt((there**2).mean()), there.min(), there.max()]
    scale = np.abs(there).max()
    found = [moments.mean, moments.std, moments.rms, moments.min, moments.max]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13 * scale)


def check_same(a, b):
    assert a.structures == b.structures
    assert dict(a.missing) == dict(b.missing)
    assert a.sizes.tolist() == b.sizes.tolist()
    assert a.size_counts.tolist() == b.size_counts.tolist()
    assert a.force_norms.bins.tolist() == b.force_norms.bins.tolist()
    assert a.force_norms.counts.tolist() == b.force_norms.counts.tolist()
    assert list(a.species) == list(b.species)
    for symbol, species in a.species.items():
        assert species.atoms == b.species[symbol].atoms
        np.testing.assert_allclose(species.force_rms, b.species[symbol].force_rms, rtol=1e-12)
    for name in ("atoms", "energy", "energy_per_atom", "forces", "force_norm", "distance"):
        one, other = getattr(a, name), getattr(b, name)
        assert one.count == other.count
        for number in ("mean", "std", "rms", "min", "max"):
            x, y = getattr(one, number), getattr(other, number)
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-11)


def test_a_small_spread_about_a_large_mean_keeps_its_digits(rng):
    values = -2e4 + 1e-3 * rng.normal(size=10_000)
    total = Moments()
    for part in np.array_split(values, 37):
        total = total.merge(Moments.of(part))
    exact = math.sqrt(math.fsum((v - math.fsum(values) / 10_000) ** 2 for v in values) / 10_000)
    assert total.std == pytest.approx(exact, rel=1e-8)  # the numbers themselves have no more digits
    assert Moments.of(values).std == pytest.approx(values.std(), rel=1e-12)
    assert total.std == pytest.approx(values.std(), rel=1e-12)
    check(total, values)


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=50), st.integers(0, 3))
@settings(deadline=None)
def test_quantiles_are_numpys(values, repeat):
    numbers = np.array(values * (repeat + 1))
    counted = Magnitudes.of(numbers)
    exact = counted.with_quantiles(FRACTIONS, *collected(numbers, counted.wanted(FRACTIONS)))
    for fraction in FRACTIONS:
        expected = np.quantile(numbers, fraction)
        assert exact.quantiles[fraction] == expected
        assert counted.quantile(fraction) == pytest.approx(expected, rel=1 / 1024, abs=1e-307)


def test_all_of_it_is_numpys(path):
    store = Store(path)
    found = zstruct.statistics(path, quantiles=FRACTIONS, workers=2)
    n, energy, forces = store.read("n_atoms"), store.read("energy"), store.read("forces")
    assert found.structures == 60
    check(found.atoms, n.astype(float))
    check(found.energy, energy)
    check(found.energy_per_atom, energy / n)
    check(found.forces, forces.ravel())
    norms = np.sqrt((forces**2).sum(axis=1))
    check(found.force_norm, norms)
    norms = norms[~np.isnan(norms)]
    for fraction in FRACTIONS:
        assert found.force_quantiles[fraction] == pytest.approx(np.quantile(norms, fraction), rel=1e-14)
    for k, moments in enumerate(found.stress):
        check(moments, store.read("stress")[:, k])
    numbers = store.read("numbers")
    for symbol, species in found.species.items():
        own = forces[numbers == zstruct.elements.SYMBOLS.index(symbol)]
        assert species.atoms == len(own)
        assert species.force_rms == pytest.approx(np.sqrt(np.nanmean(own**2)), rel=1e-12)
    assert dict(zip(found.sizes.tolist(), found.size_counts.tolist(), strict=True)) == {
        size: int((n == size).sum()) for size in set(n.tolist())
    }
    assert found.missing["energy"] == int(np.isnan(energy).sum()) == 13
    assert found.missing["forces"] == 13
    assert found.force_norms.edges[0, 0] <= norms.min() < found.force_norms.edges[0, 1]


def test_any_part_and_any_grouping(path):
    whole = zstruct.statistics(path)
    store = Store(path)
    zstruct.split(path, {"a": list(range(0, 60, 3)), "b": [1], "c": [59]}, name="default")
    parts = [zstruct.statistics(path, label) for label in "abc"]
    kept = np.setdiff1d(np.arange(60), [*range(0, 60, 3), 1, 59])
    zstruct.split(path, {"rest": kept}, name="rest")
    parts.append(zstruct.statistics(store, ("rest", "rest")))
    check_same(parts[0] + parts[1] + parts[2] + parts[3], whole)
    check_same(parts[3] + (parts[1] + (parts[0] + parts[2])), whole)
    merged = parts[0] + parts[3]
    assert not merged.force_norms.exact
    assert merged.force_quantiles[0.5] == pytest.approx(whole.force_quantiles[0.5], rel=0.2)


def test_datasets_are_parts(path):
    pytest.importorskip("torch")
    data = zstruct.ZarrStructureDataset(path)
    check_same(zstruct.statistics(data[::-1]), zstruct.statistics(path))
    assert zstruct.statistics(data[[3, 3, 5]]).structures == 2
    none = zstruct.statistics(data[[]])
    assert (none.structures, none.energy.count, len(none.species)) == (0, 0, 0)
    assert math.isnan(none.atoms.mean)
    with pytest.raises(InputError, match="is a part already"):
        zstruct.statistics(data, "train")


def test_nothing_but_positions(tmp_path):
    found = zstruct.statistics(
        built([Atoms("H"), Atoms("OH", [[0, 0, 0], [0, 0, 1.0]])], tmp_path / "a.zarr")
    )
    assert dict(found.missing) == {"energy": 2, "forces": 2, "stress": 2, "distance": 1}
    assert found.distance.min == 1
    assert math.isnan(found.forces.rms)
    assert dict(found.force_quantiles) == {}
    assert "energy 2" in repr(found)
    assert json.loads(json.dumps(found.to_dict()))["energy"]["mean"] is None


def test_a_constant_force_has_no_spread(tmp_path):
    atoms = Atoms("H3", np.eye(3))
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.full((3, 3), 7.1))
    found = zstruct.statistics(built([atoms] * 5, tmp_path / "a.zarr"))
    assert found.forces.std == pytest.approx(0, abs=1e-14)
    assert found.force_quantiles[0.999] == pytest.approx(7.1 * math.sqrt(3))


def test_references_are_subtracted(path):
    energies = {"H": -13.6, "C": -1029.0, "O": -2042.0, "Ti": -23000.0}
    store = Store(path)
    found = zstruct.statistics(path, references=energies)
    numbers, offsets = store.read("numbers"), store.read("offsets")
    table = {1: -13.6, 6: -1029.0, 8: -2042.0, 22: -23000.0}
    sums = [sum(table[z] for z in numbers[a:b]) for a, b in pairwise(offsets)]
    check(found.referenced_energy_per_atom, (store.read("energy") - sums) / np.diff(offsets))
    with pytest.raises(InputError, match=r"no reference energy of .*Ti"):
        zstruct.statistics(path, references={"H": 0.0, "C": 0.0, "O": 0.0})
    with pytest.raises(InputError, match="different reference energies"):
        found.merge(zstruct.statistics(path))


def test_kept_and_read_again(path):
    zstruct.split(path, [0.5, 0.5], name="default")
    found = zstruct.statistics(path, "train", references={"H": 1, "C": 2, "O": 3, "Ti": 4}, name="train")
    again = zstruct.open_statistics(path, "train")
    check_same(again, found)
    assert dict(again.force_quantiles) == dict(found.force_quantiles)
    assert repr(again) == repr(found)
    assert "<table>" in again._repr_html_()
    zstruct.verify(path)
    zstruct.statistics(path, name="all")
    assert zstruct.open_statistics(path).structures == 60
    with pytest.raises(StoreExistsError, match="another set of statistics 'all'"):
        zstruct.statistics(path, "val", name="all")
    with pytest.raises(InputError, match="it has all, train"):
        zstruct.open_statistics(path, "val")
    zstruct.split(path, [0.5, 0.5], seed=1, name="default", overwrite=True)
    with pytest.raises(StaleGroupError, match="which is another one now"):
        zstruct.open_statistics(path, "train")


def test_empty_histograms_are_kept(tmp_path):
    path = built([Atoms("H")], tmp_path / "a.zarr")
    zstruct.statistics(path, name="all")
    assert len(zstruct.open_statistics(path).force_norms.bins) == 0


def test_on_a_cluster(path, cluster):
    check_same(zstruct.statistics(path, workers=cluster), zstruct.statistics(path, workers=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantiles": [1.5]}, "from 0 to 1, not by 1.5"),
        ({"split": "train"}, "no split 'default'"),
        ({"split": 3}, "split is a label"),
        ({"references": 3}, "references are True"),
        ({"references": True}, "no set of references 'default'"),
        ({"name": "../x"}, "can't name"),
    ],
)
def test_what_can_not_be_used_is_said(path, arguments, message):
    with pytest.raises(InputError, match=message):
        zstruct.statistics(path, **arguments)


# Shortest distances


def shortest_of(frames):
    offsets = np.concatenate([[0], np.cumsum([len(a) for a in frames])])
    cells, pbc = np.array([a.cell.array for a in frames]), np.array([a.pbc for a in frames])
    return shortest_distances(offsets, np.concatenate([a.positions for a in frames]), cells, pbc)


def test_shortest_distances_are_those_of_neighbour_lists(rng):
    frames = []
    for k in range(150):
        n = 1200 if k % 50 == 49 else int(rng.integers(1, 12))
        size = rng.choice([0.5, 2, 6]) * (5 if n > 100 else 1)  # cells smaller than anything, too
        cell = size * (np.eye(3) + 0.3 * rng.normal(size=(3, 3)))
        if k % 7 == 0:
            cell = cell + np.array([[0, 0, 0], 7 * cell[0], 3 * cell[1]])
        positions = rng.normal(0, 5 * (n / 10) ** (1 / 3), (n, 3)) + rng.normal(0, 30)
        frames.append(Atoms(f"H{n}", positions, cell=cell, pbc=rng.integers(0, 2, 3).astype(bool)))
    for atoms, found in zip(frames, shortest_of(frames), strict=True):
        if np.isinf(found):
            assert len(atoms) == 1
            assert not atoms.pbc.any()
        else:
            near = NeighborList(1.3 * found + 0.1).compute(atoms).distances.min()
            assert found == pytest.approx(near, rel=1e-11)


def test_nasty_structures():
    one, no_cell = Atoms("H", [[9.0, 9, 9]], cell=np.diag([2.5, 0, 4]), pbc=[1, 0, 1]), Atoms("H2", pbc=True)
    flat = Atoms("H", cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]], pbc=True)
    lost, far = Atoms("H2", [[0, 0, 0], [0, 0, np.nan]]), Atoms("H2", [[0, 0, 0], [0, 0, 1e200]])
    same = Atoms("H2000", np.zeros((2000, 3)))
    found = shortest_of([one, no_cell, flat, lost, far, same])
    np.testing.assert_array_equal(found, [2.5, np.nan, np.nan, np.nan, np.nan, 0])


def test_statistics_read_as_mappings(tmp_path, frames):
    zstruct.build(frames, tmp_path / "s.zarr", progress=False)
    found = zstruct.statistics(tmp_path / "s.zarr", name="all")
    for statistics in (found, zstruct.open_statistics(tmp_path / "s.zarr")):
        read = dict(statistics)
        assert read == {name: getattr(statistics, name) for name in read}
        assert list(statistics) == list(read) == [*statistics.keys()]
        assert {"structures", "energy", "forces", "species", "missing", "force_quantiles"} <= read.keys()
        assert statistics["energy"]["mean"] == statistics.energy.mean
        assert statistics["forces"]["rms"] == statistics.forces.rms
        assert statistics["species"]["H"]["force_rms"] == statistics.species["H"].force_rms
        assert statistics["force_norms"]["bins"] is statistics.force_norms.bins
        assert {**statistics["energy"]}["std"] == statistics.energy.std
        assert dict(statistics.items()) == read
        assert list(statistics.values()) == list(read.values())
        assert len(statistics) == len(read)
    assert "energy" in found
    assert "enrgy" not in found
    assert found.get("enrgy", 3) == 3
    for name in ("enrgy", 3, None, "merge"):
        with pytest.raises(KeyError, match=r"there is no .* here; there are structures, atoms, "):
            found[name]
    assert found
    assert len({found, found}) == 1  # hashed by what it is, as before


def test_a_selection_is_summed_up_as_its_structures_are(path):
    opened = Store(path)
    rows = zstruct.Selection().select("Ti and n_atoms > 2").structures(opened)
    zstruct.split(path, {"these": rows}, name="same")

    found = zstruct.statistics(path, select="Ti and n_atoms > 2", name="chosen")

    assert found.to_dict() == zstruct.statistics(path, ("same", "these")).to_dict()
    assert zstruct.open_statistics(path, "chosen").to_dict() == found.to_dict()
    both = zstruct.statistics(path, ("same", "these"), select="O")
    assert both.structures == len(zstruct.Selection().select("Ti and O and n_atoms > 2").structures(opened))


def test_a_selection_of_nothing_has_no_structures(path):
    assert zstruct.statistics(path, select="n_atoms > 1000").structures == 0
    with pytest.raises(InputError):
        zstruct.fit_references(path, select="n_atoms > 1000")


def test_a_dataset_takes_no_selection_of_a_store(path):
    with pytest.raises(InputError, match="a dataset is a part already"):
        zstruct.statistics(zstruct.StructureReader(path), select="Ti")
