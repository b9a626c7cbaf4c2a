"""Statistics: equal to NumPy's on the whole arrays, merged in any grouping, kept and read again."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from tests.stats.conftest import FRACTIONS, built, check_same
from zstruct import InputError
from zstruct.stats import Moments
from zstruct.store.store import Store


def check(moments, values):
    """Moments are NumPy's of the values that are not NaN."""
    there = values[~np.isnan(values)]
    assert moments.count == len(there)
    expected = [there.mean(), there.std(), np.sqrt((there**2).mean()), there.min(), there.max()]
    scale = np.abs(there).max()
    found = [moments.mean, moments.std, moments.rms, moments.min, moments.max]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13 * scale)


def test_a_small_spread_about_a_large_mean_keeps_its_digits(rng):
    values = -2e4 + 1e-3 * rng.normal(size=10_000)
    total = Moments()
    for part in np.array_split(values, 37):
        total = total.merge(Moments.of(part))
    mean = math.fsum(values) / 10_000
    exact = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / 10_000)
    assert total.std == pytest.approx(exact, rel=1e-8)  # the numbers themselves have no more digits
    assert Moments.of(values).std == pytest.approx(values.std(), rel=1e-12)
    assert total.std == pytest.approx(values.std(), rel=1e-12)
    check(total, values)


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
    with pytest.raises(InputError, match="is a part with labels already"):
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
    with pytest.raises(InputError, match="a dataset is a part with labels already"):
        zstruct.statistics(zstruct.StructureReader(path), select="Ti")
