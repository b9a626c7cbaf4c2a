"""Samples that no store made, joined into a batch, or refused with what is wrong."""

import numpy as np
import pytest
import torch

from tests.tensors import PICK, same
from zstruct.layouts.graph import graph
from zstruct.layouts.padded import padded
from zstruct.loading import ZarrStructureDataset


def test_plain_dicts_are_judged_by_the_field_table(data):
    names = ["numbers", "positions", "energy", "cell"]
    plain = [{name: data[i][name].numpy() for name in names} for i in PICK]

    batch = graph(plain)

    expected = graph(data.__getitems__(PICK))
    assert "structure" not in batch
    same(batch, {name: expected[name] for name in batch})


def test_plain_dicts_with_names_of_their_own():
    # Three atoms and three components: only the names can tell them apart.
    samples = [
        {"numbers": [8, 1, 1], "mine": np.arange(3.0), "mu": np.zeros(3), "energy": -1.0},
        {"numbers": [1, 1, 1], "mine": np.arange(3.0), "mu": np.ones(3), "energy": 2.0},
    ]
    batch = graph(samples, per_atom=["mine"])
    assert batch["mine"].tolist() == [0, 1, 2, 0, 1, 2]
    assert batch["mu"].shape == (2, 3)
    assert batch["energy"].tolist() == [-1, 2]
    assert padded(samples, 4, per_atom=["mine"])["mine"].tolist() == [[0, 1, 2, 0]] * 2


def test_plain_dicts_with_what_a_dataset_adds(featured):
    data = ZarrStructureDataset(featured.path, features="bumps", derivatives="bumps", neighbors="rc3")
    for picked in ([4, 0, 52, 4], [7]):
        plain = [dict(data[i]) for i in picked]
        expected = graph(data.__getitems__(picked))
        assert sum(expected["edge_index"].shape) > 2 or picked == [7]
        batch = graph(plain)
        same(batch, {name: expected[name] for name in batch})
        assert expected.keys() - batch.keys() == {"structure"}
    with pytest.raises(ValueError, match="no rows for edge_index"):
        padded(plain)
    with pytest.raises(ValueError, match=r"edge_index of float64 and shape \(3,\)"):
        graph([{"numbers": np.ones(2), "edge_index": np.ones(3)}])


def test_a_mask_that_some_samples_do_without():
    with_forces = {"numbers": np.ones(2), "forces": np.ones((2, 3))}
    maybe = {"numbers": np.ones(1), "forces": np.full((1, 3), np.nan), "has_forces": np.array(False)}
    for samples in ([with_forces, maybe], [maybe, with_forces]):
        has = graph(samples)["has_forces"].tolist()
        assert has == ["has_forces" not in sample for sample in samples]
    with pytest.raises(ValueError, match="sample 1 of the batch has numbers, has_forces"):
        graph([with_forces, {"numbers": np.ones(1), "has_forces": np.array(True)}])
    with pytest.raises(ValueError, match="sample 1 of the batch has numbers, has_forces"):
        graph([{"numbers": np.ones(1)}, {"numbers": np.ones(1), "has_forces": np.array(True)}])


def test_what_can_not_be_joined():
    with pytest.raises(ValueError, match="no sample to make a batch of"):
        graph([])
    with pytest.raises(TypeError, match="takes a list of samples, not one"):
        graph({"numbers": np.ones(3)})
    for nothing in (None, torch.ones(3), (sample for sample in ()), [1, 2]):
        with pytest.raises(TypeError, match="takes a list of samples, which are dicts"):
            graph(nothing)
    for rows in ("5", 7.5, True, -1):
        with pytest.raises(ValueError, match="num_atoms is a whole number of rows"):
            padded([{"numbers": np.ones(0)}], rows)
    with pytest.raises(ValueError, match="sample 1 of the batch has numbers, but sample 0 has numbers, tags"):
        graph([{"numbers": np.ones(1), "tags": np.ones(1)}, {"numbers": np.ones(1)}])
    with pytest.raises(ValueError, match=r"mine in shapes that do not join, .*per_atom=\['mine'\]"):
        graph([{"numbers": np.ones(k), "mine": np.ones(k)} for k in (1, 2)])
    with pytest.raises(ValueError, match="sample 0 of the batch does not say how many atoms"):
        graph([{"numbers": np.ones(1), "tags": np.ones(2)}])
    with pytest.raises(ValueError, match="does not say how many atoms"):
        graph([{"energy": 1.0}])
    with pytest.raises(TypeError, match="name holds <U4 values"):
        graph([{"numbers": np.ones(1), "name": "bulk"}])
