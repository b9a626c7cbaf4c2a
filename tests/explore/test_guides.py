"""What xarray's guides on indexing, grouping and computing show, on a store: right numbers, or a sentence."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import zstruct


@pytest.fixture
def energies(structures):
    return np.array([atoms.calc.results["energy"] for atoms in structures])


@pytest.fixture
def sizes(structures):
    return np.array([len(atoms) for atoms in structures])


@pytest.fixture
def labels(structures):
    return np.array([atoms.info.get("config_type") for atoms in structures], dtype=object)


@pytest.fixture
def formulas(structures):
    return np.array([atoms.get_chemical_formula("hill") for atoms in structures], dtype=object)


def means(values, keys):
    """Return means by key, in order, without keys that are None."""
    return {key: values[keys == key].mean() for key in sorted({k for k in keys if k is not None})}


def assert_means(found, dim, values, keys):
    expected = means(values, keys)
    assert found[dim].values.tolist() == list(expected)
    np.testing.assert_allclose(found.values, list(expected.values()))


def test_where_drop(ds, energies, sizes):
    low = ds.where(ds.energy < -10, drop=True)

    keep = np.flatnonzero(energies < -10)
    assert low.energy.values.tolist() == energies[keep].tolist()
    assert low.structure.values.tolist() == keep.tolist()
    assert low.n_atoms.dtype == np.int32
    assert low.n_atoms.values.tolist() == sizes[keep].tolist()
    with pytest.raises(zstruct.InputError, match=r"repeated all atoms for each structure, as ds\.where"):
        low.zs.to_ase()
    assert ds.zs.sel(structure=low.structure).energy.values.tolist() == energies[keep].tolist()


def test_where_drop_on_the_table_of_structures(ds, energies):
    table = ds.drop_dims("atom")

    low = table.where((table.energy < -10) & (table.n_atoms > 2), drop=True)

    assert low.zs.n_structures == ((energies < -10) & (ds.n_atoms.values > 2)).sum()
    assert low.zs.n_atoms == low.n_atoms.values.sum()


@pytest.mark.parametrize("chunks", ["atom", None, {}], ids=str)
def test_boolean_indexing(path, energies, structures, chunks):
    ds = zstruct.open(path, chunks=chunks)
    keep = ds.energy < -10
    keep = keep.compute() if chunks == {} else keep

    assert ds.energy[keep].values.tolist() == energies[energies < -10].tolist()
    part = ds.isel(structure=keep)
    assert part.energy.values.tolist() == energies[energies < -10].tolist()
    expected = [a.get_chemical_formula("hill") for a, e in zip(structures, energies, strict=True) if e < -10]
    assert part.zs.composition.sum("element").values.tolist() == part.n_atoms.values.tolist()
    assert part.zs.formula.values.tolist() == expected


@pytest.mark.parametrize("chunks", ["atom", None, {}], ids=str)
def test_atoms_are_picked_by_element(path, structures, chunks):
    ds = zstruct.open(path, chunks=chunks)
    numbers = np.concatenate([a.numbers for a in structures])
    nothing = [np.full((len(a), 3), np.nan) for a in structures]
    forces = np.concatenate(
        [a.calc.results.get("forces", n) for a, n in zip(structures, nothing, strict=True)]
    )

    np.testing.assert_array_equal(ds.forces[ds.numbers == 6], forces[numbers == 6])
    np.testing.assert_array_equal(ds.forces.where(ds.numbers == 6, drop=True), forces[numbers == 6])
    by_element = (ds.forces**2).mean("xyz").groupby("numbers").mean()
    expected = {z: np.nanmean((forces[numbers == z] ** 2).mean(1)) for z in np.unique(numbers)}
    assert by_element.numbers.values.tolist() == list(expected)
    np.testing.assert_allclose(by_element, list(expected.values()))


@pytest.mark.parametrize(
    "which", [slice(3, 9), slice(None, None, -3), [5, 0, -1], np.arange(40) % 2 == 0], ids=str
)
def test_positions_of_structures(ds, energies, labels, which):
    part = ds.isel(structure=which)

    assert part.energy.values.tolist() == energies[which].tolist()
    assert part.config_type.fillna("").values.tolist() == ["" if x is None else x for x in labels[which]]
    assert ds.energy[which].values.tolist() == energies[which].tolist()
    assert part.cell[:, 1, 2].values.tolist() == ds.cell.values[which][:, 1, 2].tolist()
    assert part.spectrum.isel(spectrum_component=[3, 1]).values.tolist() == (
        ds.spectrum.values[which][:, [3, 1]].tolist()
    )


def test_labels_stay_with_their_structures(ds, energies):
    part = ds.isel(structure=slice(10, 20)).sortby("energy")

    assert float(part.energy.sel(structure=12)) == energies[12]
    assert part.sel(structure=[12, 15]).energy.values.tolist() == energies[[12, 15]].tolist()
    assert part.sel(structure=12, xyz="x").cell.shape == (3,)
    with pytest.raises(KeyError):
        part.sel(structure=9)
    order = np.argsort(energies)
    assert int(ds.energy.idxmin("structure")) == order[0]
    assert (part.energy - ds.energy).values.tolist() == [0.0] * 10


def test_pointwise_indexing(ds, structures):
    chosen = xr.DataArray([3, 7], dims="point")
    axis = xr.DataArray(["x", "z"], dims="point")

    found = ds.cell.isel(structure=chosen, cell_vector=0).sel(xyz=axis)

    assert found.dims == ("point",)
    assert found.values.tolist() == [structures[3].cell[0, 0], structures[7].cell[0, 2]]


def test_groupby_numbers_and_texts(ds, energies, sizes, labels, formulas):
    assert_means(ds.energy.groupby("n_atoms").mean(), "n_atoms", energies, sizes)
    assert_means(ds.groupby("n_atoms").mean().energy, "n_atoms", energies, sizes)
    assert_means(ds.energy.groupby(ds.n_atoms).mean(), "n_atoms", energies, sizes)
    assert_means(ds.energy.groupby("config_type").mean(), "config_type", energies, labels)
    assert_means(ds.energy.groupby(ds.config_type).mean(), "config_type", energies, labels)
    assert_means(ds.energy.groupby(ds.zs.formula).mean(), "formula", energies, formulas)
    assert_means(ds.energy.groupby("formula").mean(), "formula", energies, formulas)
    assert_means(ds.zs.energy_per_atom.groupby("config_type").mean(), "config_type", energies / sizes, labels)
    fmax = ds.zs.fmax.groupby("config_type").max()
    for label, largest in zip(fmax.config_type.values, fmax.values, strict=True):
        assert largest == np.nanmax(ds.zs.fmax.values[labels == label])


def test_groupby_does_what_it_does_elsewhere(ds, energies, sizes, labels):
    centred = ds.energy.groupby("n_atoms") - ds.energy.groupby("n_atoms").mean()
    np.testing.assert_allclose(centred, energies - [means(energies, sizes)[n] for n in sizes])

    largest = ds.drop_dims("atom").groupby("n_atoms").map(lambda part: part.energy.max())
    assert largest.values.tolist() == [energies[sizes == n].max() for n in np.unique(sizes)]

    both = ds.energy.groupby(["n_atoms", "config_type"]).mean()
    bulk = energies[(sizes == 3) & (labels == "bulk")]
    assert float(both.sel(n_atoms=3, config_type="bulk")) == pytest.approx(bulk.mean())

    counts = ds.energy.groupby("config_type").count()
    assert counts.values.tolist() == [(labels == label).sum() for label in counts.config_type.values]
    assert sum(len(part.structure) for _, part in ds.groupby("n_atoms")) == 40


def test_groupby_bins_is_what_pandas_cuts(ds, energies, sizes):
    edges = [0, 2, 4, 8]
    expected = pd.Series(energies).groupby(pd.cut(pd.Series(sizes), edges), observed=False).mean()

    np.testing.assert_allclose(ds.energy.groupby_bins("n_atoms", edges).mean(), expected)
    np.testing.assert_allclose(ds.energy.groupby_bins(ds.n_atoms, edges).mean(), expected)
    assert ds.groupby_bins("energy", 5).mean().energy.shape == (5,)
    tens = ds.energy.groupby_bins("frame", np.arange(0, 41, 10), right=False).mean()
    np.testing.assert_allclose(tens, energies.reshape(4, 10).mean(1))


def test_sortby(ds, energies, sizes):
    assert ds.sortby("energy").energy.values.tolist() == sorted(energies)
    both = ds.sortby(["n_atoms", "energy"], ascending=False)
    assert both.energy.values.tolist() == energies[np.lexsort([energies, sizes])[::-1]].tolist()
    assert ds.energy.sortby(ds.n_atoms).n_atoms.values.tolist() == sorted(sizes)
    texts = ds.sortby(ds.config_type.fillna("")).config_type.fillna("").values
    assert texts.tolist() == sorted(texts)


def test_query(ds, energies, sizes, labels):
    found = ds.query(structure="energy < -10 and n_atoms > 3")
    assert found.structure.values.tolist() == np.flatnonzero((energies < -10) & (sizes > 3)).tolist()
    bulk = ds.query(structure="config_type == 'bulk'")
    assert bulk.structure.values.tolist() == np.flatnonzero(labels == "bulk").tolist()
    assert ds.zs.sel(structure=bulk.structure).zs.n_atoms == sizes[labels == "bulk"].sum()


def test_windows_over_structures(ds, energies):
    rolled = ds.energy.rolling(structure=3).mean()
    np.testing.assert_allclose(rolled[2:], np.convolve(energies, np.ones(3) / 3, "valid"))
    assert rolled[:2].isnull().all()
    coarse = ds.energy.reset_coords(drop=True).coarsen(structure=10).mean()
    np.testing.assert_allclose(coarse, energies.reshape(4, 10).mean(1))
    assert ds.energy.diff("structure").values.tolist() == np.diff(energies).tolist()
    np.testing.assert_allclose(ds.energy.cumsum("structure"), np.cumsum(energies))


def test_numbers_over_all_structures(ds, energies, sizes):
    assert float(ds.energy.median()) == np.median(energies)
    assert ds.energy.quantile([0.1, 0.9]).values.tolist() == np.quantile(energies, [0.1, 0.9]).tolist()
    weighted = ds.energy.weighted(ds.n_atoms).mean()
    assert float(weighted) == pytest.approx(np.average(energies, weights=sizes))
    assert float(xr.corr(ds.energy, ds.n_atoms)) == pytest.approx(np.corrcoef(energies, sizes)[0, 1])
    worst = ds.zs.isel(structure=ds.energy.argmax("structure"))
    assert float(worst.energy[0]) == energies.max()
    assert float(ds.mean().energy) == pytest.approx(energies.mean())


def test_parts_keep_what_names_their_structures(ds, structures):
    few = ds[["energy", "forces"]]

    assert {"n_atoms", "offsets", "config_type", "numbers", "formula"} <= set(few.coords)
    assert few.zs.isel([5, 2]).zs.fmax.values.tolist() == ds.zs.fmax.values[[5, 2]].tolist()
    assert ds.head(structure=3).structure.values.tolist() == [0, 1, 2]
    assert ds.thin(structure=20).structure.values.tolist() == [0, 20]
    kept = ds.isel(structure=ds.has_n_k)
    assert kept.n_k.dtype == np.int64
    assert kept.dropna("structure", subset=["energy"]).structure.values.tolist() == [
        i for i, a in enumerate(structures) if "n_k" in a.info
    ]


def test_assigning_renaming_and_copying(ds, energies, sizes):
    made = ds.assign(per_atom=lambda d: d.energy / d.n_atoms).rename(energy="total").drop_vars("forces")
    np.testing.assert_allclose(made.zs.isel([3, 1]).per_atom, (energies / sizes)[[3, 1]])
    assert made.total.values.tolist() == energies.tolist()

    copy = ds.copy(deep=True)
    copy.energy[3] = 0.0
    copy["n_atoms"][0] = 99
    assert ds.energy.values.tolist() == energies.tolist()
    assert ds.n_atoms.values.tolist() == sizes.tolist()
    assert float(copy.energy[3]) == 0.0
    loaded = ds.copy().load()
    loaded.energy[0] = 1.0
    assert float(loaded.energy[0]) == 1.0
    assert zstruct.open(ds.encoding["source"]).energy.values.tolist() == energies.tolist()


def test_values_that_were_handed_out_are_no_ones_else(ds, energies, sizes):
    ds.n_atoms.values[:] = 0
    ds.energy.values[:] = 0

    assert ds.n_atoms.values.tolist() == sizes.tolist()
    assert ds.energy.values.tolist() == energies.tolist()


def test_dimensions_by_another_name(ds, energies, labels):
    by_frame = ds.energy.swap_dims(structure="frame")
    assert float(by_frame.sel(frame=7)) == energies[7]
    indexed = ds.energy.set_index(structure=["config_type", "frame"])
    assert indexed.sel(config_type="bulk").size == (labels == "bulk").sum()


def test_drawing(ds):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2)
    ds.energy.plot.hist(ax=axes[0])
    ds.plot.scatter(x="n_atoms", y="energy", ax=axes[1])
    assert axes[1].get_xlabel().startswith("number of atoms")
    plt.close(figure)


def test_a_split_is_a_label(tmp_path, structures):
    path = tmp_path / "x.zarr"
    zstruct.build(structures, path, progress=False)
    parts = zstruct.split(path, {"train": np.arange(0, 30), "val": np.arange(30, 38)}, name="mine")
    ds = zstruct.open(path)

    ds = ds.assign_coords(split=ds.zs.split("mine"))

    energies = ds.energy.values
    found = ds.energy.groupby("split").mean()
    assert found.split.values.tolist() == ["train", "val"]
    np.testing.assert_allclose(found, [energies[part].mean() for part in parts])
    assert ds.split.isnull().values.tolist() == [False] * 38 + [True] * 2
    mixed = zstruct.open(path).isel(structure=[39, 2, 31])
    assert mixed.zs.split("mine").fillna("none").values.tolist() == ["none", "train", "val"]
    with pytest.raises(zstruct.InputError, match="has no split 'other'; it has mine"):
        ds.zs.split("other")


def test_merging_and_concatenating(ds, energies):
    tables = [ds.drop_dims("atom").isel(structure=part) for part in (slice(0, 9), slice(20, 40))]
    both = xr.concat(
        tables, "structure", data_vars="minimal", coords="minimal", compat="override", join="override"
    )
    assert both.energy.values.tolist() == [*energies[:9], *energies[20:]]
    merged = xr.merge([ds[["energy"]], ds[["cell"]]])
    assert set(merged.data_vars) == {"energy", "cell"}
    xr.testing.assert_identical(ds.compute(), ds.compute())
    assert ds.equals(zstruct.open(ds.encoding["source"]))


@pytest.mark.parametrize(
    ("do", "error", "sentence"),
    [
        (lambda ds: ds.zs.isel({"atom": [1]}), IndexError, "selects structures, .* not 'atom'"),
        (lambda ds: ds.zs.isel({}), IndexError, "not nothing"),
        (lambda ds: ds.zs.isel(ds.sortby("energy").energy < -10), IndexError, "in another order"),
        (lambda ds: ds.zs.where(ds.sortby("energy").energy < -10), IndexError, "in another order"),
        (lambda ds: ds.zs.sel(structure=99), KeyError, "no structure labelled 99"),
        (lambda ds: ds.zs.sel(structure=ds.energy < 0), KeyError, "sel takes labels, not bool"),
        (
            lambda ds: ds.drop_vars("structure").zs.sel(structure=3),
            zstruct.InputError,
            "has no coordinate structure",
        ),
        (lambda ds: ds.isel(structure=[1, 1]).zs.sel(structure=1), zstruct.InputError, "a label twice"),
        (lambda ds: ds.zs.repeat("forces"), ValueError, "repeat takes values over the 40 structures"),
        (lambda ds: ds.zs.repeat("n_atom"), KeyError, "no field 'n_atom'"),
        (lambda ds: zstruct.open(None), TypeError, "open takes the path of a store, not None"),
        (lambda ds: zstruct.open(["a", "b"]), TypeError, "open takes one path, not a list; build one store"),
        (lambda ds: zstruct.open(ds), TypeError, "not a Dataset, which is open already"),
        (
            lambda ds: zstruct.open(ds.encoding["source"], chunks="atoms"),
            TypeError,
            "chunks is .* not 'atoms'",
        ),
        (lambda ds: zstruct.open(ds.encoding["source"], chunks=True), TypeError, "chunks is .* not True"),
    ],
)
def test_sentences(ds, do, error, sentence):
    with pytest.raises(error, match=sentence):
        do(ds)


def test_mappings_as_xarray_takes_them(ds, energies):
    assert ds.zs.isel({"structure": [3, 1]}).energy.values.tolist() == energies[[3, 1]].tolist()
    assert ds.zs.sel({"structure": slice(3, 5)}).energy.values.tolist() == energies[3:6].tolist()
    assert ds.zs.where(lambda d: d.energy < -10).energy.values.tolist() == energies[energies < -10].tolist()


def test_repeat_gives_atoms_what_their_structure_has(ds, structures, energies, labels):
    repeated = ds.zs.repeat("energy")
    assert repeated.dims == ("atom",)
    assert repeated.values.tolist() == [e for a, e in zip(structures, energies, strict=True) for _ in a]
    low = ds.forces.where(ds.zs.repeat(ds.energy < -10))
    assert low.notnull().any("xyz").sum() == sum(
        len(a) for a, e in zip(structures, energies, strict=True) if e < -10 and "forces" in a.calc.results
    )
    part = ds.isel(structure=[7, 2])  # whose atoms are still all there
    found = part.zs.repeat("energy")
    assert found.notnull().sum() == len(structures[7]) + len(structures[2])
    assert part.zs.isel(slice(None)).zs.repeat("n_atoms").values.tolist() == (
        [len(structures[7])] * len(structures[7]) + [len(structures[2])] * len(structures[2])
    )
    with pytest.raises(ValueError, match="integers can't say so"):
        part.zs.repeat("n_atoms")
    assert set(ds.zs.repeat("cell").dims) == {"atom", "cell_vector", "xyz"}
