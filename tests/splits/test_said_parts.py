"""Parts that are said: queries, selections, samplings, datasets, duplicates, and what is left."""

import numpy as np
import pytest

import zstruct
from tests.splits.conftest import check_exhaustive, formulas
from zstruct import InputError, cli


def test_a_query_becomes_a_part(path):
    of_water = np.flatnonzero(formulas(path) == "H2O").tolist()
    for said in ("O and H", zstruct.Selection().select("O and H"), lambda s: formulas(path) == "H2O"):
        parts = zstruct.split(path, {"test": said, "train": ...}, name="default", overwrite=True)
        check_exhaustive(parts, 60)
        assert parts["test"].tolist() == of_water
    assert zstruct.StructureReader(path, split="test").structures.tolist() == of_water
    zstruct.split(path, {"test": "O and H", "val": [k for k in range(60) if k not in of_water][:2]}, name="q")
    recipe = zstruct.open_split(path, "q").recipe
    assert recipe["parts"] == {"test": 'where "O and H"'}
    assert recipe["sizes"] == [len(of_water), 2]


def test_of_a_part_of_a_store_only_that_is_split(path):
    data = zstruct.StructureReader(path).select(list(range(40, 10, -1)))
    some = data.select("O and H")
    parts = zstruct.split(data, {"a": "O and H", "b": ...}, name="part")
    check_exhaustive(parts, 30)
    assert sorted(data.structures[parts["a"]]) == sorted(some.structures)
    kept = zstruct.open_split(path, "part")
    assert set(kept["a"]) == set(some.structures)
    assert (kept.codes[41:] == -1).all()
    assert zstruct.split(data, {"a": some, "b": ...}).codes.tolist() == parts.codes.tolist()
    assert zstruct.split(path, {"a": some}).recipe["parts"] == {"a": str(some.selection)}
    outside = zstruct.StructureReader(path)[:20]
    assert sorted(data.structures[zstruct.split(data, {"a": outside})["a"]]) == list(range(11, 20))


def test_groups_of_duplicates_become_a_part(path):
    found = zstruct.duplicates(path)
    large = found.only(found.sizes > 8)
    parts = zstruct.split(path, {"large": large, "small": ...})
    assert (
        parts["large"].tolist()
        == sorted(large.structure.tolist())
        == large.structures(zstruct.Store(path)).tolist()
    )
    parts = zstruct.split(path, {"first": ..., "again": found.redundant()})
    assert len(zstruct.duplicates(zstruct.StructureReader(path)[parts["first"]])) == 0


def test_a_sampling_becomes_a_part(path, capsys):
    zstruct.features.add(path, "x", np.arange(60.0) ** 2, level="structure")
    parts = zstruct.split(path, {"seen": zstruct.farthest(5, "x", first=0), "rest": ...}, name="sampled")
    assert {0, 59} <= set(parts["seen"])
    assert zstruct.open_split(path, "sampled").recipe["parts"] == {
        "seen": 'where sample=farthest(5, "x", first=0)',
        "rest": "all others",
    }
    words = ["split", str(path), "--name", "typed"]
    assert cli.main([*words, "--part", "seen=farthest:5:x:first=0", "--part", "rest=..."]) == 0
    assert "splits/typed: Split(seen: 5, rest: 55)" in capsys.readouterr().out
    assert zstruct.open_split(path, "typed").codes.tolist() == parts.codes.tolist()
    assert cli.main([*words, "--part", "a=O and n_atoms == 3", "--overwrite"]) == 0
    assert zstruct.open_split(path, "typed").recipe["parts"] == {"a": 'where "O and n_atoms == 3"'}
    capsys.readouterr()
    assert cli.main([*words, "--part", "a=O", "--sizes", "1.0"]) != 0
    assert "give either --sizes, --file or --part" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": ..., "b": ...}, "only one part can have all that is left, not a and b"),
        ({"a": "O", "b": "C"}, "'b' has structure .*, which is in another part"),
        ({"a": "O and"}, "O and"),
        ({"a": lambda store: 1 / 0}, "ZeroDivisionError"),
        ({"a": ..., "b": "config_type == 'colt'"}, "'b' would be empty.*never 'colt'; did you mean 'cold'"),
        ({"b": "O and config_type in ('cold', 'x') and n_atoms > 99"}, "never 'x'; it is 'cold', 'hot'"),
        ({"b": zstruct.Selection().select("Ti")}, 'no structure to split of .* is where "Ti"$'),
        ({"b": lambda store: np.zeros(60, bool)}, "'b' would be empty"),
        ({"b": "farthest:3:x:first=0"}, r'here it is zstruct.farthest\(3, "x", first=0\)'),
        ({"b": "leverage:x"}, r"here it is zstruct.leverage\(\.\.\.\)"),
    ],
)
def test_what_can_not_be_a_part_is_said(built, parts, message):
    with pytest.raises(InputError, match=message):
        zstruct.split(built, parts)


def test_fractions_that_come_to_nothing_are_said(built):
    two = zstruct.StructureReader(built)[:2]
    with pytest.warns(UserWarning, match="the part 'test' has no structure: 0.1 of 2 structures"):
        parts = zstruct.split(two, [0.5, 0.4, 0.1])
    assert [len(part) for part in parts] == [1, 1, 0]
    assert [len(part) for part in zstruct.split(two, [0.5, 0.5, 0.0])] == [1, 1, 0]  # as asked for


def test_a_dataset_of_another_store_is_none(path, tmp_path):
    zstruct.build(zstruct.StructureReader(path)[:5], tmp_path / "b.zarr", progress=False)
    with pytest.raises(InputError, match=r"'a' is a dataset of .*b\.zarr, not of"):
        zstruct.split(path, {"a": zstruct.StructureReader(tmp_path / "b.zarr")})
