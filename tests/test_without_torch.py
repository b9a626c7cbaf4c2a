"""What `StructureReader` and the layouts do where torch is not installed, as well as where it is."""

import functools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import zstruct
from zstruct import StructureReader, layouts, transforms
from zstruct.loading import Edges, Shuffle


@pytest.fixture
def path(tmp_path, frames):
    zstruct.build(frames, tmp_path / "s.zarr", progress=False)
    return tmp_path / "s.zarr"


def test_arrays_are_those_that_were_built(path, frames):
    reader = StructureReader(path, dtype="float64")

    for i, atoms in enumerate(frames):
        assert_array_equal(reader[i]["numbers"], atoms.numbers)
        assert_array_equal(reader[i]["positions"], atoms.positions)
        assert reader[i]["energy"] == atoms.calc.results["energy"]
    assert reader.get_atoms(3) == frames[3]


@pytest.mark.parametrize("layout", [layouts.graph, layouts.padded, layouts.physnet])
def test_an_epoch_of_arrays(path, frames, layout):
    reader = StructureReader(path, split=None)[5:]
    made = list(reader.batches(8, Shuffle(seed=1), layout=functools.partial(layout, as_numpy=True)))

    assert sorted(np.concatenate([batch["structure"] for batch in made])) == list(range(5, len(frames)))
    assert all(isinstance(array, np.ndarray) for batch in made for array in batch.values())


def test_edges_turn_with_the_structures(path):
    options = {"neighbors": Edges(3.0, carry=["edge_vec", "edge_dist"]), "dtype": "float64"}
    still = StructureReader(path, **options)
    turned = StructureReader(path, transform=transforms.RandomRotation(seed=2), **options)

    for i in range(len(still)):
        assert_array_equal(turned[i]["edge_index"], still[i]["edge_index"])
        assert_allclose(turned[i]["edge_dist"], still[i]["edge_dist"], atol=1e-9)
        assert_allclose(np.linalg.norm(turned[i]["edge_vec"], axis=1), still[i]["edge_dist"], atol=1e-9)
