"""Lists of structures: what is in their columns, how they are sorted, and how they are printed."""

import csv
import io

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from zstruct.errors import InputError, UnknownNameError
from zstruct.query import Selection
from zstruct.query.table import StoreTable


def _structures():
    found = []
    for i, formula in enumerate(["TiO2", "H2", "TiO2", "O", "Ti3O", "H"]):
        atoms = Atoms(
            formula, np.arange(3 * len(Atoms(formula))).reshape(-1, 3), cell=[i + 1, 2, 3], pbc=False
        )
        results = {} if i == 3 else {"energy": [-9.5, 1.0, -9.5, 0, 2**0.5, -3.25][i]}
        if i not in (1, 3):
            results["forces"] = np.full((len(atoms), 3), float(i))
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info |= {"k": 10 - i, "ok": i % 2 == 0} if i < 5 else {}
        atoms.info |= {"label": ["bulk", "a,b", "<i>\n"][i % 3]} if i != 4 else {}
        found.append(atoms)
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    out = tmp_path_factory.mktemp("listing") / "s.zarr"
    zstruct.build(_structures(), out, progress=False)
    return out


def test_columns_are_numbers_texts_and_conditions_and_what_is_missing_is_none(path):
    columns = [
        "formula",
        "k",
        "ok",
        "label",
        "fmax",
        "Ti / n_atoms",
        "cell[a, x]",
        "energy > 0",
        "n_elements == 2",
    ]
    found = zstruct.listing(path, columns=columns)

    assert found.columns["formula"] == ["O2Ti", "H2", "O2Ti", "O", "OTi3", "H"]
    assert found.columns["k"] == [10, 9, 8, 7, 6, None]
    assert found.columns["ok"] == [True, False, True, False, True, None]
    assert found.columns["label"] == ["bulk", "a,b", "<i>\n", "bulk", None, "<i>\n"]
    fmax = found.columns["fmax"]
    assert (fmax[1], fmax[3]) == (None, None)
    assert fmax[:1] + fmax[2:3] + fmax[4:] == pytest.approx([0, 2 * 3**0.5, 4 * 3**0.5, 5 * 3**0.5])
    assert found.columns["Ti / n_atoms"] == [1 / 3, 0, 1 / 3, 0, 0.75, 0]
    assert found.columns["cell[a, x]"] == [1, 2, 3, 4, 5, 6]
    assert found.columns["energy > 0"] == [False, True, False, None, True, False]
    assert found.columns["n_elements == 2"] == [True, False, True, False, True, False]
    assert found.n_found == found.n_structures == 6


def test_formulas_of_stores_without_a_table_are_worked_out(path, monkeypatch):
    expected = zstruct.listing(path, columns=["formula", "Ti"])
    monkeypatch.setattr(StoreTable, "formulas", None)

    assert zstruct.listing(path, columns=["formula", "Ti"]).columns == expected.columns


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("energy", [0, 2, 5, 1, 4, 3]),
        ("energy-", [4, 1, 5, 0, 2, 3]),  # equal ones as they are, missing ones last
        ("-energy", [4, 1, 5, 0, 2, 3]),
        ("label", [2, 5, 1, 0, 3, 4]),  # "<i>", "a,b", "bulk"
        ("formula-", [4, 0, 2, 3, 1, 5]),
        ("k", [4, 3, 2, 1, 0, 5]),
        ("n_atoms * 10 + Ti", [3, 5, 1, 0, 2, 4]),
        ("label == 'a,b'-", [1, 0, 2, 3, 5, 4]),
        ("formula,k", [5, 1, 3, 2, 0, 4]),
        (["n_atoms-", "k-"], [4, 0, 2, 1, 3, 5]),
        ("n_elements , cell[a, x]-", [5, 3, 1, 4, 2, 0]),
    ],
)
def test_structures_are_sorted_by_any_expression(path, sort, order):
    assert zstruct.listing(path, sort=sort).structures.tolist() == order
    assert zstruct.listing(path, sort=sort, limit=2).structures.tolist() == order[:2]


def test_what_is_listed_is_what_is_selected(path):
    found = zstruct.listing(path, "Ti and fmax < 5", columns=["k"], sort="k", limit=None)

    assert found.structures.tolist() == [2, 0]
    assert found.n_found == 2
    chosen = Selection().select([5, 0, 5, 3])
    assert zstruct.listing(path, chosen, columns=["n_atoms", "index"]).rows() == [
        (5, 1, 0), (0, 3, 1), (5, 1, 2), (3, 1, 3),
    ]  # fmt: skip
    assert zstruct.listing(path, "fmax > 1e9").rows() == []


def test_a_listing_prints_as_a_table_and_writes_csv(path):
    found = zstruct.listing(
        path, "has(energy)", columns=["formula", "energy", "label"], sort="energy-", limit=3
    )

    assert str(found).splitlines() == [
        "structure|formula| energy|label",
        "        4|OTi3   |1.41421|",
        "        1|H2     |      1|a,b",
        "        5|H      |  -3.25|<i>\N{REPLACEMENT CHARACTER}",
        "Rows: 3 of 5",
    ]
    rows = list(csv.reader(io.StringIO(found.csv())))
    assert rows == [
        ["structure", "formula", "energy", "label"],
        ["4", "OTi3", repr(2**0.5), ""],
        ["1", "H2", "1.0", "a,b"],
        ["5", "H", "-3.25", "<i>\n"],
    ]


def test_what_makes_no_sense_is_a_sentence_before_anything_is_read(path, monkeypatch):
    monkeypatch.setattr(zstruct.Store, "read", None)

    with pytest.raises(UnknownNameError, match="did you mean fmax"):
        zstruct.listing(path, columns=["fmx"])
    with pytest.raises(UnknownNameError, match="no quantity 'nothing'"):
        zstruct.listing(path, sort="nothing-")
    with pytest.raises(InputError, match=r"sort is a column, as 'fmax', or 'fmax-', or several, .*, not 3"):
        zstruct.listing(path, sort=3)
    with pytest.raises(InputError, match="sort names 'fmax' twice"):
        zstruct.listing(path, sort="fmax,k,fmax-")
    with pytest.raises(UnknownNameError, match="no quantity 'nothing'"):
        zstruct.listing(path, sort="fmax,nothing-")
    with pytest.raises(InputError, match=r"\(fmax"):
        zstruct.listing(path, sort="k,(fmax")
    with pytest.raises(InputError, match="the expression is empty"):
        zstruct.listing(path, sort="")
    with pytest.raises(InputError, match="limit is a whole number from 0"):
        zstruct.listing(path, limit=-1)
    with pytest.raises(InputError, match="fmax < 'a'"):
        zstruct.listing(path, "fmax < 'a'")
