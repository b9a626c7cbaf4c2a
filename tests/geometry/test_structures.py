import ase.build
import numpy as np
import pytest

from zstruct.geometry.structures import Structures

WATER, COPPER = ase.build.molecule("H2O"), ase.build.bulk("Cu", cubic=True)


def sample(atoms):
    return {
        "numbers": atoms.numbers.astype(np.uint8),
        "positions": atoms.positions.astype(np.float32),
        "cell": np.asarray(atoms.cell),
        "pbc": atoms.pbc,
    }


def graph(structures):
    return {
        "ptr": np.cumsum([0, *map(len, structures)]),
        "numbers": np.concatenate([atoms.numbers for atoms in structures]),
        "positions": np.concatenate([atoms.positions for atoms in structures]),
        "cell": np.array(
            [np.asarray(atoms.cell) if atoms.pbc.any() else np.full((3, 3), np.nan) for atoms in structures]
        ),
        "pbc": np.array([atoms.pbc for atoms in structures]),
    }


@pytest.mark.parametrize(
    "given",
    [
        [WATER, COPPER],
        (atoms for atoms in (WATER, COPPER)),
        [sample(WATER), COPPER],
        graph([WATER, COPPER]),
        Structures.of([WATER, COPPER]),
    ],
    ids=["atoms", "generator", "mixed", "graph", "packed"],
)
def test_whatever_holds_atoms_is_packed(given):
    packed = Structures.of(given)

    assert packed.offsets.tolist() == [0, 3, 7]
    assert packed.numbers.tolist() == [8, 1, 1, 29, 29, 29, 29]
    np.testing.assert_allclose(packed.positions[:3], WATER.positions, atol=1e-7)
    np.testing.assert_allclose(packed.positions[3:], COPPER.positions, atol=1e-7)
    np.testing.assert_array_equal(packed.cells, [np.zeros((3, 3)), COPPER.cell])
    assert packed.pbc.tolist() == [[False] * 3, [True] * 3]
    for array in (packed.positions, packed.cells):
        assert array.dtype == np.float64
        assert array.flags.c_contiguous


def test_batches_and_samples_of_a_dataset_are_packed(tmp_path):
    pytest.importorskip("torch")
    import zstruct

    zstruct.build([WATER, COPPER], tmp_path / "s.zarr", progress=False)
    data = zstruct.ZarrStructureDataset(tmp_path / "s.zarr")
    expected = Structures.of([COPPER, WATER])

    for given in (data.take([1, 0]), next(iter(data[[1, 0]].loader(2))), [data[1], data[0]]):
        packed = Structures.of(given)
        assert packed.numbers.tolist() == expected.numbers.tolist()
        np.testing.assert_allclose(packed.positions, expected.positions, atol=1e-6)
        np.testing.assert_allclose(packed.cells, expected.cells, atol=1e-6)
        assert packed.pbc.tolist() == expected.pbc.tolist()


def test_nothing_is_packed_too():
    assert len(Structures.of([])) == Structures.of([]).n_atoms == 0
    assert Structures.of([ase.Atoms()]).offsets.tolist() == [0, 0]


def test_a_part_counts_from_its_own_beginning():
    packed = Structures.of([WATER, COPPER, WATER])
    part = packed.part(1, 3)
    assert part.offsets.tolist() == [0, 4, 7]
    assert part.numbers.tolist() == packed.numbers[3:].tolist()
    assert part.pbc.tolist() == [[True] * 3, [False] * 3]


@pytest.mark.parametrize("given", [3, "H2O", None, [WATER, 3], [{"numbers": [1]}]])
def test_what_holds_no_atoms_is_refused(given):
    with pytest.raises(TypeError, match="structure"):
        Structures.of(given)


def with_cell(cell, pbc):
    return ase.Atoms("H", cell=cell, pbc=pbc)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([WATER, {"numbers": [1, 1], "positions": [[0, 0, 0]]}], "structure 1 has numbers of shape"),
        ([WATER, ase.Atoms("H", [[0, np.nan, 0]])], "structure 1 has positions that are not finite"),
        ([WATER, with_cell([1, 1, 0], True)], "structure 1 is periodic along a cell vector that it does not"),
        ([WATER, with_cell([[1, 0, 0], [2, 0, 0], [0, 0, 1]], [1, 1, 0])], "structure 1 .* not independent"),
        ([with_cell([[1, 0, 0], [0, 1, 0], [1, 1, 0]], True)], "structure 0 .* not independent"),
        ([WATER, {"numbers": [1.5], "positions": [[0, 0, 0]]}], "atomic numbers, integers, not float64"),
        ([WATER, {"numbers": [1], "positions": [[0, 0, 0]], "cell": [3, 3, 3]}], "structure 1 has a cell of"),
        (
            [WATER, ase.Atoms("H2", [[0, 0, 0], [9e8, 0, 0]], cell=[0.1, 3, 3], pbc=True)],
            r"structure 1 has an atom 9e\+09 periods outside its cell",
        ),
        ([WATER, ase.Atoms("H2", [[0, 0, 0], [1e200, 0, 0]])], r"structure 1 has an atom more than 1e\+09"),
        ([WATER, with_cell([1, 1, 1e10], True)], "structure 1 is periodic along a cell vector of more than"),
        ([WATER, with_cell([1, 1, 1e200], True)], "structure 1 is periodic along a cell vector of"),
        (graph([WATER, COPPER]) | {"ptr": [0, 3, 8]}, "offsets are not the edges"),
        (graph([WATER, COPPER]) | {"pbc": [[True] * 3]}, "pbc of 2 structures"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        Structures.of(given)


@pytest.mark.parametrize(
    ("cell", "pbc"),
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 0]], [1, 1, 0]),  # a slab without a third vector
        ([[0, 0, 0], [0, 0, 0], [0, 0, 5]], [0, 0, 1]),
        ([[1, 0, 0], [2, 0, 0], [0, 0, 1]], [1, 0, 1]),
        ([[0, 1, 0], [1, 0, 0], [0, 0, 1]], True),  # left-handed
        (np.eye(3) * 1e-3, True),
        ([[30, 0, 0], [29.9, 0.5, 0], [29.9, 0, 0.5]], True),  # badly skewed
    ],
)
def test_odd_cells_are_fine(cell, pbc):
    assert isinstance(Structures.of(with_cell(cell, pbc)), Structures)
