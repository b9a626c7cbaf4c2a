"""What the layouts of other libraries have in common."""

import pickle
import subprocess
import sys

import pytest
import torch

from zstruct.layouts import LAYOUTS, fairchem, mace, schnetpack
from zstruct.loading import ZarrStructureDataset

ELEMENTS = ["Cu", "O", "H", "C"]


@pytest.mark.parametrize("join", [schnetpack, lambda batch: mace(batch, ELEMENTS)])
def test_edges_have_to_be_asked_for(store, join):
    with pytest.raises(ValueError, match="give the dataset neighbors=, the cutoff of the model"):
        join(ZarrStructureDataset(store).take([0]))


@pytest.mark.parametrize("join", [schnetpack, fairchem, lambda batch: mace(batch, ELEMENTS)])
def test_packed_or_one_by_one(paired, join):
    packed, listed = join(paired.take([3, 5, 3])), join([paired[i] for i in (3, 5, 3)])
    assert packed.keys() == listed.keys()
    for key, value in packed.items():
        if isinstance(value, list):
            assert value == listed[key]
        else:
            torch.testing.assert_close(value, listed[key], rtol=0, atol=0, equal_nan=True)
    empty = join(paired.take([]))
    assert empty.keys() == packed.keys()


@pytest.mark.parametrize("name", ["schnetpack", "mace", "fairchem"])
def test_numbers_index_whatever_they_were_loaded_as(store, name):
    wide, narrow = (
        next(iter(ZarrStructureDataset(store, dtype=dtype, neighbors=3.0).loader(4, layout=name)))
        for dtype in (None, {"numbers": "uint8"})
    )
    key = {"schnetpack": "_atomic_numbers"}.get(name, "atomic_numbers")
    assert narrow[key].dtype == torch.int64
    assert torch.equal(narrow[key], wide[key])


def test_layouts_by_name():
    assert all(pickle.loads(pickle.dumps(layout)) is layout for layout in LAYOUTS.values())
    code = """
import sys
import zstruct.layouts
print({"torch_geometric", "mace", "schnetpack", "fairchem", "ase"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
