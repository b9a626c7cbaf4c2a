"""Hashes of structures are what the definition says, word by word, and the same however they are made."""

import hashlib

import numpy as np
import pytest

from zstruct.jit.kernel import compiled_always
from zstruct.ragged import Packed
from zstruct.schema import FIELDS
from zstruct.store.hashes import IDENTITY, structure_hashes

MASK = 2**64 - 1


def mixed(x, shifts, factors):
    for shift, factor in zip(shifts, factors, strict=False):
        x = (x ^ (x >> shift)) * factor & MASK
    return x ^ (x >> shifts[-1])


def defined(words, name):
    """The sums over words, as integers of Python."""
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
    sums = [0, 0]
    for word in words:
        key = (key + 0x9E3779B97F4A7C15) & MASK
        turned = (key << 32 | key >> 32) & MASK
        sums[0] += mixed((word + key) & MASK, (30, 27, 31), (0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
        sums[1] += mixed(word ^ turned, (33, 33, 33), (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53))
    return [one & MASK for one in sums]


@pytest.fixture
def block():
    rng = np.random.default_rng(2)
    n = rng.integers(1, 9, 30)
    block = Packed(n)
    rows = int(n.sum())
    positions = rng.normal(size=(rows, 3))
    positions[::5] = -0.0
    block.add(FIELDS["positions"], positions)
    block.add(FIELDS["numbers"], rng.integers(1, 90, rows).astype(np.uint8))
    block.add(FIELDS["cell"], rng.normal(size=(30, 3, 3)), np.arange(30) % 3 > 0)
    block.add(FIELDS["config_type"], rng.integers(-1, 2, 30).astype(np.int32))
    block.categories["config_type"] = ["a", "µ"]
    return block


def test_hashes_are_those_of_the_definition(block):
    hashes = structure_hashes(block, IDENTITY)
    for i in range(30):
        rows = slice(*block.offsets[i : i + 2])
        said = [("positions", block.columns["positions"][rows]), ("numbers", block.columns["numbers"][rows])]
        if i % 3:
            said.append(("cell", block.columns["cell"][i]))
        words = [(name, (values + 0.0).reshape(-1).astype("<f8").view(np.uint64)) for name, values in said]
        sums = np.array([defined(each.tolist(), name) for name, each in words], dtype=object).sum(axis=0)
        assert hashes[i].tolist() == [int(one) & MASK for one in sums]


def test_numpy_and_the_kernel_give_the_same(block):
    names = block.columns.keys()
    hashes = structure_hashes(block, names)
    with compiled_always():
        assert np.array_equal(structure_hashes(block, names), hashes)
    assert len(np.unique(hashes, axis=0)) == 30


def test_structures_are_hashed_wherever_they_stand(block):
    hashes = structure_hashes(block, block.columns)
    order = np.random.default_rng(0).permutation(30).tolist()
    assert np.array_equal(structure_hashes(block.select(order), block.columns), hashes[order])


def test_what_is_missing_and_what_has_no_sign_makes_no_difference(block):
    hashes = structure_hashes(block, IDENTITY)
    block.columns["cell"][~block.present["cell"]] = np.nan
    block.columns["positions"] = np.where(block.columns["positions"] == 0, 0.0, block.columns["positions"])
    assert np.array_equal(structure_hashes(block, IDENTITY), hashes)


def test_few_of_many_structures_that_differ_by_little_have_the_same_half():
    rng = np.random.default_rng(5)
    n = 100_000
    block = Packed(np.full(n, 2))
    positions = np.zeros((2 * n, 3))
    positions[:, 0] = np.round(rng.permutation(2 * n) * 1e-8, 8)
    block.add(FIELDS["positions"], positions)
    hashes = structure_hashes(block, IDENTITY)
    for half in hashes.T:
        assert len(np.unique(half)) == n
        assert len(np.unique(half & np.uint64(0xFFFFFFFF))) > n - 10
        bits = np.unpackbits(half.copy().view(np.uint8)).reshape(n, 64).mean(axis=0)
        assert abs(bits - 0.5).max() < 0.01
