"""Stores put together by torch's ConcatDataset: what one lacks is missing."""

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader

from tests.mixed import FIELDS, check
from zstruct import InputError, layouts
from zstruct.loading import Edges, ZarrStructureDataset

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


ALIKE = [name for name in FIELDS if name not in ("gap", "config_type")]


def datasets(three, names="abc", fields=ALIKE, **options):
    return [
        ZarrStructureDataset(
            three[name].path, [field for field in fields if field in three[name].columns], **options
        )
        for name in names
    ]


def numpied(batch):
    return {name: tensor.numpy() for name, tensor in batch.items()}


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_store_lacks_is_missing(three, workers):
    both = ConcatDataset(datasets(three))
    loader = DataLoader(both, 13, collate_fn=layouts.graph, num_workers=workers)
    which = [(name, i) for name in "abc" for i in range(len(three[name]))]

    rows = 0
    for batch in loader:
        some = which[rows : rows + 13]
        # A batch has the masks that it needs: those of one store alone are that store's.
        check(numpied(batch), some, three, [], [name for name in ALIKE if name in batch])
        rows += len(some)
    assert rows == len(both)


def test_a_batch_of_all_three(three):
    a, b, c = datasets(three)
    batch = layouts.graph([a[3], b[0], c[0], b[7], a[0]])
    check(
        numpied(batch),
        [("a", 3), ("b", 0), ("c", 0), ("b", 7), ("a", 0)],
        three,
        [],
        ALIKE,
    )
    assert batch["has_stress"].tolist() == [True, False, False, False, True]
    assert batch["structure"].tolist() == [3, 0, 0, 7, 0]


def test_edges_of_both_come_along(three):
    a, b = datasets(three, "ab", neighbors=Edges(3.0, carry="edge_dist"))
    batch = layouts.graph([a[3], b[0]])
    alone = [layouts.graph([a[3]]), layouts.graph([b[0]])]
    assert torch.equal(batch["edge_dist"], torch.cat([one["edge_dist"] for one in alone]))
    shifted = torch.cat([alone[0]["edge_index"], alone[1]["edge_index"] + alone[0]["n_atoms"]], 1)
    assert torch.equal(batch["edge_index"], shifted)


def test_edges_of_one_alone_are_a_sentence(three):
    (a,), (b,) = datasets(three, "a", neighbors=3.0), datasets(three, "b")
    with pytest.raises(
        InputError, match=r"come with edge_index, edge_shift, and those of .*b.zarr with no pairs"
    ):
        layouts.graph([a[3], b[0]])


def test_codes_that_depend_on_the_batch_are_a_sentence(three):
    a, b, c = datasets(three, fields=["numbers", "config_type"])
    assert layouts.graph([a[0], c[0]])["config_type"].tolist() == [three["a"].columns["config_type"][0], 0]
    with pytest.raises(
        InputError, match=r"config_type has other texts in .*b.zarr than in .*a.zarr: put them"
    ):
        layouts.graph([a[0], b[0]])


def test_units_that_depend_on_the_batch_are_a_sentence(three):
    a, b = datasets(three, "ab", fields=["numbers", "gap"])
    with pytest.raises(InputError, match=r"gap has other units in .*b.zarr than in .*a.zarr: put them"):
        layouts.graph([a[0], b[0]])


def test_losses_leave_out_what_is_missing(three):
    a, b = datasets(three, "ab")
    batch = layouts.graph([a[3], b[0], a[4]])
    there = np.repeat([True, False, True], batch["n_atoms"])
    wrong = torch.where(torch.from_numpy(there)[:, None], batch["forces"], 9.0) + 2.0
    assert a.loss({"forces": wrong}, batch).item() == pytest.approx(4.0)
