"""Errors of labels are those of NumPy on the whole arrays, in all and by whatever they are told by."""

import json
import shutil

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import zstruct
from tests.conftest import random_atoms, shrink_chunks
from zstruct import InputError
from zstruct.errors import ArgumentTypeError, UnknownNameError
from zstruct.labels import add

SIZES = (3, 1, 8, 5, 5, 2, 7, 1, 4, 6, 8)
EDGES = np.r_[0, np.cumsum(SIZES)]


@pytest.fixture(scope="module")
def modelled(tmp_path_factory):
    """A store and what a model says of it."""
    out, rng = tmp_path_factory.mktemp("modelled") / "s.zarr", np.random.default_rng(20261120)
    frames = [random_atoms(rng, n, periodic=bool(k % 2)) for k, n in enumerate(SIZES)]
    for k, atoms in enumerate(frames):
        atoms.info["config_type"] = ["bulk", "slab"][k % 3 == 0]
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        zstruct.build(frames, out, progress=False)
        return out, _add_model(out, rng)


def _add_model(store, rng):
    opened = zstruct.Store(store)
    labels = {name: opened.read(name) + rng.normal(size=opened.shape(name)) for name in ("energy", "forces")}
    labels["energy"][4] = np.nan
    labels["forces"][EDGES[2] : EDGES[3]] = np.nan
    labels["stress"] = opened.read("stress") * 1.1
    labels["charges"] = rng.normal(size=50)
    add(store, "model", **labels)
    return labels


@pytest.fixture
def store(modelled, tmp_path, small_chunks):
    return shutil.copytree(modelled[0], tmp_path / "s.zarr")


@pytest.fixture
def model(modelled):
    return modelled[1]


def differences(store, model):
    own = zstruct.Store(store)
    energy = (model["energy"] - own.read("energy")) / SIZES
    return {
        "energy_per_atom": energy,
        "forces": model["forces"] - own.read("forces"),
        "stress": model["stress"] - own.read("stress"),
    }


def check(errors, rows):
    known = rows[~np.isnan(rows)]
    assert errors.count == len(known)
    assert errors.mae == pytest.approx(np.abs(known).mean())
    assert errors.rmse == pytest.approx(np.sqrt((known**2).mean()))
    assert errors.bias == pytest.approx(known.mean())
    assert errors.max == np.abs(known).max()
    for fraction, value in errors.quantiles.items():
        assert value == pytest.approx(np.quantile(np.abs(known), fraction), rel=2e-3)


def test_errors_are_those_of_all_structures(store, model):
    found = zstruct.compare(store, "model")
    expected = differences(store, model)
    assert list(found.errors) == ["energy_per_atom", "forces", "stress"]
    for name, rows in expected.items():
        check(found.errors[name], rows)
    assert found.units == {"forces": "eV angstrom-1", "energy_per_atom": "eV", "stress": "eV angstrom-3"}
    assert found.compared == {"forces": 10, "energy_per_atom": 10, "stress": 5}
    assert found.n_structures == 11


def test_the_worst_are_named(store, model):
    found = zstruct.compare(store, "model", worst=3)
    expected = differences(store, model)
    energy = np.abs(expected["energy_per_atom"])
    assert list(found.worst["energy_per_atom"].structures) == np.argsort(-np.nan_to_num(energy))[:3].tolist()
    norms = np.maximum.reduceat(np.linalg.norm(expected["forces"], axis=1), EDGES[:-1])
    order = np.argsort(-np.nan_to_num(norms))[:3]
    assert list(found.worst["forces"].structures) == order.tolist()
    assert_allclose(found.worst["forces"].errors, norms[order])
    assert zstruct.compare(store, "model", worst=0).worst["forces"].structures == ()


def test_errors_are_told_by_element_group_and_part(store, model):
    zstruct.split(store, {"train": np.arange(8), "test": np.arange(8, 11)}, name="default")
    found = zstruct.compare(store, "model")
    expected, own = differences(store, model), zstruct.Store(store)
    numbers = own.read("numbers")
    assert list(found.by) == ["element", "config_type", "split"]
    for symbol, z in (("H", 1), ("Ti", 22)):
        check(found.by["element"][symbol]["forces"], expected["forces"][numbers == z])
        there = np.logical_or.reduceat(numbers == z, EDGES[:-1])
        check(found.by["element"][symbol]["energy_per_atom"], expected["energy_per_atom"][there])
    slab = np.arange(11) % 3 == 0
    check(found.by["config_type"]["slab"]["forces"], expected["forces"][np.repeat(slab, SIZES)])
    check(found.by["split"]["test"]["energy_per_atom"], expected["energy_per_atom"][8:])
    only = zstruct.compare(store, "model", by=["config_type"])
    assert list(only.by) == ["config_type"]
    part = zstruct.compare(store, "model", split="test", by=[])
    check(part.errors["energy_per_atom"], expected["energy_per_atom"][8:])
    assert part.by == {}
    some = zstruct.compare(store, "model", select="n_atoms > 4", by=[])
    check(some.errors["energy_per_atom"], expected["energy_per_atom"][np.array(SIZES) > 4])
    data = zstruct.StructureReader(store)[[2, 9]]
    check(
        zstruct.compare(data, "model", by=[]).errors["energy_per_atom"], expected["energy_per_atom"][[2, 9]]
    )


def test_two_groups_are_compared(store, model):
    add(store, "other", energy=model["energy"] + 1.0, charges=np.zeros(50))
    found = zstruct.compare(store, "other", "model")
    assert list(found.errors) == ["energy_per_atom", "charges"]
    assert found.errors["energy_per_atom"].max == pytest.approx(1.0)
    check(found.errors["charges"], -model["charges"])
    labelled = zstruct.StructureReader(store, labels="model")
    assert zstruct.compare(labelled, "other", "model").errors["charges"].count == 50


def test_it_is_a_table_and_json(store, model):
    zstruct.split(store, {"train": np.arange(8), "test": np.arange(8, 11)}, name="default")
    found = zstruct.compare(store, "model", quantiles=[0.5])
    text = str(found)
    assert "model against the store's own, 11 structures" in text
    assert "energy_per_atom, eV" in text
    assert "  slab" in text
    assert "largest forces: " in text
    said = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert said["errors"]["forces"]["mae"] == found.errors["forces"].mae
    assert said["by"]["split"]["test"]["stress"]["count"] == found.by["split"]["test"]["stress"].count
    assert "<table>" in found._repr_html_()


def test_parity_is_what_was_compared(store, model):
    found = zstruct.compare(store, "model", by=[])
    own = zstruct.Store(store)
    x, y = found.parity("energy_per_atom")
    known = np.arange(11) != 4
    assert_allclose(x, (own.read("energy") / SIZES)[known])
    assert_allclose(y, (model["energy"] / SIZES)[known])
    x, y = found.parity("forces")
    assert len(x) == 3 * (50 - 8)
    assert_array_equal(x[:9], own.read("forces")[:3].ravel())
    assert len(found.parity("energy_per_atom", most=4)[0]) <= 4
    with pytest.raises(
        UnknownNameError, match="there is no quantity 'dipole' here; there are energy_per_atom"
    ):
        found.parity("dipole")


def test_it_is_drawn(store, model, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    found = zstruct.compare(store, "model", by=[])
    axes = found.plot("forces")
    assert axes.get_title().startswith("forces: MAE ")
    assert axes.get_xlabel() == "the store's own (eV/Å)"
    assert found.plot(ax=axes) is axes
    plt.close("all")
    from zstruct.explore.parity import plot_parity

    many = np.random.default_rng(0).normal(size=6000)
    assert plot_parity(many, many, "x", "y", "t", None).get_xlabel() == "x"
    plt.close("all")


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (("nobody",), InputError, "has no set of labels 'nobody'"),
        (("model", "model"), InputError, "are compared with themselves"),
        ((3,), ArgumentTypeError, "labels are compared by their names, not 3"),
    ],
)
def test_labels_that_can_not_be_compared(store, model, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        zstruct.compare(store, *arguments)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"fields": ["charges"]}, "the labels have no charges in common; they have energy, forces, stress"),
        ({"by": ["colour"]}, "errors can't be told by 'colour', but by element, split, config_type"),
        ({"quantiles": [2.0]}, "a quantile is asked for by a fraction"),
        ({"worst": -1}, "worst is a whole number from 0"),
        ({"split": "gone"}, "has no split 'default'"),
    ],
)
def test_options_that_make_no_sense(store, model, options, sentence):
    with pytest.raises(InputError, match=sentence):
        zstruct.compare(store, "model", **options)


def test_nothing_in_common_is_a_sentence(store):
    add(store, "x", gap=np.zeros(11))
    with pytest.raises(InputError, match="no field of floats in common"):
        zstruct.compare(store, "x")
