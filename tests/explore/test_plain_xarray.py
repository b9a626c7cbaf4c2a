"""A store is a plain Zarr group: xarray alone must make sense of it, without a warning."""

import numpy as np
import pytest
import xarray as xr

from zstruct.schema import FIELDS


@pytest.fixture(params=[None, {}], ids=["numpy", "dask"])
def plain(path, request):
    return xr.open_zarr(path, chunks=request.param)


with_dask_at_length = pytest.mark.parametrize(
    "plain", [None, pytest.param({}, marks=pytest.mark.long)], ids=["numpy", "dask"], indirect=True
)


def test_dimensions(plain, structures):
    assert plain.sizes["structure"] == len(structures)
    assert plain.sizes["atom"] == sum(map(len, structures))
    assert plain.sizes["structure_edge"] == len(structures) + 1
    for name in ("numbers", "positions", "forces", "cell", "pbc", "energy", "frame"):
        assert plain[name].dims == FIELDS[name].dims
    assert plain.spectrum.dims == ("structure", "spectrum_component")
    assert plain.n_atoms.attrs["sample_dimension"] == "atom"


def test_dtypes_and_units(plain):
    for name in ("numbers", "positions", "forces", "cell", "pbc", "energy", "frame"):
        assert plain[name].dtype == FIELDS[name].dtype
        assert plain[name].attrs.get("units", "") == FIELDS[name].unit
        assert plain[name].attrs["long_name"] == FIELDS[name].description
    assert plain.config_type.dtype == np.int32
    assert plain.offsets.dtype == np.int64


@with_dask_at_length
def test_values(plain, structures):
    edges = plain.offsets.values

    for i, atoms in enumerate(structures):
        mine = plain.isel(structure=i, atom=slice(edges[i], edges[i + 1]))
        np.testing.assert_array_equal(mine.numbers, atoms.numbers)
        np.testing.assert_array_equal(mine.positions, atoms.positions)
        np.testing.assert_array_equal(mine.cell, atoms.cell)
        assert mine.energy.values == atoms.calc.results["energy"]


def test_missing_is_nan_or_minus_one(plain, structures):
    forces = np.repeat(["forces" in atoms.calc.results for atoms in structures], plain.n_atoms.values)
    labelled = np.array(["config_type" in atoms.info for atoms in structures])

    np.testing.assert_array_equal(plain.forces.isnull().all("xyz").values, ~forces)
    np.testing.assert_array_equal(plain.config_type.values == -1, ~labelled)
    np.testing.assert_array_equal(plain[plain.n_k.attrs["ancillary_variables"]].values, labelled)


@with_dask_at_length
def test_can_be_written_again(plain, tmp_path):
    plain.drop_encoding().to_zarr(tmp_path / "copy.zarr", zarr_format=3, consolidated=False)

    copy = xr.open_zarr(tmp_path / "copy.zarr", consolidated=False)
    xr.testing.assert_equal(copy.compute(), plain.compute())
