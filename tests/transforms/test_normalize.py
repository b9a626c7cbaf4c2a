"""Energies and forces on another scale, and predictions turned back."""

from dataclasses import replace

import ase
import ase.units
import numpy as np
import pytest
from ase.calculators.morse import MorsePotential
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.batches import arrays_of, make_batch
from zstruct.batch.pack import pack
from zstruct.layouts.graph import graph
from zstruct.layouts.padded import padded
from zstruct.schema import FIELDS
from zstruct.transforms import (
    Normalize,
)


def energy_of(atoms):
    calculator = MorsePotential()
    atoms.calc = calculator
    return atoms.get_potential_energy()


def test_normalised_forces_are_derivatives_of_the_normalised_energy():
    atoms = ase.Atoms("Ar3", [[0, 0, 0], [1.1, 0, 0], [0, 1.2, 0.1]])
    normalize = Normalize(mean=-0.7, scale=3.5, references={"Ar": -2.0})

    def sample(displaced):
        energy = np.array(energy_of(displaced))
        return {"numbers": displaced.numbers, "energy": energy, "forces": displaced.get_forces()}

    forces = normalize(sample(atoms))["forces"]
    for i, k in np.ndindex(3, 3):
        energies = []
        for step in (1e-4, -1e-4):
            moved = atoms.copy()
            moved.positions[i, k] += step
            energies.append(normalize(sample(moved))["energy"])
        assert -(energies[0] - energies[1]) / 2e-4 == pytest.approx(forces[i, k], abs=1e-6)


def test_normalize_by_hand():
    batch = make_batch([2, 3])
    batch.columns["numbers"][:] = [1, 8, 1, 1, 8]
    batch.columns["energies"] = np.arange(5.0)
    batch.columns["virial"] = np.ones((2, 3, 3))
    batch = replace(batch, per_atom=batch.per_atom | {"energies"})
    after = Normalize(-1.0, 4.0, references={"H": -10.0, 8: -100.0}, force_scale=2.0)(batch).columns
    before = batch.columns
    np.testing.assert_allclose(after["energy"], (before["energy"] - [-112.0, -123.0]) / 4)
    np.testing.assert_allclose(after["energies"], (before["energies"] - [-11, -101, -11, -11, -101]) / 4)
    np.testing.assert_allclose(after["forces"], before["forces"] / 2)
    np.testing.assert_allclose(after["stress"], before["stress"] / 4)
    np.testing.assert_allclose(after["virial"], before["virial"] / 4)
    np.testing.assert_array_equal(after["positions"], before["positions"])


@settings(max_examples=30)
@given(
    mean=st.floats(-1e4, 1e4),
    scale=st.floats(1e-3, 1e3),
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=5),
)
def test_the_inverse_of_normalize(mean, scale, counts):
    batch = make_batch(counts)
    normalize = Normalize(mean, scale, references=dict.fromkeys(range(1, 9), -3.0), force_scale=2 * scale)
    back = normalize.inverse(normalize(batch))
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(back.columns[name], batch.columns[name], atol=1e-8, rtol=1e-9)


@pytest.mark.parametrize("layout", [graph, padded])
def test_predictions_are_turned_back_with_their_gradients(layout):
    torch = pytest.importorskip("torch")
    packed = make_batch([2, 5, 1])
    normalize = Normalize(-2.0, 3.0, references=dict.fromkeys(range(1, 9), -1.0))
    batch = layout(packed)
    energy = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    found = normalize.inverse({"energy": energy, "forces": torch.ones(8, 3), "n": 1}, batch=batch)
    assert found["energy"].tolist() == [-6.0, -15.0, -3.0]
    assert (found["forces"] == 3.0).all()
    assert found["n"] == 1
    found["energy"].sum().backward()
    assert energy.grad.tolist() == [3.0, 3.0, 3.0]
    column = normalize.inverse({"energy": torch.zeros(3, 1)}, batch=batch)["energy"]
    assert column.shape == (3, 1)
    assert column.dtype == torch.float64  # as total energies
    one = normalize.inverse(normalize(packed[1]))
    torch.testing.assert_close(one["energy"], packed[1]["energy"])
    with pytest.raises(ValueError, match="of how many atoms the energy is"):
        normalize.inverse({"energy": energy})
    with pytest.raises(ValueError, match=r"shape \(2,\), but the batch says 3"):
        normalize.inverse({"energy": torch.zeros(2)}, batch=batch)


class Table:
    """A dataset that is a batch."""

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return len(self.batch)

    def take(self, which):
        return pack([arrays_of(self.batch, int(i)) for i in which])


def test_fit_is_numpy_on_the_whole_array(monkeypatch):
    monkeypatch.setattr("zstruct.transforms.normalize._CHUNK", 7)
    batch = make_batch(np.random.default_rng(0).integers(1, 6, 40))
    batch.columns["forces"][batch.offsets[3] : batch.offsets[4]] = np.nan
    batch.columns["energy"][5] = np.nan
    energy, forces = batch.columns["energy"], batch.columns["forces"]
    fitted = Normalize.fit(Table(batch))
    assert fitted.mean == pytest.approx(np.nanmean(energy / batch.n_atoms), rel=1e-12)
    assert fitted.scale == pytest.approx(np.sqrt(np.nanmean(forces**2)), rel=1e-12)
    by_energy = Normalize.fit(Table(batch), scale="energy", references=dict.fromkeys(range(1, 9), -5.0))
    assert by_energy.scale == pytest.approx(np.nanstd(energy / batch.n_atoms), rel=1e-12)
    assert by_energy.mean == pytest.approx(fitted.mean + 5.0, rel=1e-12)
    batch.columns["forces"][:] = np.nan
    with pytest.raises(ValueError, match="no structure has forces"):
        Normalize.fit(Table(batch))
    batch.columns["energy"][:] = 0.0
    with pytest.raises(ValueError, match="differ by zero"):
        Normalize.fit(Table(batch), scale="energy")
    with pytest.raises(ValueError, match="'forces' or 'energy'"):
        Normalize.fit(Table(batch), scale="std")


def test_normalize_refuses():
    with pytest.raises(ValueError, match="scale is what values are divided by"):
        Normalize(scale=0.0)
    with pytest.raises(ValueError, match="not 'Qq'"):
        Normalize(references={"Qq": 1.0})
    batch = make_batch([1, 1], structures=[7, 4])
    batch.columns["numbers"][:] = [1, 8]
    with pytest.raises(ValueError, match="structure 4 of the store has O, for which references give no"):
        Normalize(references={"H": 1.0})(batch)
    with pytest.raises(ValueError, match="needs numbers to take references off energy"):
        Normalize(references={"H": 1.0}).bound({"energy": FIELDS["energy"]})


def test_structures_without_an_energy_need_no_reference():
    water, helium = {"numbers": [8, 1, 1], "energy": -5.0}, {"numbers": [2], "energy": np.nan}
    normalize = Normalize(references={"H": -1.0, "O": -2.0})
    assert normalize(pack([water, helium])).columns["energy"].tolist()[0] == -1.0
    assert np.isnan(normalize(pack([water, helium])).columns["energy"][1])
    with pytest.raises(ValueError, match="sample 1 of the batch has He"):
        normalize(pack([water, helium | {"energy": -3.0}]))
