"""The reader without torch: arrays, epochs and layouts of its own."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import zstruct
from tests.loading.groups import Bumps
from zstruct import StructureReader, transforms
from zstruct.loading import Batches, Shuffle
from zstruct.random import permuted


def test_no_torch_is_loaded(plain):
    program = f"""
import functools, sys
import zstruct  # noqa: E402
turn = zstruct.transforms.RandomRotation()
reader = zstruct.StructureReader({str(plain.path)!r}, neighbors=3.0, transform=turn)
size = zstruct.loading.Batches(16, bucket=32)
layout = functools.partial(zstruct.layouts.physnet, as_numpy=True)
batches = list(zstruct.StructureReader({str(plain.path)!r}).batches(size, True, layout=layout))
reader[0], reader[:5].take([0, -1])
packed = zstruct.StructureReader({str(plain.path)!r}, ["numbers", "positions", "energy"]).take([3, 0])
for layout in (zstruct.layouts.graph, zstruct.layouts.padded, zstruct.layouts.physnet):
    assert all(type(array).__module__ == "numpy" for array in layout(packed, as_numpy=True).values())
assert len(batches) == 4 and batches[0]["R"].shape[1] == 3
assert "torch" not in sys.modules
assert "zarr" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_arrays_are_the_tensors_of_the_dataset(source):
    pytest.importorskip("torch")
    reader, data = StructureReader(source.path), zstruct.ZarrStructureDataset(source.path)

    for i in (0, 5, -1):
        arrays, tensors = reader[i], data[i]
        assert arrays.keys() == tensors.keys() | {"n_atoms"}
        for name, array in arrays.items():
            assert_array_equal(array, tensors[name].numpy(), strict=True)


def test_batches_are_an_epoch(source):
    reader = StructureReader(source.path, ["serial"])

    orders = []
    for epoch in range(2):
        batches = list(reader.batches(16, Shuffle(seed=4), epoch=epoch))
        assert [len(batch) for batch in batches] == [16, 16, 16, 13]
        orders.append(np.concatenate([batch.structures for batch in batches]).tolist())
    plainly = [batch.structures.tolist() for batch in reader.batches(Batches(16, drop_last=True))]

    assert sorted(orders[0]) == sorted(orders[1]) == list(range(61))
    assert orders[0] != orders[1]
    assert plainly == [list(range(k, k + 16)) for k in (0, 16, 32)]
    with pytest.raises(ValueError, match="a batch is a number of structures, at least 1, not 0"):
        next(reader.batches(0))


BATCHES = [
    Batches(7),
    Batches(7, drop_last=True),
    Batches(max_atoms=45),
    Batches(3, max_atoms=45, drop_last=True),
    Batches(4, bucket=16),
    Batches(4, bucket=20, drop_last=True),
    Batches(max_atoms=60, bucket=30),
    Batches(100),
]


ORDERS = [False, Shuffle(seed=3), Shuffle("block", seed=3), Shuffle(seed=3, weights=np.arange(61))]


@pytest.mark.parametrize("shuffle", ORDERS, ids=["in order", "full", "block", "weighted"])
@pytest.mark.parametrize("batches", BATCHES, ids=str)
def test_batches_are_those_of_a_loader(source, shuffle, batches):
    pytest.importorskip("torch")
    loader = zstruct.ZarrStructureDataset(source.path, ["serial"]).loader(batches, shuffle)
    loader.set_epoch(2)

    found = list(StructureReader(source.path, ["serial"]).batches(batches, shuffle, epoch=2))

    assert [batch.structures.tolist() for batch in found] == [b["structure"].tolist() for b in loader]


def test_a_stored_list_bounds_edges(featured):
    reader = StructureReader(featured.path, neighbors=3.0)
    batches = list(reader.batches(Batches(max_edges=200), shuffle=True))
    assert sorted(np.concatenate([b.structures for b in batches]).tolist()) == list(range(53))
    assert max(batch.pairs[0].index.shape[1] for batch in batches) <= 200 < reader.n_edges.sum()


def test_a_large_epoch_is_one_permutation(tmp_path, make_store, monkeypatch):
    monkeypatch.setattr("zstruct.store.chunks._CHUNK_ROWS", {"atom": 4096, "structure": 4096})
    n = 40_000  # several pieces of the order
    numbers = np.ones(n, np.uint8)
    source = make_store(tmp_path / "atoms.zarr", np.ones(n, int), {"numbers": numbers})
    reader = StructureReader(source.path, ["numbers"])
    found = np.concatenate([batch.structures for batch in reader.batches(999, Shuffle(seed=5))])
    assert_array_equal(found, permuted(np.arange(n), n, 5, 0))


def test_two_epochs_at_once_stay_apart(plain):
    turned = StructureReader(plain.path, ["positions"], transform=transforms.RandomRotation(seed=1))
    first, second = (turned.batches(10, shuffle=True, epoch=epoch) for epoch in range(2))
    pairs = list(zip(first, second, strict=True))
    for epoch in range(2):
        for pair, alone in zip(pairs, turned.batches(10, shuffle=True, epoch=epoch), strict=True):
            assert_array_equal(pair[epoch].columns["positions"], alone.columns["positions"])


@pytest.mark.parametrize("layout", ["graph", "padded", "physnet"])
def test_layouts_by_name_are_arrays(plain, layout):
    (batch,) = StructureReader(plain.path).batches(53, layout=layout)
    assert {type(value) for value in batch.values()} == {np.ndarray}


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"batch_size": "3"}, TypeError, "the size of a batch is a whole number, not '3'"),
        ({"batch_size": True}, TypeError, "the size of a batch is a whole number, not True"),
        ({"batch_size": None}, ValueError, "nothing says how large batches are"),
        ({"batch_size": 0}, ValueError, "a batch is a number of structures, at least 1, not 0"),
        ({"batch_size": 2.0}, TypeError, "the size of a batch is a whole number"),
        ({"shuffle": {"seed": -1}}, ValueError, "seed is a whole number from 0, not -1"),
        ({"epoch": "a"}, TypeError, "epoch is a whole number, not 'a'"),
        ({"epoch": -1}, ValueError, "epoch is a whole number from 0, not -1"),
        ({"shuffle": "random"}, ValueError, "shuffle is True, False, 'full' or 'block', not 'random'"),
        ({"shuffle": {"how": "full", "weights": [1]}}, ValueError, "weights draw in random order"),
        ({"batch_size": {"size": 3, "drop_last": 1}}, TypeError, "drop_last is True or False, not 1"),
        ({"batch_size": {"size": 4, "bucket": 6}}, ValueError, "a multiple of the 4 of a batch such as 128"),
        (
            {"batch_size": {"size": 1, "bucket": 0}},
            ValueError,
            "a bucket is a number of structures, at",
        ),
        ({"batch_size": {"max_atoms": 39}}, ValueError, "structure 5 of the dataset has 40 atoms, more than"),
        (
            {"batch_size": {"max_edges": 39}},
            ValueError,
            "the number of edges is known of those that",
        ),
        ({"max_atoms": 9}, TypeError, r"max_atoms in batch_size: batch_size=Batches\(max_atoms=...\)"),
        ({"suffle": True}, TypeError, "batches has no option 'suffle'; is it shuffle?"),
        (
            {"layout": "mace"},
            ValueError,
            "layout without torch is 'graph', 'padded', 'physnet' or a function",
        ),
        ({"layout": 3}, TypeError, "layout without torch is .* or a function, not 3"),
    ],
    ids=str,
)
def test_batches_that_make_no_sense(source, options, error, said):
    with pytest.raises(error, match=said):
        StructureReader(source.path).batches(**options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cache": {"features": True}}, "give features a descriptor or a function"),
        ({"cache": {"features": True}, "features": "bumps"}, "give features a descriptor or a function"),
        ({"cache": {"neighbors": True}, "features": len}, "give neighbors a cutoff"),
        ({"cache": {"neighbors": True}, "neighbors": "rc3"}, "cutoff that is not stored"),
        ({"cache": {"features": -5}, "features": Bumps()}, "features of a cache is a number of structures"),
        (
            {"features": Bumps(), "cache": {"features": 9}, "transform": transforms.AddNoise(0.1)},
            "what a transform changes can't be kept",
        ),
        (
            {"features": Bumps(), "derivatives": "bumps", "transform": transforms.RandomRotation()},
            "stored derivatives can't be transformed",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(featured, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        StructureReader(featured.path, **options)


def test_sizes_of_what_is_not_there(featured):
    with pytest.raises(ValueError, match="there are no features"):
        _ = StructureReader(featured.path).input_size
