"""Leaks are groups of duplicates in more than one part of a split, and no others."""

import numpy as np
import pytest
from ase.build import molecule

import zstruct
from tests.similarity.test_search import disguised
from zstruct.cli import main
from zstruct.errors import InputError


@pytest.fixture
def path(tmp_path, rng):
    """Ten molecules: 0 and 5 are alike, so are 1, 2 and 6, and 3 and 4; 9 and 0 are, but 9 is in no part."""
    names = ["H2O", "CH4", "CH4", "NH3", "NH3", "H2O", "CH4", "CO2", "C2H6", "H2O"]
    path = tmp_path / "a.zarr"
    zstruct.build([disguised(molecule(name), rng, 0.0) for name in names], path, progress=False)
    zstruct.split(path, {"train": [0, 1, 2, 3, 4], "val": [7], "test": [5, 6, 8]}, name="mine")
    return path


def test_leaks(path):
    found = zstruct.leaks(path, "mine")
    assert len(found) == 2
    assert found.labels == ("train", "val", "test")
    np.testing.assert_array_equal(found.counts(), [[0, 0, 3], [0, 0, 0], [2, 0, 0]])
    assert found.structures("train").tolist() == [0, 1, 2]
    assert found.structures("test").tolist() == [5, 6]
    assert found.structures("val").tolist() == []
    with pytest.raises(InputError, match="the split 'mine' has no part 'tset'; it has train, val, test"):
        found.structures("tset")
    assert repr(found) == str(found)
    table = found.columns
    assert sorted(zip(table["structure"], table["part"], strict=True)) == [
        (0, "train"),
        (1, "train"),
        (2, "train"),
        (5, "test"),
        (6, "test"),
    ]
    assert str(found).splitlines()[:3] == [
        "splits/mine: 2 groups of duplicates in more than one part, within 0.01 angstrom",
        "  train: 3 structures (60.00%) with a duplicate in test",
        "  test: 2 structures (66.67%) with a duplicate in train",
    ]


def test_no_leaks_where_duplicates_stay_together(path):
    zstruct.split(path, [0.5, 0.5], by="duplicate", name="apart")
    found = zstruct.leaks(path, "apart")
    assert len(found) == 0
    assert str(found) == "splits/apart: no structure has a duplicate in another part, within 0.01 angstrom"
    np.testing.assert_array_equal(found.counts(), np.zeros((2, 2)))
    with pytest.raises(InputError, match="no split 'other'"):
        zstruct.leaks(path, "other")


def test_commands(path, capsys):
    assert main(["leaks", str(path), "mine", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("splits/mine: 2 groups of duplicates")
    assert main(["duplicates", str(path), "--quiet", "--csv", "--tolerance", "0.002"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "group,store,structure,energy_per_atom,energy_spread,force_difference,force_spread"
    assert len(lines) == 1 + 3 + 3 + 2
