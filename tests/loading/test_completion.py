"""What is done to structures of several stores at once is what each does to its own, to the last bit."""

import numpy as np
import pytest

from tests.mixed import FIELDS
from zstruct import MixtureReader, StructureReader
from zstruct.features import Chebyshev
from zstruct.transforms import AddNoise, Center, OnBatch, RandomReflection, RandomRotation

ONCE = [name for name in FIELDS if name != "gap"]  # which has other units: parts are put together for it
TURN = RandomRotation(seed=1)
EDGES = {"neighbors": {"cutoff": 3.0, "carry": ["edge_vec"]}}
PLACES = np.r_[3, 50, 64, 0:65, 41, 3]


class Half(RandomRotation):
    pass


def mixture(three, fields=ONCE, own=None, **options):
    return MixtureReader(
        {
            name: StructureReader(
                three[name].path,
                [f for f in fields if f in three[name].columns],
                **{"cache": "memory"} | options | (own or {}).get(name, {}),
            )
            for name in "abc"
        }
    )


def bits(batch):
    """Return all that is in a batch, as bits; but all NaNs are one."""
    arrays = {"structures": batch.structures, "ptr": batch.offsets, "batch": batch.batch, **batch.columns}
    for pairs in batch.pairs:
        arrays |= {f"{pairs.name} ptr": pairs.offsets, pairs.name: pairs.index, **pairs.columns}
    said = (sorted(batch.per_atom), sorted(batch.wide), batch.origin.name)
    values = {name: (np.nan_to_num(array, nan=np.inf) + 0).tobytes() for name, array in arrays.items()}
    return said, [(name, array.dtype, array.shape, values[name]) for name, array in arrays.items()]


@pytest.mark.parametrize(
    "options",
    [
        {"references": {"H": -1.0, "C": -20.0, "O": -300.0}},
        {"transform": TURN},
        {"transform": [TURN, AddNoise(0.05, seed=3)], "references": {"H": -1.0, "C": -2.0, "O": -3.0}},
        {"transform": [RandomReflection(0.5, seed=2), AddNoise(0.1, ["energy"]), RandomRotation(p=0.5)]},
        {"transform": TURN, "dtype": "float64"},
        EDGES,
        EDGES | {"transform": TURN},
        EDGES | {"fields": ["energy", "forces"]},
    ],
    ids=["references", "turned", "shaken", "sometimes", "double", "edges", "turned edges", "hidden"],
)
def test_all_at_once_or_part_by_part(three, options, monkeypatch):
    at_once = mixture(three, **options)
    at_once.cache_warmup()
    at_once.set_epoch(2)
    with monkeypatch.context() as patch:
        patch.setattr(type(at_once._pipeline), "_by_parts", None)
        found = [bits(at_once.take(places)) for places in (PLACES, PLACES[:1], PLACES[:0])]
        view = bits(at_once[10:60].take([3, 40, -1]))
    by_parts = mixture(three, **options)
    by_parts._pipeline._gather = None
    by_parts.set_epoch(2)
    for one, places in zip(found, (PLACES, PLACES[:1], PLACES[:0]), strict=True):
        assert one == bits(by_parts.take(places))
    assert view == bits(at_once.take([13, 50, 59]))


@pytest.mark.parametrize(
    ("options", "own"),
    [
        ({"transform": Center()}, None),
        ({"transform": Half(seed=1)}, None),
        ({"transform": OnBatch(lambda batch: batch)}, None),
        ({"transform": TURN}, {"b": {"transform": RandomRotation(seed=2)}}),
        ({"transform": TURN}, {"b": {"transform": None}}),
        ({"transform": TURN}, {"b": {"dtype": {"positions": "float64"}}}),
        (EDGES, {"b": {"cache": {"where": "memory", "neighbors": True}}}),
    ],
)
def test_what_differs_or_what_nobody_knows_is_done_part_by_part(three, options, own):
    assert mixture(three, ["numbers", "positions"], own, **options)._pipeline._gather is None


def test_features_are_those_of_each_store(three):
    descriptor = Chebyshev(["H", "C", "O"], 2, 3.0, 1, 3.0)
    at_once = mixture(three, ["energy"], features=descriptor)
    at_once.cache_warmup()
    found = at_once.take(PLACES)
    assert at_once._pipeline._gather is not None
    by_parts = mixture(three, ["energy"], features=descriptor)
    by_parts._pipeline._gather = None
    assert bits(found) == bits(by_parts.take(PLACES))
