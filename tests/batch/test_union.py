"""What columns of several stores come to: missing is missing, codes count one table, or a sentence."""

from dataclasses import replace

import numpy as np
import pytest

from zstruct.batch.union import Column, Columns, Union
from zstruct.errors import InputError
from zstruct.schema import ATOM, FIELDS, STRUCTURE, infer

F4, F8, I8, BOOL = (np.dtype(kind) for kind in ("f4", "f8", "i8", "?"))


def columns(name, *, masked=(), wide=(), texts=None, **given):
    """Columns of an origin: fields, or pairs of fields and dtypes, by name."""
    kinds = {"float": F4, "int": I8, "bool": BOOL, "category": I8}
    found = {}
    for key, what in given.items():
        known, dtype = what if isinstance(what, tuple) else (what, kinds[what.kind])
        found[key] = Column(known.level, dtype, known.shape, known)
    return Columns(name, found, masked, frozenset(wide), (texts or {}).__getitem__)


def test_what_one_lacks_is_missing_and_a_mask_says_so():
    made = {
        "forces": FIELDS["forces"],
        "serial": infer("serial", STRUCTURE, "int", ()),
        "site": infer("site", ATOM, "category", ()),
        "fine": infer("fine", STRUCTURE, "bool", ()),
    }
    union = Union.of(
        [columns("a", energy=FIELDS["energy"]), columns("b", **made, texts={"site": ["top", "hollow"]})]
    )

    assert list(union.columns) == ["energy", *made]
    found = union.adapted(0, {"energy": np.array([1.5], F4)}, 1, 2)

    assert found["energy"].tolist() == [1.5]
    assert found["forces"].shape == (2, 3)
    assert np.isnan(found["forces"]).all()
    assert found["serial"].tolist() == [0]
    assert found["site"].tolist() == [-1, -1]
    assert found["fine"].tolist() == [False]
    assert [found[f"has_{name}"].tolist() for name in union.columns] == [[True], *[[False]] * 4]
    assert union.texts == {"site": ["top", "hollow"]}


def test_a_mask_of_one_is_a_mask_of_all():
    union = Union.of(
        [columns("a", energy=FIELDS["energy"], masked={"energy"}), columns("b", energy=FIELDS["energy"])]
    )
    energies = np.array([np.nan, 2.0], F4)

    given = union.adapted(0, {"energy": energies, "has_energy": np.array([False, True])}, 2, 2)
    assert given["has_energy"].tolist() == [False, True]
    assert union.adapted(1, {"energy": energies}, 2, 2)["has_energy"].tolist() == [True, True]


def test_codes_count_the_texts_of_all():
    known = FIELDS["config_type"]
    union = Union.of(
        [
            columns("a", config_type=known, texts={"config_type": ["bulk", "slab"]}),
            columns("b", config_type=known, texts={"config_type": ["slab", "gas", "bulk"]}),
            columns("c", config_type=known, texts={"config_type": ["bulk"]}),
        ]
    )
    codes = np.array([0, 1, 2, -1])

    assert union.texts["config_type"] == ["bulk", "slab", "gas"]
    assert union.adapted(1, {"config_type": codes}, 4, 4)["config_type"].tolist() == [1, 2, 0, -1]
    assert union.adapted(0, {"config_type": codes}, 4, 4)["config_type"] is codes


def test_units_are_those_of_the_first():
    gap = infer("gap", STRUCTURE, "float", ())
    union = Union.of(
        [columns("a", gap=replace(gap, unit="eV")), columns("b", gap=(replace(gap, unit="meV"), F8))]
    )
    assert union.adapted(1, {"gap": np.array([1500.0])}, 1, 1)["gap"].tolist() == pytest.approx([1.5])
    assert union.columns["gap"].dtype == F8


def test_dtypes_are_the_widest():
    union = Union.of(
        [
            columns("a", numbers=(FIELDS["numbers"], np.dtype("u1")), energy=FIELDS["energy"]),
            columns("b", numbers=FIELDS["numbers"], energy=(FIELDS["energy"], F8), wide={"energy"}),
        ]
    )
    assert (union.columns["numbers"].dtype, union.columns["energy"].dtype) == (I8, F8)
    assert union.wide == frozenset()


def test_whole_numbers_become_numbers_only_where_these_hold_them():
    step = infer("step", STRUCTURE, "int", ()), infer("step", STRUCTURE, "float", ())
    union = Union.of([columns("a", step=step[0]), columns("b", step=(step[1], F8))])

    found = union.adapted(0, {"step": np.array([2**52, -7])}, 2, 2)["step"]
    assert (found.dtype, found.tolist()) == (F8, [2.0**52, -7.0])
    with pytest.raises(InputError, match="step is 9007199254740993 somewhere, a whole number that float64"):
        union.adapted(0, {"step": np.array([1, 2**53 + 1])}, 2, 2)


@pytest.mark.parametrize(
    ("one", "other", "sentence"),
    [
        (
            FIELDS["magmoms"],
            FIELDS["magmoms"].as_vector(),
            "x is one value per atom in a, and 3 values per atom in b, which can't be one field: leave it "
            "out",
        ),
        (
            infer("x", ATOM, "float", ()),
            infer("x", STRUCTURE, "float", ()),
            "one value per atom in a, and one value per structure in b",
        ),
        (
            infer("x", STRUCTURE, "bool", ()),
            infer("x", STRUCTURE, "int", ()),
            "booleans in a, and whole numbers in b",
        ),
        (
            infer("x", STRUCTURE, "float", ()),
            infer("x", STRUCTURE, "category", ()),
            "numbers in a, and texts in b",
        ),
        (
            replace(infer("x", STRUCTURE, "float", ()), unit="eV"),
            replace(infer("x", STRUCTURE, "float", ()), unit="debye"),
            "x comes in 'eV' from a, and in 'debye' from b, which can't be converted",
        ),
        (
            replace(infer("x", STRUCTURE, "float", ()), unit="eV"),
            infer("x", STRUCTURE, "float", ()),
            "x comes in 'eV' from a, and in no stated unit from b",
        ),
    ],
)
def test_what_can_not_be_one_field_is_a_sentence(one, other, sentence):
    with pytest.raises(InputError, match=sentence):
        Union.of([columns("a", x=one, texts={"x": []}), columns("b", x=other, texts={"x": []})])


def test_only_fields_can_be_missing():
    features = Columns("b", {"features": Column(ATOM, F4, (5,))}, (), frozenset(), {}.__getitem__)
    with pytest.raises(InputError, match="features comes with structures of b, and not with those of a"):
        Union.of([columns("a", energy=FIELDS["energy"]), features])
