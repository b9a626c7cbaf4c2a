"""Views of readers and datasets compose, share what was decoded, pickle, and say how they came about."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zstruct import StructureReader
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.loading import Edges, Forces, Recipe
from zstruct.query import Selection
from zstruct.splits.split import split
from zstruct.store.shards import ArrayReader

N = 61
BY_NAME = "give sampling, every, minimum, seed by name"

steps = st.one_of(
    st.builds(slice, st.integers(-70, 70), st.integers(-70, 70), st.sampled_from([None, 1, 2, 3, -1, -4])),
    st.integers(0, 12).map(lambda n: f"n_atoms > {n}"),
    st.integers(0, 12).map(lambda n: f"n_atoms <= {n} or has(forces)"),
    st.lists(st.floats(0, 1, exclude_max=True), max_size=8),  # places, whatever there are
    st.integers(0, 2**32).map(lambda seed: ("mask", seed)),
)


def taken(step, rows, source):
    """What a step is, asked of so many structures, and what NumPy makes of these."""
    if isinstance(step, slice):
        return step, rows[step]
    if isinstance(step, str):
        limit = int(step.split()[2])
        counts = source.counts[rows]
        forces = np.array([not np.isnan(source.value("forces", i)).all() for i in rows], dtype=bool)
        return step, rows[(counts <= limit) | forces if "or" in step else counts > limit]
    if isinstance(step, tuple):
        mask = np.random.default_rng(step[1]).random(len(rows)) < 0.7
        return mask, rows[mask]
    places = (np.array(step) * len(rows)).astype(int)[: len(rows)]
    return places.tolist(), rows[places]


@given(given=st.lists(steps, max_size=4))
@settings(max_examples=60)
def test_views_of_views_are_what_numpy_makes(source, given):
    view, rows, selection = StructureReader(source.path, ["serial"]), np.arange(N), Selection()
    for step in given:
        which, rows = taken(step, rows, source)
        by_index = not isinstance(which, str)
        view = view[which] if by_index and len(rows) % 2 else view.select(which)
        selection = selection.select(which)

    assert view.structures.tolist() == rows.tolist()
    assert (
        view.take(np.arange(len(rows))).columns["serial"].tolist() == source.columns["serial"][rows].tolist()
    )
    assert str(view.recipe.selection).count("where") == str(selection).count("where")
    again = view.recipe.selection.structures(view.store)
    assert (np.arange(N) if again is None else again).tolist() == rows.tolist()


def test_views_share_what_is_decoded_and_pickle(source, monkeypatch):
    reader = StructureReader(source.path, ["serial", "forces"], cache="memory")
    reader.cache_warmup()
    view = reader.select("n_atoms > 3", where=lambda store: store.read("n_atoms") < 30)[::2].with_forces(0.5)
    expected = view.take(np.arange(len(view)))

    loaded = pickle.loads(pickle.dumps(view))
    found = loaded.take(np.arange(len(view)))

    assert found.structures.tolist() == expected.structures.tolist()
    assert found.columns["use_forces"].tolist() == expected.columns["use_forces"].tolist()
    assert repr(loaded).split("; cache")[0] == repr(view).split("; cache")[0]
    monkeypatch.setattr(ArrayReader, "read_into", None)  # nothing is left to read
    assert view.select("n_atoms > 5").take([0]).columns["forces"].shape[1] == 3


def test_what_it_looks_like_says_how_it_came_about(source):
    reader = StructureReader(source.path, ["serial", "forces"])
    assert "61 structures: serial, forces; cache" in repr(reader)
    view = reader.select("n_atoms > 3", max_force=5.0)[:4].with_forces(0.5, every=2)
    said = '4 structures where "n_atoms > 3", max_force=5.0, then where slice(None, 4): serial, forces; '
    assert said in repr(view)
    assert "structures, others every 2 epochs; cache" in repr(view)
    assert "n_atoms &gt; 3&quot;, max_force=5.0" in view._repr_html_()
    assert "61 structures: serial" in repr(reader)  # views leave it as it was


def test_a_split_is_short_for_a_selection(source):
    parts = split(source.path, [0.5, 0.5], labels=["train", "test"], seed=1, name="halves")
    at_once = StructureReader(source.path, ["serial"], split=("halves", "test"))
    selected = StructureReader(source.path, ["serial"]).select(split=("halves", "test"))
    assert at_once.structures.tolist() == selected.structures.tolist() == parts["test"].tolist()
    assert str(at_once.recipe.selection) == str(selected.recipe.selection) != ""


def test_nothing_to_select_is_all(source):
    reader = StructureReader(source.path, ["serial"])
    assert reader.select().structures.tolist() == list(range(N))
    assert not reader.select().recipe.selection


def test_forces_of_a_view_are_chosen_among_its_own(source):
    reader = StructureReader(source.path, ["forces"])
    views = (
        reader.select("has(forces)").with_forces(0.5, seed=2),
        reader.with_forces(0.5, seed=2).select("has(forces)"),
    )
    one, other = (view.take(np.arange(len(view))) for view in views)
    assert one.columns["use_forces"].tolist() == other.columns["use_forces"].tolist()
    assert one.columns["use_forces"].sum() == round(len(one) / 2)
    again = reader.with_forces(0.5).with_forces(1.0)
    assert again.recipe.forces == Forces(1.0)
    assert again.take(np.arange(N)).columns["use_forces"].sum() == len(one)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda r: r.select(max_forces=1), "select has no option 'max_forces'; is it max_force?"),
        (lambda r: r.with_forces(0.5, sample="fixed"), "with_forces has no option 'sample'; is it sampling?"),
        (lambda r: r.with_forces(), "with_forces needs fraction"),
        (
            lambda r: r.with_forces(Forces(0.2), every=2),
            "with_forces takes Forces(...) alone: put all in it",
        ),
        (lambda r: r.with_forces(0.2, "fixed"), "with_forces takes fraction by place; " + BY_NAME),
        (lambda r: type(r)(), "StructureReader needs path"),
        (
            lambda r: type(r)(r.store, path=r.store),
            "StructureReader is given path twice, by place and name",
        ),
        (lambda r: type(r)(r.store, featurs="x"), "StructureReader has no option 'featurs'; is it features?"),
        (lambda r: type(r)(r.store, bytes=5), "StructureReader has bytes in cache: cache=Cache(bytes=...)"),
        (
            lambda r: type(r)(r.store, force_fraction=0.3),
            "StructureReader has no option 'force_fraction'; write .with_forces(fraction=...)",
        ),
    ],
)
def test_unknown_keywords_are_sentences(source, call, sentence):
    with pytest.raises(ArgumentTypeError) as caught:
        call(StructureReader(source.path, ["serial"]))
    assert str(caught.value) == sentence


def test_views_take_the_objects_of_their_options(source):
    reader = StructureReader(source.path, ["forces"])
    forces = Forces(0.2, seed=3)
    for view in (reader.with_forces(forces), reader.with_forces(fraction=forces)):
        assert view.recipe.forces == forces == reader.with_forces(0.2, seed=3).recipe.forces
    chosen = reader.select(Selection().select("n_atoms > 3", max_force=5.0))
    assert chosen.structures.tolist() == reader.select("n_atoms > 3", max_force=5.0).structures.tolist()
    whole = StructureReader(source.path, Recipe(["serial"], split=None, neighbors=Edges(cutoff=3.0)))
    assert whole.fields == ("serial",)
    assert whole.recipe.neighbors == Edges(3.0)


def test_what_it_says_of_edges_is_what_edges_take(source):
    with pytest.raises(ArgumentTypeError, match="write neighbors=Edges") as caught:
        StructureReader(source.path, edges=4.0)
    said = str(caught.value).partition("Edges(")[2].split(",")[0]
    assert Edges(**{said: 4.0}) == Edges(4.0)


def test_faults_in_an_expression_are_pointed_at(source):
    with pytest.raises(InputError, match="did you mean n_atoms"):
        StructureReader(source.path, ["serial"]).select("natoms > 3")
