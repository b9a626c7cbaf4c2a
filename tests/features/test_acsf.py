"""Symmetry functions against their formulas written as loops, dscribe, and finite differences."""

import itertools
import json

import ase.build
import numpy as np
import pytest
from ase.neighborlist import neighbor_list as ase_neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from zstruct.errors import InputError
from zstruct.features.acsf import ACSF
from zstruct.features.descriptor import Descriptor
from zstruct.features.kernels import acsf as kernels
from zstruct.geometry.neighbors import Neighbors, neighbor_list, neighbor_pieces
from zstruct.geometry.structures import Structures

R_CUT = 3.5
G2 = [(0.1, 0.0), (1.0, 0.0), (2.0, 1.5)]
G3 = [1.0, 2.5]
G4 = [(0.01, 1, 1), (0.01, 1, -1), (0.1, 4, 1), (0.1, 2, -0.5), (0.02, 2.5, 1)]
G5 = [(0.01, 1, 1), (0.3, 3, -1), (0.3, 16, 0.25)]
SPECIES = ["O", "Ti", "H"]


@pytest.fixture(scope="module")
def acsf():
    return ACSF(SPECIES, R_CUT, G2, G3, G4, G5)


def molecule(rng, n=7):
    """Atoms of three species, none closer than 0.8 angstrom to another."""
    places = [np.zeros(3)]
    while len(places) < n:
        place = rng.uniform(-2.2, 2.2, 3)
        if min(np.linalg.norm(place - other) for other in places) > 0.8:
            places.append(place)
    return ase.Atoms(rng.choice([1, 8, 22], n), places)


def crystal(rng):
    """A skewed cell smaller than the cutoff, atoms moved out of their places and out of the cell."""
    atoms = ase.Atoms("TiO2H", rng.uniform(-3, 6, (4, 3)), pbc=True)
    atoms.set_cell(np.diag([3.1, 3.4, 2.9]) + rng.uniform(-0.6, 0.6, (3, 3)))
    return atoms


def neighbors_of(structures, cutoff=R_CUT):
    return neighbor_list(structures, cutoff)


def features(acsf, atoms):
    packed = Structures.of(atoms)
    return acsf.values(packed, neighbors_of(packed, acsf.cutoff))


def by_formula(atoms):
    """All features of all atoms as Behler's formulas say, one function and one neighbour at a time."""
    numbers = [1, 8, 22]

    def f(r):
        return 0.5 * (np.cos(np.pi * r / R_CUT) + 1) if r < R_CUT else 0.0

    centres, indices, vectors = ase_neighbor_list("ijD", atoms, R_CUT)
    rows = []
    for i in range(len(atoms)):
        near = [(int(atoms.numbers[indices[p]]), vectors[p]) for p in np.flatnonzero(centres == i)]
        row = []
        for z in numbers:
            lengths = [np.linalg.norm(v) for own, v in near if own == z]
            row.append(sum(f(r) for r in lengths))
            row += [sum(np.exp(-eta * (r - rs) ** 2) * f(r) for r in lengths) for eta, rs in G2]
            row += [sum(np.cos(kappa * r) * f(r) for r in lengths) for kappa in G3]
        for high, low in [(1, 1), (8, 1), (8, 8), (22, 1), (22, 8), (22, 22)]:
            pairs = [
                (v, w) for (a, v), (b, w) in itertools.combinations(near, 2) if sorted((a, b)) == [low, high]
            ]
            for narrow, (eta, zeta, slope) in [(True, p) for p in G4] + [(False, p) for p in G5]:
                total = 0.0
                for v, w in pairs:
                    a, b, c = np.linalg.norm(v), np.linalg.norm(w), np.linalg.norm(v - w)
                    term = 2 ** (1 - zeta) * (1 + slope * (v @ w) / (a * b)) ** zeta * f(a) * f(b)
                    term *= np.exp(-eta * (a * a + b * b))
                    total += term * np.exp(-eta * c * c) * f(c) if narrow else term
                row.append(total)
        rows.append(row)
    return np.array(rows)


def numerical(function, at, step=2e-3):
    """The gradient of a scalar (or array) by central differences of fourth order, shape (..., *at.shape)."""
    out = []
    for index in np.ndindex(at.shape):
        moved = np.zeros_like(at)
        moved[index] = step
        difference = 8 * (function(at + moved) - function(at - moved))
        out.append((difference - function(at + 2 * moved) + function(at - 2 * moved)) / (12 * step))
    return np.moveaxis(np.array(out), 0, -1).reshape(*np.shape(out[0]), *at.shape)


def moved(atoms, positions):
    copy = atoms.copy()
    copy.positions = positions
    return copy


class TestValues:
    def test_formula(self, acsf, rng):
        for atoms in (molecule(rng), crystal(rng)):
            np.testing.assert_allclose(features(acsf, atoms), by_formula(atoms), rtol=1e-11, atol=1e-12)

    def test_many_triangles_of_one_centre(self, rng):
        # More than fit one block of the kernel, with a remainder.
        atoms = ase.build.bulk("Cu", cubic=True) * (2, 2, 2)
        atoms.rattle(0.1, seed=1)
        found = features(ACSF(["Cu"], 5.0, g4_params=[(0.05, 2, 1)]), atoms)
        centres, vectors = ase_neighbor_list("iD", atoms, 5.0)
        v = vectors[centres == 0]
        j, k = np.triu_indices(len(v), 1)
        a, b, c = (np.linalg.norm(x, axis=1) for x in (v[j], v[k], v[j] - v[k]))
        cut = [np.where(x < 5, 0.5 * (np.cos(np.pi * x / 5) + 1), 0) for x in (a, b, c)]
        shape = 0.5 * (1 + np.sum(v[j] * v[k], axis=1) / (a * b)) ** 2
        expected = np.sum(shape * np.exp(-0.05 * (a * a + b * b + c * c)) * cut[0] * cut[1] * cut[2])
        assert len(j) == 990
        np.testing.assert_allclose(found[0, 1], expected, rtol=1e-12)

    def test_dscribe(self, acsf, rng):
        dscribe = pytest.importorskip("dscribe.descriptors")
        parameters = {"g2_params": G2, "g3_params": G3, "g4_params": G4, "g5_params": G5}
        for periodic in (False, True):
            theirs = dscribe.ACSF(r_cut=R_CUT, species=SPECIES, periodic=periodic, **parameters)
            for _ in range(5):
                atoms = crystal(rng) if periodic else molecule(rng, 12)
                atoms.wrap()  # dscribe misses neighbours of atoms outside the cell
                np.testing.assert_allclose(features(acsf, atoms), theirs.create(atoms), rtol=0, atol=1e-8)

    def test_names(self):
        acsf = ACSF([22, "O"], 4.0, [(1, 0), (2, 0)], [1.5], [(0.1, 1, 1)], [(0.1, 1, -1), (0.2, 1, 1)])
        radial = ["g1", "g2_0", "g2_1", "g3_0"]
        angular = ["g4_0", "g5_0", "g5_1"]
        assert acsf.feature_names == [f"{name}_{z}" for z in ("O", "Ti") for name in radial] + [
            f"{name}_{pair}" for pair in ("O_O", "Ti_O", "Ti_Ti") for name in angular
        ]
        assert acsf.n_features == 17

    def test_one_atom(self, acsf):
        np.testing.assert_array_equal(features(acsf, ase.Atoms("O")), np.zeros((1, acsf.n_features)))

    def test_no_atoms(self, acsf):
        packed = Structures.of([])
        nothing = Neighbors(
            0, np.zeros(1, np.int64), np.empty(0, np.int64), *np.empty((2, 0, 3)), np.empty(0)
        )
        assert acsf.values(packed, nothing).shape == (0, acsf.n_features)

    def test_pieces_are_the_whole(self, acsf, rng):
        packed = Structures.of([molecule(rng), ase.Atoms("H"), crystal(rng), molecule(rng)])
        pieces = list(neighbor_pieces(packed, R_CUT, pairs=40))
        assert len(pieces) > 3
        parts = [acsf.values(packed, piece) for piece in pieces]
        np.testing.assert_array_equal(np.concatenate(parts), acsf.values(packed, neighbors_of(packed)))

    def test_neighbours_beyond_the_cutoff_do_not_matter(self, acsf, rng):
        packed = Structures.of(molecule(rng))
        far, near = neighbors_of(packed, 2 * R_CUT), neighbors_of(packed)
        assert far.n_pairs > near.n_pairs
        np.testing.assert_allclose(acsf.values(packed, far), acsf.values(packed, near), atol=1e-14)

    def test_atoms_in_one_place_do_not_see_one_another(self, acsf):
        apart = Structures.of(ase.Atoms("OH", [[0, 0, 0], [1, 0, 0]]))
        doubled = Structures.of(ase.Atoms("OTiH", [[0, 0, 0], [0, 0, 0], [1, 0, 0]]))
        np.testing.assert_allclose(
            acsf.values(doubled, neighbors_of(doubled))[0], acsf.values(apart, neighbors_of(apart))[0]
        )

    def test_atoms_in_line(self, acsf):
        atoms = ase.Atoms("HOH", [[-1, 0, 0], [0, 0, 0], [1, 0, 0]])
        np.testing.assert_allclose(features(acsf, atoms), by_formula(atoms), rtol=1e-11, atol=1e-12)

    def test_unknown_element(self, acsf):
        packed = Structures.of([ase.build.molecule("H2O"), ase.build.molecule("CO")])
        with pytest.raises(InputError, match=r"structure 1 has C, .*: H, O, Ti;"):
            acsf.values(packed, neighbors_of(packed))

    def test_unknown_element_alone(self, acsf):
        with pytest.raises(InputError, match="structure 0 has C,"):
            features(acsf, ase.Atoms("C"))


class TestInvariance:
    @settings(max_examples=20)
    @given(st.integers(0, 2**32 - 1), st.booleans())
    def test_moved_as_a_whole(self, acsf, seed, periodic):
        rng = np.random.default_rng(seed)
        atoms = crystal(rng) if periodic else molecule(rng)
        turned, turn = atoms.copy(), Rotation.random(rng=rng).as_matrix()
        turned.set_cell(atoms.cell.array @ turn.T)
        turned.positions = atoms.positions @ turn.T + rng.uniform(-9, 9, 3)
        order = rng.permutation(len(atoms))
        expected = features(acsf, atoms)[order]
        np.testing.assert_allclose(features(acsf, turned[order]), expected, rtol=1e-9, atol=1e-9)

    @settings(max_examples=10)
    @given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 3)] * 3))
    def test_supercell(self, acsf, seed, repeats):
        atoms = crystal(np.random.default_rng(seed))
        expected = np.tile(features(acsf, atoms), (int(np.prod(repeats)), 1))
        np.testing.assert_allclose(features(acsf, atoms * repeats), expected, rtol=1e-9, atol=1e-9)


class TestDerivatives:
    @pytest.fixture(params=["molecule", "crystal"])
    def atoms(self, request, rng):
        return molecule(rng, 6) if request.param == "molecule" else crystal(rng)

    def test_pairs(self, acsf, atoms):
        packed = Structures.of(atoms)
        neighbors = neighbors_of(packed)
        arrays = acsf.derivatives(packed, neighbors)
        assert {name: array.shape[1:] for name, array in arrays.items()} == acsf.pair_arrays()
        pairs = acsf.expand(arrays, packed.numbers[neighbors.indices], neighbors.vectors)
        found = np.zeros((len(atoms), acsf.n_features, len(atoms), 3))
        for i, j, d in zip(neighbors.centres, neighbors.indices, pairs, strict=True):
            found[i, :, j] += d
            found[i, :, i] -= d
        expected = numerical(lambda positions: features(acsf, moved(atoms, positions)), atoms.positions)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)

    def test_vjp(self, acsf, atoms, rng):
        packed = Structures.of(atoms)
        neighbors = neighbors_of(packed)
        gradient = rng.normal(size=(len(atoms), acsf.n_features))
        positions, strain = np.ones((len(atoms), 3)), np.ones((1, 3, 3))
        acsf.vjp(packed, neighbors, gradient, positions, strain)
        pairs = acsf.expand(
            acsf.derivatives(packed, neighbors), packed.numbers[neighbors.indices], neighbors.vectors
        )
        pulls = np.einsum("pf,pfx->px", gradient[neighbors.centres], pairs)
        expected = np.ones((len(atoms), 3))  # what is there is added to
        np.add.at(expected, neighbors.indices, pulls)
        np.subtract.at(expected, neighbors.centres, pulls)
        np.testing.assert_allclose(positions, expected, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(strain[0], 1 + neighbors.vectors.T @ pulls, rtol=1e-10, atol=1e-10)

    def test_strain(self, acsf, atoms, rng):
        gradient = rng.normal(size=(len(atoms), acsf.n_features))

        def energy(strain):
            strained = moved(atoms, atoms.positions @ (np.eye(3) + strain))
            strained.set_cell(atoms.cell.array @ (np.eye(3) + strain))
            return np.sum(gradient * features(acsf, strained))

        packed = Structures.of(atoms)
        found = np.zeros((1, 3, 3))
        acsf.vjp(packed, neighbors_of(packed), gradient, np.zeros((len(atoms), 3)), found)
        np.testing.assert_allclose(found[0], numerical(energy, np.zeros((3, 3)), 1e-3), rtol=1e-7, atol=1e-7)

    def test_jvp(self, acsf, atoms, rng):
        tangents = rng.normal(size=(len(atoms), 3))
        packed = Structures.of(atoms)
        found = acsf.jvp(packed, neighbors_of(packed), tangents)

        def along(t):
            return features(acsf, moved(atoms, atoms.positions + t[0] * tangents))

        np.testing.assert_allclose(found, numerical(along, np.zeros(1), 1e-3)[..., 0], rtol=1e-7, atol=1e-7)

    def test_hvp(self, acsf, atoms, rng):
        tangents = rng.normal(size=(len(atoms), 3))
        gradient = rng.normal(size=(len(atoms), acsf.n_features))

        def slope(t):
            packed = Structures.of(moved(atoms, atoms.positions + t[0] * tangents))
            out = np.zeros((len(atoms), 3))
            acsf.vjp(packed, neighbors_of(packed), gradient, out, np.zeros((1, 3, 3)))
            return out

        packed = Structures.of(atoms)
        found = np.zeros((len(atoms), 3))
        acsf.hvp(packed, neighbors_of(packed), gradient, tangents, found)
        expected = numerical(slope, np.zeros(1), 5e-4)[..., 0]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)

    def test_both_changes_at_once(self, acsf, atoms, rng):
        packed = Structures.of(atoms)
        tangents = rng.normal(size=(len(atoms), 3))
        gradient = rng.normal(size=(len(atoms), acsf.n_features))
        one, other = np.zeros((2, len(atoms), 3))
        found = acsf.jvp_and_hvp(packed, neighbors_of(packed), gradient, tangents, one)
        expected = Descriptor.jvp_and_hvp(acsf, packed, neighbors_of(packed), gradient, tangents, other)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(one, other)

    def test_strain_of_each_structure(self, acsf, rng):
        structures = [molecule(rng), ase.Atoms("H"), crystal(rng)]
        packed = Structures.of(structures)
        gradient = rng.normal(size=(packed.n_atoms, acsf.n_features))
        found, alone = np.zeros((3, 3, 3)), np.zeros((3, 3, 3))
        acsf.vjp(packed, neighbors_of(packed), gradient, np.zeros((packed.n_atoms, 3)), found)
        for s, atoms in enumerate(structures):
            one, rows = Structures.of(atoms), slice(*packed.offsets[s : s + 2])
            acsf.vjp(one, neighbors_of(one), gradient[rows], np.zeros((len(atoms), 3)), alone[s : s + 1])
        np.testing.assert_allclose(found, alone, rtol=1e-12, atol=1e-12)

    def test_pieces_add_up(self, acsf, rng):
        packed = Structures.of([molecule(rng), ase.Atoms("H"), crystal(rng)])
        gradient, tangents = rng.normal(size=(12, acsf.n_features)), rng.normal(size=(12, 3))
        whole, parts = np.zeros((3, 12, 3)), np.zeros((3, 12, 3))
        for out, pieces in (
            (whole, [neighbors_of(packed)]),
            (parts, list(neighbor_pieces(packed, R_CUT, pairs=40))),
        ):
            for piece in pieces:
                rows = gradient[piece.start : piece.start + len(piece)]
                acsf.vjp(packed, piece, rows, out[0], out[1, :9].reshape(3, 3, 3))
                acsf.hvp(packed, piece, rows, tangents, out[2])
        assert len(pieces) > 2
        np.testing.assert_allclose(parts, whole, rtol=1e-11, atol=1e-11)

    def test_one_compiled_kernel_for_all(self, acsf, rng):
        # Arrays of stores and memory maps are read-only, slices are not contiguous.
        packed = Structures.of(molecule(rng))
        packed.numbers.flags.writeable = False
        gradient = rng.normal(size=(7, 2 * acsf.n_features))[:, ::2]
        acsf.values(packed, neighbors_of(packed))
        acsf.vjp(packed, neighbors_of(packed), gradient, np.zeros((7, 3)), np.zeros((1, 3, 3)))
        assert len(kernels.sweep.compiled().signatures) == 1

    def test_in_line(self):
        # Nothing is singular where the cosine is at its end.
        acsf = ACSF(["H", "O"], 3.0, g5_params=[(0.1, 1, 1), (0.1, 2, -1)])
        atoms = ase.Atoms("HOH", [[-1, 0, 0], [0, 0, 0], [1.1, 0, 0]])
        packed = Structures.of(atoms)
        out = np.zeros((3, 3))
        tangents = np.arange(9.0).reshape(3, 3)
        acsf.hvp(packed, neighbors_of(packed), np.ones((3, acsf.n_features)), tangents, out)
        assert np.isfinite(out).all()
        assert np.abs(out).max() > 0.1


class TestParameters:
    def test_sorted_and_equal(self):
        acsf = ACSF(["Ti", "O"], 4, [[1, 0]])
        assert acsf == ACSF(("O", 22), 4.0, ((1.0, 0.0),))
        assert hash(acsf) == hash(ACSF(("O", 22), 4.0, ((1.0, 0.0),)))
        assert acsf.species == ("O", "Ti")

    def test_round_trip(self, acsf):
        assert ACSF(**json.loads(json.dumps(acsf.parameters()))) == acsf

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"species": []}, "sequence of chemical symbols"),
            ({"species": "TiO"}, "sequence of chemical symbols"),
            ({"species": ["Xx"]}, "'Xx' is not a chemical element"),
            ({"species": [0]}, "0 is not a chemical element"),
            ({"species": ["O", 8]}, "name an element twice"),
            ({"species": 8}, "sequence of chemical symbols"),
            ({"r_cut": 0}, "r_cut is a positive number"),
            ({"r_cut": "4"}, "r_cut is a positive number of angstrom, not '4'"),
            ({"g3_params": 1.0}, "g3_params is a sequence, not 1.0"),
            ({"r_cut": np.inf}, "r_cut is a positive number"),
            ({"g2_params": [(1.0,)]}, "a row of g2_params is eta, Rs"),
            ({"g2_params": [(-1.0, 0)]}, "eta in g2_params is at least 0"),
            ({"g3_params": [np.nan]}, "a row of g3_params is kappa"),
            ({"g4_params": [(1, 1)]}, "a row of g4_params is eta, zeta, lambda"),
            ({"g4_params": [(1, 0.5, 1)]}, "zeta in g4_params is at least 1"),
            ({"g5_params": [(1, 1, 2)]}, "lambda in g5_params is between -1 and 1"),
        ],
    )
    def test_refused(self, arguments, message):
        with pytest.raises(InputError, match=message):
            ACSF(**{"species": ["O"], "r_cut": 4.0, **arguments})
