"""What xarray writes of a Dataset: netCDF and Zarr that read back, and no store that is none."""

import warnings

import numpy as np
import pytest
import xarray as xr

import zstruct

ENGINES = ["scipy", "netcdf4", "h5netcdf"]
MODULES = {"scipy": "scipy", "netcdf4": "netCDF4", "h5netcdf": "h5netcdf"}


@pytest.mark.filterwarnings("ignore:variable .* has data in the form of a dask array with dtype=object")
@pytest.mark.parametrize("engine", ENGINES)
def test_netcdf(ds, path, structures, tmp_path, engine):
    pytest.importorskip(MODULES[engine])
    file = tmp_path / "x.nc"

    ds.to_netcdf(file, engine=engine)

    with xr.open_dataset(file, engine=engine) as back:
        assert back.attrs.keys() == ds.attrs.keys()
        assert set(back.coords) == set(ds.coords)
        for name in ("energy", "positions", "forces", "numbers", "n_atoms", "offsets", "structure", "R2"):
            np.testing.assert_array_equal(back[name], ds[name])
            assert back[name].attrs.get("units") == ds[name].attrs.get("units")
        assert back.config_type.values.tolist() == ds.config_type.fillna("").values.tolist()
        again = back.zs.isel([7, 2]).zs.to_ase()
        for atoms, i in zip(again, (7, 2), strict=True):
            assert atoms.get_potential_energy() == structures[i].calc.results["energy"]
            assert atoms.positions.tolist() == structures[i].positions.tolist()


@pytest.mark.parametrize(
    "make", [lambda ds: ds.zs.isel([3, 1]), lambda ds: ds.drop_dims("atom"), lambda ds: ds.energy]
)
@pytest.mark.filterwarnings("ignore:variable .* has data in the form of a dask array with dtype=object")
def test_parts_and_arrays_go_to_netcdf(ds, tmp_path, make):
    pytest.importorskip("scipy")
    part = make(ds)

    part.to_netcdf(tmp_path / "x.nc", engine="scipy")

    with xr.open_dataset(tmp_path / "x.nc", engine="scipy") as back:
        np.testing.assert_array_equal(back.energy, ds.energy[part.structure.values])


@pytest.mark.filterwarnings("ignore:variable .* has data in the form of a dask array with dtype=object")
def test_zarr_reads_back_and_is_no_store(ds, structures, tmp_path):
    copy = tmp_path / "copy.zarr"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*Zarr V3 specification")
        ds.zs.isel([9, 4]).to_zarr(copy, zarr_format=3, consolidated=False)

    back = xr.open_zarr(copy, consolidated=False)
    assert back.energy.values.tolist() == [structures[i].calc.results["energy"] for i in (9, 4)]
    assert back.zs.to_ase(1).positions.tolist() == structures[4].positions.tolist()
    for call in (zstruct.open, zstruct.Store, zstruct.verify, zstruct.StructureReader):
        with pytest.raises(
            zstruct.StoreFormatError, match=r"written by xarray.*xarray\.open_zarr.*zstruct\.build\("
        ):
            call(copy)


def test_the_way_to_a_store_of_a_part(ds, structures, tmp_path):
    zstruct.build(ds.zs.isel([9, 4]).zs.to_ase(), tmp_path / "part.zarr", progress=False)

    part = zstruct.open(tmp_path / "part.zarr")
    assert part.energy.values.tolist() == [structures[i].calc.results["energy"] for i in (9, 4)]
    assert part.zs.to_ase(0).positions.tolist() == structures[9].positions.tolist()


def test_attributes_are_text_and_numbers(ds):
    allowed = str | int | float | list
    every = [*ds.attrs.values(), *(value for v in ds.variables.values() for value in v.attrs.values())]
    assert all(isinstance(value, allowed) and not isinstance(value, bool) for value in every)
    assert all(isinstance(x, int | float) for value in every if isinstance(value, list) for x in value)
