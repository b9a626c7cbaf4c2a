import ase
import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from numpy.testing import assert_allclose, assert_array_equal

from zstruct.loading.derived.kernels import connect, pair_vectors

# Two structures, of two atoms and of one.
BATCH, OFFSETS = np.array([0, 0, 1]), np.array([0, 2, 3])


def connected(counts, indices, local):
    out = np.full((2, len(indices)), -9)
    good = connect(np.array(counts), BATCH, OFFSETS, np.array(indices, dtype=np.int64), local, out)
    return good, out.tolist()


def test_rows_count_the_batch():
    assert connected([1, 2, 1], [1, 0, 0, 2], False) == (True, [[0, 1, 1, 2], [1, 0, 0, 2]])
    assert connected([1, 2, 1], [1, 0, 0, 0], True) == (True, [[0, 1, 1, 2], [1, 0, 0, 2]])
    assert connected([0, 0, 0], [], True) == (True, [[], []])


@pytest.mark.parametrize(
    ("counts", "indices"),
    [
        ([1, 0, 0], [2]),  # an atom of the other structure
        ([1, 0, 0], [-1]),
        ([0, 0, 1], [1]),
        ([1, 1, 1], [1, 0]),  # more counted than there are
        ([1, 0, 0], [1, 0]),  # fewer
        ([2, -1, 0], [1]),
    ],
)
def test_what_can_not_be_is_found(counts, indices):
    assert not connected(counts, indices, True)[0]


def test_vectors_are_those_of_ase(rng):
    cells = np.stack([np.eye(3) * 4 + rng.normal(0, 0.5, (3, 3)) for _ in range(2)])
    parts = [ase.Atoms("HO", rng.uniform(-9, 9, (2, 3)), cell=cells[0], pbc=True),
             ase.Atoms("H", rng.uniform(-9, 9, (1, 3)), cell=cells[1], pbc=[True, False, True])]  # fmt: skip
    found = [neighbor_list("ijSDd", atoms, 8.0) for atoms in parts]
    i, j, shifts, vectors, distances = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    n = len(found[0][0])
    i[n:] += 2
    j[n:] += 2
    out, lengths = np.empty(vectors.shape), np.empty(len(i))

    positions = np.concatenate([atoms.positions for atoms in parts])
    counts = np.bincount(i, minlength=3)
    pair_vectors(counts, BATCH, np.stack([i, j]), shifts.astype(np.int32), positions, cells, out, lengths)

    assert len(i) > 100
    assert_array_equal(np.sort(i), i)
    assert_allclose(out, vectors, rtol=0, atol=1e-13)
    assert_allclose(lengths, distances, rtol=1e-14)
