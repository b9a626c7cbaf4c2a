"""What a browser maps are the structures of the store."""

import base64

import numpy as np
import pytest

import zstruct
from zstruct.reporting.points import Column, points_of
from zstruct.stats.scan import Part


@pytest.fixture
def made(path):
    places = np.array([1, 4, 5, 58])
    return points_of(Part.of(path), places, [(Column("x", "x (Å)"), np.arange(4.0))]), places


def test_positions_forces_and_cells(made, structures):
    points, places = made
    arrays = points.arrays
    assert arrays["structure"].tolist() == places.tolist()
    for k, place in enumerate(places):
        atoms = structures[place]
        rows = slice(arrays["offsets"][k], arrays["offsets"][k + 1])
        assert arrays["numbers"][rows].tolist() == atoms.numbers.tolist()
        low, edge = arrays["boxes"][k, :3], arrays["boxes"][k, 3]
        found = low + edge / 65_535 * arrays["positions"][rows]
        assert np.abs(found - atoms.positions).max() < edge / 65_535
        assert points.about["formulas"][arrays["formula"][k]] == atoms.get_chemical_formula("hill")
        np.testing.assert_allclose(arrays["cells"][k].reshape(3, 3), atoms.cell.array, rtol=1e-6)
        assert arrays["periodic"][k] == (7 if atoms.pbc.all() else 0)
        forces = atoms.calc.results.get("forces")
        if forces is None:
            assert np.isnan(arrays["force_scales"][k])
        else:
            near = arrays["force_scales"][k] / 32_767
            assert np.abs(arrays["forces"][rows] * near - forces).max() < near


def test_bytes_are_little_endian(made):
    points, _ = made
    encoded = points.encoded()
    for name, array in points.arrays.items():
        assert base64.b64decode(encoded[name]) == array.astype(array.dtype.newbyteorder("<")).tobytes()
    assert points.about["columns"] == [{"key": "x", "label": "x (Å)", "log": False, "texts": None}]
    assert points.about["elements"]["22"]["symbol"] == "Ti"


def test_positions_that_are_none_are_drawn_somewhere(tmp_path):
    source = zstruct.sources.arrays([1, 1, 1], np.zeros((3, 3)), n_atoms=[1, 2])
    zstruct.build(source, tmp_path / "a.zarr", progress=False)
    points = points_of(Part.of(tmp_path / "a.zarr"), np.array([0, 1]), [])
    assert points.arrays["positions"].max() == 0
    assert "forces" not in points.arrays
