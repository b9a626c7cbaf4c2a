"""The loss: what is missing, padded or left out does not count, and gradients pass."""

import re
from functools import partial

import numpy as np
import pytest
import torch

from zstruct import ArgumentTypeError, InputError, UnknownNameError, ZarrStructureDataset, layouts
from zstruct.loading.losses import loss


@pytest.fixture
def data(source):
    return ZarrStructureDataset(
        source.path, ["energy", "forces", "numbers"], dtype=torch.float64
    ).with_forces(0.5)


def expected(batch, predictions, weights):
    """The loss of a graph batch, written out structure by structure."""
    energy, forces = [], []
    for i, (start, stop) in enumerate(zip(batch["ptr"][:-1], batch["ptr"][1:], strict=True)):
        n = int(stop - start)
        energy.append(float((predictions["energy"][i] - batch["energy"][i]) / n) ** 2)
        if batch["has_forces"][i] and batch["use_forces"][i]:
            difference = predictions["forces"][start:stop] - batch["forces"][start:stop]
            forces += (difference**2).flatten().tolist()
    return weights["energy"] * np.mean(energy) + weights["forces"] * np.mean(forces)


@pytest.mark.parametrize("layout", ["graph", partial(layouts.graph, index="ptr"), "padded"])
def test_the_loss_is_that_of_what_counts(data, layout):
    graph = next(iter(data.loader(len(data))))
    batch = next(iter(data.loader(len(data), layout=layout)))
    torch.manual_seed(0)
    predictions = {name: torch.randn_like(graph[name]) for name in ("energy", "forces")}
    weights = {"energy": 2.0, "forces": 0.1}
    given = dict(predictions)
    if layout == "padded":
        given["forces"] = torch.zeros_like(batch["forces"])
        given["forces"][batch["mask"]] = predictions["forces"]

    found = loss(given, batch, weights)

    assert float(found) == pytest.approx(expected(graph, predictions, weights), rel=1e-12)


def test_gradients_pass_and_stay_away_from_what_is_missing(data):
    batch = next(iter(data.loader(len(data))))
    forces = torch.zeros_like(batch["forces"]).requires_grad_()

    data.loss({"forces": forces}, batch).backward()

    counts = (batch["has_forces"] & batch["use_forces"])[batch["batch"]]
    assert torch.isfinite(forces.grad).all()
    assert torch.all(forces.grad[~counts] == 0)
    assert torch.all(forces.grad[counts] != 0)


def test_where_nothing_counts_the_loss_is_zero_with_a_gradient(data):
    batch = next(iter(data.loader(4))) | {"has_forces": torch.zeros(4, dtype=torch.bool)}
    forces = torch.zeros_like(batch["forces"]).requires_grad_()

    found = loss({"forces": forces}, batch)
    found.backward()

    assert found == 0
    assert torch.all(forces.grad == 0)


def test_the_observation_model_comes_first(source):
    data = ZarrStructureDataset(source.path, ["energy"], torch.float64)
    batch = next(iter(data.loader(8)))

    def total(predicted, batch):
        return {"energy": batch["n_atoms"] * predicted["per_atom"]}

    found = data.loss({"per_atom": batch["energy"] / batch["n_atoms"]}, batch, observation_model=total)

    assert found == pytest.approx(0, abs=1e-20)


NAME = UnknownNameError
ENERGIES = {"energy": torch.zeros(8)}


@pytest.mark.parametrize(
    ("predictions", "options", "error", "sentence"),
    [
        (
            ENERGIES,
            {"weights": {"forces": 1.0}},
            NAME,
            "no prediction 'forces'; there are",
        ),
        (
            ENERGIES,
            {"weights": {"energi": 1}},
            NAME,
            "no prediction 'energi'; did you mean 'energy'?",
        ),
        ({"dipole": torch.zeros(8)}, {"weights": {"dipole": 1.0}}, NAME, "no label 'dipole'"),
        (
            {"enrgy": torch.zeros(8)},
            {},
            NAME,
            "no label 'enrgy' in the batch; did you mean 'energy'?",
        ),
        ({"dipole": torch.zeros(8)}, {}, NAME, "'dipole' in the batch; there are energy, forces"),
        ({"numbers": torch.zeros(8)}, {}, NAME, "no label 'numbers' in the batch"),
        ({"has_forces": torch.zeros(8)}, {}, NAME, "no label 'has_forces' in the batch"),
        ({**ENERGIES, "enrgy": torch.zeros(8)}, {}, NAME, "no label 'enrgy'"),
        ({}, {}, InputError, "data.loss needs predictions by name"),
        (ENERGIES, {"weights": {}}, InputError, "weights names the predictions that count"),
        (
            ENERGIES,
            {"weights": {"energy": -1}},
            InputError,
            "the weight of energy is a number from 0, not -1",
        ),
        (
            ENERGIES,
            {"weights": {"energy": None}},
            InputError,
            "the weight of energy is a number from 0, not None",
        ),
        (
            ENERGIES,
            {"weights": {"energy": "1"}},
            ArgumentTypeError,
            "the weight of energy is a number, not '1'",
        ),
        (ENERGIES, {"weights": [1.0]}, ArgumentTypeError, "weights is a mapping of names to numbers"),
        (ENERGIES, {"error": "mse"}, ArgumentTypeError, "error is a function, not 'mse'"),
        (ENERGIES, {"weigths": {}}, ArgumentTypeError, "loss has no option 'weigths'; is it weights?"),
        (ENERGIES, {"observation_model": lambda p, b: {}}, InputError, "data.loss needs predictions by name"),
        ({"energy": 1.0}, {}, ArgumentTypeError, "the prediction of energy is a tensor, not 1.0"),
    ],
)
def test_predictions_that_would_vanish_are_refused(data, predictions, options, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        data.loss(predictions, next(iter(data.loader(8))), **options)


def test_a_prediction_without_a_weight_does_not_count(data):
    batch = next(iter(data.loader(8)))
    predictions = {"energy": batch["energy"] + 1, "charges": torch.ones(3)}
    found = data.loss(predictions, batch, weights={"energy": torch.tensor(2.0)})
    assert found == pytest.approx(2 * float((1 / batch["n_atoms"].double() ** 2).mean()))


def test_shapes_that_differ_are_refused(data):
    with pytest.raises(ValueError, match=r"prediction of energy has shape \(8, 1\), its label \(8,\)"):
        loss({"energy": torch.zeros(8, 1)}, next(iter(data.loader(8))))
