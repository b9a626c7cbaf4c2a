import math
import pickle
import subprocess
import sys
from dataclasses import replace

import ase
import ase.units
import numpy as np
import pytest
import torch
from ase.calculators.morse import MorsePotential
from ase.geometry import wrap_positions
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from hypothesis import given, settings
from hypothesis import strategies as st

from zstruct.batch.pack import pack
from zstruct.batch.packed import PackedBatch, Pairs, Sample
from zstruct.errors import InputError
from zstruct.geometry.neighbors import neighbor_list
from zstruct.geometry.structures import Structures
from zstruct.layouts.graph import graph
from zstruct.layouts.padded import padded
from zstruct.schema import FIELDS, infer
from zstruct.transforms import (
    AddNoise,
    CastUnits,
    Center,
    Compose,
    Normalize,
    OnBatch,
    OnSample,
    RandomApply,
    RandomReflection,
    RandomRotation,
    Wrap,
    as_transform,
    random_keys,
)
from zstruct.transforms.kernels import add_normal, mirrors, rotations

COUNTS = [5, 1, 0, 12, 3, 1100]
TURNING = [RandomRotation(seed=3), RandomReflection(1.0, seed=3)]


def normals(n_structures, n_values, stream=7):
    """Return noise of unit width, (structures, values)."""
    values = np.zeros(n_structures * n_values, np.float32)
    edges = np.arange(n_structures + 1)
    add_normal(values, edges, n_values, edges[:-1], np.uint64(stream), 1.0)
    return values.reshape(n_structures, n_values).astype(np.float64)


def matrices(n, stream=7):
    out = np.empty((n, 3, 3))
    rotations(np.arange(n), np.uint64(stream), out)
    return out


def make_batch(counts=COUNTS, dtype=np.float64, structures=None, seed=0):
    """Return structures that have everything that turns, whatever their order."""
    structures = np.arange(len(counts)) if structures is None else np.asarray(structures)
    parts = []
    for n, structure in zip(counts, structures, strict=True):
        rng = np.random.default_rng([seed, structure])
        sample = {
            "numbers": rng.integers(1, 9, n),
            "positions": rng.normal(size=(n, 3)) * 4,
            "forces": rng.normal(size=(n, 3)),
            "magmoms": rng.normal(size=(n, 3)),
            "charges": rng.normal(size=n),
            "cell": rng.normal(size=(3, 3)) + 4 * np.eye(3),
            "pbc": rng.random(3) < 0.5,
            "energy": rng.normal(),
            "stress": rng.normal(size=6),
            "polarizability": rng.normal(size=(3, 3)),
            "dipole": rng.normal(size=3),
        }
        parts.append({k: v if k in ("numbers", "pbc") else np.asarray(v, dtype) for k, v in sample.items()})
    return replace(pack(parts), structures=structures.astype(np.int64))


def with_edges(batch, cutoff=3.0):
    """Return a batch with a neighbour list, and made-up derivatives of two features."""
    found = neighbor_list(
        Structures(batch.offsets, *(batch.columns[n] for n in ("numbers", "positions", "cell", "pbc"))),
        cutoff,
    )
    centres = np.repeat(np.arange(len(batch.batch)), np.diff(found.offsets))
    index = np.stack([centres, found.indices])
    edges = found.offsets[batch.offsets]
    carried = {"edge_shift": found.shifts.astype(float), "edge_vec": found.vectors.copy()}
    derivatives = {"deriv_values": np.random.default_rng(1).normal(size=(len(centres), 2, 3))}
    pairs = (Pairs("edge_index", edges, index, carried), Pairs("deriv_index", edges, index, derivatives))
    return replace(batch, pairs=pairs)


def edge_vectors(batch):
    """Return the vectors of edges from positions, cells and shifts."""
    (i, j), shift = batch.pairs[0].index, batch.pairs[0].columns["edge_shift"]
    positions, cells = batch.columns["positions"], batch.columns["cell"]
    return positions[j] - positions[i] + np.einsum("ec,ecx->ex", shift, cells[batch.batch[i]])


def copied(batch):
    return pickle.loads(pickle.dumps(batch))


def same(a, b):
    assert a.columns.keys() == b.columns.keys()
    for name in a.columns:
        assert a.columns[name].dtype == b.columns[name].dtype
        np.testing.assert_array_equal(a.columns[name], b.columns[name], err_msg=name)


def test_noise_is_normal():
    from scipy import stats

    x = normals(2000, 1500)
    n = x.size
    assert abs(x.mean()) * math.sqrt(n) < 4
    assert abs(x.var() - 1) * math.sqrt(n / 2) < 4
    assert abs((x**3).mean()) * math.sqrt(n / 15) < 4
    assert abs((x**4).mean() - 3) * math.sqrt(n / 96) < 4
    assert stats.kstest(x.ravel()[::10], "norm").pvalue > 1e-3
    for z in (3.0, 4.0, 4.5):
        wanted = n * math.erfc(z / math.sqrt(2))
        assert abs((np.abs(x) > z).sum() - wanted) < 4 * math.sqrt(wanted)


@pytest.mark.parametrize("lag", [1, 2, 3, 8, 16, 32, 100, 256, 512])
def test_noise_is_not_correlated(lag):
    x = normals(2000, 1500)
    for power in (x, x**2 - 1, np.sign(x)):
        product = power[:, lag:] * power[:, :-lag]
        assert abs(product.mean()) / product.std() * math.sqrt(product.size) < 4.5
    neighbours = x[lag:] * x[:-lag]  # of structures with indices that follow each other
    assert abs(neighbours.mean()) * math.sqrt(neighbours.size) < 4.5


def test_two_coordinates_are_independent():
    # Box and Muller's pairs are 16 apart, two in 32: their joint distribution, in 400 equal cells.
    from scipy import stats

    x = normals(4000, 192)
    u = np.floor(stats.norm.cdf(x) * 20).astype(int).clip(0, 19)
    pairs = u.reshape(-1, 2, 16)
    seen = np.bincount((pairs[:, 0] * 20 + pairs[:, 1]).ravel(), minlength=400)
    assert stats.chisquare(seen).pvalue > 1e-3


def test_rotations_are_uniform():
    r = matrices(200_000)
    assert np.abs(r @ r.transpose(0, 2, 1) - np.eye(3)).max() < 1e-14
    assert np.allclose(np.linalg.det(r), 1.0)
    # Haar measure: E[R] = 0, E[Rij Rkl] = delta_ik delta_jl / 3, and the angle has density (1 - cos) / pi.
    assert np.abs(r.mean(axis=0)).max() < 4 * math.sqrt(1 / 3 / len(r))
    second = np.einsum("nij,nkl->ijkl", r, r) / len(r)
    assert np.abs(second - np.einsum("ik,jl->ijkl", np.eye(3), np.eye(3)) / 3).max() < 4 * 0.4 / math.sqrt(
        len(r)
    )
    from scipy import stats

    angle = np.arccos(((np.trace(r, axis1=1, axis2=2) - 1) / 2).clip(-1, 1))
    assert stats.kstest(angle, lambda a: (a - np.sin(a)) / np.pi).pvalue > 1e-3


def test_mirrors_are_reflections():
    r = np.empty((20_000, 3, 3))
    mirrors(np.arange(len(r)), np.uint64(5), 0.25, r)
    assert np.allclose(r @ r, np.eye(3))
    mirrored = np.linalg.det(r) < 0
    assert mirrored.mean() == pytest.approx(0.25, abs=4 * math.sqrt(0.19 / len(r)))
    assert (r[~mirrored] == np.eye(3)).all()
    # The normals of the planes are uniform: E[n n^T] = 1/3, and I - 2 n n^T is 1/3 on average.
    assert np.abs(r[mirrored].mean(axis=0) - np.eye(3) / 3).max() < 0.03


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


@settings(deadline=None, max_examples=50)
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


def test_missing_values_stay_missing():
    batch = make_batch([3, 4], dtype=np.float32)
    batch.columns["forces"][:3] = np.nan
    batch.columns["stress"][1] = np.nan
    after = Compose([RandomRotation(), Normalize(-1.0, 2.0), CastUnits({"energy": "kcal/mol"})])(batch)
    assert np.isnan(after.columns["forces"][:3]).all()
    assert np.isfinite(after.columns["forces"][3:]).all()
    assert np.isnan(after.columns["stress"][1]).all()
    assert np.isfinite(after.columns["stress"][0]).all()


RANDOM = [RandomRotation(seed=5), RandomReflection(seed=5), AddNoise(0.1, seed=5)]


@pytest.mark.parametrize("transform", RANDOM, ids=lambda t: type(t).__name__)
def test_what_is_drawn_depends_on_the_structure_alone(transform):
    counts = {0: 4, 1: 1, 2: 70, 3: 9, 4: 600}
    whole = transform(make_batch(list(counts.values()), structures=list(counts)), epoch=1)
    other = transform(make_batch([counts[i] for i in (3, 4, 1)], structures=[3, 4, 1]), epoch=1)
    for k, i in enumerate((3, 4, 1)):
        for name in other.columns:
            np.testing.assert_array_equal(other[k][name], whole[i][name], err_msg=name)
    alone = transform(make_batch([70], structures=[2])[0], epoch=1)
    assert isinstance(alone, Sample)
    torch.testing.assert_close(alone["positions"], whole[2]["positions"], rtol=0, atol=0)
    # Another epoch, another seed, another structure: other numbers.
    again = [transform(make_batch([70], structures=[2]), epoch=e).columns["positions"] for e in range(30)]
    again += [
        replace(transform, seed=6 + e)(make_batch([70], structures=[2])).columns["positions"]
        for e in range(30)
    ]
    unmoved = make_batch([70], structures=[2]).columns["positions"]
    assert len({a.tobytes() for a in again if not np.array_equal(a, unmoved)}) > 20


def test_the_same_in_another_process():
    code = """
import sys
import numpy as np
from zstruct.transforms import AddNoise, RandomRotation
sample = {"positions": np.arange(30.0).reshape(10, 3)}
moved = AddNoise(0.3, seed=2)(RandomRotation(seed=1)(sample, 3), 3)["positions"]
sys.stdout.buffer.write(moved.tobytes())
"""
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    here = AddNoise(0.3, seed=2)(RandomRotation(seed=1)({"positions": np.arange(30.0).reshape(10, 3)}, 3), 3)
    assert there == here["positions"].tobytes()


def test_places_in_a_list_draw_apart():
    zero = {"positions": np.zeros((2000, 3))}
    single = AddNoise(1.0, seed=1)(zero)["positions"]
    first = Compose([AddNoise(1.0, seed=1), Center()])(zero)["positions"]
    second = Compose([Center(), AddNoise(1.0, seed=1)])(zero)["positions"]
    nested = Compose([[AddNoise(1.0, seed=1)]])(zero)["positions"]
    both = Compose([AddNoise(1.0, seed=1), AddNoise(1.0, seed=1)])(zero)["positions"]
    for a, b in ((single, first), (first, second), (second, nested)):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.06
    assert both.std() == pytest.approx(math.sqrt(2), rel=0.05)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_moves_positions_and_says_so(dtype):
    batch = make_batch(dtype=dtype)
    moved = AddNoise(0.05)(batch)
    step = moved.columns["positions"] - batch.columns["positions"]
    assert step.std() == pytest.approx(0.05, rel=0.05)
    assert moved.columns["stale"].tolist() == [True] * len(COUNTS)
    np.testing.assert_array_equal(moved.columns["forces"], batch.columns["forces"])
    assert "stale" in graph(moved)
    labels = AddNoise(0.1, fields=["forces", "stress"])(batch)
    assert "stale" not in labels.columns
    assert (labels.columns["stress"] != batch.columns["stress"]).all()
    np.testing.assert_array_equal(labels.columns["positions"], batch.columns["positions"])
    same(AddNoise(0.0, fields=["forces"])(batch), batch)


def test_noise_is_refused_where_it_would_lie():
    with pytest.raises(ValueError, match="edge_index, edge_shift, edge_vec"):
        AddNoise(0.1)(with_edges(make_batch([3])))
    with pytest.raises(ValueError, match="features would still be those of where they were"):
        AddNoise(0.1).bound({"positions": FIELDS["positions"]}, ["features"])
    with pytest.raises(ValueError, match="AddNoise needs velocities, but there are only numbers"):
        AddNoise(0.1, ("velocities",))(make_batch([3]))
    with pytest.raises(ValueError, match="floating-point numbers, but numbers has int64"):
        AddNoise(0.1, ("numbers",))(make_batch([3]))
    with pytest.raises(ValueError, match="not negative"):
        AddNoise(-0.1)
    with pytest.raises(TypeError, match=r"fields=\['forces'\]"):
        AddNoise(0.1, "forces")
    AddNoise(0.1, ("forces",)).bound({"forces": FIELDS["forces"]}, ["features"])


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


def energy_of(atoms):
    calculator = MorsePotential()
    atoms.calc = calculator
    return atoms.get_potential_energy()


def test_normalised_forces_are_derivatives_of_the_normalised_energy():
    atoms = ase.Atoms("Ar3", [[0, 0, 0], [1.1, 0, 0], [0, 1.2, 0.1]])
    normalize = Normalize(mean=-0.7, scale=3.5, references={"Ar": -2.0})

    def sample(displaced):
        energy = np.array(energy_of(displaced))
        return {"numbers": displaced.numbers, "energy": energy, "forces": displaced.get_forces()}

    forces = normalize(sample(atoms))["forces"]
    for i, k in np.ndindex(3, 3):
        energies = []
        for step in (1e-4, -1e-4):
            moved = atoms.copy()
            moved.positions[i, k] += step
            energies.append(normalize(sample(moved))["energy"])
        assert -(energies[0] - energies[1]) / 2e-4 == pytest.approx(forces[i, k], abs=1e-6)


def test_normalize_by_hand():
    batch = make_batch([2, 3])
    batch.columns["numbers"][:] = [1, 8, 1, 1, 8]
    batch.columns["energies"] = np.arange(5.0)
    batch.columns["virial"] = np.ones((2, 3, 3))
    batch = replace(batch, per_atom=batch.per_atom | {"energies"})
    after = Normalize(-1.0, 4.0, references={"H": -10.0, 8: -100.0}, force_scale=2.0)(batch).columns
    before = batch.columns
    np.testing.assert_allclose(after["energy"], (before["energy"] - [-112.0, -123.0]) / 4)
    np.testing.assert_allclose(after["energies"], (before["energies"] - [-11, -101, -11, -11, -101]) / 4)
    np.testing.assert_allclose(after["forces"], before["forces"] / 2)
    np.testing.assert_allclose(after["stress"], before["stress"] / 4)
    np.testing.assert_allclose(after["virial"], before["virial"] / 4)
    np.testing.assert_array_equal(after["positions"], before["positions"])


@settings(deadline=None, max_examples=30)
@given(
    mean=st.floats(-1e4, 1e4),
    scale=st.floats(1e-3, 1e3),
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=5),
)
def test_the_inverse_of_normalize(mean, scale, counts):
    batch = make_batch(counts)
    normalize = Normalize(mean, scale, references=dict.fromkeys(range(1, 9), -3.0), force_scale=2 * scale)
    back = normalize.inverse(normalize(batch))
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(back.columns[name], batch.columns[name], atol=1e-8, rtol=1e-9)


@pytest.mark.parametrize("layout", [graph, padded])
def test_predictions_are_turned_back_with_their_gradients(layout):
    packed = make_batch([2, 5, 1])
    normalize = Normalize(-2.0, 3.0, references=dict.fromkeys(range(1, 9), -1.0))
    batch = layout(packed)
    energy = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    found = normalize.inverse({"energy": energy, "forces": torch.ones(8, 3), "n": 1}, batch=batch)
    assert found["energy"].tolist() == [-6.0, -15.0, -3.0]
    assert (found["forces"] == 3.0).all()
    assert found["n"] == 1
    found["energy"].sum().backward()
    assert energy.grad.tolist() == [3.0, 3.0, 3.0]
    column = normalize.inverse({"energy": torch.zeros(3, 1)}, batch=batch)["energy"]
    assert column.shape == (3, 1)
    assert column.dtype == torch.float64  # as total energies
    one = normalize.inverse(normalize(packed[1]))
    torch.testing.assert_close(one["energy"], packed[1]["energy"])
    with pytest.raises(ValueError, match="of how many atoms the energy is"):
        normalize.inverse({"energy": energy})
    with pytest.raises(ValueError, match=r"shape \(2,\), but the batch says 3"):
        normalize.inverse({"energy": torch.zeros(2)}, batch=batch)


class Table:
    """A dataset that is a batch."""

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return len(self.batch)

    def take(self, which):
        return pack([self.batch[int(i)] for i in which])


def test_fit_is_numpy_on_the_whole_array(monkeypatch):
    monkeypatch.setattr("zstruct.transforms.normalize._CHUNK", 7)
    batch = make_batch(np.random.default_rng(0).integers(1, 6, 40))
    batch.columns["forces"][batch.offsets[3] : batch.offsets[4]] = np.nan
    batch.columns["energy"][5] = np.nan
    energy, forces = batch.columns["energy"], batch.columns["forces"]
    fitted = Normalize.fit(Table(batch))
    assert fitted.mean == pytest.approx(np.nanmean(energy / batch.n_atoms), rel=1e-12)
    assert fitted.scale == pytest.approx(np.sqrt(np.nanmean(forces**2)), rel=1e-12)
    by_energy = Normalize.fit(Table(batch), scale="energy", references=dict.fromkeys(range(1, 9), -5.0))
    assert by_energy.scale == pytest.approx(np.nanstd(energy / batch.n_atoms), rel=1e-12)
    assert by_energy.mean == pytest.approx(fitted.mean + 5.0, rel=1e-12)
    batch.columns["forces"][:] = np.nan
    with pytest.raises(ValueError, match="no structure has forces"):
        Normalize.fit(Table(batch))
    batch.columns["energy"][:] = 0.0
    with pytest.raises(ValueError, match="differ by zero"):
        Normalize.fit(Table(batch), scale="energy")
    with pytest.raises(ValueError, match="'forces' or 'energy'"):
        Normalize.fit(Table(batch), scale="std")


def test_normalize_refuses():
    with pytest.raises(ValueError, match="scale is what values are divided by"):
        Normalize(scale=0.0)
    with pytest.raises(ValueError, match="not 'Qq'"):
        Normalize(references={"Qq": 1.0})
    batch = make_batch([1, 1], structures=[7, 4])
    batch.columns["numbers"][:] = [1, 8]
    with pytest.raises(ValueError, match="structure 4 of the store has O, for which references give no"):
        Normalize(references={"H": 1.0})(batch)
    with pytest.raises(ValueError, match="needs numbers to take references off energy"):
        Normalize(references={"H": 1.0}).bound({"energy": FIELDS["energy"]})


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), pbc=st.lists(st.booleans(), min_size=3, max_size=3), planar=st.booleans())
def test_wrap_agrees_with_ase(seed, pbc, planar):
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) + 4 * np.eye(3)
    if planar:
        pbc = [*pbc[:2], False]
        cell[2] = 0.0
    positions = rng.normal(size=(9, 3)) * 10
    wrapped = Wrap()({"positions": positions, "cell": cell, "pbc": np.array(pbc)})["positions"]
    np.testing.assert_allclose(wrapped, wrap_positions(positions, cell, pbc), atol=1e-9)
    again = Wrap()({"positions": wrapped, "cell": cell, "pbc": np.array(pbc)})["positions"]
    np.testing.assert_array_equal(again, wrapped)


@pytest.mark.parametrize("transform", [Wrap(), Center(periodic=True), Center(at="cell", periodic=True)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moves_leave_vectors_between_neighbours(transform, dtype):
    before = make_batch([5, 1, 0, 12])
    before.columns["positions"] *= 3
    before = with_edges(before)
    before.columns["positions"] = before.columns["positions"].astype(dtype)
    after = transform(before)
    assert (after.columns["positions"] != before.columns["positions"]).any()
    near = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(edge_vectors(after), before.pairs[0].columns["edge_vec"], atol=near)


def test_center():
    batch = make_batch([4, 6, 0], dtype=np.float32)
    batch.columns["pbc"][:] = [[False] * 3, [True, False, False], [False] * 3]
    batch.columns["masses"] = np.full(10, np.nan)
    batch.columns["masses"][0] = 30.0
    batch = replace(batch, per_atom=batch.per_atom | {"masses"})
    atoms = ase.Atoms(batch.columns["numbers"][:4], batch.columns["positions"][:4])
    atoms.set_masses([30.0, *atoms.get_masses()[1:]])
    by_mass = Center("mass")(batch).columns["positions"]
    np.testing.assert_allclose(by_mass[:4], atoms.positions - atoms.get_center_of_mass(), atol=1e-5)
    np.testing.assert_array_equal(by_mass[4:], batch.columns["positions"][4:])
    by_mean = Center(at="cell", periodic=True)(batch).columns["positions"]
    np.testing.assert_allclose(by_mean[4:].mean(axis=0), batch.columns["cell"][1].sum(axis=0) / 2, atol=1e-5)
    with pytest.raises(ValueError, match="weights is 'mean' or 'mass'"):
        Center("masses")
    with pytest.raises(ValueError, match="Wrap needs cell, pbc"):
        Wrap().bound({"positions": FIELDS["positions"]})
    with pytest.raises(ValueError, match="Center needs cell"):
        Center(at="cell").bound({"positions": FIELDS["positions"]})


def test_units_follow_from_the_table():
    before = with_edges(make_batch([3, 2]))
    after = CastUnits({"energy": "kcal/mol", "length": "bohr", "stress": "GPa"})(before)
    energy, length = ase.units.kcal / ase.units.mol, ase.units.Bohr
    wanted = {
        "positions": 1 / length, "cell": 1 / length, "energy": 1 / energy, "forces": length / energy,
        "dipole": 1 / length, "stress": 1 / ase.units.GPa, "charges": 1.0, "polarizability": 1.0,
    }  # fmt: skip
    for name, value in wanted.items():
        np.testing.assert_allclose(
            after.columns[name], before.columns[name] * value, rtol=1e-12, err_msg=name
        )
    edges, derivatives = after.pairs
    np.testing.assert_allclose(edges.columns["edge_vec"], before.pairs[0].columns["edge_vec"] / length)
    np.testing.assert_array_equal(edges.columns["edge_shift"], before.pairs[0].columns["edge_shift"])
    np.testing.assert_allclose(
        derivatives.columns["deriv_values"], before.pairs[1].columns["deriv_values"] * length
    )
    momenta = CastUnits({"energy": "meV"})({"momenta": np.ones((1, 3))})["momenta"]
    np.testing.assert_allclose(momenta, math.sqrt(1000.0))
    with pytest.raises(InputError, match="'foot'"):
        CastUnits({"length": "foot"})
    with pytest.raises(ValueError, match="CastUnits names stress"):
        CastUnits({"stress": "GPa"}).bound({"energy": FIELDS["energy"]})


def test_functions_of_samples_and_of_batches():
    batch = make_batch([3, 2])

    def label(sample):
        sample["positions"] += 1.0
        return {**sample, "size": torch.tensor(sample.n_atoms), "depth": sample["positions"][:, 2]}

    by_sample = OnSample(label, per_atom=("depth",))(batch)
    np.testing.assert_array_equal(by_sample.columns["positions"], batch.columns["positions"] + 1)
    np.testing.assert_array_equal(by_sample.columns["depth"], by_sample.columns["positions"][:, 2])
    assert by_sample.columns["size"].tolist() == [3, 2]
    assert by_sample.structures.tolist() == [0, 1]

    def less(packed):
        del packed.columns["forces"]
        return packed

    assert "forces" not in Compose([dict, OnBatch(less)])(batch).columns
    with pytest.raises(ValueError, match=r"per_atom=\['depth'\]"):
        as_transform(label)(batch)
    edged = with_edges(batch)
    kept = OnSample(dict)(edged)
    np.testing.assert_array_equal(kept.pairs[0].index, edged.pairs[0].index)
    np.testing.assert_array_equal(
        kept.pairs[1].columns["deriv_values"], edged.pairs[1].columns["deriv_values"]
    )
    assert (
        OnSample(lambda s: {k: v for k, v in s.items() if not k.startswith(("edge", "deriv"))})(edged).pairs
        == ()
    )
    assert len(OnSample(label).on_batch(replace_empty(batch))) == 0


def replace_empty(batch):
    columns = {name: column[:0] for name, column in batch.columns.items()}
    none = np.empty(0, np.int64)
    return PackedBatch(none, np.zeros(1, np.int64), none, none, columns, batch.per_atom)


def test_seeded_functions_draw_by_structure():
    def jitter(sample, rng):
        return {**sample, "energy": np.float64(rng.normal())}

    def keyed(packed, keys):
        packed.columns["key"] = keys.astype(np.int64)
        return packed

    transform = Compose([OnSample(jitter, seed=1), OnBatch(keyed, seed=1)])
    whole = transform(make_batch([3, 2, 4], structures=[5, 6, 7]), epoch=2)
    one = transform(make_batch([4], structures=[7]), epoch=2)
    for name in ("energy", "key"):
        assert one.columns[name][0] == whole.columns[name][2]
        assert len(set(whole.columns[name].tolist())) == 3
        assert one.columns[name][0] != transform(make_batch([4], structures=[7])).columns[name][0]
    batch = make_batch([1, 1])
    assert (random_keys(batch, 1, 0) != random_keys(batch, 1, 1)).all()
    assert (random_keys(batch, 1, 0) != random_keys(batch, 2, 0)).all()


def test_functions_that_return_something_else():
    batch = make_batch([3, 2])
    with pytest.raises(TypeError, match="must return a mapping of tensors, not None"):
        OnSample(lambda sample: None)(batch)
    with pytest.raises(TypeError, match="must return a PackedBatch, not None"):
        OnBatch(lambda packed: None)(batch)
    with pytest.raises(ValueError, match="'positions': 1"):
        OnSample(lambda sample: {**sample, "positions": sample["positions"][:1]})(batch)
    with pytest.raises(TypeError, match="a transform is a Transform, a function"):
        as_transform(3)


def test_anything_becomes_a_transform():
    rotation = RandomRotation()
    assert as_transform(rotation) is rotation
    assert as_transform(None).transforms == ()
    assert isinstance(as_transform(dict), OnSample)
    assert len(as_transform([rotation, dict]).transforms) == 2


@pytest.mark.parametrize(
    "transform", [RandomRotation(), Wrap(), Normalize(1.0, 2.0), AddNoise(0.1), Center()]
)
def test_called_it_copies_and_keeps_the_kind(transform):
    batch = make_batch([3, 2])
    kept = copied(batch)
    assert isinstance(transform(batch), PackedBatch)
    sample = transform(batch[1])
    assert isinstance(sample, Sample)
    assert sample.structure == 1
    plain = transform(dict(batch[1]))
    assert type(plain) is dict
    assert isinstance(plain["positions"], torch.Tensor)
    arrays = transform({name: tensor.numpy() for name, tensor in batch[1].items()})
    assert isinstance(arrays["positions"], np.ndarray)
    assert arrays["positions"].shape == (2, 3)
    same(batch, kept)


@pytest.mark.parametrize("transform", [RandomRotation(), AddNoise(0.1), Wrap(), Center()])
def test_arrays_need_not_be_contiguous(transform):
    plain, strided = make_batch([3, 2]), make_batch([3, 2])
    for name, column in strided.columns.items():
        strided.columns[name] = np.repeat(column, 2, axis=-1)[..., ::2] if column.ndim > 1 else column
    same(transform.on_batch(strided), transform.on_batch(plain))


def test_in_place_without_a_copy():
    batch = make_batch([3, 2])
    positions = batch.columns["positions"]
    before = positions.copy()
    assert RandomRotation().on_batch(batch) is batch
    assert batch.columns["positions"] is positions
    assert (positions != before).all()


@pytest.mark.parametrize("transform", [*RANDOM, Wrap(), Center(), Normalize(), CastUnits({"length": "nm"})])
def test_batches_without_structures(transform):
    batch = transform.on_batch(replace_empty(make_batch([3])))
    assert len(batch) == 0


def test_transforms_pickle():
    transform = Compose([RandomRotation(1), AddNoise(0.1, seed=1), Normalize(1.0, 2.0, {"H": 1.0}), Wrap()])
    bound = transform.bound({name: FIELDS[name] for name in make_batch([1]).columns})
    batch = make_batch([4, 2])
    batch.columns["numbers"][:] = 1
    same(pickle.loads(pickle.dumps(bound))(batch, 3), transform(batch, 3))


@pytest.mark.parametrize("make", [RandomRotation, RandomReflection, lambda seed: AddNoise(0.1, seed=seed)])
def test_seeds(make):
    batch = make_batch([4, 2])
    same(make(seed=np.int64(3))(batch), make(seed=3)(batch))
    same(make(seed=np.uint8(3))(batch), make(seed=3)(batch))
    for seed in (None, 1.5, "a", True):
        with pytest.raises(TypeError, match="seed is a whole number, not"):
            make(seed=seed)


def test_ways_to_turn_are_known():
    for transform in (RandomRotation, RandomReflection):
        with pytest.raises(ValueError, match="'rank-2'}: fields turn as 'scalar', 'vector', 'axial'"):
            transform(rotates={"born": "rank-2"})


def test_structures_without_an_energy_need_no_reference():
    water, helium = {"numbers": [8, 1, 1], "energy": -5.0}, {"numbers": [2], "energy": np.nan}
    normalize = Normalize(references={"H": -1.0, "O": -2.0})
    assert normalize(pack([water, helium])).columns["energy"].tolist()[0] == -1.0
    assert np.isnan(normalize(pack([water, helium])).columns["energy"][1])
    with pytest.raises(ValueError, match="sample 1 of the batch has He"):
        normalize(pack([water, helium | {"energy": -3.0}]))


class TestRandomApply:
    @pytest.fixture
    def batch(self):
        rng = np.random.default_rng(0)
        samples = [
            {"numbers": np.full(n, 1), "positions": rng.normal(size=(n, 3)), "energy": 1.0 * n}
            for n in rng.integers(1, 6, 200)
        ]
        return replace(pack(samples), structures=np.arange(1000, 1200))

    @pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
    def test_some_are_transformed_and_masks_say_which(self, batch, probability):
        changed = RandomApply(AddNoise(0.1, seed=1), probability, seed=5)(batch)

        moved = np.logical_or.reduceat(
            (changed.columns["positions"] != batch.columns["positions"]).any(axis=1), batch.offsets[:-1]
        )
        assert np.array_equal(moved, changed.columns["stale"])
        assert abs(moved.mean() - probability) < 0.12
        assert np.array_equal(changed.columns["energy"], batch.columns["energy"])

    def test_others_in_every_epoch_and_the_same_in_another_batch(self, batch):
        transform = RandomApply(AddNoise(0.1, seed=1), 0.5, seed=5)

        whole, later = transform(batch, 0), transform(batch, 1)
        one = transform.on_batch(pack([batch[17]]), 0)

        assert not np.array_equal(whole.columns["stale"], later.columns["stale"])
        rows = slice(*batch.offsets[17:19])
        assert np.array_equal(one.columns["positions"], whole.columns["positions"][rows])

    def test_what_only_some_would_have_is_refused(self, batch):
        for function, sentence in (
            (lambda sample: {**sample, "twice": 2 * sample["energy"]}, "twice can't be added to some"),
            (
                lambda sample: {**sample, "energy": sample["energy"].bool()},
                "dtype of energy can't be changed",
            ),
        ):
            with pytest.raises(ValueError, match=sentence):
                RandomApply(function, 0.5)(batch)

    def test_a_probability_is_one(self):
        with pytest.raises(ValueError, match=r"p is a probability, between 0 and 1, not 1\.5"):
            RandomApply(AddNoise(0.1), 1.5)
