"""Dtypes that nobody asked for: energies keep their digits; what single precision can't hold is said."""

import copy
import pickle
import re

import ase.build
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.testing import assert_array_equal

import zstruct
from zstruct import StructureReader
from zstruct.errors import InputError
from zstruct.precision import default_dtype, narrowed
from zstruct.schema import ATOM, FIELDS, infer

torch = pytest.importorskip("torch")

from zstruct import ZarrStructureDataset, layouts, transforms  # noqa: E402

DEEP = -17_660.0  # eV; its neighbours in single precision are 2 meV away
ENERGIES = DEEP + 1e-4 * np.arange(12)


def molecule(energy, **info):
    atoms = ase.build.molecule("H2O", vacuum=3.0, pbc=True)
    atoms.info |= info
    forces, stress = np.full((3, 3), 0.1), np.arange(6) / 7
    atoms.calc = SinglePointCalculator(atoms, energy=energy, free_energy=energy, forces=forces, stress=stress)
    return atoms


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """Energies that lie on half a rung of the ladder of single precision, also under another name."""
    path = tmp_path_factory.mktemp("deep") / "deep.zarr"
    frames = [molecule(energy, U0=energy + 1.0, total_charge=1.0) for energy in ENERGIES]
    zstruct.build(frames, path, progress=False)
    return path


def test_energies_keep_their_digits_and_all_else_is_single(deep):
    batch = next(iter(ZarrStructureDataset(deep).loader(12)))
    assert_array_equal(batch["energy"], ENERGIES)
    assert_array_equal(batch["free_energy"], ENERGIES)
    assert_array_equal(batch["U0"], ENERGIES + 1.0)  # nobody knows that it is one
    assert len(np.unique(ENERGIES.astype(np.float32))) < 3  # what it is good for
    doubles = {name for name, tensor in batch.items() if tensor.dtype == torch.float64}
    assert doubles == {"energy", "free_energy", "U0"}
    for name in ("positions", "forces", "cell", "stress", "total_charge"):
        assert batch[name].dtype == torch.float32


def test_no_table_row_but_energies_is_double():
    floats = [field for field in FIELDS.values() if field.kind == "float"]
    assert [f.name for f in floats if default_dtype(f) == np.float64] == ["energy", "free_energy"]
    assert default_dtype(infer("fukui", ATOM, "float", ())) == np.float32
    assert default_dtype(infer("fingerprint", "structure", "float", (64,))) == np.float32


@pytest.mark.parametrize("layout", ["graph", "padded", "list"])
@pytest.mark.parametrize("workers", [0, 1])
def test_our_own_layouts_keep_them(deep, layout, workers):
    data = ZarrStructureDataset(deep, ["energy", "positions"])
    batch = next(iter(data.loader(12, layout=layout, num_workers=workers)))
    energy = torch.stack([s["energy"] for s in batch]) if layout == "list" else batch["energy"]
    assert_array_equal(energy, ENERGIES)


@pytest.mark.parametrize("dtype", [torch.float32, {"energy": torch.float32}, "float32"])
def test_what_is_asked_for_rules(deep, dtype):
    data = ZarrStructureDataset(deep, ["energy"], dtype)
    assert data[0]["energy"].dtype == data.take([0])[0]["energy"].dtype == torch.float32
    assert StructureReader(deep, ["energy"], dtype)[0]["energy"].dtype == np.float32
    assert StructureReader(deep, ["energy"])[3]["energy"] == ENERGIES[3]


def test_naming_another_field_leaves_energies_as_they_are(deep):
    data = ZarrStructureDataset(deep, ["energy", "forces"], {"forces": torch.float64})
    assert data[0]["energy"].dtype == data[0]["forces"].dtype == torch.float64


def test_references_normalisation_and_units_go_on_in_double(deep):
    data = ZarrStructureDataset(
        deep, references={"H": -20.0, "O": DEEP + 40.0}, transform=transforms.CastUnits({"energy": "meV"})
    )
    np.testing.assert_allclose(data.take(range(12)).columns["energy"], 0.1 * np.arange(12), atol=1e-8)
    fitted = transforms.Normalize.fit(ZarrStructureDataset(deep), scale="energy")
    scaled = ZarrStructureDataset(deep, transform=fitted).take(range(12)).columns["energy"] / 3
    assert abs(scaled.std() - 1) < 1e-6


def test_predictions_become_total_energies_in_double(deep):
    data = ZarrStructureDataset(deep)
    normalize = transforms.Normalize.fit(data, scale="energy")
    batch = next(iter(data.loader(12)))
    predicted = torch.from_numpy((ENERGIES - 3 * normalize.mean) / normalize.scale).float().requires_grad_()
    energy = normalize.inverse({"energy": predicted}, batch=batch)["energy"]
    np.testing.assert_allclose(energy.detach(), ENERGIES, atol=1e-9, rtol=0)
    energy.sum().backward()
    np.testing.assert_allclose(predicted.grad, normalize.scale)


# Each as its library's own pipeline has it.
OTHERS = {
    "physnet": ("E", {}),
    "pyg": ("y", {}),
    "schnetpack": ("energy", {"neighbors": 1.2}),
    "mace": ("energy", {"neighbors": 1.2}),
    "fairchem": ("energy", {}),
}


@pytest.mark.parametrize(
    ("layout", "workers"),
    [
        *((layout, 0) for layout in OTHERS),
        *(pytest.param(layout, 1, marks=[pytest.mark.long] * (layout != "schnetpack")) for layout in OTHERS),
    ],
)
def test_layouts_of_other_libraries_have_their_dtypes(deep, layout, workers):
    if layout == "pyg":
        pytest.importorskip("torch_geometric")
    key, options = OTHERS[layout]

    def floats(**more):
        data = ZarrStructureDataset(deep, **options, **more)
        made = next(iter(data.loader(12, layout=layout, num_workers=workers)))
        made = made.to_dict() if layout == "pyg" else made
        return made[key], {t.dtype for t in made.values() if hasattr(t, "dtype") and t.is_floating_point()}

    assert floats()[1] == {torch.float32}
    assert floats(dtype=torch.float64)[1] == {torch.float64}
    energy, _ = floats(dtype={"positions": torch.float64})
    assert_array_equal(energy.reshape(-1), ENERGIES)
    if layout not in ("mace", "fairchem"):  # which have one precision
        assert floats(dtype={"energy": torch.float64})[0].dtype == torch.float64


def test_they_have_them_whichever_way_samples_come(deep):
    data = ZarrStructureDataset(deep, ["numbers", "positions", "energy"])
    ways = [
        [data[i] for i in range(3)],
        list(data.take(range(3))),
        pickle.loads(pickle.dumps([data[0], data[1]])),
        transforms.OnSample(dict)(data.take(range(3))),
        transforms.RandomApply(transforms.Center())(data.take(range(3))),
        [data[0].with_tensors(dict(data[0]))],
    ]
    for samples in ways:
        assert layouts.graph(samples)["energy"].dtype == torch.float64
        assert layouts.physnet(samples)["E"].dtype == torch.float32


def test_units_are_changed_before_digits_are_lost(deep):
    layout = copy.copy(OTHERS["schnetpack"][1])
    data = ZarrStructureDataset(deep, **layout, references={"H": 0.0, "O": DEEP})
    batch = layouts.schnetpack(data.take(range(12)), units={"energy": "meV"})
    np.testing.assert_allclose(batch["energy"], 0.1 * np.arange(12), atol=1e-6)


@pytest.mark.parametrize(
    "error", [torch.nn.functional.huber_loss, torch.nn.functional.mse_loss, torch.nn.functional.l1_loss]
)
def test_the_loss_takes_predictions_in_single_precision(deep, error):
    data = ZarrStructureDataset(deep)
    batch = next(iter(data.loader(12)))
    energy = batch["energy"].float().requires_grad_()
    loss = data.loss({"energy": energy, "forces": batch["forces"] + 1}, batch, error=error)
    loss.backward()
    assert loss.dtype == torch.float64
    assert energy.grad.dtype == torch.float32
    difference = (ENERGIES.astype(np.float32).astype(np.float64) - ENERGIES) / 3.0
    small = {"huber_loss": 0.5 * difference**2, "mse_loss": difference**2, "l1_loss": abs(difference)}
    large = {"huber_loss": 0.5, "mse_loss": 1.0, "l1_loss": 1.0}
    assert loss.item() == pytest.approx(small[error.__name__].mean() + large[error.__name__], abs=1e-6)


def test_huber_loss_alone_wants_equal_dtypes(deep):
    # What the documentation says of it.
    energy = ZarrStructureDataset(deep)[0]["energy"]
    with pytest.raises(RuntimeError, match="Found dtype"):
        torch.nn.functional.huber_loss(energy.float().requires_grad_(), energy).backward()


@pytest.fixture(scope="module")
def huge(tmp_path_factory):
    """Structure 5 has a charge, structure 7 an initial charge, that single precision can't hold."""
    frames = [molecule(energy, dose=1.0) for energy in ENERGIES]
    frames[5].info["dose"] = -1e39
    path = tmp_path_factory.mktemp("huge") / "huge.zarr"
    for i, atoms in enumerate(frames):
        atoms.set_array("spread", np.array([1.0, 1.0, 1e200 if i == 7 else 1.0]))
    zstruct.build(frames, path, progress=False)
    return path


@pytest.mark.parametrize("cache", ["memory", "shared", None])
def test_what_single_precision_can_t_hold_is_said(huge, cache):
    said = (
        r"huge.zarr, structure 7: spread has the value 1e\+200, which is infinite in single precision: ask "
    )
    with pytest.raises(InputError, match=said + re.escape("for dtype={'spread': 'float64'}, or leave")):
        ZarrStructureDataset(huge, ["spread"], cache=cache)[7]
    said = r"structure 5: dose has the value -1e\+39, which is infinite in single precision"
    with pytest.raises(InputError, match=said):
        StructureReader(huge, ["dose"], "float32", cache=cache).take([0])
    with pytest.raises(InputError, match=said):
        list(ZarrStructureDataset(huge, ["dose"], torch.float32, cache=cache).loader(4, threads=1))


def test_it_is_there_in_double_precision(huge):
    data = ZarrStructureDataset(huge, dtype={"spread": torch.float64})
    assert (data[7]["spread"][2], data[5]["dose"]) == (1e200, -1e39)
    with pytest.raises(InputError, match="dose has the value"):
        layouts.physnet(data.take([5]))


def test_through_zarr_it_is_said_as_well(huge, monkeypatch):
    monkeypatch.setattr("zstruct.store.store.Store.profile", lambda self, name: None)
    with pytest.raises(InputError, match="structure 7: spread has the value"):
        ZarrStructureDataset(huge, ["spread"])[0]


def test_infinite_values_and_missing_ones_are_no_news():
    values = np.array([np.inf, -np.inf, np.nan, 3.4e38])
    assert_array_equal(narrowed("x", values, np.dtype(np.float32)), values.astype(np.float32))
    assert narrowed("x", values, values.dtype) is values
    with pytest.raises(InputError, match="x has the value 1e"):
        narrowed("x", np.array(1e39), np.dtype(np.float32))
