"""What the accessor itself does: counts, names that are not there, a plot."""

import numpy as np
import pytest
import xarray as xr
from ase.build import molecule

import zstruct
from zstruct.errors import InputError


def test_counts(ds, structures):
    assert ds.zs.n_structures == 40
    assert ds.zs.n_atoms == sum(map(len, structures))
    assert ds.zs.isel([1, 2]).zs.n_atoms == len(structures[1]) + len(structures[2])


def test_fields_that_are_not_there_are_named(ds):
    poor = ds.drop_vars(["forces", "cell", "energy", "numbers", "formula"])

    for ask in ("fmax", "volume", "energy_per_atom", "formula"):
        with pytest.raises(KeyError, match=r"this Dataset has no field .*; it has positions, "):
            getattr(poor.zs, ask)
    with pytest.raises(KeyError, match="no field 'xyz'"):
        ds.zs.has("xyz")
    with pytest.raises(KeyError, match="no field 'numbers'"):
        poor.zs.to_ase()


def test_plot_energies(ds, structures):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    assert ds.zs.plot_energies(ax) is ax
    assert ax.get_xlabel() == "energy per atom (eV)"
    assert sum(bar.get_height() for bar in ax.patches) == 40
    plt.close(figure)


def test_duplicates_and_leaks_are_those_of_the_structures_at_hand(tmp_path):
    path = tmp_path / "a.zarr"
    names = ["H2O", "CH4", "H2O", "CO2", "H2O", "CH4"]
    zstruct.build([molecule(name) for name in names], path, progress=False)
    zstruct.split(path, {"train": [0, 1, 3], "test": [2, 4, 5]}, name="mine")
    ds = zstruct.open(path)
    assert ds.zs.duplicates().structure.tolist() == [0, 2, 4, 1, 5]
    part = ds.zs.isel([5, 2, 0, 3])
    found = part.zs.duplicates(0.001)
    assert (found.structure.tolist(), found.n_structures, found.tolerance) == ([0, 2], 4, 0.001)
    assert part.zs.sel(found.redundant()).zs.formula.values.tolist() == ["H2O"]
    leaks = part.zs.leaks("mine")
    assert leaks.n_structures.tolist() == [2, 2]
    np.testing.assert_array_equal(leaks.counts(), [[0, 1], [1, 0]])
    taken = zstruct.StructureReader(path).select([0, 2, 3, 5])
    np.testing.assert_array_equal(zstruct.leaks(taken, "mine").counts(), leaks.counts())
    with pytest.raises(InputError, match="no longer knows its store"):
        xr.Dataset(part.variables).zs.duplicates()
    far = part.zs.outliers(limit=2)
    assert far.n_structures == 4
    expected = zstruct.outliers(taken, limit=2)
    assert far.structure.tolist() == expected.structure.tolist()
    assert far.value.tolist() == expected.value.tolist()
    with pytest.raises(InputError, match="look for outliers there"):
        xr.Dataset(part.variables).zs.outliers()


def test_a_map_is_kept_for_all_structures_of_the_store(tmp_path):
    path = tmp_path / "a.zarr"
    zstruct.build([molecule("H2O")] * 4, path, progress=False)
    rows = np.array([[0, 0, 1.0], [2, 0, 1], [4, 0, 1], [6, 0, 1.5]])
    zstruct.features.add(path, "x", rows, level="structure")
    part = zstruct.open(path).zs.isel([3, 1])
    assert part.zs.project("x", n=1).n_structures == 4
    kept = zstruct.open(path).zs.features("map").values
    np.testing.assert_array_equal(part.zs.features("map"), kept[[3, 1]])
    assert len(np.unique(kept)) == 4
    with pytest.raises(InputError, match="no longer knows its store"):
        xr.Dataset(part.variables).zs.project("x")
