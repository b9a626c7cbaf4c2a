"""Samplings: the same structures wherever they are asked for, and vectors as the page says."""

import pickle
import shutil

import numpy as np
import pytest

import zstruct
from tests.coverage.stores import store_of
from tests.coverage.test_farthest import looked_through
from zstruct import cli
from zstruct.coverage import vectors
from zstruct.coverage.vectors import vectors_of
from zstruct.errors import ArgumentTypeError, InputError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    rng, path = np.random.default_rng(20261120), tmp_path_factory.mktemp("samplings") / "a.zarr"
    counts = 1 + np.arange(60) % 5
    features = rng.normal(size=(counts.sum(), 4)) * [1, 10, 0.1, 1] + [5, 0, 0, 0]
    store_of(path, counts, features, energy=np.arange(60.0))
    return path


@pytest.fixture
def store(made, tmp_path):
    return zstruct.Store(shutil.copytree(made, tmp_path / "a.zarr"))


def means(store, rows=None, name="x"):
    """Return the mean of standardised features of the atoms of each structure."""
    features = store.read(f"features/{name}/values")
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    offsets = store.read("offsets")
    chosen = range(store.n_structures) if rows is None else rows
    return np.array([standard[offsets[k] : offsets[k + 1]].mean(axis=0) for k in chosen])


def test_a_vector_is_the_mean_of_standardised_features(store, monkeypatch):
    np.testing.assert_allclose(vectors_of(store, "x").block(0, 60), means(store), rtol=1e-12, atol=1e-14)
    monkeypatch.setattr(vectors, "_PIECE_BYTES", 200)
    some = np.array([3, 4, 17, 58])
    found = vectors_of(store, "x", some)
    np.testing.assert_allclose(found.block(0, 4), means(store, some), rtol=1e-12, atol=1e-14)
    plain = vectors_of(store, "x", some, standardise=False).block(0, 4)
    offsets, features = store.read("offsets"), store.read("features/x/values")
    for row, k in zip(plain, some, strict=True):
        np.testing.assert_allclose(row, features[offsets[k] : offsets[k + 1]].mean(axis=0))


def test_features_of_structures_and_rows_of_their_own(tmp_path, rng):
    store = store_of(tmp_path / "a.zarr", [2, 1, 3], rng.normal(size=(3, 2)), "s", level="structure")
    zstruct.features.add(store, "r", [rng.normal(size=(k, 3)) for k in (4, 1, 2)], level="row")
    zstruct.features.add(store, "bits", np.eye(3, dtype=bool), level="structure")
    opened = store.again()
    values = opened.read("features/s/values")
    expected = (values - values.mean(axis=0)) / values.std(axis=0)
    np.testing.assert_allclose(vectors_of(opened, "s").block(0, 3), expected, rtol=1e-12)
    values = opened.read("features/r/values")
    expected = [rows.mean(axis=0) for rows in np.split(values, [4, 5])]
    np.testing.assert_allclose(vectors_of(opened, "r", standardise=False).block(0, 3), expected)
    assert np.unique(vectors_of(opened, "bits").block(0, 3)).size == 2


def test_what_is_the_same_everywhere_is_left_out(tmp_path):
    features = np.float32([[1, 0.1], [2, 0.1], [4, np.nextafter(np.float32(0.1), 1)]])
    store = store_of(tmp_path / "a.zarr", [2, 1, 3], features, level="structure")
    assert vectors_of(store, "x").shape == (3, 1)
    zstruct.features.add(store, "same", np.ones((3, 2)), level="structure")
    with pytest.raises(InputError, match="are the same everywhere"):
        vectors_of(store.again(), "same")


def test_missing_features_are_a_sentence(tmp_path):
    features = np.array([[1.0, 2.0], [np.nan, 3.0], [0.0, 1.0]])
    store = store_of(tmp_path / "a.zarr", [2, 1, 3], features, level="structure")
    data = zstruct.StructureReader(store.path)
    with pytest.raises(
        InputError, match=r"'x' are missing or too large in 1 structure of .* first is 1: select"
    ):
        data.select(zstruct.farthest(2, "x"))
    assert data.select([0, 2]).select(zstruct.farthest(2, "x", first=1)).structures.tolist() == [2, 0]
    zstruct.features.add(store, "huge", np.array([[1, 2e200], [2, 0], [4, -1e200]]), level="structure")
    with pytest.raises(InputError, match=r"'huge' of .* too large to be compared: .* from -1e\+200 to 2e"):
        vectors_of(store.again(), "huge")


def test_it_is_the_same_wherever_it_is_asked_for(store, capsys):
    path = store.path
    expected = looked_through(means(store), 9, 4)[0]
    sampling = zstruct.farthest(9, "x", first=4)
    assert zstruct.StructureReader(path).select(sampling).structures.tolist() == expected
    assert zstruct.open(path).zs.select(sampling).structure.values.tolist() == expected
    assert zstruct.Selection().select(sampling).structures(store).tolist() == expected
    assert (
        zstruct.open(path, select=zstruct.Selection().select(sampling)).structure.values.tolist() == expected
    )
    assert cli.main(["ls", path, "--sample", "farthest:9:x:first=4", "--columns", "energy", "--csv"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == expected
    out = path.replace("a.zarr", "b.zarr")
    assert cli.main(["select", path, out, "--sample", "farthest:9:x:first=4", "--quiet"]) == 0
    assert zstruct.Store(out).read("energy").tolist() == expected


def test_a_dataset_of_torch_loads_what_is_picked(store):
    pytest.importorskip("torch")
    data = zstruct.ZarrStructureDataset(store.path, ["energy"]).select(zstruct.farthest(9, "x", first=4))
    expected = looked_through(means(store), 9, 4)[0]
    assert [data[k]["energy"].item() for k in range(9)] == expected
    assert "farthest(9" in repr(data)


def test_conditions_come_first_and_positions_count_what_is_left(store):
    data = zstruct.StructureReader(store.path).select(slice(None, None, -1))
    rows = np.flatnonzero(store.read("energy") < 20)[::-1]
    expected = rows[looked_through(means(store, rows), 6, 2)[0]]
    sampling = zstruct.farthest(6, "x", first=2)
    assert data.select("energy < 20", sample=sampling).structures.tolist() == expected.tolist()
    assert data.select("energy < 20").select(sampling).structures.tolist() == expected.tolist()
    ds = zstruct.open(store.path).zs.isel(slice(None, None, -1))
    assert ds.zs.select("energy < 20", sample=sampling).structure.values.tolist() == expected.tolist()
    assert ds.zs.where("energy < 20").zs.where(sampling).structure.values.tolist() == expected.tolist()
    selection = zstruct.Selection().select("energy < 20")
    assert ds.zs.where(selection).equals(ds.zs.where("energy < 20"))
    twice = zstruct.StructureReader(store.path).select([7, 3, 7, 9])
    assert sorted(twice.select(zstruct.farthest(3, "x")).structures.tolist()) == [3, 7, 9]
    with pytest.raises(InputError, match='farthest\\(4, "x"\\): only 3 structures to pick from'):
        twice.select(zstruct.farthest(4, "x"))


def test_beside_those_of_a_split(store):
    zstruct.split(store, {"train": [1, 5, 9], "none": []}, name="mine")
    values = means(store)
    rest = np.setdiff1d(np.arange(60), [1, 5, 9])
    expected = rest[looked_through(values[rest], 8, None, values[[1, 5, 9]])[0]]
    picks = zstruct.farthest(8, "x", beside=("mine", "train")).picks(store.again())
    assert picks.structures.tolist() == expected.tolist()
    assert str(picks).startswith("8 of 57 structures, for ")
    with pytest.raises(InputError, match="no structure in that part"):
        zstruct.farthest(8, "x", beside=("mine", "none")).picks(store.again())
    with pytest.raises(InputError, match="no structure 5 to begin with"):
        zstruct.farthest(8, "x", first=5, beside=("mine", "train")).picks(store.again())


def test_leverage_scores_of_a_store(store):
    left = np.linalg.svd(means(store), full_matrices=False)[0]
    expected = np.argsort(-(left**2).sum(axis=1), kind="stable")[:10]
    data = zstruct.StructureReader(store.path)
    assert data.select(zstruct.leverage(10, "x")).structures.tolist() == expected.tolist()
    picks = zstruct.leverage(10, "x", rank=2, seed=1).picks(store.path)
    assert repr(picks) == str(picks)
    np.testing.assert_allclose(picks.values, (left[:, :2] ** 2).sum(axis=1)[picks.structures], rtol=1e-8)


def test_a_cluster_makes_the_same_vectors(store, monkeypatch, cluster):
    sampling = zstruct.farthest(20, "x")
    there = sampling.picks(store)  # with the active client
    monkeypatch.setattr("zstruct.parallel.chosen_workers", lambda workers: 1)
    here = sampling.picks(store)
    assert there.structures.tolist() == here.structures.tolist()
    assert there.values.tolist() == here.values.tolist()


def test_a_mixture_is_of_several_stores(store):
    reader = zstruct.StructureReader(store.path)
    with pytest.raises(InputError, match="sample the parts of a mixture"):
        zstruct.MixtureReader([reader, reader]).select(zstruct.farthest(3, "x"))


def test_samplings_say_what_they_are_and_travel():
    sampling = zstruct.farthest(9, "cheb", beside=("mine", "train"), standardise=False)
    assert repr(sampling) == 'farthest(9, "cheb", standardise=False, beside=("mine", "train"))'
    selection = zstruct.Selection().select("Ti", sample=sampling)
    assert pickle.loads(pickle.dumps(selection)) == selection
    assert repr(selection) == f'Selection().select("Ti", sample={sampling!r})'
    assert zstruct.Selection().select(zstruct.leverage(3, "x")) != selection
    assert hash(zstruct.Selection().select(sampling)) == hash(zstruct.Selection().select(sample=sampling))


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: zstruct.farthest(0, "x"), InputError, "n is a whole number from 1"),
        (lambda: zstruct.farthest(3), ArgumentTypeError, "farthest needs features"),
        (lambda: zstruct.farthest(3, 4), ArgumentTypeError, "features is the name of stored features"),
        (lambda: zstruct.farthest(3, "x", first=-1), InputError, "first is a whole number from 0"),
        (lambda: zstruct.farthest(3, "x", beside=3), ArgumentTypeError, "beside is a label"),
        (lambda: zstruct.leverage(3, "x", rank=0), InputError, "rank is a whole number from 1"),
        (lambda: zstruct.leverage(3, "x", sed=0), ArgumentTypeError, "is it seed?"),
        (lambda: zstruct.leverage(3, "x", standardise=1), ArgumentTypeError, "True or False"),
        (lambda: zstruct.Selection().select(sample="x"), ArgumentTypeError, "sample is what zstruct.farth"),
    ],
)
def test_what_makes_no_sense_is_said(make, error, sentence):
    with pytest.raises(error, match=sentence.replace("?", r"\?")):
        make()


def test_a_sampling_that_is_typed(store, capsys):
    for text in ("nearest:3:x", "farthest:x", "farthest:three:x", "farthest:3:"):
        assert cli.main(["ls", store.path, "--sample", text]) != 0
        assert "write how (farthest or leverage)" in capsys.readouterr().err
