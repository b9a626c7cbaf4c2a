"""The loss: what is missing, padded or left out does not count, and gradients pass."""

import numpy as np
import pytest
import torch

from zstruct import ZarrStructureDataset
from zstruct.loading.losses import weighted_loss


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


@pytest.mark.parametrize("layout", ["graph", "padded"])
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

    found = weighted_loss(given, batch, weights)

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

    loss = weighted_loss({"forces": forces}, batch)
    loss.backward()

    assert loss == 0
    assert torch.all(forces.grad == 0)


def test_the_observation_model_comes_first(source):
    data = ZarrStructureDataset(source.path, ["energy"], torch.float64)
    batch = next(iter(data.loader(8)))

    def total(predicted, batch):
        return {"energy": batch["n_atoms"] * predicted["per_atom"]}

    found = data.loss({"per_atom": batch["energy"] / batch["n_atoms"]}, batch, observation_model=total)

    assert found == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize(
    ("predictions", "weights", "sentence"),
    [
        ({"energy": torch.zeros(8)}, {"forces": 1.0}, "no prediction 'forces'"),
        ({"dipole": torch.zeros(8)}, {"dipole": 1.0}, "no label 'dipole'"),
    ],
)
def test_what_is_not_there_is_named(data, predictions, weights, sentence):
    with pytest.raises(KeyError, match=sentence):
        weighted_loss(predictions, next(iter(data.loader(8))), weights)


def test_shapes_that_differ_are_refused(data):
    with pytest.raises(ValueError, match=r"prediction of energy has shape \(8, 1\), its label \(8,\)"):
        weighted_loss({"energy": torch.zeros(8, 1)}, next(iter(data.loader(8))))
