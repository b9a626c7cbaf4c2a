"""Labels over labels: the points are those of both, and the title says how far they are apart."""

import matplotlib
import numpy as np
import pytest

import zstruct

matplotlib.use("agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, structures):
    out = tmp_path_factory.mktemp("parity") / "s.zarr"
    zstruct.build(structures, out, progress=False)
    energy = np.array([atoms.calc.results["energy"] for atoms in structures])
    forces = np.concatenate(
        [atoms.calc.results.get("forces", np.full((len(atoms), 3), 0.5)) for atoms in structures]
    )
    energy[3] = np.nan
    zstruct.labels.add(out, "teacher", energy=energy + 0.25, forces=forces + 0.1)
    return zstruct.open(out)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_energies_per_atom(labelled, structures):
    ax = labelled.zs.plot_parity("teacher")

    x, y = ax.collections[0].get_offsets().data.T
    kept = [i for i in range(40) if i != 3]
    sizes = np.array([len(structures[i]) for i in kept])
    np.testing.assert_allclose(x * sizes, [structures[i].calc.results["energy"] for i in kept])
    np.testing.assert_allclose((y - x) * sizes, 0.25)
    error = 0.25 / sizes
    said = f"MAE {error.mean():.3g}, RMSE {np.sqrt((error**2).mean()):.3g} eV"
    assert ax.get_title() == f"energy per atom of 40 structures\n{said}"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("the store's own (eV)", "teacher (eV)")


def test_forces_of_some_structures_of_a_part(labelled):
    part = labelled.zs.isel(slice(0, 20))
    ax = part.zs.plot_parity("teacher", quantity="forces", most=10)

    drawn = ax.collections[0].get_offsets().data
    chosen = part.zs.isel(np.linspace(0, 19, 10).astype(int))
    own = chosen.forces.values.ravel()
    np.testing.assert_array_equal(drawn[:, 0], own[np.isfinite(own)])
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 0.1)
    assert ax.get_title().startswith("forces of 10 structures among 20\nMAE 0.1, RMSE 0.1 eV/Å")
    same = labelled.zs.plot_parity("teacher", "teacher", "forces")
    assert "MAE 0, RMSE 0 eV/Å" in same.get_title()


def test_what_is_not_there_is_named(labelled):
    with pytest.raises(zstruct.InputError, match="studet"):
        labelled.zs.plot_parity("studet")
    with pytest.raises(KeyError, match="no field 'stress'"):
        labelled.zs.plot_parity("teacher", quantity="stress")
    with pytest.raises(zstruct.InputError, match="most"):
        labelled.zs.plot_parity("teacher", most=0)
