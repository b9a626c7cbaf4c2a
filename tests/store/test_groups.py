"""Groups of every kind are opened by one rule, and refused in the same words."""

import json
import shutil

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms
from zstruct import InputError, StaleGroupError, StoreFormatError
from zstruct.features import Chebyshev, NeighborList, open_group

NOUNS = {
    "features": "set of features",
    "neighbors": "neighbour list",
    "splits": "split",
    "references": "set of references",
    "statistics": "set of statistics",
}
MAKERS = {
    "features": "zstruct.featurize",
    "neighbors": "zstruct.featurize",
    "splits": "zstruct.split",
    "references": "zstruct.fit_references",
    "statistics": "zstruct.statistics",
}
OPEN = {
    "features": lambda store, name: open_group(store, "features", name),
    "neighbors": lambda store, name: open_group(store, "neighbors", name),
    "splits": zstruct.open_split,
    "references": zstruct.open_references,
    "statistics": zstruct.open_statistics,
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A store with a group of each kind."""
    rng, path = np.random.default_rng(3), tmp_path_factory.mktemp("groups") / "s.zarr"
    zstruct.build([random_atoms(rng, 4, periodic=False) for _ in range(6)], path, progress=False)
    zstruct.featurize(path, NeighborList(2.0), name="one", progress=False)
    zstruct.featurize(path, Chebyshev(["H", "C", "O", "Ti"], 1, 2.0, 1, 2.0), name="one", progress=False)
    zstruct.split(path, [0.5, 0.5], name="one")
    zstruct.fit_references(path, name="one")
    zstruct.statistics(path, name="one")
    return path


@pytest.fixture
def copy(path, tmp_path):
    return shutil.copytree(path, tmp_path / "copy.zarr")


def say(path, kind, **attrs):
    """Have the attributes of a group say something else."""
    file = path / kind / "one" / "zarr.json"
    document = json.loads(file.read_text())
    document["attributes"] |= attrs
    file.write_text(json.dumps(document))


@pytest.mark.parametrize("kind", NOUNS)
def test_what_is_there_is_opened_and_what_is_not_is_named(path, kind):
    assert OPEN[kind](path, "one") is not None
    wanted = f"has no {NOUNS[kind]} 'two'; it has one; make one with {MAKERS[kind]}$"
    with pytest.raises(InputError, match=wanted):
        OPEN[kind](path, "two")


@pytest.mark.parametrize("kind", NOUNS)
def test_a_store_that_was_opened_before_shows_what_is_new(path, copy, kind):
    shutil.rmtree(copy / kind / "one")
    opened = zstruct.Store(copy)
    with pytest.raises(InputError, match="it has none"):
        OPEN[kind](opened, "one")
    shutil.copytree(path / kind / "one", copy / kind / "one")
    assert OPEN[kind](opened, "one") is not None


@pytest.mark.parametrize("kind", NOUNS)
def test_what_was_made_for_other_content_is_stale(copy, kind):
    say(copy, kind, store_digest="0" * 64)
    wanted = (
        f"the {NOUNS[kind]} 'one' of .* was made for other content .*; run {MAKERS[kind]} again with over"
    )
    with pytest.raises(StaleGroupError, match=wanted):
        OPEN[kind](copy, "one")


@pytest.mark.parametrize("kind", NOUNS)
def test_what_a_newer_zstruct_wrote_is_refused(copy, kind):
    say(copy, kind, **{"encoding-version": "3.0"})
    known = "1.x and 2.x" if kind == "features" else "1.x"
    wanted = (
        f"the {NOUNS[kind]} 'one' of .* has format version 3.0; this zstruct reads {known}; install a newer"
    )
    with pytest.raises(StoreFormatError, match=wanted):
        OPEN[kind](copy, "one")
