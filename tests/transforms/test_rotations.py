"""Rotations and reflections: every field follows, or it is said why it can't."""

import math

import ase
import ase.units
import numpy as np
import pytest
from ase.calculators.morse import MorsePotential
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.batches import edge_vectors, make_batch, with_edges
from zstruct.schema import FIELDS, infer
from zstruct.transforms import (
    RandomReflection,
    RandomRotation,
)

TURNING = [RandomRotation(seed=3), RandomReflection(1.0, seed=3)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transform", TURNING, ids=["rotation", "reflection"])
def test_every_field_turns_rightly(transform, dtype):
    before = make_batch(dtype=dtype)
    after = transform(before, epoch=2)
    near = {"rtol": 0, "atol": 1e-5 if dtype == np.float32 else 1e-12}
    assert after.columns["positions"].dtype == dtype
    for i in range(len(before)):
        old = {
            k: v[before.offsets[i] : before.offsets[i + 1]] if k in before.per_atom else v[i]
            for k, v in before.columns.items()
        }
        new = {
            k: v[after.offsets[i] : after.offsets[i + 1]] if k in after.per_atom else v[i]
            for k, v in after.columns.items()
        }
        # The matrix follows from what the cell became.
        r = (np.linalg.inv(old["cell"].astype(float)) @ new["cell"]).T
        np.testing.assert_allclose(r @ r.T, np.eye(3), rtol=0, atol=1e-5)
        for name in ("positions", "forces", "dipole"):
            np.testing.assert_allclose(new[name], old[name] @ r.T, **near, err_msg=name)
        np.testing.assert_allclose(new["magmoms"], np.linalg.det(r) * old["magmoms"] @ r.T, **near)
        np.testing.assert_allclose(new["polarizability"], r @ old["polarizability"] @ r.T, **near)
        turned = full_3x3_to_voigt_6_stress(r @ voigt_6_to_full_3x3_stress(old["stress"]) @ r.T)
        np.testing.assert_allclose(new["stress"], turned, **near)
        for name in ("numbers", "charges", "pbc", "energy"):
            np.testing.assert_array_equal(new[name], old[name], err_msg=name)


def test_rotation_agrees_with_ase():
    batch = make_batch([12])
    atoms = ase.Atoms(
        batch.columns["numbers"], batch.columns["positions"], cell=batch.columns["cell"][0], pbc=True
    )
    turned = RandomRotation(seed=1)(batch)
    r = (np.linalg.inv(batch.columns["cell"][0]) @ turned.columns["cell"][0]).T
    angle = math.acos((np.trace(r) - 1) / 2)
    axis = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    atoms.rotate(math.degrees(angle), axis, rotate_cell=True)
    np.testing.assert_allclose(turned.columns["positions"], atoms.positions, atol=1e-10)
    np.testing.assert_allclose(turned.columns["cell"][0], atoms.cell.array, atol=1e-10)


@pytest.mark.parametrize("transform", TURNING, ids=["rotation", "reflection"])
def test_a_turned_structure_has_the_forces_and_stress_it_says(transform):
    atoms = ase.Atoms(
        "Ar4", np.random.default_rng(0).normal(size=(4, 3)) * 1.5, cell=np.eye(3) * 5 + 0.3, pbc=True
    )
    atoms.calc = MorsePotential(rcut1=3.0, rcut2=4.0)
    sample = {
        "positions": atoms.positions, "cell": atoms.cell.array, "numbers": atoms.numbers,
        "forces": atoms.get_forces(), "stress": atoms.get_stress(),
    }  # fmt: skip
    turned = transform(sample)
    again = ase.Atoms("Ar4", turned["positions"], cell=turned["cell"], pbc=True, calculator=atoms.calc)
    assert again.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(turned["forces"], again.get_forces(), atol=1e-10)
    np.testing.assert_allclose(turned["stress"], again.get_stress(), atol=1e-10)


@pytest.mark.parametrize("transform", TURNING, ids=["rotation", "reflection"])
def test_edges_turn_with_the_atoms(transform):
    before = with_edges(make_batch([5, 1, 12]))
    after = transform(before)
    np.testing.assert_array_equal(after.pairs[0].index, before.pairs[0].index)
    np.testing.assert_array_equal(after.pairs[0].columns["edge_shift"], before.pairs[0].columns["edge_shift"])
    np.testing.assert_allclose(after.pairs[0].columns["edge_vec"], edge_vectors(after), atol=1e-10)
    # Derivatives are vectors: their products with edges stay.
    for old, new in ((before, after), (after, before)):
        vectors, values = old.pairs[0].columns["edge_vec"], old.pairs[1].columns["deriv_values"]
        product = np.einsum("px,pfx->pf", vectors, values)
        other = np.einsum(
            "px,pfx->pf", new.pairs[0].columns["edge_vec"], new.pairs[1].columns["deriv_values"]
        )
        np.testing.assert_allclose(product, other, atol=1e-9)


def test_reflections_change_the_hand():
    corner = {"positions": np.eye(3), "magmoms": np.eye(3)}
    mirrored = RandomReflection(1.0)(corner)
    assert np.linalg.det(mirrored["positions"]) == pytest.approx(-1.0)
    assert np.linalg.det(mirrored["magmoms"]) == pytest.approx(1.0)
    assert np.linalg.det(RandomRotation()(corner)["positions"]) == pytest.approx(1.0)


@settings(max_examples=50)
@given(
    seed=st.integers(-(2**40), 2**70),
    epoch=st.integers(0, 10**6),
    counts=st.lists(st.integers(0, 40), max_size=6),
)
def test_rotations_form_a_group(seed, epoch, counts):
    if not counts:
        return
    batch = make_batch(counts)
    n = len(batch)
    once = RandomRotation(seed)(batch, epoch)
    # A reflection is its own inverse; a rotation and its transpose, as the same fields see them.
    mirror = RandomReflection(1.0, seed)
    twice = mirror(mirror(batch, epoch), epoch)
    for name in ("positions", "stress", "magmoms", "polarizability", "cell"):
        np.testing.assert_allclose(twice.columns[name], batch.columns[name], atol=1e-11)
    r = np.linalg.solve(batch.columns["cell"], once.columns["cell"]).transpose(0, 2, 1)
    np.testing.assert_allclose(r @ r.transpose(0, 2, 1), np.tile(np.eye(3), (n, 1, 1)), atol=1e-9)
    back = np.einsum("nji,nj->ni", r[batch.batch], once.columns["positions"])
    np.testing.assert_allclose(back, batch.columns["positions"], atol=1e-8)


def test_flags_with_gaps_do_not_turn():
    # Some structures lack pbc: it comes as floating-point numbers.
    sample = {"positions": np.eye(3), "pbc": np.array([1.0, 0.0, np.nan])}
    np.testing.assert_array_equal(RandomRotation()(sample)["pbc"], sample["pbc"])


def test_unknown_vectors_are_not_left_behind():
    mu = infer("mu", "structure", "float", (3,))
    dos = infer("dos", "structure", "float", (5,))
    sample = {"positions": np.eye(3), "mu": np.array([0.0, 0.0, 1.0]), "dos": np.arange(5.0)}
    with pytest.raises(ValueError, match="can't know how mu turns"):
        RandomRotation()(sample)
    with pytest.raises(ValueError, match=r"rotates=\{'mu': 'vector'\}"):
        RandomReflection().bound({"mu": mu, "dos": dos})
    turned = RandomRotation(rotates={"mu": "vector"}).bound({"mu": mu, "dos": dos})(sample)
    np.testing.assert_allclose(turned["mu"], turned["positions"][2], atol=1e-12)
    np.testing.assert_array_equal(turned["dos"], sample["dos"])
    assert (RandomRotation(rotates={"mu": "scalar"})(sample)["mu"] == sample["mu"]).all()
    with pytest.raises(ValueError, match=r"mu can't turn as 'voigt'.*has to be 'vector', 'axial', 'scalar'"):
        RandomRotation(rotates={"mu": "voigt"})(sample)
    with pytest.raises(ValueError, match="tags can't turn: it holds int values"):
        RandomRotation(rotates={"tags": "vector"}).bound({"tags": FIELDS["tags"]})
    with pytest.raises(ValueError, match="rotates names dipol"):
        RandomRotation(rotates={"dipol": "vector"}).bound({"mu": mu})
    with pytest.raises(ValueError, match=r"stress can't turn as 'voigt'.*\(3, 3\)"):
        RandomRotation()({"positions": np.eye(3), "stress": np.eye(3)})
    with pytest.raises(ValueError, match="between 0 and 1"):
        RandomReflection(1.5)


def test_ways_to_turn_are_known():
    for transform in (RandomRotation, RandomReflection):
        with pytest.raises(ValueError, match="'rank-2'}: fields turn as 'scalar', 'vector', 'axial'"):
            transform(rotates={"born": "rank-2"})
