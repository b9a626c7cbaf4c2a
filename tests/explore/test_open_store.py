import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import zstruct
from zstruct.store.store import Store


def test_has_the_variables_of_the_store(ds, path):
    store = Store(path)

    labels = {
        "n_atoms",
        "offsets",
        "formula",
        "source",
        "frame",
        "config_type",
        "numbers",
        *store.presence.values(),
    }
    assert set(ds.data_vars) == set(store.columns) - labels
    assert set(ds.coords) == {*labels, "structure", "xyz", "cell_vector"}
    assert ds.sizes["structure"] == store.n_structures
    assert ds.sizes["atom"] == store.n_atoms
    assert {key: ds.attrs[key] for key in ("n_structures", "n_atoms", "digest")} == {
        key: store.attrs[key] for key in ("n_structures", "n_atoms", "digest")
    }
    assert json.loads(ds.attrs["species"]) == store.attrs["species"]
    assert json.loads(ds.attrs["build"]) == store.attrs["build"]
    assert list(ds.attrs)[:3] == ["n_structures", "n_atoms", "species"]
    assert list(ds.attrs)[-1].endswith("digest")
    for name, field in store.fields.items():
        assert ds[name].dims == field.dims
        assert ds[name].attrs["long_name"] == field.description
        assert ds[name].attrs.get("units", "") == field.unit


def test_numbers_are_those_of_the_store(ds, path):
    store = Store(path)

    for name, field in store.fields.items():
        if field.kind != "category":
            np.testing.assert_array_equal(ds[name].values, store.read(name))
    np.testing.assert_array_equal(ds.offsets.values, store.read("offsets")[:-1])
    np.testing.assert_array_equal(ds.n_atoms.values, store.read("n_atoms"))


def test_chunks_are_whole_shards(path):
    store = Store(path)

    ds = zstruct.open(path, chunks={})
    chunked = [name for name in ds.data_vars if ds[name].chunks is not None]

    assert {"forces", "positions", "energy", "site"} <= set(chunked)
    for name in chunked:
        shard = store.grid(name).shard_rows
        assert shard < len(ds[name])
        assert all(rows % shard == 0 for rows in ds[name].chunks[0][:-1])
    assert ds.energy.chunks == ds.n_k.chunks
    assert ds.positions.chunks[0] == ds.forces.chunks[0] == ds.site.chunks[0]


def test_wide_rows_get_smaller_chunks_but_whole_shards(path, monkeypatch):
    monkeypatch.setattr(zstruct.explore.chunks, "_CHUNK_BYTES", 8 * 8 * 5)
    grid = Store(path).grid("spectrum")

    ds = zstruct.open(path, chunks={})

    assert ds.spectrum.chunks[0][0] == grid.shard_rows


def test_opening_and_showing_reads_no_data(path, tmp_path):
    bare = tmp_path / "bare.zarr"
    shutil.copytree(path, bare)
    for shard in bare.rglob("c/**/*"):
        if shard.is_file():
            shard.write_bytes(b"")

    ds = zstruct.open(bare)

    assert "positions" in repr(ds)
    assert "config_type" in ds._repr_html_()


def test_axes_are_labelled(ds):
    assert ds.positions.sel(xyz="z").dims == ("atom",)
    assert ds.cell.cell_vector.values.tolist() == ["a", "b", "c"]
    assert ds.structure.values.tolist() == list(range(40))
    assert "voigt" not in ds.coords


def test_codes_are_shown_as_texts(ds, structures):
    expected = [atoms.info.get("config_type", np.nan) for atoms in structures]

    assert [type(text) for text in ds.config_type.values] == [type(text) for text in expected]
    assert ds.config_type[7].item() == expected[7]
    assert ds.config_type[[9, 2, 2]].values.tolist() == [expected[i] for i in (9, 2, 2)]
    assert ds.config_type[::-3].fillna("").values.tolist() == [
        text if isinstance(text, str) else "" for text in expected[::-3]
    ]
    assert (ds.config_type == "bulk").values.tolist() == [text == "bulk" for text in expected]
    assert ds.config_type.isnull().values.tolist() == [text is np.nan for text in expected]
    assert ds.source.values.tolist() == ["atoms"] * len(structures)


def test_texts_of_atoms_are_dask_arrays(ds, structures):
    expected = np.concatenate(
        [atoms.arrays.get("site", np.full(len(atoms), "")).astype(object) for atoms in structures]
    )

    assert ds.site.chunks is not None
    np.testing.assert_array_equal(ds.site.fillna("").values, expected)
    np.testing.assert_array_equal((ds.site == "edge").values, expected == "edge")
    np.testing.assert_array_equal(ds.site.isnull().values, expected == "")
    assert ds.site.isnull().any()


def test_groupby_takes_texts_and_passes_over_missing_ones(ds, structures):
    means = ds.energy.groupby(ds.config_type).mean()

    groups = {}
    for atoms in structures:
        if "config_type" in atoms.info:
            groups.setdefault(atoms.info["config_type"], []).append(atoms.calc.results["energy"])
    assert means.config_type.values.tolist() == sorted(groups)
    for label, energies in groups.items():
        assert float(means.sel(config_type=label)) == pytest.approx(np.mean(energies))


def test_parts_of_a_groupby_keep_their_atoms(ds, structures):
    for label, part in ds.groupby("config_type"):
        members = [atoms for atoms in structures if atoms.info.get("config_type") == label]
        assert part.zs.formula.values.tolist() == [a.get_chemical_formula("hill") for a in members]


def test_pickles(ds, structures):
    copy = pickle.loads(pickle.dumps(ds))

    xr.testing.assert_identical(copy.compute(), ds.compute())


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("x")])
def test_refuses_what_is_no_store(tmp_path, make):
    path = tmp_path / "x.zarr"
    make(path)

    with pytest.raises(zstruct.StoreFormatError, match=r"can't open the store .*x\.zarr"):
        zstruct.open(path)


def test_refuses_another_zarr_group(tmp_path):
    path = tmp_path / "other.zarr"
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(path, zarr_format=3, consolidated=False)

    with pytest.raises(zstruct.StoreFormatError, match="not a zstruct store"):
        zstruct.open(path)


def test_opens_urls(ds, path):
    again = zstruct.open(f"file://{path}")

    assert again.energy.values.tolist() == ds.energy.values.tolist()
    assert again.config_type.values.tolist() == ds.config_type.values.tolist()
    with pytest.raises(zstruct.StoreFormatError, match="no such file"):
        zstruct.open("memory://nowhere.zarr")


def test_says_which_package_a_url_needs(monkeypatch):
    def fail(*args, **kwargs):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("zarr.open_group", fail)

    with pytest.raises(zstruct.MissingExtraError, match=r"s3://bucket/x\.zarr: Install s3fs"):
        zstruct.open("s3://bucket/x.zarr")


def test_damage_is_reported_with_the_name_of_the_array(path, tmp_path):
    bad = tmp_path / "bad.zarr"
    shutil.copytree(path, bad)
    shard = next(f for f in (bad / "forces" / "c").rglob("*") if f.is_file())
    content = bytearray(shard.read_bytes())
    content[20] ^= 1
    shard.write_bytes(content)

    ds = zstruct.open(bad)

    assert ds.positions.notnull().all()
    with pytest.raises(zstruct.CorruptStoreError, match=r"bad\.zarr: rows .* of forces can't be decoded"):
        ds.forces.compute()


def test_the_accessor_says_what_it_can_do(ds):
    assert f"{ds.sizes['structure']} structures" in repr(ds.zs)
    assert "to_ase" in repr(ds.zs)


def test_a_store_with_a_missing_shard_is_not_shown_as_fill_values(path, tmp_path):
    half = tmp_path / "half.zarr"
    shutil.copytree(path, half)
    shutil.rmtree(half / "forces" / "c")

    with pytest.raises(zstruct.CorruptStoreError, match="of forces are missing"):
        zstruct.open(half)


def test_importing_stays_light():
    code = "import sys, zstruct.explore; print({'torch', 'numba', 'ase', 'matplotlib'} & set(sys.modules))"

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "set()"


def test_a_store_of_version_0_1_shows_what_a_new_one_does(tmp_path):
    shutil.unpack_archive(Path(__file__).parents[1] / "data" / "store-0.1.zip", tmp_path)
    ds = zstruct.open(tmp_path / "store-0.1.zarr")

    atoms = ds.zs.to_ase()

    assert ds.attrs["encoding-version"] == "1.0"
    assert ds.formula.values.tolist() == [a.get_chemical_formula("hill") for a in atoms]
    assert ds.formula[[1, 0]].values.tolist() == ds.formula.values[[1, 0]].tolist()
    assert ds.zs.to_dataframe().formula.tolist() == ds.formula.values.tolist()
    assert len(ds.energy.groupby("formula").mean()) == len(set(ds.formula.values))


def test_integers_that_some_structures_lack_stay_exact(tmp_path, structures):
    frames = [atoms.copy() for atoms in structures[:4]]
    frames[0].info["ident"] = 2**60 + 1
    frames[2].info["ident"] = -(2**60) - 1
    frames[1].info["ok"] = True
    zstruct.build(frames, tmp_path / "x.zarr", progress=False)

    ds = zstruct.open(tmp_path / "x.zarr")

    assert ds.ident.dtype == np.int64
    assert ds.ident[ds.has_ident].values.tolist() == [2**60 + 1, -(2**60) - 1]
    assert "has_ident" in ds.coords
    assert ds.zs.has("ident").values.tolist() == [True, False, True, False]
    assert ds.zs.has("ok").values.tolist() == [False, True, False, False]
    assert ds.ok.where(ds.has_ok).isnull().values.tolist() == [True, False, True, True]
    part = ds.zs.isel([3, 2])
    assert [a.info.get("ident") for a in part.zs.to_ase()] == [None, -(2**60) - 1]
    table = part.zs.to_dataframe()
    assert table.ident.isna().tolist() == [True, False]
    assert table.ident.iloc[1] == -(2**60) - 1
