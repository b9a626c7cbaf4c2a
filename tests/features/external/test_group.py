"""Features from elsewhere are kept whole, shown, checked, carried along, and served as they were given."""

import json
import shutil

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import zstruct
from tests.conftest import tree_bytes
from tests.features.gaussians import Gaussians, run
from zstruct import InputError, StaleGroupError, StoreExistsError, StoreFormatError
from zstruct.cli import main
from zstruct.errors import ArgumentTypeError, CorruptStoreError
from zstruct.features import add, group_names, open_group


def read(path, name):
    return zstruct.Store(path).read(f"features/{name}/values")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "uint8", "uint32", "bool"])
def test_numbers_are_kept_as_they_are(store, sizes, rng, dtype):
    values = rng.integers(0, 2, (sizes.sum(), 4)).astype(dtype)
    report = add(store, "x", values)
    assert (report.level, report.n_rows, report.n_features, report.dtype) == ("atom", sizes.sum(), 4, dtype)
    found = read(store, "x")
    assert found.dtype == dtype
    assert_array_equal(found, values)
    zstruct.verify(store)


def test_missing_stays_missing_and_statistics_leave_it_out(store, per_atom):
    per_atom[:, 2] = np.nan
    add(store, "x", per_atom)
    assert_array_equal(read(store, "x"), per_atom)
    found = json.loads(json.dumps(open_group(store, "features", "x").attrs["statistics"], allow_nan=False))
    numbers = zstruct.Store(store).read("numbers")
    for symbol, z in {"H": 1, "C": 6, "O": 8, "Ti": 22, "all": None}.items():
        rows = per_atom if z is None else per_atom[numbers == z]
        if not len(rows):
            assert symbol not in found
            continue
        assert found[symbol]["count"] == len(rows)
        assert found[symbol]["missing"] == np.isnan(rows).sum(axis=0).tolist()
        assert found[symbol]["mean"][2] is found[symbol]["max"][2] is None
        for name, function in {
            "mean": np.nanmean,
            "std": np.nanstd,
            "min": np.nanmin,
            "max": np.nanmax,
        }.items():
            np.testing.assert_allclose(found[symbol][name][:2], function(rows[:, :2], axis=0), atol=1e-14)


def test_the_same_again_does_nothing_and_others_need_overwrite(store, per_atom):
    assert add(store, "x", per_atom).added
    before = tree_bytes(store)
    again = add(store, "x", per_atom.tolist())
    assert not again.added
    assert "there already, nothing to do" in str(again)
    assert tree_bytes(store) == before
    changed = per_atom.copy()
    changed[0, 0] = 7.0
    for values, options, why in (
        (changed, {}, "with other values"),
        (per_atom.astype("f4"), {}, "with other values"),
        (per_atom, {"feature_names": ["a", "b", "c"]}, "with other names, or another description"),
        (per_atom, {"description": "new"}, "with other names, or another description"),
    ):
        with pytest.raises(StoreExistsError, match=f"features 'x' already, {why}; pass overwrite=True"):
            add(store, "x", values, **options)
    assert tree_bytes(store) == before
    assert add(store, "x", changed, overwrite=True).added
    assert_array_equal(read(store, "x"), changed)
    assert not store.with_name(store.name + ".featurizing").exists()


def test_the_group_says_what_it_is(store, per_atom):
    add(store, "x", per_atom, feature_names="a b c".split(), description="of a test", dtype="float32")
    group = open_group(store, "features", "x")
    assert group.feature_names == ["a", "b", "c"]
    assert group.level == "atom"
    assert group.is_external
    assert group.manifest["class"] == "External"
    assert group.attrs["description"] == "of a test"
    assert zstruct.Store(store).dtype("features/x/values") == np.float32
    assert group_names(store)["features"] == ["x"]
    for what in ("descriptor", "cutoff"):
        with pytest.raises(InputError, match=f"were added by zstruct.features.add: .* not a {what}"):
            getattr(group, what)


def test_names_of_features(store, per_atom):
    add(store, "x", per_atom)
    add(store, "y", per_atom[:, 0])
    assert open_group(store, "features", "x").feature_names == ["x_0", "x_1", "x_2"]
    assert open_group(store, "features", "y").feature_names == ["y"]
    for wrong in (["a", "b"], ["a", "a", "b"]):
        with pytest.raises(InputError, match="feature_names are 3 different names"):
            add(store, "z", per_atom, feature_names=wrong)


def test_one_name_is_that_of_one_group(store, per_atom):
    run(store, Gaussians(), name="g")
    with pytest.raises(StoreExistsError, match="computed by Gaussians; pass overwrite"):
        add(store, "g", per_atom)
    with pytest.raises(InputError, match="differs from 'G' in case only"):
        add(store, "G", per_atom)
    add(store, "g", per_atom, overwrite=True)
    assert_array_equal(read(store, "g"), per_atom)
    with pytest.raises(StoreExistsError, match="computed by version 1 of External"):
        run(store, Gaussians(), name="g")


def test_a_group_of_other_content_is_stale(store, per_atom, frames, tmp_path):
    pytest.importorskip("torch")
    add(store, "x", per_atom)
    shutil.copytree(store / "features", tmp_path / "kept")
    zstruct.build(frames, store, overwrite=True, progress=False)
    shutil.copytree(tmp_path / "kept", store / "features")
    with pytest.raises(StaleGroupError, match=r"run zstruct.features.add again with overwrite=True"):
        zstruct.ZarrStructureDataset(store, features="x")
    zeros = np.zeros((zstruct.Store(store).n_atoms, 1))
    with pytest.raises(StoreExistsError, match="of other content than the store has now"):
        add(store, "x", zeros)
    add(store, "x", zeros, overwrite=True)
    assert zstruct.ZarrStructureDataset(store, features="x")[0]["features"].sum() == 0


def test_derivatives_are_refused(store, per_atom):
    pytest.importorskip("torch")
    add(store, "x", per_atom)
    with pytest.raises(InputError, match="they have no derivatives"):
        zstruct.ZarrStructureDataset(store, derivatives="x")


def test_a_rewrite_carries_them_along(store, per_atom, sizes, tmp_path):
    add(store, "x", per_atom)
    add(store, "own", [np.full((n % 4, 2), n) for n in sizes], level="row", description="residues")
    out = tmp_path / "small.zarr"
    zstruct.rewrite(store, out, compression="small", progress=False)
    zstruct.verify(out)
    for name in ("x", "own"):
        assert_array_equal(read(out, name), read(store, name))
        assert open_group(out, "features", name).manifest == open_group(store, "features", name).manifest
    assert not add(out, "x", per_atom).added


def test_damage_is_found(store, per_atom, sizes):
    add(store, "own", [np.ones((n % 3, 2)) for n in sizes], level="row")
    document = json.loads((store / "features/own/zarr.json").read_text())
    document["attributes"]["level"] = "atom"
    (store / "features/own/zarr.json").write_text(json.dumps(document))
    with pytest.raises(CorruptStoreError, match="not those of its level"):
        open_group(store, "features", "own")
    document["attributes"]["level"] = "residue"
    (store / "features/own/zarr.json").write_text(json.dumps(document))
    with pytest.raises(CorruptStoreError, match="level = 'residue', which can't be"):
        open_group(store, "features", "own")


def test_a_newer_version_is_told(store, per_atom):
    add(store, "x", per_atom)
    document = json.loads((store / "features/x/zarr.json").read_text())
    document["attributes"]["encoding-version"] = "3.0"
    (store / "features/x/zarr.json").write_text(json.dumps(document))
    with pytest.raises(StoreFormatError, match=r"format version 3.0; this zstruct reads 1.x and 2.x"):
        open_group(store, "features", "x")


def test_shown_by_the_explorer(store, per_atom, sizes, rng):
    per_structure = rng.integers(0, 9, (len(sizes), 2))
    own = [rng.normal(size=(n % 4, 2)) for n in sizes]
    add(store, "x", per_atom, feature_names=["a", "b", "c"])
    add(store, "s", per_structure, description="some numbers")
    add(store, "own", own, level="row")
    edges = np.r_[0, np.cumsum(sizes)]
    whole = zstruct.open(store)
    for ds, which in ((whole, np.arange(11)), (whole.zs.isel([7, 2, 5]), [7, 2, 5])):
        atoms = np.concatenate([per_atom[edges[i] : edges[i + 1]] for i in which])
        assert_array_equal(ds.zs.features("x"), atoms)
        found = ds.zs.features("s")
        assert found.attrs["description"] == "some numbers"
        assert_array_equal(found, per_structure[which])
        assert_array_equal(ds.assign(s=found).s, per_structure[which])
        rows = ds.zs.features("own")
        assert rows.dims == ("row", "feature")
        assert_array_equal(rows, np.concatenate([own[i] for i in which]))
        assert_array_equal(rows.structure, np.repeat(which, [len(own[i]) for i in which]))
    assert_array_equal(whole.zs.features("x").sel(feature="b"), per_atom[:, 1])


def test_the_command_line(store, per_atom, tmp_path, capsys):
    np.save(tmp_path / "x.npy", per_atom)
    options = ["--feature-names", "a,b,c", "--dtype", "float32", "--description", "of a test"]
    assert main(["features-add", str(store), "x", str(tmp_path / "x.npy"), *options]) == 0
    assert "features/x: 50 atoms, 3 features of float32" in capsys.readouterr().out
    assert main(["info", str(store)]) == 0
    assert "features/x: added, 3 features of each atom, float32: of a test" in capsys.readouterr().out
    assert main(["info", "--json", str(store)]) == 0
    said = json.loads(capsys.readouterr().out)["groups"]["features/x"]
    assert said["manifest"]["class"] == "External"
    assert not said["stale"]
    assert main(["features-add", str(store), "x", str(tmp_path / "none.npy")]) == 1
    assert "there is no file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"level": "residue"}, "level is 'atom' or 'structure' or 'row' or None"),
        ({"dtype": "int32"}, "dtype is 'float32' or 'float64' or None"),
        ({"name": "a/b"}, "can't name a group"),
        ({"key": "X"}, "key says which array of a file"),
    ],
)
def test_options_that_make_no_sense(store, per_atom, options, sentence):
    with pytest.raises(InputError, match=sentence):
        add(store, **{"name": "x", "values": per_atom} | options)
    assert group_names(store)["features"] == []


def test_options_of_other_types(store, per_atom):
    with pytest.raises(ArgumentTypeError, match="description is a text, or None"):
        add(store, "x", per_atom, description=3)
    with pytest.raises(ArgumentTypeError, match="overwrite is True or False"):
        add(store, "x", per_atom, overwrite="yes")


def test_what_fails_leaves_nothing(store, per_atom):
    def blocks():
        yield per_atom[:10]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        add(store, "x", blocks(), level="atom")
    assert group_names(store)["features"] == []
    assert not store.with_name(store.name + ".featurizing").exists()
