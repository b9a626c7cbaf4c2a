"""Batches of torch_geometric, against what it joins from single graphs by itself."""

import functools
import sys

import ase.neighborlist
import pytest
import torch
from numpy.testing import assert_allclose
from torch.utils.data import DataLoader

from tests.layouts.frames import CUTOFF, frames, write_frames
from zstruct.errors import MissingExtraError
from zstruct.layouts import pyg
from zstruct.loading import Edges, ZarrStructureDataset

geometric = pytest.importorskip("torch_geometric.data")
PICK = [3, 0, 5, 4, 3, 6]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = write_frames(tmp_path_factory.mktemp("pyg") / "frames.zarr")
    return ZarrStructureDataset(
        path, dtype=torch.float64, neighbors=Edges(CUTOFF, carry=["edge_shift", "edge_vec"])
    )


def single(sample):
    """One graph, put together by hand."""
    rest = {"numbers", "positions", "energy", "forces", "edge_index", "edge_shift", "edge_vec"}
    return geometric.Data(
        pos=sample["positions"],
        z=sample["numbers"],
        y=sample["energy"].view(1),
        force=sample["forces"],
        natoms=torch.tensor([sample.n_atoms]),
        structure=torch.tensor([sample.structure]),
        edge_index=sample["edge_index"],
        edge_vec=sample["edge_vec"],
        unit_shifts=sample["edge_shift"],
        shifts=sample["edge_shift"] @ sample["cell"],
        **{name: sample[name][None] for name in sample.keys() - rest},
    )


def same(a, b):
    assert set(a.keys()) == set(b.keys())
    for key in a.keys():  # noqa: SIM118 (a graph iterates over pairs)
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=1e-14, equal_nan=True)


def test_as_torch_geometric_joins_them(data):
    graphs = [single(data[i]) for i in PICK]
    expected = geometric.Batch.from_data_list(graphs)

    batch = pyg(data.take(PICK))

    assert type(batch) is type(expected)
    assert batch.num_graphs == 6
    assert batch.num_nodes == expected.num_nodes
    assert batch.cell.shape == (6, 3, 3)
    same(batch, expected)
    for made, wanted in ((batch._slice_dict, expected._slice_dict), (batch._inc_dict, expected._inc_dict)):
        assert made.keys() == wanted.keys()
        for key in made:
            assert torch.equal(made[key], wanted[key])


def test_apart_again(data):
    batch = pyg(data.take(PICK))

    apart = batch.to_data_list()
    assert len(apart) == 6
    for k, i in enumerate(PICK):
        same(apart[k], single(data[i]))
    same(batch[4], single(data[PICK[4]]))
    same(geometric.Batch.from_data_list(batch[2:4]), pyg(data.take(PICK[2:4])))


def test_edges_are_those_of_ase(data):
    batch = pyg(data.take(range(8)))

    centre, neighbour = batch.edge_index
    vectors = batch.pos[neighbour] - batch.pos[centre] + batch.shifts
    torch.testing.assert_close(vectors, batch.edge_vec)
    edges_per_graph = torch.bincount(batch.batch[centre], minlength=8).tolist()
    assert edges_per_graph == [len(ase.neighborlist.neighbor_list("i", a, CUTOFF)) for a in frames()]
    assert edges_per_graph[3] == 0  # a lone atom
    assert edges_per_graph[5] > 0  # its own neighbour
    owner = batch.batch[centre]
    assert torch.equal(batch.shifts, torch.einsum("ek,ekx->ex", batch.unit_shifts, batch.cell[owner]))


def test_without_edges_and_in_other_units(data):
    plain = ZarrStructureDataset(data.store, ["numbers", "positions", "energy", "forces"], torch.float64)
    batch = pyg(plain.take([1, 2]), units={"energy": "meV", "length": "nm"}, names={"y": "energy"})

    assert "edge_index" not in batch
    first, second = frames()[1:3]
    assert_allclose(batch.energy, [1e3 * a.calc.results["energy"] for a in (first, second)])
    assert_allclose(batch[0].pos, first.positions / 10, atol=1e-15)
    assert_allclose(batch[1].force, second.calc.results["forces"] * 1e4)


def test_numbers_index_whatever_they_were_loaded_as(data):
    narrow = ZarrStructureDataset(data.store, dtype={"numbers": "uint8"}, neighbors=CUTOFF)
    batch, expected = (pyg(of.take([3, 1])) for of in (narrow, data))
    assert batch.z.dtype == torch.int64
    assert torch.equal(batch.z, expected.z)


def test_loaders(data):
    expected = pyg(data.take(range(4)))
    same(next(iter(DataLoader(data, batch_size=4, collate_fn=pyg))), expected)
    join = functools.partial(pyg, names={"y": "y"})
    same(next(iter(data.loader(batch_size=4, layout=join, num_workers=1))), expected)
    same(pyg([data[i] for i in range(4)]), expected)


def test_names_that_torch_geometric_reads_something_into():
    # It would add the atoms before to a per-structure "my_index".
    sample = {"numbers": [1], "my_index": 3}
    with pytest.raises(ValueError, match="would take 'my_index' for something else"):
        pyg([sample])
    assert pyg([sample, sample], names={"my_index": "mine"}).mine.tolist() == [3, 3]
    with pytest.raises(ValueError, match="would take 'batch'"):
        pyg([sample], names={"my_index": "batch"})
    with pytest.raises(ValueError, match="the field 'z' has a name that pyg batches use"):
        pyg([{"numbers": [1], "z": 1.0}])
    with pytest.raises(ValueError, match="names has 'energy', but the pyg batch has only z, natoms"):
        pyg([{"numbers": [1]}], names={"energy": "y"})
    with pytest.raises(ValueError, match="the same name"):
        pyg([{"numbers": [1]}], names={"z": "natoms"})


def test_a_batch_of_none(data):
    batch = pyg(data.take([]))
    assert batch.num_graphs == 0
    assert batch.to_data_list() == []
    assert batch.edge_index.shape == (2, 0)


def test_without_torch_geometric(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    with pytest.raises(MissingExtraError, match="pip install torch-geometric"):
        pyg(data.take([0]))


def test_edges_need_cells_and_shifts(data):
    for options, missing in (
        ({"fields": ["numbers", "positions"]}, "the field 'cell'"),
        ({"fields": ["numbers", "cell"]}, "the field 'positions'"),
        ({"neighbors": Edges(CUTOFF, carry="edge_dist")}, "edges that carry edge_shift"),
    ):
        with pytest.raises(ValueError, match=f"the edges of a pyg batch need {missing}"):
            pyg(ZarrStructureDataset(data.store, **{"neighbors": CUTOFF} | options).take([0]))
