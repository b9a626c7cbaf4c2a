"""Against the paper's formulae written out, reference values of aenet, and finite differences."""

import itertools

import ase
import numpy as np
import pytest
from ase.build import bulk, make_supercell, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from zstruct.errors import InputError
from zstruct.features.chebyshev import Chebyshev
from zstruct.features.kernels import chebyshev, chebyshev_changes
from zstruct.geometry.neighbors import Neighbors, neighbor_list
from zstruct.geometry.structures import Structures
from zstruct.jit.registry import HELPERS

CASE_A = Chebyshev(["Ti", "O"], 2, 3.0, 2, 2.5)
CASE_A_ATOMS = ase.Atoms("TiO2", [(0, 0, 0), (1.2, 0.3, -0.4), (-0.5, 1.1, 0.6)])
SPINS = {1: [0], 2: [-1, 1], 3: [-1, 0, 1], 4: [-2, -1, 1, 2]}  # from the paper
DESCRIPTORS = [
    Chebyshev(["Ti", "O"], 4, 5.0, 3, 4.0),
    Chebyshev(["O", "Ti"], 0, 3.0, 0, 5.0),
    Chebyshev(["Ti", "O", "H"], 3, 4.5, 6, 4.5),
    Chebyshev(["H", "C", "Ti", "O"], 9, 6.5, 12, 4.0),
]


def crystal(seed=0, repeat=(1, 1, 1)):
    """A skewed cell of TiO2, distorted, with atoms outside it."""
    rng = np.random.default_rng(seed)
    atoms = bulk("TiO", "rocksalt", 4.3).repeat(repeat) + ase.Atoms("O", [(1.0, 0.9, 1.2)])
    atoms.set_cell(atoms.cell + rng.normal(scale=0.1, size=(3, 3)))
    atoms.positions += (
        rng.normal(scale=0.1, size=(len(atoms), 3)) + rng.integers(-2, 3, (len(atoms), 3)) @ atoms.cell
    )
    atoms.pbc = True
    return atoms


def cluster(n=8, seed=0, symbols="TiO"):
    rng = np.random.default_rng(seed)
    kinds = ase.Atoms(symbols).get_chemical_symbols()
    return ase.Atoms([kinds[i % len(kinds)] for i in range(n)], rng.uniform(0, 4.0, (n, 3)))


def features(descriptor, atoms):
    packed = Structures.of(atoms)
    return descriptor.values(packed, neighbor_list(packed, descriptor.cutoff))


def vjp(descriptor, packed, gradient):
    positions, strain = np.zeros((packed.n_atoms, 3)), np.zeros((len(packed), 3, 3))
    neighbors = neighbor_list(packed, descriptor.cutoff)
    descriptor.vjp(packed, neighbors, gradient, positions, strain)
    return positions, strain


def written_out(descriptor, packed, neighbors, atoms=slice(None)):
    """The features of atoms by the formulae of the paper, with a loop over pairs of neighbours."""
    symbols = [ase.data.atomic_numbers[symbol] for symbol in descriptor.species]
    spin = dict(zip(symbols, SPINS[len(symbols)], strict=True))
    radial, angular = np.arange(descriptor.rad_order + 1), np.arange(descriptor.ang_order + 1)

    def cut(r, radius):
        return 0.5 * (np.cos(np.pi * r / radius) + 1) if r < radius else 0.0

    rows = []
    for start, stop in list(itertools.pairwise(neighbors.offsets.tolist()))[atoms]:
        sums = np.zeros((2, len(radial) + len(angular)))
        near = [k for k in range(start, stop) if neighbors.distances[k] > descriptor.min_cutoff]
        for k in near:
            r, s = neighbors.distances[k], spin[packed.numbers[neighbors.indices[k]]]
            if r < descriptor.rad_cutoff:
                x = 2 * r / descriptor.rad_cutoff - 1
                term = np.cos(radial * np.arccos(x)) * cut(r, descriptor.rad_cutoff)
                sums[:, : len(radial)] += np.outer([1, s], term)
        for k, m in itertools.combinations(near, 2):
            r, q = neighbors.distances[[k, m]]
            s = spin[packed.numbers[neighbors.indices[k]]] * spin[packed.numbers[neighbors.indices[m]]]
            cosine = np.clip(neighbors.vectors[k] @ neighbors.vectors[m] / (r * q), -1, 1)
            weight = cut(r, descriptor.ang_cutoff) * cut(q, descriptor.ang_cutoff)
            sums[:, len(radial) :] += np.outer([1, s], np.cos(angular * np.arccos(cosine)) * weight)
        rows.append(sums.ravel() if len(symbols) > 1 else sums[0])
    return np.array(rows)


def slope(function, step=4e-4):
    """The derivative at zero, by finite differences of fourth order."""
    near, far = function(step) - function(-step), function(2 * step) - function(-2 * step)
    return (8 * near - far) / (12 * step)


def displaced(packed, change):
    return Structures(packed.offsets, packed.numbers, packed.positions + change, packed.cells, packed.pbc)


def test_water_has_the_reference_values_of_aenet():
    water = ase.Atoms("OH2", [(0, 0, 0.11779), (0, 0.75545, -0.47116), (0, -0.75545, -0.47116)])
    oxygen = [1.7300982539, -0.9014702260, -0.7906734939, 1.7254333873, -1.0074056870, -0.6756129735]
    oxygen += [1.7114639433, -1.1079086091, -0.5569091405, 1.6882652537, -1.2024370197]
    oxygen += [0.0835817030, -0.0203899548, -0.0736333472, 0.0563160145]
    hydrogen = [1.5524292875, -0.6188339313, -1.0004997755, 1.3268007492, -0.1255233265, -0.9868581441]
    hydrogen += [0.7950036203, 0.1247995895, -0.5497047484, 0.2980471950, -0.0628779469, 0, 0, 0, 0]
    hydrogen += [-0.1776689664, 0.2826362947, -0.2098262816, -0.3986326381, 0.8818823605, -0.3112451706]
    hydrogen += [-0.9164603231, 1.2327081985, 0.0072043921, -1.3902180587, 1.1395590727, 0, 0, 0, 0]

    found = features(Chebyshev(["O", "H"], 10, 4.0, 3, 1.5), water)

    np.testing.assert_allclose(found, [oxygen * 2, hydrogen, hydrogen], atol=1e-9, rtol=0)


def test_case_a_has_the_reference_values():
    titanium = [1.182652050205, -0.138754409001, -1.149460762193]
    titanium += [0.205207082561, -0.059673769968, -0.170501079456]
    first = [0.798173131066, 0.000834015927, -0.708531294445, 0.025087554616, 0.019947503891, 0.006633585016]
    first += [-0.409738559752, 0.161888908036, 0.456432425144]
    second = [0.772913490453, 0.023134499035, -0.693028337050, 0.023444302807, 0.019024289586, 0.007430882286]
    second += [-0.384478919140, 0.139588424928, 0.440929467748]
    expected = [titanium * 2, first + [-a for a in first[3:6]], second + [-a for a in second[3:6]]]

    np.testing.assert_allclose(features(CASE_A, CASE_A_ATOMS), expected, atol=1e-9, rtol=0)


def test_case_a_has_the_reference_derivatives():
    packed = Structures.of(CASE_A_ATOMS)
    neighbors = neighbor_list(packed, CASE_A.cutoff)
    expected = [
        (-0.472760202552, -0.118190050638, 0.157586734184),
        (0.434699829310, 0.108674957327, -0.144899943103),
        (0.257729545233, 0.064432386308, -0.085909848411),
    ]

    arrays = CASE_A.derivatives(packed, neighbors)
    found = CASE_A.expand(arrays, packed.numbers[neighbors.indices], neighbors.vectors)

    pair = np.flatnonzero((neighbors.centres == 0) & (neighbors.indices == 1))[0]
    np.testing.assert_allclose(found[pair, :3], expected, atol=1e-9, rtol=0)


def test_case_a_has_the_reference_forces():
    gradient = np.tile(np.arange(1, 13) / 10, (3, 1))
    expected = [
        (0.198835065343, 0.438127747841, 0.071121556710),
        (-1.007204994812, 0.216459735324, 0.501378339559),
        (0.808369929468, -0.654587483165, -0.572499896270),
    ]

    positions, _ = vjp(CASE_A, Structures.of(CASE_A_ATOMS), gradient)

    np.testing.assert_allclose(-positions, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("descriptor", [*DESCRIPTORS, Chebyshev(["O"], 5, 4.0, 4, 4.0)], ids=str)
def test_values_are_the_formulae_written_out(descriptor):
    symbols = "".join(descriptor.species)
    packed = Structures.of([cluster(9, symbols=symbols), cluster(3, 1, symbols), cluster(2, 2, symbols)])
    neighbors = neighbor_list(packed, descriptor.cutoff + 1.0)

    found = descriptor.values(packed, neighbors)

    np.testing.assert_allclose(found, written_out(descriptor, packed, neighbors), atol=1e-11, rtol=1e-11)


def test_values_of_a_crystal_with_hundreds_of_neighbours(long_run):
    descriptor = Chebyshev(["Ti", "O"], 5, 7.0, 4, 7.5)
    packed = Structures.of(crystal())
    neighbors = neighbor_list(packed, descriptor.cutoff)
    assert np.diff(neighbors.offsets).min() > 128  # more than a block of the kernels

    found = descriptor.values(packed, neighbors)

    some = slice(None) if long_run else slice(1)
    expected = written_out(descriptor, packed, neighbors, some)
    np.testing.assert_allclose(found[some], expected, atol=1e-9, rtol=1e-11)


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=str)
def test_derivatives_are_finite_differences(descriptor):
    packed = Structures.of(cluster(6))
    neighbors = neighbor_list(packed, descriptor.cutoff)
    arrays = descriptor.derivatives(packed, neighbors)
    assert {name: array.shape[1:] for name, array in arrays.items()} == descriptor.pair_arrays()
    derivatives = descriptor.expand(arrays, packed.numbers[neighbors.indices], neighbors.vectors)

    for atom, axis in itertools.product(range(packed.n_atoms), range(3)):
        change = np.zeros((packed.n_atoms, 3))
        change[atom, axis] = 1.0
        expected = slope(lambda h, change=change: features(descriptor, displaced(packed, h * change)), 1e-4)
        pairs = (neighbors.indices == atom).astype(float) - (neighbors.centres == atom)
        found = np.zeros_like(expected)
        np.add.at(found, neighbors.centres, derivatives[:, :, axis] * pairs[:, None])
        np.testing.assert_allclose(found, expected, atol=1e-7 * max(1.0, abs(expected).max()))


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=str)
@pytest.mark.parametrize(
    "atoms", [crystal(), crystal(1, (2, 2, 1)), cluster(7, 3)], ids=["3", "9", "cluster"]
)
def test_vjp_and_jvp_are_contracted_derivatives(descriptor, atoms):
    packed = Structures.of([atoms, cluster(2), atoms])
    neighbors = neighbor_list(packed, descriptor.cutoff)
    i, j = neighbors.centres, neighbors.indices
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=(packed.n_atoms, descriptor.n_features))
    tangents = rng.normal(size=(packed.n_atoms, 3))
    arrays = descriptor.derivatives(packed, neighbors)
    full = descriptor.expand(arrays, packed.numbers[j], neighbors.vectors)
    along_pairs = np.einsum("pf,pfc->pc", gradient[i], full)
    positions, strain = np.zeros((packed.n_atoms, 3)), np.zeros((3, 3, 3))
    np.add.at(positions, j, along_pairs)
    np.subtract.at(positions, i, along_pairs)
    structure = np.searchsorted(packed.offsets, i, side="right") - 1
    np.add.at(strain, structure, neighbors.vectors[:, :, None] * along_pairs[:, None, :])
    change = np.zeros((packed.n_atoms, descriptor.n_features))
    np.add.at(change, i, np.einsum("pfc,pc->pf", full, tangents[j] - tangents[i]))

    found_positions, found_strain = vjp(descriptor, packed, gradient)
    found_change = descriptor.jvp(packed, neighbors, tangents)

    for found, expected in ((found_positions, positions), (found_strain, strain), (found_change, change)):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11 * abs(expected).max())


@pytest.mark.parametrize("descriptor", DESCRIPTORS[:3], ids=str)
def test_forces_stress_and_second_derivatives_are_finite_differences(descriptor):
    packed = Structures.of([crystal(2), cluster(4)])
    rng = np.random.default_rng(1)
    gradient = rng.normal(size=(packed.n_atoms, descriptor.n_features))
    tangents, deformation = rng.normal(size=(packed.n_atoms, 3)), rng.normal(size=(3, 3))

    def energy(moved):
        return np.sum(gradient * descriptor.values(moved, neighbor_list(moved, descriptor.cutoff)))

    def strained(h):
        turn = np.eye(3) + h * deformation
        return Structures(
            packed.offsets, packed.numbers, packed.positions @ turn, packed.cells @ turn, packed.pbc
        )

    positions, strain = vjp(descriptor, packed, gradient)
    second = np.zeros_like(positions)
    descriptor.hvp(packed, neighbor_list(packed, descriptor.cutoff), gradient, tangents, second)

    by_tangent = slope(lambda h: energy(displaced(packed, h * tangents)), 1e-4)
    by_strain = slope(lambda h: energy(strained(h)), 1e-4)
    by_tangent_twice = slope(lambda h: vjp(descriptor, displaced(packed, h * tangents), gradient)[0], 1e-4)
    assert np.sum(positions * tangents) == pytest.approx(by_tangent, rel=1e-7)
    assert np.sum(strain * deformation) == pytest.approx(by_strain, rel=1e-7)
    np.testing.assert_allclose(second, by_tangent_twice, atol=1e-7 * abs(second).max())


@pytest.mark.parametrize("angular", [True, False])
def test_both_changes_at_once_of_more_neighbours_than_fit_into_a_block(angular):
    descriptor = Chebyshev(["Ti", "O"], 5, 8.0, 4, 7.5 if angular else 0.5)
    packed = Structures.of([crystal(3), cluster(2)])
    rng = np.random.default_rng(4)
    gradient = rng.normal(size=(packed.n_atoms, descriptor.n_features))
    tangents = rng.normal(size=(packed.n_atoms, 3))
    second, neighbors = np.zeros((packed.n_atoms, 3)), neighbor_list(packed, descriptor.cutoff)

    change = descriptor.jvp_and_hvp(packed, neighbors, gradient, tangents, second)

    def moved(h):
        return displaced(packed, h * tangents)

    def values(h):
        return descriptor.values(moved(h), neighbor_list(moved(h), descriptor.cutoff))

    assert np.diff(neighbors.offsets).max() > 256
    expected = slope(lambda h: vjp(descriptor, moved(h), gradient)[0], 1e-4)
    np.testing.assert_allclose(second, expected, atol=1e-7 * abs(second).max())
    np.testing.assert_allclose(change, slope(values, 1e-4), atol=1e-7 * abs(change).max())
    np.testing.assert_allclose(change, descriptor.jvp(packed, neighbors, tangents), rtol=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.tuples(*[st.floats(-20, 20)] * 3))
def test_turning_and_moving_change_nothing_and_reordering_only_the_order(seed, shift):
    descriptor, atoms = DESCRIPTORS[0], crystal(seed)
    before = features(descriptor, atoms)
    order = np.random.default_rng(seed).permutation(len(atoms))
    turn = Rotation.random(rng=seed).as_matrix()

    moved = atoms[order]
    moved.set_cell(moved.cell @ turn)
    moved.positions = moved.positions @ turn + shift

    np.testing.assert_allclose(features(descriptor, moved), before[order], atol=1e-9)


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.permutations([1, 2, 2]))
def test_a_supercell_repeats_the_features(seed, repeat):
    descriptor, atoms = DESCRIPTORS[0], crystal(seed)
    supercell = make_supercell(atoms, np.diag(repeat), order="cell-major")

    found = features(descriptor, supercell)

    np.testing.assert_allclose(found, np.tile(features(descriptor, atoms), (4, 1)), atol=1e-9)


def test_pieces_are_parts_of_the_whole():
    descriptor = DESCRIPTORS[0]
    packed = Structures.of([crystal(), cluster(5)])
    whole = neighbor_list(packed, descriptor.cutoff)
    gradient = np.random.default_rng(0).normal(size=(packed.n_atoms, descriptor.n_features))
    positions, strain = np.zeros((packed.n_atoms, 3)), np.zeros((2, 3, 3))
    edges = [0, 2, 3, 3, 6, packed.n_atoms]

    values = []
    for start, stop in itertools.pairwise(edges):
        first, last = whole.offsets[[start, stop]]
        pairs = slice(first, last)
        piece = Neighbors(
            start,
            whole.offsets[start : stop + 1] - first,
            *(array[pairs] for array in (whole.indices, whole.shifts, whole.vectors, whole.distances)),
        )
        values.append(descriptor.values(packed, piece))
        descriptor.vjp(packed, piece, gradient[start:stop], positions, strain)

    assert values[2].shape == (0, descriptor.n_features)
    alone = neighbor_list(Structures.of(ase.Atoms("O")), 4.0)
    assert descriptor.derivatives(packed, alone)["angular"].shape == (0, 4, 3)
    np.testing.assert_array_equal(np.concatenate(values), descriptor.values(packed, whole))
    expected_positions, expected_strain = vjp(descriptor, packed, gradient)
    np.testing.assert_allclose(positions, expected_positions, atol=1e-10)
    np.testing.assert_allclose(strain, expected_strain, atol=1e-10)


def test_an_atom_alone_and_one_with_one_neighbour():
    alone, pair = ase.Atoms("O"), ase.Atoms("OTi", [(0, 0, 0), (0, 0, 2.0)])

    assert not features(DESCRIPTORS[0], alone).any()
    assert not features(DESCRIPTORS[0], pair)[:, 5:9].any()  # no pair of neighbours: no angle, exactly
    positions, _ = vjp(DESCRIPTORS[0], Structures.of(pair), np.eye(18)[[5, 6]])
    assert not positions.any()


@pytest.mark.parametrize("distance", [0.3, 0.55])
def test_neighbours_as_near_as_min_cutoff_are_left_out(distance):
    far = ase.Atoms("OTi", [(0, 0, 0), (0, 2.0, 0)])
    near = far + ase.Atoms("O", [(distance, 0, 0)])

    np.testing.assert_allclose(
        features(DESCRIPTORS[0], near)[0], features(DESCRIPTORS[0], far)[0], atol=1e-14
    )


def test_atoms_in_the_same_place_are_left_out_even_without_min_cutoff():
    descriptor = Chebyshev(["Ti", "O"], 3, 4.0, 3, 4.0, min_cutoff=0.0)
    atoms = cluster(4)
    twice = atoms + atoms[:1]
    packed = Structures.of(twice)
    neighbors = neighbor_list(packed, 4.0)
    gradient, tangents = np.ones((5, descriptor.n_features)), np.ones((5, 3))

    found = descriptor.values(packed, neighbors)
    derivatives = descriptor.derivatives(packed, neighbors)
    full = descriptor.expand(derivatives, packed.numbers[neighbors.indices], neighbors.vectors)
    second = np.zeros((5, 3))
    descriptor.hvp(packed, neighbors, gradient, tangents, second)

    np.testing.assert_allclose(found[0], features(descriptor, atoms)[0], atol=1e-14)
    assert np.isfinite(full).all()
    np.testing.assert_allclose(vjp(descriptor, packed, gradient)[0].sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(second, 0.0, atol=1e-10)  # all moved alike


def test_a_neighbour_at_the_cutoff_adds_nothing():
    descriptor = Chebyshev(["Ti", "O"], 3, 3.0, 3, 3.0)
    atoms = ase.Atoms("TiO3", [(0, 0, 0), (1.5, 0, 0), (0, 1.5, 0), (0, 0, 3.0)])
    positions, _ = vjp(descriptor, Structures.of(atoms), np.eye(4, descriptor.n_features))

    np.testing.assert_allclose(features(descriptor, atoms)[0], features(descriptor, atoms[:3])[0], atol=1e-15)
    np.testing.assert_allclose(positions[3, 2], 0.0, atol=1e-15)


def test_angles_of_atoms_in_line():
    descriptor = Chebyshev(["O"], 0, 4.0, 5, 4.0)
    line = ase.Atoms("O3", [(0, 0, -1.5), (0, 0, 0), (0, 0, 1.5)])
    weight = ((np.cos(np.pi * 1.5 / 4.0) + 1) / 2) ** 2

    middle = features(descriptor, line)[1, 1:]
    positions, _ = vjp(descriptor, Structures.of(line), np.ones((3, 7)))

    np.testing.assert_allclose(middle, weight * np.array([1, -1, 1, -1, 1, -1]), atol=1e-14)
    np.testing.assert_allclose(positions[:, :2], 0.0, atol=1e-14)


def test_cutoffs_far_apart_overflow_nothing():
    descriptor = Chebyshev(["Ti", "O"], 300, 1.0, 3, 1e3)

    positions, _ = vjp(descriptor, Structures.of(cluster(6)), np.ones((6, descriptor.n_features)))

    assert np.isfinite(positions).all()
    assert np.isfinite(features(descriptor, cluster(6))).all()


def test_float32_and_readonly_arrays_are_taken():
    packed = Structures.of(molecule("H2O"))
    neighbors = neighbor_list(packed, 4.0)
    descriptor = Chebyshev(["O", "H"], 3, 4.0, 3, 3.0)
    gradient = np.ones((3, descriptor.n_features), np.float32)
    gradient.flags.writeable = False

    positions, _ = vjp(descriptor, packed, gradient)

    np.testing.assert_array_equal(positions, vjp(descriptor, packed, np.ones((3, 16)))[0])
    assert descriptor.values(packed, neighbors).dtype == np.float64


def test_names_parameters_and_equality():
    descriptor = Chebyshev(("Ti", "O"), 1, 4, 0, 3)

    assert descriptor.feature_names == ["rad_0", "rad_1", "ang_0", "rad_w_0", "rad_w_1", "ang_w_0"]
    assert descriptor.n_features == 6
    assert descriptor.cutoff == 4.0
    assert Chebyshev(**descriptor.parameters()) == descriptor
    assert Chebyshev(["Ti"], 1, 4, 0, 3).feature_names == ["rad_0", "rad_1", "ang_0"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"species": []}, "empty"),
        ({"species": "TiO"}, "list of chemical symbols"),
        ({"species": ["Ti", "Q"]}, "'Q' is not the symbol"),
        ({"species": ["X"]}, "'X' is not the symbol"),
        ({"species": ["O", "Ti", "O"]}, "O is given twice"),
        ({"species": 8}, "list of chemical symbols"),
        ({"rad_order": -1}, "rad_order"),
        ({"rad_order": None}, "rad_order is an integer from 0 up, not None"),
        ({"ang_order": np.inf}, "ang_order"),
        ({"rad_cutoff": "abc"}, "rad_cutoff is a length in angstrom, finite and positive, not 'abc'"),
        ({"ang_order": 1.5}, "ang_order"),
        ({"rad_cutoff": 0.0}, "rad_cutoff"),
        ({"ang_cutoff": np.inf}, "ang_cutoff"),
        ({"min_cutoff": -1.0}, "min_cutoff"),
    ],
)
def test_bad_hyperparameters_are_refused(change, message):
    good = {"species": ["Ti", "O"], "rad_order": 2, "rad_cutoff": 3.0, "ang_order": 2, "ang_cutoff": 3.0}
    with pytest.raises(InputError, match=message):
        Chebyshev(**{**good, **change})


def test_an_unknown_element_is_named_with_its_structure():
    packed = Structures.of([molecule("H2O"), molecule("CO"), ase.Atoms("He")])
    descriptor = Chebyshev(["O", "H"], 2, 4.0, 2, 3.0)
    gradient = np.ones((packed.n_atoms, descriptor.n_features))

    with pytest.raises(InputError, match=r"structure 1 has C, .* O, H;"):
        descriptor.values(packed, neighbor_list(packed, 4.0))
    with pytest.raises(InputError, match=r"structure 2 has He"):
        descriptor.derivatives(packed, neighbor_list(packed, 4.0, 5, 6))
    with pytest.raises(InputError, match=r"structure 1 has C"):
        vjp(descriptor, packed, gradient)
    odd = Structures.of_arrays([0, 1], [500], [[0, 0, 0]])
    nobody = neighbor_list(Structures.of(ase.Atoms("O")), 4.0)
    with pytest.raises(InputError, match="atomic number 500"):
        descriptor.values(odd, nobody)


def test_an_unknown_element_without_neighbours_is_named_too():
    with pytest.raises(InputError, match=r"structure 1 has He, which is not among the species .*: Ti, O;"):
        CASE_A.compute([ase.Atoms("O"), ase.Atoms("He")])


def test_helpers_of_kernels_are_inlined():
    # Else the last bits depend on which kernel a process compiled or loaded first: they share helpers.
    assert chebyshev_changes.__name__.startswith(chebyshev.__name__)
    ours = {f: options for f, options in HELPERS.items() if f.__module__.startswith(chebyshev.__name__)}
    assert len(ours) > 20
    assert [f.__name__ for f, options in ours.items() if not options.get("forceinline")] == []
