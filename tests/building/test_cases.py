"""Small inputs that once went wrong, built whole: what their properties mean. Values by hand."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
import xarray as xr

import zstruct
from zstruct.errors import InputError

CASES = Path(__file__).parents[1] / "data" / "cases"


def build(tmp_path, *names, **options):
    inputs = [CASES / name if isinstance(name, str) else name for name in names]
    report = zstruct.build(inputs, tmp_path / "x.zarr", progress=False, **options)
    return zstruct.open(tmp_path / "x.zarr"), report


def test_keys_in_capitals(tmp_path):
    ds, _ = build(tmp_path, "gpumd_capitals.xyz")
    assert ds.energy.values.tolist() == [-1.0]
    assert ds.forces.values.tolist() == [[0.1, 0, 0], [-0.1, 0, 0]]
    assert ds.stress.values[0] == pytest.approx([-0.01, -0.01, -0.01, 0, 0, 0])
    assert ds.config_type.values.tolist() == ["md"]
    assert ds.weight.values.tolist() == [0.5]


def test_keys_that_differ_only_in_case(tmp_path):
    ds, report = build(tmp_path, "case_twin.xyz")
    assert ds.config_type.values.tolist() == ["a"]
    (other,) = [name for name in ds.variables if "config_type" in name.lower() and name != "config_type"]
    assert ds[other].values.tolist() == ["b"]
    assert other.casefold() != "config_type"
    assert report.remarks == {}
    plain = xr.open_zarr(tmp_path / "x.zarr")
    assert {"config_type", other} <= set(plain.variables)


def test_unknown_keys_that_differ_only_in_case(tmp_path):
    file = tmp_path / "a.xyz"
    file.write_text("1\nProperties=species:S:1:pos:R:3 Foo=1 foo=2 FOO=x\nH 0 0 0\n")
    ds, _ = build(tmp_path, file)
    found = {name: ds[name].values.tolist() for name in ds.variables if "foo" in name.lower()}
    assert sorted(map(str, np.ravel(list(found.values())))) == ["1", "2", "x"]
    assert len({name.casefold() for name in found}) == 3


def test_infinite_stress_of_molecules(tmp_path):
    ds, report = build(tmp_path, "inf_stress_no_cell.xyz", "same_stress_9_and_6.xyz")
    assert np.isnan(ds.stress.values[0]).all()
    assert ds.stress.values[1].tolist() == [1, 2, 3, 4, 5, 6]
    assert ds.forces.values[0].tolist() == [0.1, 0, 0]
    assert report.coverage["stress"] == 1
    said = "1 structure: the stress is infinite and there is no cell, so no volume: taken as missing"
    assert said in str(report).splitlines()


def test_stress_alone_that_is_infinite(tmp_path):
    ds, report = build(tmp_path, "inf_stress_no_cell.xyz")
    assert "stress" not in ds
    assert sum(report.remarks.values()) == 1


def test_one_tensor_in_nine_and_six_numbers(tmp_path):
    ds, _ = build(tmp_path, "same_stress_9_and_6.xyz")
    assert ds.stress.values.tolist() == [[1, 2, 3, 4, 5, 6]]
    assert ds.energy.values.tolist() == [-1.0]
    assert not [name for name in ds.variables if "dft" in str(name)]


def test_stress_and_virial_with_opposite_signs(tmp_path):
    for on_error in ("raise", "skip"):
        with pytest.raises(
            InputError,
            match=r"frame 0: the stress .* opposite signs; .*=\['stress'\] or exclude=\['virial'\]",
        ):
            build(tmp_path, "stress_virial_contradict.xyz", on_error=on_error)
    ds, _ = build(tmp_path, "stress_virial_contradict.xyz", exclude=["virial"])
    assert ds.stress.values[0] == pytest.approx([0.1, 0.1, 0.1, 0, 0, 0])


def test_left_handed_cells(tmp_path):
    ds, report = build(tmp_path, "left_handed.xyz")
    assert ds.cell.values[0].tolist() == [[0, 5, 0], [5, 0, 0], [0, 0, 5]]
    assert ds.zs.volume.values.tolist() == [pytest.approx(125.0)]
    assert report.n_skipped == 0
    assert zstruct.open(tmp_path / "x.zarr").zs.to_ase()[0].get_volume() == pytest.approx(125.0)


@pytest.mark.parametrize("reader", [None, "ase:extxyz"])
def test_a_lattice_of_zeros(tmp_path, reader):
    ds, _ = build(tmp_path, "quip_zero_lattice.xyz", reader=reader)
    assert not ds.cell.values.any()
    assert not ds.pbc.values.any()
    assert ds.energy.values.tolist() == [-1.0]


def test_a_lattice_of_zeros_in_other_containers(tmp_path):
    atoms = ase.io.read(CASES / "quip_zero_lattice.xyz")
    assert atoms.pbc.all()
    ase.io.write(tmp_path / "a.traj", atoms)
    ase.io.write(tmp_path / "a.db", atoms)
    zstruct.build([atoms], tmp_path / "memory.zarr", progress=False)
    ds, report = build(tmp_path, tmp_path / "a.traj", tmp_path / "a.db")
    assert not ds.pbc.values.any()
    assert not zstruct.open(tmp_path / "memory.zarr").pbc.values.any()
    assert report.remarks == {"periodic, but without any lattice vector: taken as not periodic": 2}


def test_float32_never_makes_an_infinity(tmp_path):
    file = tmp_path / "large.xyz"
    frame = "1\nProperties=species:S:1:pos:R:3:forces:R:3 energy=1e39\nH 0 0 0 {} 0 0\n"
    file.write_text(frame.format("1e38") + frame.format("1e39"))
    with pytest.raises(InputError, match=r"large.xyz, frame 1: forces: a value such as 1e\+39 is too large"):
        build(tmp_path, file, encoding="float32")
    ds, report = build(tmp_path, file, encoding="float32", on_error="skip")
    assert (ds.forces.dtype, ds.forces.values.max()) == (np.float32, np.float32(1e38))
    assert (ds.energy.values.tolist(), report.n_skipped) == ([1e39], 1)
