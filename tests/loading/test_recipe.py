"""The recipe of samples: short forms are objects, presets are fields, and what is wrong is said at once."""

import pickle

import numpy as np
import pytest

from zstruct import StructureReader
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.loading import Cache, Edges, Forces, Recipe
from zstruct.query import Selection


@pytest.mark.parametrize(
    "short",
    [5, Edges(5.0), {"cutoff": np.float64(5), "carry": "edge_shift"}],
    ids=["number", "object", "mapping"],
)
def test_a_number_is_short_for_edges(short):
    assert Recipe(neighbors=short).neighbors == Edges(5.0, carry=("edge_shift",))


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("shared", Cache("shared")),
        (None, Cache(None)),
        ({"bytes": 8e9}, Cache("auto", bytes=8e9)),
        (Cache("memory", features=True), Cache("memory", features=True)),
    ],
)
def test_a_word_is_short_for_a_cache(given, made):
    assert Recipe(cache=given).cache == made


def test_views_change_their_own():
    recipe = Recipe(split="train")
    other = recipe.selected(Selection().select("Ti")).with_forces(Forces(0.5))
    assert repr(other.selection) == repr(Selection().select(split="train").select("Ti"))
    assert (other.forces, recipe.forces) == (Forces(0.5), None)
    assert repr(recipe.selection) == repr(Selection().select(split="train"))
    assert repr(pickle.loads(pickle.dumps(other)).selection) == repr(other.selection)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"fields": "energy"}, ArgumentTypeError, r"or 'energies': write fields=\['energy'\]"),
        ({"fields": ["energy", 3]}, ArgumentTypeError, "fields is a list of names, and 3 is none"),
        ({"split": 3}, ArgumentTypeError, "split is a label, or"),
        ({"neighbors": -1}, InputError, "cutoff"),
        (
            {"neighbors": {"cutoff": 3, "carry": "x"}},
            InputError,
            "edges carry edge_shift, edge_vec, edge_dist",
        ),
        ({"cache": 3}, ArgumentTypeError, "None or an existing directory, not 3"),
        ({"cache": {"bytes": -3}}, InputError, "bytes of a cache must not be negative"),
    ],
)
def test_what_needs_no_store_is_checked_at_once(options, error, sentence):
    with pytest.raises(error, match=sentence):
        Recipe(**options)


def test_fields_stand_for_several(source):
    usual = StructureReader(source.path).fields
    assert "frame" not in usual
    assert StructureReader(source.path, [..., "frame"]).fields == (*usual, "frame")
    assert StructureReader(source.path, ["frame", ..., "energy"]).fields == ("frame", *usual)
    assert StructureReader(source.path, "energies").fields == ("numbers", "energy")
    assert StructureReader(source.path, iter(["energy"])).fields == ("energy",)


def test_structures_come_along_where_they_are_asked_for(plain):
    reader = StructureReader(plain.path, ["energy", "atoms"])
    assert reader.fields == ("energy",)
    batch = reader.select("n_atoms > 2").take([2, -1])
    for atoms, structure in zip(batch.atoms, batch.structures, strict=True):
        assert atoms.numbers.tolist() == plain.value("numbers", structure).tolist()
    assert reader[0]["atoms"].get_potential_energy() == plain.columns["energy"][0]
