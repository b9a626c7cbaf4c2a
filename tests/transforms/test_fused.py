"""Rotations and noise on the way from memory to a batch: the same as afterwards, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from zstruct.loading import ZarrStructureDataset
from zstruct.schema import FIELDS, infer
from zstruct.transforms import (
    AddNoise,
    Compose,
    Normalize,
    RandomApply,
    RandomReflection,
    RandomRotation,
    Wrap,
)

TURN, MIRROR, NOISE = RandomRotation(seed=1), RandomReflection(0.5, seed=2), AddNoise(0.05, seed=3)
# What is done, and to which columns on the way.
PIPELINES = {
    "turned": (TURN, {"positions", "forces"}),
    "mirrored": ([MIRROR], {"positions", "forces"}),
    "shaken": (NOISE, {"positions", "forces"}),  # forces are copied, while noise is made
    "both": ([TURN, NOISE], {"positions", "forces"}),
    "both fields": ([MIRROR, AddNoise(0.1, ["positions", "forces"], seed=4)], {"positions", "forces"}),
    "in lists": (Compose([[TURN], [[NOISE], TURN]]), {"positions", "forces"}),
    "scaled": ([TURN, NOISE, Normalize(scale=2.0), Wrap()], {"positions", "forces"}),
    "noise of cells": ([TURN, AddNoise(0.1, ["positions", "cell"])], {"positions", "forces"}),
}
ROWS = np.r_[5, 33, 0:61, 60, 17, -1]


def columns(batch):
    """Return what is in a batch, as bits; but all NaNs are one."""
    found = {"offsets": batch.offsets, "batch": batch.batch, **batch.columns}
    return {name: (np.nan_to_num(c, nan=np.inf) + 0).tobytes() for name, c in found.items()}


@pytest.mark.parametrize("case", PIPELINES)
def test_the_same_as_afterwards(source, case):
    transform, moved = PIPELINES[case]
    fields = ["numbers", "positions", "cell", "pbc", "energy", "forces", "stress"]
    way, after = (
        ZarrStructureDataset(source.path, fields, cache=cache, transform=transform)
        for cache in ("memory", None)
    )
    way.cache_warmup()

    for epoch in (0, 4):
        for data in (way, after):
            data.set_epoch(epoch)
        for rows in (ROWS, ROWS[:1], ROWS[:0]):
            assert columns(way.take(rows)) == columns(after.take(rows))
        assert columns(way[7:40].take([3, 3, -1])) == columns(after[7:40].take([3, 3, -1]))
        sample, other = way[17], after[17]
        assert all(torch.equal(sample[name], other[name]) for name in ("positions", "cell", "stress"))

    # That they were not made in the same way, after all.
    assert set(way._pipeline.completion.motion.names) == moved
    assert way._gather.everything
    assert not after._gather.everything


@pytest.mark.parametrize(
    ("transform", "moved"),
    [
        ([MIRROR, NOISE], {"positions", "magmoms", "charges", "tensor"}),
        ([MIRROR, AddNoise(0.1, ["charges", "positions"])], {"positions", "magmoms", "charges", "tensor"}),
        ([MIRROR, AddNoise(0.1, ["magmoms"])], {"positions"}),
        (AddNoise(0.1, ["tensor"]), {"positions", "magmoms", "charges", "tensor"}),
        (RandomRotation(rotates={"tensor": "rows"}), {"positions"}),
    ],
)
def test_what_turns_in_other_ways(make_store, tmp_path, transform, moved):
    counts, rng = np.r_[3, 1, 16, 40], np.random.default_rng(1)
    shapes = {"positions": (3,), "magmoms": (3,), "charges": (), "tensor": (3, 3)}
    columns_ = {name: rng.normal(size=(60, *shape)) for name, shape in shapes.items()}
    fields = {"magmoms": FIELDS["magmoms"].as_vector(), "tensor": infer("tensor", "atom", "float", (3, 3))}
    make_store(tmp_path / "ways.zarr", counts, {"numbers": np.ones(60, np.uint8), **columns_}, fields)
    steps = transform if isinstance(transform, list) else [transform]
    steps = [replace(t, rotates={"tensor": "rank2"}) if t is MIRROR else t for t in steps]
    way, after = (
        ZarrStructureDataset(tmp_path / "ways.zarr", list(shapes), cache=cache, transform=steps)
        for cache in ("memory", None)
    )
    way.cache_warmup()

    assert columns(way.take([2, 0, 3, 1])) == columns(after.take([2, 0, 3, 1]))
    assert set(way._pipeline.completion.motion.names) == moved


@pytest.mark.parametrize(
    ("transform", "options"),
    [
        (Normalize(), {}),
        ([Wrap(), TURN], {}),
        (RandomApply(TURN), {}),
        ([TURN, NOISE], {"dtype": torch.float64}),
        (AddNoise(0.1, ["cell"]), {}),
        ([TURN, lambda sample: sample], {"neighbors": 3.0}),
    ],
    ids=["no motion", "later", "sometimes", "double", "of structures", "edges"],
)
def test_what_has_to_be_done_afterwards(plain, transform, options):
    data = ZarrStructureDataset(plain.path, transform=transform, **options)
    assert data._pipeline.completion.motion is None


def test_classes_made_of_them_do_what_they_say(plain):
    class Sevens(AddNoise):
        def on_batch(self, batch, epoch=0):
            batch.columns["positions"][:] = 7.0
            return batch

    class Nothing(Compose):
        def on_batch(self, batch, epoch=0):
            return batch

    for transform, expected in ((Sevens(0.1), 7.0), (Nothing([Sevens(0.1)]), None)):
        data = ZarrStructureDataset(plain.path, ["positions"], cache="memory", transform=transform)
        data.cache_warmup()
        found = data[3]["positions"]
        assert (found == 7.0).all() == (expected is not None)


def test_where_all_is_decoded_by_and_by(source):
    data = ZarrStructureDataset(source.path, ["positions"], cache="memory", transform=[TURN, NOISE])
    first = [columns(data.take([i])) for i in range(61)]
    assert data._gather.everything
    assert [columns(data.take([i])) for i in range(61)] == first
