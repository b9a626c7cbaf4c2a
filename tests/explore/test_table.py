"""A row for each structure."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import zstruct


def test_agrees_with_the_structures(ds, structures):
    table = ds.zs.to_dataframe(fmax=True, composition=True)

    assert table.index.name == "structure"
    assert table.index.tolist() == list(range(40))
    assert table.energy.tolist() == [a.calc.results["energy"] for a in structures]
    assert table.n_atoms.tolist() == [len(a) for a in structures]
    assert table.formula.tolist() == [a.get_chemical_formula("hill") for a in structures]
    assert table.config_type.isna().tolist() == ["config_type" not in a.info for a in structures]
    assert table.n_k.dropna().tolist() == [a.info["n_k"] for a in structures if "n_k" in a.info]
    assert str(table.n_k.dtype) == "Int64"
    assert str(table.converged.dtype) == "boolean"
    np.testing.assert_array_equal(table.fmax, ds.zs.fmax)
    for symbol in ("H", "C", "O", "Ti"):
        assert table[f"n_{symbol}"].tolist() == [a.get_chemical_symbols().count(symbol) for a in structures]
    assert not {"offsets", "spectrum", "cell", "forces"} & set(table.columns)


def test_pandas_groups_it(ds):
    table = ds.zs.to_dataframe()

    found = table.groupby("formula", observed=True).energy.mean()

    expected = ds.energy.groupby("formula").mean()
    assert found.index.tolist() == expected.formula.values.tolist()
    np.testing.assert_allclose(found, expected)


def test_fields_of_several_components_have_a_column_each(ds):
    table = ds.zs.to_dataframe(["energy", "cell", "spectrum"])

    assert list(table.columns)[:4] == ["energy", "cell_a_x", "cell_a_y", "cell_a_z"]
    assert table.spectrum_3.tolist() == ds.spectrum.values[:, 3].tolist()
    assert table.cell_c_y.tolist() == ds.cell.values[:, 2, 1].tolist()


def test_quantities_are_columns_by_their_names(ds):
    table = ds.zs.to_dataframe(["volume", "formula", "fmax", "energy_per_atom", "volume_per_atom"])

    assert list(table.columns) == ["volume", "formula", "fmax", "energy_per_atom", "volume_per_atom"]
    for name in ("volume", "fmax", "energy_per_atom", "volume_per_atom"):
        np.testing.assert_array_equal(table[name], getattr(ds.zs, name))
    twice = ds.assign(fmax=2 * ds.zs.fmax).zs.to_dataframe(["fmax"])
    np.testing.assert_array_equal(twice.fmax, 2 * ds.zs.fmax)


def test_rows_are_those_of_the_part(ds):
    part = ds.zs.where(ds.energy < -10).sortby("energy")

    table = part.zs.to_dataframe()

    assert table.index.tolist() == part.structure.values.tolist()
    assert table.energy.is_monotonic_increasing
    assert ds.drop_vars("structure").zs.to_dataframe().index.equals(pd.RangeIndex(40, name="structure"))
    assert len(ds.zs.isel([]).zs.to_dataframe(composition=True)) == 0


def test_integers_stay_exact_where_some_are_missing():
    ids = np.array([2**60 + 1, 0, 7])
    mask = xr.Variable("structure", [True, False, True], {"presence_of": "ids"})
    ds = xr.Dataset(
        {"ids": ("structure", ids, {"kind": "int"})},
        {"n_atoms": ("structure", [1, 1, 1]), "offsets": ("structure", [0, 1, 2]), "has_ids": mask},
    )

    table = ds.zs.to_dataframe()

    assert table.ids[0] == 2**60 + 1
    assert table.ids.isna().tolist() == [False, True, False]
    assert "has_ids" not in table
    assert ds.zs.has("ids").values.tolist() == [True, False, True]
    assert ds.ids.where(ds.has_ids).isnull().values.tolist() == [False, True, False]


def test_sentences(ds):
    with pytest.raises(KeyError, match="no field 'energi'"):
        ds.zs.to_dataframe(["energi"])
    with pytest.raises(ValueError, match=r"forces has a value for each atom; reduce it first"):
        ds.zs.to_dataframe(["forces"])
    with pytest.raises(TypeError, match="a list of names"):
        ds.zs.to_dataframe("energy")


def test_a_million_rows_take_no_time(tmp_path):
    import time

    n = 1_000_000
    labels = np.array(["bulk", "slab", np.nan], dtype=object)[np.arange(n) % 3]
    ds = xr.Dataset(
        {"energy": ("structure", np.linspace(0, 1, n))},
        {"n_atoms": ("structure", np.ones(n, int)), "label": ("structure", labels, {"kind": "category"})},
    )
    before = time.process_time()

    table = ds.zs.to_dataframe()

    assert time.process_time() - before < 2.0
    assert table.label.value_counts().tolist() == [333_334, 333_333]


def test_plain_xarray_makes_one_of_the_table_of_structures(ds, path):
    table = ds.drop_dims(["atom", "xyz", "cell_vector", "spectrum_component"]).to_dataframe()

    assert len(table) == 40
    assert table.energy.tolist() == ds.energy.values.tolist()
    assert zstruct.open(path)[["energy", "n_atoms"]].to_dataframe().shape[0] == 40


def test_a_row_for_each_atom(ds, structures):
    part = ds.zs.isel([7, 4, 31])
    chosen = [structures[k] for k in (7, 4, 31)]

    table = part.zs.to_dataframe(["forces", "numbers", "energy", "config_type"], atoms=True)

    assert table.index.names == ["structure", "atom"]
    assert table.index.tolist() == [(k, i) for k in (7, 4, 31) for i in range(len(structures[k]))]
    assert table.numbers.tolist() == [z for atoms in chosen for z in atoms.numbers]
    assert table.forces_y.tolist() == [f for atoms in chosen for f in atoms.get_forces()[:, 1]]
    assert table.energy.tolist() == [a.get_potential_energy() for a in chosen for _ in range(len(a))]
    assert table.loc[4].forces_x.tolist() == structures[4].get_forces()[:, 0].tolist()
    assert table.config_type.isna().tolist() == ["config_type" not in a.info for a in chosen for _ in a]


def test_tables_of_atoms_have_what_is_over_atoms(ds, structures):
    table = ds.zs.to_dataframe(atoms=True)

    assert len(table) == sum(map(len, structures))
    assert list(table.columns[:1]) == ["numbers"]
    assert {"positions_x", "forces_z"} <= {*table.columns}
    assert "energy" not in table.columns
    assert len(ds.zs.isel([]).zs.to_dataframe(atoms=True)) == 0
    assert len(ds.zs.isel([]).zs.to_dataframe(["cell"])) == 0
    numbers = ds.drop_vars("structure").zs.to_dataframe(["numbers"], atoms=True)
    assert numbers.index.get_level_values(0).max() == 39


def test_what_no_table_of_atoms_has(ds):
    with pytest.raises(zstruct.InputError, match="fmax and composition are columns of structures"):
        ds.zs.to_dataframe(atoms=True, fmax=True)
    with pytest.raises(KeyError, match="no field 'nothing'"):
        ds.zs.to_dataframe(["nothing"], atoms=True)
    with pytest.raises(zstruct.InputError, match="this Dataset has lost offsets"):
        ds.drop_vars("offsets").zs.to_dataframe(atoms=True)
