"""The sample in a store: whose values are those of the store, drawn as it says, made once for one content."""

import ase.build
import ase.io
import numpy as np
import pytest

import zstruct
from zstruct.errors import InputError
from zstruct.reporting import live_sample
from zstruct.reporting.live_sample import kept_sample
from zstruct.store.store import Store

GROUP = "index/sample"


def source(draw_from, n):
    """Structures of 1 to 5 atoms in groups of very different sizes; some lack energies or forces."""
    counts = draw_from.integers(1, 6, n)
    edges = np.concatenate([[0], np.cumsum(counts)])
    atoms = int(edges[-1])
    forces = draw_from.normal(0, 2, (atoms, 3))
    forces[np.repeat(draw_from.random(n) < 0.1, counts)] = np.nan
    return zstruct.sources.arrays(
        positions=draw_from.normal(0, 3, (atoms, 3)),
        numbers=draw_from.choice([1, 8, 22], atoms).astype(np.uint8),
        offsets=edges,
        energy=np.where(draw_from.random(n) < 0.1, np.nan, draw_from.normal(-3, 2, n)),
        forces=forces,
        config_type=draw_from.choice(["bulk", "surface", "rare\0 <b>"], n, p=[0.9, 0.09, 0.01]),
    )


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "many.zarr"
    zstruct.build(source(np.random.default_rng(1), 3000), path, progress=False)
    return Store(path)


def column(store, name):
    return store.again().read(f"{GROUP}/{name}")


def texts(store, name):
    now = store.again()
    table = [*now.categories(name, GROUP), None]
    return [table[code] for code in now.read(f"{GROUP}/{name}")]


def test_a_sample_has_what_the_store_has(store, monkeypatch):
    monkeypatch.setattr(live_sample, "_PIECE", 700)
    made = kept_sample(store, 500, None)
    assert made.made
    assert made.columns == ("row", "formula", "n_atoms", "energy_per_atom", "fmax", "group")
    rows = column(store, "row")
    assert 450 <= len(rows) == made.n <= 500  # an extreme may have been drawn, too
    assert (np.diff(rows) > 0).all()
    n_atoms = store.read("n_atoms")
    np.testing.assert_array_equal(column(store, "n_atoms"), n_atoms[rows])
    per_atom = store.read("energy") / n_atoms
    np.testing.assert_array_equal(column(store, "energy_per_atom"), per_atom[rows])
    norms = np.linalg.norm(store.read("forces"), axis=1)
    fmax = np.maximum.reduceat(norms, store.read("offsets")[:-1])
    np.testing.assert_allclose(column(store, "fmax"), fmax[rows], rtol=1e-15)
    for name, mine in (("formula", "formula"), ("config_type", "group")):
        table = store.categories(name)
        assert texts(store, mine) == [table[code] for code in store.read(name)[rows]]
    # The 25 smallest and largest of each quantity that is known are there, and all groups as they were dealt.
    for values in (per_atom, fmax):
        order = np.argsort(values)[: np.isfinite(values).sum()]
        assert set(order[:25]) | set(order[-25:]) <= set(rows.tolist())
    codes, sizes = np.unique(store.read("config_type"), return_counts=True)
    assert all(
        (store.read("config_type")[rows] == c).sum() >= min(s, 13) for c, s in zip(codes, sizes, strict=True)
    )
    zstruct.verify(store.path)


def test_a_sample_is_made_once_and_again_for_other_content_or_questions(store, tmp_path):
    digest = store.digest
    assert kept_sample(store, 100, None).made
    assert not kept_sample(store.again(), 100, None).made
    assert kept_sample(store.again(), 200, None).made
    assert store.again().digest == digest
    zstruct.index(store.path, shortest_distance=True)
    again = kept_sample(store.again(), 200, None)
    assert again.made
    assert "shortest_distance" in again.columns
    zstruct.append(store.path, source(np.random.default_rng(2), 50), progress=False)
    assert "sample" not in store.again().group_names("index")
    assert kept_sample(store.again(), 200, None).made
    zstruct.verify(store.path)


@pytest.mark.parametrize(("files", "group"), [(3, "source"), (30, "formula")])
def test_where_each_structure_has_its_own_file_formulas_make_the_groups(tmp_path, files, group):
    for k in range(files):
        ase.io.write(tmp_path / f"{k}.xyz", ase.build.molecule(("H2O", "CH4")[k % 2]))
    zstruct.build(tmp_path, tmp_path / "a.zarr", progress=False)
    kept_sample(Store(tmp_path / "a.zarr"), 100, None)
    assert Store(tmp_path / "a.zarr").array_attrs(f"{GROUP}/group")["category_of"] == group


def test_a_store_that_is_not_written_into_is_told_of_what_for(store, monkeypatch):
    def refuse(*_):
        raise InputError("can't write to there")

    monkeypatch.setattr(live_sample, "keep", refuse)
    with pytest.raises(
        InputError, match="write to there; the sample that a page begins with is kept in the sto"
    ):
        kept_sample(store, 10, None)


def test_a_small_store_is_sampled_whole_and_rewriting_keeps_the_sample(tmp_path):
    path, small = tmp_path / "few.zarr", tmp_path / "small.zarr"
    zstruct.build(source(np.random.default_rng(3), 40), path, progress=False)
    made = kept_sample(Store(path), 20_000, None)
    assert (made.n, made.description) == (40, "All 40 structures of the store.")
    zstruct.rewrite(path, small, compression="small", progress=False)
    assert not kept_sample(Store(small), 20_000, None).made
    np.testing.assert_array_equal(column(Store(small), "row"), np.arange(40))
