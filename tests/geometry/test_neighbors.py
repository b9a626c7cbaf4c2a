import os
import subprocess
import sys
import threading

import ase.build
import numpy as np
import pytest
from ase.neighborlist import neighbor_list as ase_list
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree

from zstruct.errors import InputError
from zstruct.geometry.neighbors import NeighborList, Neighbors, neighbor_list, neighbor_pieces
from zstruct.geometry.structures import Structures

TIE = 1e-10  # so near to the cutoff, rounding decides


def rows(neighbors: Neighbors) -> np.ndarray:
    """Centre, neighbour and shift of each pair, sorted."""
    return sort(np.column_stack([neighbors.centres, neighbors.indices, neighbors.shifts]))[0]


def sort(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort(pairs.T[::-1])
    return pairs[order], order


def assert_as_ase(atoms: ase.Atoms, cutoff: float) -> None:
    i, j, shifts, vectors, distances = ase_list("ijSDd", atoms, cutoff)
    found = neighbor_list(Structures.of(atoms), cutoff)
    theirs, their_order = sort(np.column_stack([i, j, shifts])[distances < cutoff - TIE])
    sure = found.distances < cutoff - TIE
    ours, our_order = sort(np.column_stack([found.centres, found.indices, found.shifts])[sure])
    np.testing.assert_array_equal(ours, theirs)
    scale = 1 + np.abs(atoms.positions).max(initial=0)
    expected = vectors[distances < cutoff - TIE][their_order]
    np.testing.assert_allclose(found.vectors[sure][our_order], expected, rtol=0, atol=1e-13 * scale)
    assert_consistent(Structures.of(atoms), found, cutoff)


def assert_consistent(structures: Structures, found: Neighbors, cutoff: float) -> None:
    """Both ends agree exactly; distances are those of the vectors; all below the cutoff."""
    there = np.column_stack([found.centres, found.indices, found.shifts])
    back = np.column_stack([found.indices, found.centres, -found.shifts])
    there, there_order = sort(there)
    back, back_order = sort(back)
    np.testing.assert_array_equal(there, back)
    np.testing.assert_array_equal(found.vectors[there_order], -found.vectors[back_order])
    x, y, z = found.vectors.T
    np.testing.assert_array_equal(found.distances, np.sqrt(x * x + y * y + z * z))
    assert (found.distances < cutoff).all()
    assert not np.any((found.centres == found.indices) & (found.shifts == 0).all(axis=1))
    assert len(np.unique(there, axis=0)) == len(there)
    of = np.searchsorted(structures.offsets, found.centres, side="right") - 1
    moved = np.einsum("pk,pkd->pd", found.shifts, structures.cells[of])
    expected = structures.positions[found.indices] + moved - structures.positions[found.centres]
    scale = 1 + np.abs(structures.positions).max(initial=0)
    np.testing.assert_allclose(found.vectors, expected, rtol=0, atol=1e-13 * scale)


pbcs = st.tuples(st.booleans(), st.booleans(), st.booleans())
seeds = st.integers(0, 2**32 - 1)


def gas(
    rng: np.random.Generator, n: int, cell: np.ndarray, pbc: tuple[bool, ...], spread: float
) -> ase.Atoms:
    """Atoms in and around a cell, `spread` cells wide."""
    positions = ((rng.random((n, 3)) - 0.5) * spread + 0.5) @ cell
    return ase.Atoms(np.ones(n, int), positions=positions, cell=cell, pbc=pbc)


def skewed(rng: np.random.Generator) -> np.ndarray:
    """Left- or right-handed, with vectors that are sums of several of a simple lattice."""
    cell = np.diag(rng.uniform(1.5, 3, 3)) * rng.choice([-1, 1], 3)
    for a, b in rng.permutation([(0, 1), (1, 2), (2, 0)]):
        cell[a] += rng.integers(-3, 4) * cell[b]
    return cell @ np.linalg.qr(rng.normal(size=(3, 3)))[0]


class TestAgainstAse:
    @given(seed=seeds, pbc=pbcs, n=st.integers(1, 30), spread=st.sampled_from([1.0, 3.0, 40.0]))
    @settings(max_examples=60)
    def test_any_cell(self, seed, pbc, n, spread):
        rng = np.random.default_rng(seed)
        cell = rng.normal(size=(3, 3)) * rng.uniform(1.5, 8)
        if abs(np.linalg.det(cell)) < 8:
            cell += 3 * np.eye(3)
        if abs(np.linalg.det(cell)) < 8:
            return
        assert_as_ase(gas(rng, n, cell, pbc, spread), rng.uniform(0.5, 6))

    @given(seed=seeds, pbc=pbcs, n=st.integers(1, 4))
    @settings(max_examples=40)
    def test_cells_badly_skewed(self, seed, pbc, n):
        rng = np.random.default_rng(seed)
        assert_as_ase(gas(rng, n, skewed(rng), pbc, 2.0), rng.uniform(0.5, 3))

    @given(seed=seeds, n=st.integers(0, 60), scale=st.sampled_from([0.5, 3.0, 1e4]))
    @settings(max_examples=100)
    def test_no_cell(self, seed, n, scale):
        rng = np.random.default_rng(seed)
        assert_as_ase(ase.Atoms(np.ones(n, int), positions=rng.normal(size=(n, 3)) * scale), 4.0)

    @given(seed=seeds, pbc=pbcs)
    @settings(max_examples=15)
    def test_many_atoms(self, seed, pbc):
        rng = np.random.default_rng(seed)
        cell = np.array([[16.0, 0, 0], [7, 17, 0], [-5, 6, 15]]) @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
        assert_as_ase(gas(rng, int(rng.integers(300, 700)), cell, pbc, 1.5), 4.0)

    @given(seed=seeds, pbc=pbcs)
    @settings(max_examples=30)
    def test_atoms_on_a_lattice(self, seed, pbc):
        # On edges of cells and bins, several at one place; no distance is near to the cutoff.
        rng = np.random.default_rng(seed)
        atoms = gas(rng, 40, np.diag([4.0, 6.0, 5.0]), pbc, 2.0)
        atoms.positions = np.round(atoms.positions)
        assert_as_ase(atoms, 3.05)

    def test_cell_vectors_that_are_not_periodic_do_not_matter(self):
        atoms = ase.build.fcc111("Cu", (2, 2, 3), vacuum=5)
        expected = rows(neighbor_list(Structures.of(atoms), 5.0))
        atoms.cell[2] = 0
        np.testing.assert_array_equal(rows(neighbor_list(Structures.of(atoms), 5.0)), expected)
        atoms.cell[2] = [1, 0.1, 0.1]
        np.testing.assert_array_equal(rows(neighbor_list(Structures.of(atoms), 5.0)), expected)


class TestTheCutoff:
    @pytest.mark.parametrize("n", [1, 12])  # few images and many
    def test_a_neighbour_at_the_cutoff_is_none(self, n):
        atoms = ase.build.bulk("Po", "sc", a=3.0, cubic=True) * (n, n, n)
        assert neighbor_list(Structures.of(atoms), 3.0).n_pairs == 0
        assert neighbor_list(Structures.of(atoms), np.nextafter(3.0, 4)).n_pairs == 6 * len(atoms)

    @given(seed=seeds, n=st.sampled_from([1, 3, 40]))
    @settings(max_examples=60)
    def test_both_ends_agree_where_rounding_decides(self, seed, n):
        rng = np.random.default_rng(seed)
        atoms = gas(rng, n, rng.normal(size=(3, 3)) + 4 * np.eye(3), (True, True, True), 9.0)
        cutoff = float(rng.choice(neighbor_list(Structures.of(atoms), 6.0).distances))
        for at in (np.nextafter(cutoff, 0), cutoff, np.nextafter(cutoff, 9)):
            assert_consistent(Structures.of(atoms), neighbor_list(Structures.of(atoms), at), at)

    def test_atoms_at_the_same_place_are_neighbours(self):
        found = neighbor_list(Structures.of(ase.Atoms("H3", positions=[[1.0, 2, 3]] * 3)), 1e-3)
        assert found.distances.tolist() == [0.0] * 6
        assert found.centres.tolist() == [0, 0, 1, 1, 2, 2]

    @pytest.mark.parametrize("cutoff", [0, -1.0, np.nan, np.inf, 1e30, "5", None, True])
    def test_it_is_a_positive_number(self, cutoff):
        with pytest.raises(InputError, match="a positive number of angstrom, at most 1,000, not"):
            NeighborList(cutoff)
        with pytest.raises(InputError, match="a positive number of angstrom, at most 1,000, not"):
            neighbor_list(Structures.of(ase.Atoms("H", cell=[3, 3, 3], pbc=True)), cutoff)


class TestShapes:
    def test_no_structures_and_no_atoms(self):
        for packed in (Structures.of([]), Structures.of([ase.Atoms(), ase.Atoms(cell=[3, 3, 3], pbc=True)])):
            found = neighbor_list(packed, 5.0)
            assert (len(found), found.n_pairs, found.offsets.tolist()) == (0, 0, [0])
            assert list(neighbor_pieces(packed, 5.0)) == []

    def test_one_atom(self):
        assert neighbor_list(Structures.of(ase.Atoms("H")), 5.0).n_pairs == 0
        found = NeighborList(3.2).compute(ase.Atoms("H", cell=[3, 4, 5], pbc=True))
        assert rows(found).tolist() == [[0, 0, -1, 0, 0], [0, 0, 1, 0, 0]]

    def test_a_tiny_cell(self):
        assert_as_ase(ase.Atoms("H", cell=[0.2, 0.22, 0.25], pbc=True), 0.9)

    def test_dtypes(self):
        found = neighbor_list(Structures.of(ase.build.bulk("Cu")), 3.0)
        kinds = [
            str(getattr(found, n).dtype) for n in ("offsets", "indices", "shifts", "vectors", "distances")
        ]
        assert kinds == ["int64", "int64", "int32", "float64", "float64"]

    def test_read_only_arrays(self):
        packed = Structures.of(ase.build.bulk("Cu"))
        for array in (packed.offsets, packed.positions, packed.cells, packed.pbc):
            array.flags.writeable = False
        assert neighbor_list(packed, 3.0).n_pairs == 12

    def test_atoms_far_apart(self):
        # A thousand pairs, each far from all others: bins can't be as small as the cutoff.
        places = np.random.default_rng(1).uniform(-1e7, 1e7, (1000, 3))
        packed = Structures.of(ase.Atoms("H2000", positions=np.concatenate([places, places + 0.5])))
        found = neighbor_list(packed, 1.0)
        np.testing.assert_array_equal(found.indices, (np.arange(2000) + 1000) % 2000)


@pytest.fixture(scope="module")
def mixed() -> Structures:
    """Molecules, crystals, empty ones, one that is large."""
    rng = np.random.default_rng(5)
    large = gas(rng, 400, np.diag([15.0, 16, 17]), (True, True, False), 1.0)
    small = [
        ase.build.molecule("C6H6"),
        ase.Atoms(),
        ase.build.bulk("Ti"),
        ase.build.bulk("NaCl", "rocksalt", 5.6),
    ]
    return Structures.of([*small, large, *small, ase.Atoms("H"), ase.Atoms()])


class TestPieces:
    @pytest.mark.parametrize("pairs", [1, 7, 500, 1 << 16])
    def test_together_they_are_the_list(self, mixed, pairs):
        whole = neighbor_list(mixed, 5.0)
        pieces = list(neighbor_pieces(mixed, 5.0, pairs))
        assert [p.start for p in pieces] == np.cumsum([0, *(len(p) for p in pieces[:-1])]).tolist()
        assert all(p.n_pairs <= pairs or len(p) == 1 for p in pieces)
        for name in ("indices", "shifts", "vectors", "distances", "centres"):
            joined = np.concatenate([getattr(p, name) for p in pieces])
            np.testing.assert_array_equal(joined, getattr(whole, name))

    @pytest.mark.parametrize("pairs", [7, 500])
    def test_of_a_range_of_atoms_they_are_its_list(self, mixed, pairs):
        n = mixed.n_atoms
        for start, stop in [(0, 0), (3, 40), (100, 101), (15, 350), (n - 3, n), (n, n)]:
            part = neighbor_list(mixed, 5.0, start, stop)
            pieces = list(neighbor_pieces(mixed, 5.0, pairs, start, stop))
            assert [p.start for p in pieces] == np.cumsum([start, *map(len, pieces)])[:-1].tolist()
            for name in ("centres", "indices", "shifts", "vectors", "distances"):
                joined = [getattr(p, name) for p in pieces]
                np.testing.assert_array_equal(
                    np.concatenate([getattr(part, name)[:0], *joined]), getattr(part, name)
                )

    def test_a_range_of_atoms_is_a_range_of_the_list(self, mixed):
        whole, n = neighbor_list(mixed, 5.0), mixed.n_atoms
        for start, stop in [(0, 0), (3, 40), (100, 101), (15, 350), (n - 3, n), (n, n)]:
            part = neighbor_list(mixed, 5.0, start, stop)
            a, b = whole.offsets[[start, stop]]
            np.testing.assert_array_equal(part.offsets, whole.offsets[start : stop + 1] - a)
            for name in ("indices", "shifts", "vectors", "distances"):
                np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[a:b])

    def test_order_does_not_depend_on_what_else_is_packed(self, mixed):
        whole = neighbor_list(mixed, 5.0)
        for s in range(len(mixed)):
            a, b = mixed.offsets[s : s + 2]
            alone = neighbor_list(mixed.part(s, s + 1), 5.0)
            np.testing.assert_array_equal(
                alone.indices + a, whole.indices[whole.offsets[a] : whole.offsets[b]]
            )

    def test_threads(self, mixed):
        whole, seen = neighbor_list(mixed, 5.0), []

        def work() -> None:
            pieces = [list(neighbor_pieces(mixed, 5.0, 300)) for _ in range(5)]
            seen.extend(np.concatenate([p.distances for p in some]) for some in pieces)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 20
        assert all(np.array_equal(distances, whole.distances) for distances in seen)


class TestInvariance:
    @given(seed=seeds, pbc=pbcs, n=st.sampled_from([5, 120]))
    @settings(max_examples=40)
    def test_distances(self, seed, pbc, n):
        rng = np.random.default_rng(seed)
        cell = np.diag([9.0, 10, 11]) + rng.normal(size=(3, 3))
        atoms = gas(rng, n, cell, pbc, 2.0)
        expected = np.sort(neighbor_list(Structures.of(atoms), 4.0).distances)
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]  # and reflect, half of the times
        moved = atoms[rng.permutation(n)]
        moved.set_cell(cell @ turn)
        moved.positions = moved.positions @ turn + rng.normal(size=3) * 20
        np.testing.assert_allclose(
            np.sort(neighbor_list(Structures.of(moved), 4.0).distances), expected, atol=1e-11
        )

    @given(seed=seeds, repeat=st.sampled_from([(2, 1, 1), (1, 3, 2), (3, 3, 3)]))
    @settings(max_examples=20)
    def test_supercells(self, seed, repeat):
        rng = np.random.default_rng(seed)
        atoms = gas(rng, 6, np.diag([4.0, 5, 4]) + rng.normal(size=(3, 3)) / 3, (True, True, True), 3.0)
        one = np.sort(neighbor_list(Structures.of(atoms), 5.0).distances)
        many = np.sort(neighbor_list(Structures.of(atoms * repeat), 5.0).distances)
        np.testing.assert_allclose(many, np.repeat(one, np.prod(repeat)), atol=1e-11)


def test_100_000_atoms_against_a_tree():
    rng = np.random.default_rng(2)
    n, edges, cutoff = 100_000, np.array([95.0, 100.0, 105.0]), 4.0
    positions = rng.random((n, 3)) * edges
    packed = Structures.of(ase.Atoms(np.ones(n, int), positions=positions, cell=edges, pbc=True))
    pairs = KDTree(positions, boxsize=edges).query_pairs(cutoff, output_type="ndarray")
    pairs = np.sort(np.concatenate([pairs @ [n, 1], pairs @ [1, n]]))
    seen, largest = [], 0
    for piece in neighbor_pieces(packed, cutoff):
        seen.append(piece.centres * n + piece.indices)
        largest = max(largest, piece.n_pairs)
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), pairs)
    assert largest <= 1 << 14


_DIGEST = """
import hashlib, ase.build, numpy as np
from zstruct.geometry.neighbors import neighbor_list
from zstruct.geometry.structures import Structures

solid, box = ase.build.bulk("Po", "sc", a=3.0), ase.build.bulk("NaCl", "rocksalt", 5.6, cubic=True) * 4
box.rattle(0.3, seed=1)
digest = hashlib.sha256()
for atoms, cutoff in ((solid * (2, 2, 2), 6.0), (box, 5.0), (ase.build.molecule("C6H6"), 4.0)):
    found = neighbor_list(Structures.of(atoms), cutoff)
    for array in (found.offsets, found.indices, found.shifts, found.vectors, found.distances):
        digest.update(array.tobytes())
print(digest.hexdigest())
"""


@pytest.mark.long  # all is compiled again
def test_the_same_bits_on_any_processor(tmp_path):
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    found = {
        subprocess.run(
            [sys.executable, "-c", _DIGEST], env=os.environ | more, capture_output=True, text=True, check=True
        ).stdout
        for more in ({}, plain)
    }
    assert len(found) == 1


@pytest.mark.parametrize("size", [1e3, 1e6, 9e8])
def test_far_apart_atoms_have_the_neighbours_that_their_coordinates_say(size):
    rng = np.random.default_rng(0)
    near = rng.normal(scale=3, size=(1100, 3))  # so many that they are sorted into bins
    positions = np.vstack([near, rng.uniform(-size, size, (50, 3)), near[:3] + np.array([size, 0, 0])])
    offsets = [0, len(near), len(positions)]
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    same = np.searchsorted(offsets, np.arange(len(positions)), side="right")
    apart[(same[:, None] != same[None]) | np.eye(len(positions), dtype=bool)] = np.inf
    found = neighbor_list(Structures.of_arrays(offsets, np.ones(len(positions)), positions), 3.0)
    centres = np.repeat(np.arange(len(positions)), np.diff(found.offsets))
    pairs = set(zip(centres.tolist(), found.indices.tolist(), strict=True))
    assert len(pairs) == found.n_pairs
    assert pairs == set(zip(*(a.tolist() for a in np.nonzero(apart < 3.0)), strict=True))
