"""What the accessor itself does: counts, names that are not there, a plot."""

import pytest


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
