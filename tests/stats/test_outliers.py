"""Outliers: what was planted is at the top of its kind, whatever else is wrong."""

import io

import ase.build
import numpy as np
import pandas as pd
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from tests.conftest import random_atoms
from zstruct import cli
from zstruct.errors import InputError

FREE = {1: -13.6, 6: -1030.0, 8: -2042.0, 22: -23000.0}


def labelled(atoms, rng, energy=0.0, force=1.0):
    """Return atoms with the energy of free atoms, some binding and noise, and forces of about such a size."""
    forces = force * rng.normal(size=(len(atoms), 3))
    total = sum(FREE[z] for z in atoms.numbers) + len(atoms) * (-5 + 0.1 * rng.normal() + energy)
    atoms.calc = SinglePointCalculator(atoms, energy=total, forces=forces)
    return atoms


@pytest.fixture
def planted(tmp_path, rng):
    """A store in which 20, 60 and 100 have odd energies, 33 large forces, 77 atoms upon each other."""
    frames = []
    for k in range(200):
        atoms = random_atoms(rng, 3 + k % 6, labels=False, periodic=False)
        atoms.positions = 3.0 * np.indices((2, 2, 2)).reshape(3, -1).T[: len(atoms)]
        atoms.positions += 0.1 * rng.normal(size=atoms.positions.shape)
        if k == 77:
            atoms.positions[1] = atoms.positions[0] + [0.05, 0, 0]
        frames.append(
            labelled(atoms, rng, {20: 1e5, 60: -9.0, 100: 40.0}.get(k, 0.0), 300.0 if k == 33 else 1.0)
        )
    frames[5].calc = None
    path = tmp_path / "a.zarr"
    zstruct.build(frames, path, progress=False)
    return path


def test_what_was_planted_is_found(planted):
    found = zstruct.outliers(planted, limit=10)
    assert list(found.medians) == ["force", "energy", "collision"]
    tops = {kind: found.structure[found.kind == kind] for kind in found.medians}
    assert tops["force"][0] == 33
    assert tops["energy"][:3].tolist() == [20, 100, 60]
    assert tops["collision"][0] == 77
    assert [len(top) for top in tops.values()] == [10, 10, 10]
    value = dict(zip(zip(found.kind, found.structure, strict=True), found.value, strict=True))
    assert value["collision", 77] == pytest.approx(0.05)
    # A gross error of one has no share in the references of the others.
    assert value["energy", 60] - found.medians["energy"] == pytest.approx(-9.0, abs=0.5)
    assert value["energy", 100] - found.medians["energy"] == pytest.approx(40.0, abs=0.5)
    assert found.missing == {"force": 1, "energy": 1, "collision": 0}
    assert set(found.structures(score=10)) == {20, 33, 60, 77, 100}
    assert found.structures("force", score=10).tolist() == [33]
    store = zstruct.Store(planted)
    fmax = np.array(zstruct.listing(store, columns=["fmax"], limit=None).columns["fmax"], float)
    median = np.nanmedian(fmax)
    deviation = 1.4826 * np.nanmedian(np.abs(fmax - median))
    assert found.score[0] == pytest.approx((fmax[33] - median) / deviation)
    assert "energy: energy less references, in eV/atom" in str(found)
    assert "missing in 1" in str(found)


def test_references_and_parts_and_kinds(planted, capsys):
    references = {"H": -13.6, "C": -1030.0, "O": -2042.0, "Ti": -23000.0}
    found = zstruct.outliers(planted, kinds=["energy"], references=references, select="index > 20", limit=5)
    assert found.structure[:2].tolist() == [100, 60]
    assert found.value[0] == pytest.approx(35.0, abs=0.5)
    assert found.n_structures == 179
    assert zstruct.outliers(planted, "index > 20", kinds=["force"]).n_structures == 179
    with pytest.raises(InputError, match=r"no split.*an expression is given as select='index > 20'"):
        zstruct.statistics(planted, "index > 20")
    zstruct.fit_references(planted, name="default")  # of all, with what is wrong
    kept = zstruct.outliers(planted).references
    assert kept.energies == zstruct.open_references(planted).energies
    data = zstruct.StructureReader(planted).select([100, 3, 60, 4, 5, 6, 7])
    assert zstruct.outliers(data, kinds=["energy"], references=references).structure[:2].tolist() == [100, 60]
    assert zstruct.outliers(zstruct.StructureReader(planted)[[5]]).missing["energy"] == 1
    assert (
        cli.main(["outliers", str(planted), "index > 20", "--kinds", "force", "--limit", "3", "--csv"]) == 0
    )
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert table["structure"].tolist()[0] == 33
    assert list(table) == ["kind", "structure", "value", "score"]


def test_far_in_the_space_of_features(planted, rng):
    features = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3))
    features[120] += 50
    zstruct.features.add(planted, "x", features, level="structure")
    found = zstruct.outliers(planted, kinds=["features"], features="x")
    away = features - features.mean(axis=0)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", away, np.linalg.inv(away.T @ away / 200), away))
    assert found.structure[0] == 120
    np.testing.assert_allclose(found.value, expected[found.structure], rtol=1e-6)


def test_single_atoms_collide_with_none(tmp_path):
    zstruct.build(
        [ase.build.molecule(m) for m in ("H", "H2", "O2", "H")], tmp_path / "a.zarr", progress=False
    )
    found = zstruct.outliers(tmp_path / "a.zarr")
    assert found.structure.tolist()[0] == 1
    assert found.value.tolist()[-2:] == [np.inf, np.inf]
    assert found.structures(score=0).tolist() == [1]


def test_energies_of_which_no_square_is_a_number(tmp_path, rng):
    frames = [labelled(ase.build.molecule("H2O"), rng, 1e300 if k == 3 else 0.0) for k in range(8)]
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    found = zstruct.outliers(tmp_path / "a.zarr", kinds=["energy"], limit=1)
    assert found.structure.tolist() == [3]
    assert found.value[0] == pytest.approx(1e300)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kinds": ["forces"]}, "kinds of outliers are force, energy, collision, features, not 'forces'"),
        ({"kinds": ["features"]}, "need the name of some: features="),
        ({"kinds": []}, "at least one kind"),
        ({"limit": 0}, "limit is a whole number from 1"),
        ({"select": "index < 0"}, "no structure of .* to look at"),
        ({"references": {"H": 0.0}}, "no reference energy of C, O, Ti"),
    ],
)
def test_what_makes_no_sense_is_said(planted, options, sentence):
    with pytest.raises(InputError, match=sentence):
        zstruct.outliers(planted, **options)


def test_a_kind_that_was_not_looked_at_is_said(planted):
    found = zstruct.outliers(planted, kinds=["force"])
    with pytest.raises(InputError, match="'energy' is none of the kinds that there are: force"):
        found.structures("energy")
    assert repr(found) == str(found)  # what a notebook shows
    assert len(repr(found).splitlines()) == 8
