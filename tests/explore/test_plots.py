"""Drawings show every structure or atom once, where its number is, with units as people write them."""

import matplotlib
import numpy as np
import pytest
import xarray as xr

import zstruct

matplotlib.use("agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def heights(patch):
    """Return the heights of a filled row of bins, and its edges."""
    values, edges, baseline = patch.get_data()
    return np.abs(values - baseline), edges


def label(tick):
    name, n = tick.get_text().rsplit("  ", 1)
    return name, n.strip("()")


def test_energies_by_group_are_rows_that_hold_each_structure_once(ds, structures):
    ax = ds.zs.plot_energies(by="config_type", bins=7)

    labels = [atoms.info.get("config_type", "none") for atoms in structures]
    energies = np.array([atoms.calc.results["energy"] / len(atoms) for atoms in structures])
    ticks = [label(tick) for tick in ax.get_yticklabels()]
    assert {name: int(n) for name, n in ticks} == {name: labels.count(name) for name in set(labels)}
    assert [int(n) for _, n in ticks] == sorted((labels.count(name) for name in set(labels)), reverse=True)
    for (name, _), patch in zip(ticks, ax.patches, strict=True):
        rows, edges = heights(patch)
        expected, _ = np.histogram(energies[np.array(labels) == name], edges)
        np.testing.assert_allclose(rows, 0.85 * expected / expected.max())
    tops = [patch.get_data()[0].min() for patch in ax.patches]
    assert all(top > k - 1 for k, top in enumerate(tops)), "no row reaches into the one above it"
    assert ax.get_xlabel() == "energy per atom (eV)"


def test_energies_less_references(ds, structures):
    references = {"H": -1.0, "C": -2.0, "O": -3.0, "Ti": -4.0}
    ax = ds.zs.plot_energies(references=references, bins=5)

    left = [
        (atoms.calc.results["energy"] - sum(references[s] for s in atoms.symbols)) / len(atoms)
        for atoms in structures
    ]
    expected, edges = np.histogram(left, 5)
    assert [bar.get_height() for bar in ax.patches] == expected.tolist()
    np.testing.assert_allclose([bar.get_x() for bar in ax.patches], edges[:-1])
    with pytest.raises(zstruct.InputError, match=r"no reference energy of O, Ti; there are those of H, C"):
        ds.zs.plot_energies(references={"H": -1.0, "C": -2.0})


def test_small_groups_are_drawn_together_and_odd_names_as_they_are(ds):
    names = np.array(["$x^$", *(f"<b>{k % 30}" for k in range(39))], dtype=object)
    ax = ds.zs.plot_energies(by=xr.DataArray(names, dims="structure", name="names"))

    ticks = [label(tick) for tick in ax.get_yticklabels()]
    assert len(ticks) == 12
    assert ticks[-1][0] == "20 other groups"
    assert sum(int(n) for _, n in ticks) == 40
    ax.figure.canvas.draw()  # a dollar does not begin mathematics


def test_few_values_have_few_bins(ds):
    assert len(ds.zs.plot_energies().patches) == 13  # twice the root of 40
    assert len(ds.zs.isel(slice(0, 3)).zs.plot_energies().patches) == 10


def test_what_is_no_label_is_refused(ds):
    with pytest.raises(zstruct.InputError, match=r"energy is no label .* make labels of numbers"):
        ds.zs.plot_energies(by="energy")
    with pytest.raises(zstruct.InputError, match="by is a label of each structure"):
        ds.zs.plot_forces(by="numbers")
    with pytest.raises(IndexError, match="other structures"):
        ds.zs.plot_energies(by=ds.sortby("energy").config_type)


@pytest.mark.parametrize("by", [None, "element", "config_type"])
def test_forces_of_all_atoms_are_drawn(ds, structures, by):
    ax = ds.zs.plot_forces(by=by, bins=40)

    assert ax.get_xlabel() == "force on an atom (eV/Å)"
    assert ax.get_xscale() == "log"
    with_forces = [atoms for atoms in structures if "forces" in atoms.calc.results]
    norms = {}
    for atoms in with_forces:
        for symbol, force in zip(atoms.symbols, atoms.calc.results["forces"], strict=True):
            group = {None: "", "element": symbol, "config_type": atoms.info.get("config_type", "none")}[by]
            norms.setdefault(group, []).append(np.linalg.norm(force))
    if by is None:
        rows, edges = heights(ax.patches[0])
        assert rows.sum() == len(norms[""])
        assert np.abs(rows.cumsum() - np.histogram(norms[""], edges)[0].cumsum()).max() <= 1  # to 1/1024
        return
    ticks = [label(tick) for tick in ax.get_yticklabels()]
    assert {name: int(n) for name, n in ticks if int(n)} == {name: len(x) for name, x in norms.items()}
    if by == "element":
        assert [name for name, _ in ticks] == ["H", "C", "O", "Ti"]


def test_forces_that_are_zero_are_drawn_too(ds):
    still = ds.assign(forces=ds.forces * 0)

    ax = still.zs.plot_forces(bins=5)
    rows, _ = heights(ax.patches[0])
    assert ax.get_xlabel() == f"force on an atom (eV/Å); {int(rows.sum()):,} with less in the first bin"
    assert rows.sum() == int(np.isfinite(ds.forces[:, 0]).sum())
    assert rows[0] == rows.sum()


def test_sizes(ds, structures):
    sizes = [len(atoms) for atoms in structures]
    ax = ds.zs.plot_sizes()
    assert [bar.get_height() for bar in ax.patches] == [
        sizes.count(n) for n in range(min(sizes), max(sizes) + 1)
    ]
    alike = ds.zs.where(ds.n_atoms == ds.n_atoms[0]).zs.plot_sizes()
    assert all(
        float(tick).is_integer() for axis in (alike.xaxis, alike.yaxis) for tick in axis.get_ticklocs()
    )
    wide = ds.zs.plot_sizes(bins=2)
    assert sum(bar.get_height() for bar in wide.patches) == 40
    assert len(wide.patches) == 2


def test_compositions(ds, structures):
    ax = ds.zs.plot_composition()

    table = ax.collections[0].get_array().filled(0).reshape(4, 20)
    for row, symbol in zip(table, ("H", "C", "O", "Ti"), strict=True):
        shares = [np.mean(np.array(atoms.symbols) == symbol) for atoms in structures]
        assert row.sum() == sum(share > 0 for share in shares)
        assert row[-1] == sum(share > 0.95 for share in shares)
        assert row[9] == sum(0.45 < share <= 0.5 for share in shares)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["H", "C", "O", "Ti"]


def test_nothing_can_be_drawn(ds):
    none = ds.zs.isel([])
    for draw in (none.zs.plot_energies, none.zs.plot_forces, none.zs.plot_sizes, none.zs.plot_composition):
        draw().figure.canvas.draw()
    none.zs.plot_energies(by="config_type").figure.canvas.draw()
