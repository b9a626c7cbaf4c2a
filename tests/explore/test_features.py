"""Stored features beside the fields: lazy, labelled, and always those of the atoms at hand."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr

import zstruct
from zstruct.errors import InputError, StaleGroupError
from zstruct.features import Chebyshev, NeighborList, Structures
from zstruct.store import chunks

CHEB = Chebyshev(["H", "C", "O", "Ti"], 3, 4.0, 2, 3.0)


@pytest.fixture(scope="module")
def featured(path, tmp_path_factory):
    """The labelled structures with features "cheb", their derivatives and a list "near"."""
    out = tmp_path_factory.mktemp("features") / "featured.zarr"
    shutil.copytree(path, out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_CHUNK_ROWS", {"atom": 16, "structure": 4})
        patch.setattr(chunks, "_CHUNKS_PER_SHARD", 2)
        zstruct.featurize(out, CHEB, derivatives=True, name="cheb", dtype="float64", progress=False)
        zstruct.featurize(out, NeighborList(3.0), name="near", progress=False)
    return out


@pytest.fixture(scope="module")
def expected(structures):
    """The features of each structure."""
    packed = Structures.of(structures)
    return np.split(CHEB.compute(packed), packed.offsets[1:-1])


def test_features_are_lazy_and_labelled(featured, expected):
    ds = zstruct.open(featured)
    cheb = ds.zs.features("cheb")
    assert cheb.dims == ("atom", "feature")
    assert cheb.name == "cheb"
    assert cheb.feature.values.tolist() == CHEB.feature_names
    assert cheb.chunks[0] == ds.positions.chunks[0]
    assert json.loads(cheb.attrs["descriptor"]) == CHEB.manifest()
    np.testing.assert_array_equal(cheb, np.concatenate(expected))
    np.testing.assert_array_equal(cheb.sel(feature="rad_1"), np.concatenate(expected)[:, 1])


@pytest.mark.parametrize(
    "pick",
    [
        lambda ds: ds.zs.isel(structure=[7, 3, 30]),
        lambda ds: ds.zs.isel(structure=slice(5, 25)).zs.isel(structure=slice(3, 9)),
        lambda ds: ds.zs.isel(structure=slice(5, 25)).zs.isel(structure=[4, 2, 8]),
        lambda ds: ds.zs.isel(structure=[4, 2, 8, 20]).zs.isel(structure=[3, 0]),
        lambda ds: ds.zs.where(ds.n_atoms > 3),
        lambda ds: ds.zs.where(ds.zs.has("forces")).zs.isel(structure=slice(2, 8)).compute(),
        lambda ds: ds.zs.isel(structure=-1)[["numbers", "frame", "offsets", "n_atoms"]],
        lambda ds: ds.zs.isel(structure=[]),
    ],
)
def test_they_follow_selections_of_structures(featured, expected, pick):
    part = pick(zstruct.open(featured))
    cheb = part.zs.features("cheb")
    of_part = [expected[i] for i in part.frame.values]
    np.testing.assert_array_equal(cheb, np.concatenate([expected[0][:0], *of_part]))
    assert cheb.sizes["atom"] == part.sizes["atom"]


def test_they_go_with_plain_xarray_selections(featured, expected):
    ds = zstruct.open(featured).isel(structure=slice(10, 20)).sortby("n_atoms")
    largest = ds.assign(cheb=ds.zs.features("cheb")).zs.reduce("cheb", "max")
    np.testing.assert_array_equal(largest, [expected[i].max(axis=0) for i in ds.frame.values])


def test_a_variable_made_of_them_is_cut_with_the_rest(featured, expected):
    ds = zstruct.open(featured)
    part = ds.assign(cheb=ds.zs.features("cheb")).zs.isel(structure=[9, 4])
    np.testing.assert_array_equal(part.cheb, np.concatenate([expected[9], expected[4]]))
    np.testing.assert_array_equal(part.cheb, part.zs.features("cheb"))


def test_unknown_names_and_lost_stores_are_explained(featured, ds):
    with pytest.raises(InputError, match="has no set of features 'soap'; it has cheb"):
        zstruct.open(featured).zs.features("soap")
    with pytest.raises(InputError, match="has no set of features 'cheb'; it has none"):
        ds.zs.features("cheb")
    with pytest.raises(InputError, match="no longer knows its store; go back to the one"):
        zstruct.open(featured)[["energy"]].where(ds.n_atoms > 3).zs.features("cheb")
    with pytest.raises(InputError, match=r"pick structures with ds\.zs\.isel or ds\.zs\.where, not atoms"):
        zstruct.open(featured).isel(atom=slice(3)).zs.features("cheb")


def test_a_store_built_anew_is_not_mixed_with_an_old_dataset(featured, tmp_path):
    path = tmp_path / "changing.zarr"
    shutil.copytree(featured, path)
    ds = zstruct.open(path)
    root = path / "zarr.json"
    said = json.loads(root.read_text())
    said["attributes"]["digest"] = "another"
    root.write_text(json.dumps(said))
    with pytest.raises(InputError, match="has other content than when it was opened; open it again"):
        ds.zs.features("cheb")
    with pytest.raises(StaleGroupError, match="made for other content than the store has now"):
        zstruct.open(path).zs.features("cheb")


def test_groups_do_not_show_in_the_dataset(featured, ds):
    assert set(zstruct.open(featured).variables) == set(ds.variables)


def test_plain_xarray_opens_it_as_a_tree(featured, expected):
    with xr.open_datatree(featured, engine="zarr") as tree:
        assert tree.sizes["structure"] == 40
        np.testing.assert_array_equal(tree["features/cheb/values"], np.concatenate(expected))
        near = tree["neighbors/near"]
        assert near["offsets"][-1] == near.sizes["pair"] == near["counts"].sum()
        assert tree["derivatives/cheb"].sizes["pair"] > near.sizes["pair"]


def test_they_are_found_from_another_directory(featured, expected, monkeypatch, tmp_path):
    monkeypatch.chdir(featured.parent)
    ds = zstruct.open(featured.name)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(ds.zs.features("cheb"), np.concatenate(expected))
