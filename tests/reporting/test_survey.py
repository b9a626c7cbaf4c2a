"""One pass finds what ASE and NumPy find of each structure."""

import numpy as np
import pytest

import zstruct
from zstruct.reporting.survey import GPA, references_for, survey
from zstruct.stats.scan import Part


@pytest.fixture(scope="module")
def seen(path):
    return survey(
        Part.of(path), references_for(Part.of(path), {"H": -1, "C": -2, "O": -3, "Ti": -4}, 1), 1, False
    )


def test_columns(seen, structures):
    sizes = np.array([len(atoms) for atoms in structures])
    energies = np.array([atoms.calc.results["energy"] for atoms in structures])
    known = {"H": -1, "C": -2, "O": -3, "Ti": -4}
    references = [sum(known[symbol] for symbol in atoms.symbols) for atoms in structures]
    forces = [atoms.calc.results.get("forces", np.full((1, 3), np.nan)) for atoms in structures]
    stresses = [atoms.calc.results.get("stress", np.full(6, np.nan)) for atoms in structures]
    volumes = [atoms.get_volume() / len(atoms) if atoms.pbc.all() else np.nan for atoms in structures]

    np.testing.assert_array_equal(seen.n_atoms, sizes)
    np.testing.assert_allclose(seen.columns["energy_per_atom"], energies / sizes)
    np.testing.assert_allclose(seen.columns["referenced"], (energies - references) / sizes)
    np.testing.assert_allclose(seen.columns["fmax"], [np.linalg.norm(f, axis=1).max() for f in forces], 1e-6)
    np.testing.assert_allclose(seen.columns["pressure"], [-GPA * s[:3].mean() for s in stresses], 1e-6)
    np.testing.assert_allclose(seen.columns["volume_per_atom"], volumes, 1e-6)
    for found, atoms in zip(seen.columns["shortest_distance"], structures, strict=True):
        pairs = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
        shortest = pairs[np.triu_indices(len(atoms), 1)].min()
        lattice = min(atoms.cell.lengths()) if atoms.pbc.any() else np.inf
        assert found == pytest.approx(min(shortest, lattice), rel=1e-5)


def test_elements(seen, structures):
    for z in (1, 6, 8, 22):
        assert seen.with_element[z] == sum(z in atoms.numbers for atoms in structures)
        assert seen.atoms_of[z] == sum((atoms.numbers == z).sum() for atoms in structures)
        norms = [
            np.linalg.norm(atoms.calc.results["forces"][atoms.numbers == z], axis=1)
            for atoms in structures
            if "forces" in atoms.calc.results
        ]
        assert seen.forces[z].count == sum(map(len, norms))
        assert seen.forces[z].quantile(0.5) == pytest.approx(np.median(np.concatenate(norms)), rel=2e-3)


def test_references_are_those_of_the_store_or_fitted(tmp_path, structures):
    known = {"H": -1.0, "C": -2.0, "O": -3.0, "Ti": -4.0}
    zstruct.build(structures, tmp_path / "a.zarr", filters={"atomic_energies": known}, progress=False)
    assert dict(references_for(Part.of(tmp_path / "a.zarr"), None, 1)) == known
    poor = {"H": -1.0}
    zstruct.build(structures, tmp_path / "b.zarr", filters={"atomic_energies": poor}, progress=False)
    fitted = references_for(Part.of(tmp_path / "b.zarr"), None, 1)
    assert fitted.method == "fitted"
    assert set(fitted) == set(known)
    assert references_for(Part.of(tmp_path / "b.zarr"), False, 1) is None
    with pytest.raises(zstruct.InputError):
        references_for(Part.of(tmp_path / "b.zarr"), "others", 1)
