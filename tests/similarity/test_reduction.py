"""Periodic structures and their supercells are alike where that is asked for, and no others are."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, make_supercell

import zstruct
from tests.similarity.test_duplicates import build, groups_of, with_energy
from tests.similarity.test_search import disguised, geometry_of
from zstruct.cli import main
from zstruct.similarity.pairs import superposed
from zstruct.similarity.reduction import reduced

TOLERANCE = 0.01


def smallest():
    """Cells that repeat no smaller one."""
    wurtzite = bulk("ZnO", "wurtzite", 3.25, 5.2)
    return [bulk("Cu"), bulk("NaCl", "rocksalt", 5.6), bulk("Ti"), bulk("Si"), bulk("Fe"), wurtzite]


def repeated(atoms, rng, most=12):
    """A supercell by a random matrix of integers, along its periodic vectors."""
    periodic = atoms.pbc
    while True:
        matrix = np.where(np.outer(periodic, periodic), rng.integers(-2, 4, (3, 3)), np.eye(3, dtype=int))
        determinant = round(np.linalg.det(matrix))
        if 1 < abs(determinant) <= most:
            break
    matrix[int(np.argmax(periodic))] *= np.sign(determinant)
    return make_supercell(atoms, matrix)


def away(a, b, tolerance=TOLERANCE):
    limits = np.full(2, 2 * tolerance + 1e-9)
    return superposed(geometry_of([a, b]), np.array([0]), np.array([1]), tolerance, limits)[0][0]


def test_supercells_are_reduced_to_the_cells_that_they_are_made_of(rng):
    slab = fcc111("Cu", (1, 1, 3), vacuum=5)
    chain = Atoms("HCN", [[0, 0, 0], [1, 0, 0.3], [2.1, 0, 0.1]], cell=[3.4, 0, 0], pbc=[True, False, False])
    cells = [*smallest(), slab, chain]
    frames = [disguised(repeated(atoms, rng), rng, TOLERANCE) for atoms in cells for _ in range(4)]
    found = reduced(geometry_of(frames), np.full(len(frames), 2 * TOLERANCE))
    sizes = np.diff(found.structures.offsets)
    np.testing.assert_array_equal(sizes, np.repeat([len(atoms) for atoms in cells], 4))
    for k, atoms in enumerate(frames):
        cell, m = found.structures.cells[k], int(atoms.pbc.sum())
        assert np.linalg.matrix_rank(cell) >= m
        part = slice(found.offsets[k], found.offsets[k + 1])
        first = slice(found.structures.offsets[k], found.structures.offsets[k + 1])
        copies = len(atoms) // sizes[k]
        rows = found.rows[part] - found.offsets[k]
        assert sorted(rows) == list(range(len(atoms)))
        np.testing.assert_array_equal(atoms.numbers[rows], np.repeat(found.structures.numbers[first], copies))
        means = np.repeat(found.structures.positions[first], copies, axis=0)
        off = (atoms.positions[rows] - means - found.spread[part]) @ np.linalg.pinv(cell[atoms.pbc])
        np.testing.assert_allclose(off, np.rint(off), atol=1e-8)
        assert np.linalg.norm(found.spread[part], axis=1).max() <= 2 * TOLERANCE


def test_what_repeats_no_smaller_cell_stays_as_it_is(rng):
    rattled = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    rattled.rattle(0.1, rng=rng)
    ordered = bulk("Cu", cubic=True)
    ordered.numbers[0] = 79
    vacancy = (bulk("Cu", cubic=True) * 2)[1:]
    frames = [*smallest(), rattled, ordered, vacancy, Atoms("H2", [[0, 0, 0], [0, 0, 1]])]
    found = reduced(geometry_of(frames), np.full(len(frames), 2 * TOLERANCE))
    np.testing.assert_array_equal(np.diff(found.structures.offsets), [len(atoms) for atoms in frames])
    np.testing.assert_array_equal(found.structures.cells, [atoms.cell.array for atoms in frames])
    still = reduced(geometry_of([bulk("Cu") * 2]), np.zeros(1))
    assert len(still.structures.numbers) == 8


def test_atoms_of_supercells_are_displaced_by_no_more_than_the_tolerance():
    cell = bulk("Cu")
    moved = cell * (2, 1, 1)
    moved.positions[0] += [0.03, 0, 0]  # a translation takes half of it
    assert away(cell, moved, 0.0151) == pytest.approx(0.015, rel=1e-2)
    assert np.isinf(away(cell, moved, 0.0149))
    other = cell * (3, 1, 1)  # each of its atoms comes upon each of the other one: at best, a square
    other.positions[0] -= [0.03, 0, 0]
    assert np.isfinite(away(moved, other, 0.0213))
    assert np.isinf(away(moved, other, 0.0211))
    larger = cell.copy()
    larger.set_cell(cell.cell.array * 1.02, scale_atoms=True)
    assert np.isinf(away(larger, cell * 2))


def test_planted_supercells_are_found_and_none_else(tmp_path, rng):
    frames, origin = [], []
    for k, atoms in enumerate(smallest()):
        stretched = atoms.copy()
        stretched.set_cell(1.05 * atoms.cell.array, scale_atoms=True)
        for which, cell in enumerate((atoms, stretched)):
            frames.append(with_energy(cell, -3.0 * len(cell)))
            for noise in (0.0, TOLERANCE):
                large = disguised(repeated(cell, rng), rng, noise)
                frames.append(with_energy(large, -3.0 * len(large)))
            origin += 3 * [2 * k + which]
    order = rng.permutation(len(frames))
    path = build([frames[k] for k in order], tmp_path / "a.zarr")
    origin = np.array(origin)[order]
    found = zstruct.duplicates(path, TOLERANCE, supercells=True)
    assert groups_of(found) == {
        frozenset((0, int(n)) for n in np.flatnonzero(origin == g)) for g in range(2 * len(smallest()))
    }
    np.testing.assert_allclose(found.energy_spread, 0, atol=1e-12)
    assert "within 0.01 angstrom, supercells too" in str(found)
    assert len(zstruct.duplicates(path, TOLERANCE)) == 0


def test_an_exact_supercell_of_what_almost_repeats_itself(tmp_path):
    cell = bulk("Cu", cubic=True)
    cell.positions[0] += [0.015, 0.002, 0]
    path = build([cell, cell * (1, 2, 1), cell * (1, 1, 2)], tmp_path / "a.zarr")
    assert zstruct.duplicates(path, supercells=True).sizes.tolist() == [3]


def test_leaks_and_commands(tmp_path, capsys):
    frames = [bulk("Cu"), bulk("Si"), bulk("Cu", cubic=True), bulk("Ti")]
    path = build(frames, tmp_path / "a.zarr")
    zstruct.split(path, {"train": [0, 1], "test": [2, 3]}, name="default")
    assert len(zstruct.leaks(path)) == 0
    assert zstruct.leaks(path, supercells=True).structures("test").tolist() == [2]
    ds = zstruct.open(path)
    assert ds.zs.duplicates(supercells=True).structure.tolist() == [0, 2]
    assert len(ds.zs.leaks(supercells=True)) == 1
    assert main(["duplicates", str(path), "--quiet", "--supercells"]) == 0
    assert "  2: 0, 2" in capsys.readouterr().out
    assert main(["leaks", str(path), "--quiet", "--supercells"]) == 0
    assert "1 group of duplicates" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_pymatgen_and_spglib_agree(rng):
    spglib = pytest.importorskip("spglib")
    judge = pytest.importorskip("pymatgen.core.structure_matcher")
    adaptor = pytest.importorskip("pymatgen.io.ase").AseAtomsAdaptor
    matcher = judge.StructureMatcher(primitive_cell=True, scale=False, ltol=0.01, stol=0.01, angle_tol=0.5)
    frames = []
    for atoms in smallest()[:4]:
        one, other = disguised(repeated(atoms, rng, 6), rng, 0.0), repeated(atoms, rng, 6)
        frames += [atoms, one, other]
        changed = other.copy()
        changed.positions[-1] += 0.4
        frames.append(changed)
    sizes = np.diff(reduced(geometry_of(frames), np.full(len(frames), 1e-3)).structures.offsets)
    for atoms, size in zip(frames, sizes, strict=True):
        cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
        assert len(spglib.find_primitive(cell, symprec=1e-4)[2]) == size
    crystals = [adaptor.get_structure(atoms) for atoms in frames]
    for a in range(len(frames)):
        for b in range(a):
            assert np.isfinite(away(frames[a], frames[b])) == matcher.fit(crystals[a], crystals[b]), (a, b)
