"""Groups in a store: right whatever the shards, recognised when nothing is to do, refused when stale."""

import json
import shutil
from dataclasses import replace

import ase
import numpy as np
import pytest
import xarray as xr

import zstruct
from tests.conftest import tree_bytes
from tests.features.gaussians import CUTOFF, Gaussians, ordered, reference, run
from tests.test_docs import arguments, parameters
from zstruct import InputError, StaleGroupError, StoreExistsError
from zstruct.features import NeighborList, group_names, open_group, register
from zstruct.store.files import shard_path
from zstruct.store.store import Store
from zstruct.store.write import complete, consolidate_again, write_array


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_features_are_those_of_each_structure_alone(built, structures, dtype):
    report = run(built, Gaussians(), dtype=dtype)
    opened = Store(built)
    expected, _ = reference(structures)
    found = opened.read("features/gaussians/values")
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype == "float32" else 1e-13)
    assert opened.grid("features/gaussians/values").n_shards(len(found)) > 4
    assert report.computed == report.groups == ["features/gaussians"]
    assert (report.n_atoms, report.n_features, report.n_pairs) == (len(expected), 2, None)


def test_derivatives_belong_to_their_pairs(built, structures):
    report = run(built, Gaussians(), True, "g", dtype="float64")
    opened = Store(built)
    group = open_group(opened, "derivatives", "g")
    arrays = {name: opened.read(group.array(name)) for name in group.arrays}
    _, expected = reference(structures)
    edges = np.concatenate([[0], np.cumsum(arrays["counts"])])
    assert report.n_pairs == edges[-1] == sum(len(j) for j, *_ in expected)
    np.testing.assert_array_equal(arrays["offsets"], edges[opened.read("offsets")])
    numbers, first = opened.read("numbers"), np.repeat(opened.read("offsets")[:-1], opened.read("n_atoms"))
    for a, (j, _, vectors, dense) in enumerate(expected):
        rows = slice(edges[a], edges[a + 1])
        ours = group.descriptor.expand(
            {"slopes": arrays["slopes"][rows]},
            numbers[first[a] + arrays["indices"][rows]],
            arrays["vectors"][rows],
        )
        here, there = (
            ordered(arrays["indices"][rows], arrays["vectors"][rows].round(6)),
            ordered(j, vectors.round(6)),
        )
        np.testing.assert_array_equal(arrays["indices"][rows][here], j[there])
        np.testing.assert_allclose(arrays["vectors"][rows][here], vectors[there], atol=1e-12)
        np.testing.assert_allclose(ours[here], dense[there], atol=1e-12)


def test_neighbours_are_those_of_ase(built, structures):
    run(built, NeighborList(CUTOFF))
    opened = Store(built)
    group = open_group(opened, "neighbors", "rc2.5")
    assert (group.cutoff, group.descriptor) == (CUTOFF, None)
    arrays = {name: opened.read(group.array(name)) for name in group.arrays}
    assert arrays["shifts"].dtype == np.int8
    edges = np.concatenate([[0], np.cumsum(arrays["counts"])])
    for a, (j, shifts, _, _) in enumerate(reference(structures)[1]):
        rows = slice(edges[a], edges[a + 1])
        here, there = ordered(arrays["indices"][rows], arrays["shifts"][rows]), ordered(j, shifts)
        np.testing.assert_array_equal(arrays["indices"][rows][here], j[there])
        np.testing.assert_array_equal(arrays["shifts"][rows][here], shifts[there])


def test_large_shifts_get_a_wider_type(tmp_path):
    atoms = ase.Atoms("H2", [[0, 0, 0], [0.5, 0, 300.0]], cell=[4, 4, 1.5], pbc=True)
    zstruct.build([atoms], tmp_path / "s.zarr", progress=False)
    run(tmp_path / "s.zarr", NeighborList(CUTOFF))
    opened = Store(tmp_path / "s.zarr")
    shifts = opened.read("neighbors/rc2.5/shifts")
    assert shifts.dtype == np.int16
    assert abs(shifts).max() >= 200


def test_no_neighbours_at_all(tmp_path):
    zstruct.build([ase.Atoms("H"), ase.Atoms("O")], tmp_path / "s.zarr", progress=False)
    run(tmp_path / "s.zarr", Gaussians(), True)
    opened = Store(tmp_path / "s.zarr")
    assert opened.shape("derivatives/gaussians/slopes") == (0, 2)
    assert opened.read("derivatives/gaussians/offsets").tolist() == [0, 0, 0]
    assert not opened.read("features/gaussians/values").any()
    zstruct.verify(tmp_path / "s.zarr")


def test_derivatives_only_where_forces_are(built, structures):
    run(built, Gaussians(), True, "all", dtype="float64")
    report = run(built, Gaussians(), True, "some", only="forces", dtype="float64")
    opened = Store(built)
    has = np.array([atoms.calc is not None for atoms in structures])
    pairs = np.diff(opened.read("derivatives/all/offsets"))
    np.testing.assert_array_equal(np.diff(opened.read("derivatives/some/offsets")), np.where(has, pairs, 0))
    assert 0 < report.n_pairs < pairs.sum()
    keep = np.repeat(has, pairs)
    for name in ("indices", "vectors", "slopes"):
        ours, every = (opened.read(f"derivatives/{group}/{name}") for group in ("some", "all"))
        np.testing.assert_array_equal(ours, every[keep])
    zstruct.verify(built)


def test_statistics_are_those_of_what_is_stored(built):
    run(built, Gaussians())
    opened = Store(built)
    values, numbers = opened.read("features/gaussians/values").astype(float), opened.read("numbers")
    found = open_group(opened, "features", "gaussians").attrs["statistics"]
    assert list(found) == ["all", "H", "C", "O", "Ti"]
    for symbol, said in found.items():
        rows = values if symbol == "all" else values[numbers == ase.Atom(symbol).number]
        assert said["count"] == len(rows)
        for name in ("mean", "std", "min", "max"):
            np.testing.assert_allclose(said[name], getattr(rows, name)(axis=0), rtol=1e-12)


def test_the_rest_of_the_store_stays_as_it_is(built):
    before = tree_bytes(built)
    plain = xr.open_zarr(built)
    run(built, Gaussians(), True)
    run(built, NeighborList(CUTOFF))
    after = tree_bytes(built)
    assert {name: after[name] for name in before if name != "zarr.json"} == {
        name: before[name] for name in before if name != "zarr.json"
    }
    old, new = json.loads(before["zarr.json"]), json.loads(after["zarr.json"])
    assert old["attributes"] == new["attributes"]
    assert xr.open_zarr(built).equals(plain)
    tree = xr.open_datatree(built, engine="zarr")
    assert tree["features/gaussians"]["values"].dims == ("atom", "feature")
    assert {"derivatives", "features", "neighbors"} <= set(tree.children)
    zstruct.verify(built)


def test_arrays_are_read_without_zarr(built):
    run(built, Gaussians(), True)
    run(built, NeighborList(CUTOFF))
    opened = Store(built)
    for kind, names in group_names(opened).items():
        for name in names:
            paths = opened.array_names(f"{kind}/{name}")
            assert paths
            assert all(opened.profile(path) is not None for path in paths)


def test_nothing_is_done_twice(built, monkeypatch):
    run(built, Gaussians())
    before = tree_bytes(built)

    def fail(task):
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr("zstruct.features.featurize_groups.do_atoms", fail)
        report = run(built, Gaussians())
    assert (report.computed, report.groups) == ([], ["features/gaussians"])
    assert "nothing to do" in str(report)
    assert tree_bytes(built) == before
    report = run(built, Gaussians(), True)
    assert report.computed == ["derivatives/gaussians"]
    assert not built.with_name("s.zarr.featurizing").exists()


def test_another_group_of_the_name_is_refused_or_replaced(built):
    run(built, Gaussians(), True)
    for kwargs, reason in (
        ({"descriptor": Gaussians((0.5,))}, r"by version 1 of Gaussians with \{'knows_titanium'"),
        ({"dtype": "float64"}, "as float32"),
        ({"derivatives": True, "only": "forces"}, "derivatives 'gaussians' already, computed with only=None"),
    ):
        with pytest.raises(StoreExistsError, match=reason):
            run(built, **{"descriptor": Gaussians()} | kwargs)
    run(built, Gaussians((0.5,)), overwrite=True)
    assert Store(built).shape("features/gaussians/values")[1] == 1
    assert open_group(built, "features", "gaussians").descriptor == Gaussians((0.5,))
    zstruct.verify(built)
    assert not built.with_name("s.zarr.featurizing").exists()


def test_a_rebuilt_store_has_no_groups_and_stale_ones_are_refused(built, structures, tmp_path):
    run(built, Gaussians())
    shutil.copytree(built / "features", tmp_path / "features")
    zstruct.build(structures[:5], built, overwrite=True, progress=False)
    assert group_names(built) == {"features": [], "derivatives": [], "neighbors": []}
    shutil.copytree(tmp_path / "features", built / "features")
    consolidate_again(built, tmp_path)
    with pytest.raises(StaleGroupError, match="made for other content than the store has now; run zstr"):
        open_group(built, "features", "gaussians")
    with pytest.raises(StoreExistsError, match="from other content than the store has now; pass overwrite"):
        run(built, Gaussians())
    zstruct.verify(built)
    run(built, Gaussians(), overwrite=True)
    np.testing.assert_allclose(
        Store(built).read("features/gaussians/values"), reference(structures[:5])[0], rtol=1e-6
    )


def test_groups_that_are_not_there_are_named(built):
    with pytest.raises(InputError, match="no set of features 'chebyshev'; it has none; make one with"):
        open_group(built, "features", "chebyshev")
    run(built, Gaussians())
    with pytest.raises(InputError, match="no set of features 'chebyshev'; it has gaussians"):
        open_group(built, "features", "chebyshev")
    with pytest.raises(InputError, match="a kind of group is one of features, derivatives, neighbors"):
        open_group(built, "feature", "gaussians")


def test_an_unknown_element_is_named_with_its_structure(built, structures):
    before = tree_bytes(built)
    lost = {k for k, atoms in enumerate(structures) if 22 in atoms.numbers and len(atoms) > 1}
    with pytest.raises(InputError, match=r"^structure \d+ has Ti") as caught:
        run(built, Gaussians(knows_titanium=False), workers=1)
    assert int(str(caught.value).split()[1]) in lost
    assert tree_bytes(built) == before
    assert not built.with_name("s.zarr.featurizing").exists()


def test_features_that_are_not_finite_are_refused(built):
    def odd(structures, neighbors):
        return np.where(structures.numbers[neighbors.start :][: len(neighbors), None] == 22, np.nan, 1.0)

    descriptor = register(odd, cutoff=2.0, feature_names=["odd"])
    with pytest.raises(InputError, match=r"structure \d+ has features that are not finite"):
        run(built, descriptor)


def test_a_function_is_stored_and_found_again(built, structures):
    def crowd(structures, neighbors, power):
        return np.diff(neighbors.offsets)[:, None] ** power

    descriptor = register(crowd, cutoff=CUTOFF, feature_names=["n"], parameters={"power": 2})
    run(built, descriptor)
    group = open_group(built, "features", "crowd")
    assert group.descriptor is descriptor
    assert group.feature_names == ["n"]
    expected = [len(j) ** 2 for j, *_ in reference(structures)[1]]
    assert group.store.read(group.array("values"))[:, 0].tolist() == expected
    register(crowd, cutoff=CUTOFF, feature_names=["n"], parameters={"power": 2}, version=2)
    with pytest.raises(InputError, match="made by version 1 of crowd, and here is version 2"):
        _ = open_group(built, "features", "crowd").descriptor


@pytest.mark.parametrize(
    ("descriptor", "options", "message"),
    [
        ("chebyshev", {}, "by a Descriptor or a NeighborList, not by 'chebyshev'"),
        (NeighborList(3.0), {"derivatives": True}, "a NeighborList has no derivatives"),
        (Gaussians(), {"dtype": "float16"}, "dtype is 'float32' or 'float64', not 'float16'"),
        (Gaussians(), {"only": "forces"}, "pass derivatives=True"),
        (Gaussians(), {"derivatives": True, "only": "energy"}, "only is 'forces' or None"),
        (Gaussians(), {"name": "../evil"}, "can't name a group"),
        (Gaussians(), {"name": "long" * 60}, "can't name a group"),  # of a directory, it would be too long
        (Gaussians(), {"name": 5}, "5 can't name a group"),
        (Gaussians(), {"workers": 0}, "workers is a whole number from 1"),
    ],
)
def test_arguments_that_make_no_sense(built, descriptor, options, message):
    with pytest.raises(InputError, match=message):
        run(built, descriptor, **options)


def test_a_function_has_no_derivatives(built):
    descriptor = register(lambda s, n: np.ones((len(n), 1)), "ones", cutoff=2.0, feature_names=["one"])
    with pytest.raises(InputError, match="the descriptor ones has no derivatives"):
        run(built, descriptor, True)


def test_a_cluster_makes_the_same_bytes(built, tmp_path, cluster):
    local, remote = tmp_path / "local.zarr", tmp_path / "remote.zarr"
    for out in (local, remote):
        shutil.copytree(built, out)
    cluster.run(lambda: None)
    run(remote, Gaussians(), True)  # the active client
    run(local, Gaussians(), True, workers=2)
    assert tree_bytes(local) == tree_bytes(remote)


def test_a_link_to_a_store_will_do(built, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.zarr"
    link.symlink_to(built)
    run(link, Gaussians())
    assert group_names(built)["features"] == ["gaussians"]
    assert [file.name for file in link.parent.iterdir()] == ["link.zarr"]


def test_threads_do_not_change_the_bytes(built, tmp_path, monkeypatch):
    monkeypatch.setattr("zstruct.geometry.pieces._SHARE", 4)
    made = []
    for n in (1, 7):
        out = tmp_path / f"{n}.zarr"
        shutil.copytree(built, out)
        run(out, Gaussians(), True, workers=n)
        made.append(tree_bytes(out))
    assert made[0] == made[1]


# Verifying.


def _damaged(path, array, change):
    """Write an array of a group anew, changed, with digests that fit."""
    opened, group = Store(path), array.rpartition("/")[0]
    written = []
    for name in opened.array_names(group):
        values = opened.read(name)
        if name == array:
            change(values)
        spec = replace(opened.profile(name), path=name.removeprefix(f"{group}/"))
        written.append(write_array(path / group, spec, values))
    complete(path / group, {}, written)
    consolidate_again(path, path.parent)


def _far(values):
    values[3] = 1000


def _more(values):
    values[0] += 1


@pytest.mark.parametrize(
    ("array", "change", "message"),
    [
        ("indices", _far, "indices has neighbours outside their structures"),
        ("counts", _more, "offsets does not agree with its counts"),
        ("offsets", _more, "offsets does not agree with its counts"),
    ],
)
def test_pairs_that_make_no_sense_are_found(small, array, change, message):
    run(small, Gaussians(), True)
    zstruct.verify(small)
    _damaged(small, f"derivatives/gaussians/{array}", change)
    with pytest.raises(zstruct.CorruptStoreError, match=message):
        zstruct.verify(small)


def test_a_flipped_bit_in_a_group_is_found(small):
    run(small, Gaussians())
    shard = shard_path(small, "features/gaussians/values", 1, 2)
    good = bytearray(shard.read_bytes())
    good[40] ^= 1
    shard.write_bytes(good)
    with pytest.raises(zstruct.CorruptStoreError, match="features/gaussians/values"):
        zstruct.verify(small)


def test_the_docstring_names_the_arguments():
    assert parameters(zstruct.featurize) == arguments(zstruct.featurize)
    assert parameters(register) == arguments(register)


def test_a_remote_store_is_refused_before_a_server_is_asked():
    with pytest.raises(InputError, match=r"local directories only, not into s3://nowhere/x\.zarr"):
        zstruct.featurize("s3://nowhere/x.zarr", Gaussians(), progress=False)
