"""Permutations of which any part can be had: complete, fair, and the same for ever."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zstruct import feistel
from zstruct.jit.kernel import compiled_always
from zstruct.random import _feistel, _keys, _permuted, _sent, _shuffled, permuted


@given(st.integers(1, 3000), st.integers(0, 2**63), st.integers(0, 100))
@settings(max_examples=50)
def test_a_permutation_is_one_and_any_part_of_it_can_be_had(n, seed, epoch):
    whole = permuted(np.arange(n), n, seed, epoch)
    assert np.array_equal(np.sort(whole), np.arange(n))
    assert np.array_equal(permuted(np.arange(n // 2, n), n, seed, epoch), whole[n // 2 :])


@pytest.mark.parametrize("n", [3, 4])
def test_all_permutations_are_equally_likely(n):
    draws = 3000
    seen = np.array([permuted(np.arange(n), n, seed, 0) for seed in range(draws)]) @ 10 ** np.arange(n)
    counts = np.unique(seen, return_counts=True)[1]
    expected = draws / {3: 6, 4: 24}[n]
    assert len(counts) == {3: 6, 4: 24}[n]
    # The 99.9 % quantiles of chi-square with 5 and 23 degrees of freedom.
    assert ((counts - expected) ** 2 / expected).sum() < {3: 20.5, 4: 49.7}[n]


def test_the_permutation_never_changes():
    # Who resumes an epoch with a later version must find the same order.
    assert permuted(np.arange(8), 8, 1, 2).tolist() == [4, 7, 6, 3, 2, 0, 5, 1]
    assert permuted(np.array([0, 10**8 - 1]), 10**8, 3).tolist() == [53567023, 85633240]


@pytest.mark.parametrize("bits", [13, 20, 28])
def test_tables_of_the_rounds_send_numbers_where_the_rounds_do(bits):
    x = np.random.default_rng(bits).integers(0, 1 << bits, 2000)
    x[:2] = 0, (1 << bits) - 1
    expected = _feistel(x.astype(np.uint64), bits, _keys((1, 2)))
    assert np.array_equal(_sent(x, bits, _keys((1, 2))), expected.astype(np.int64))
    assert _sent(x, bits, _keys((1, 2))).tolist() != _sent(x, bits, _keys((1, 3))).tolist()


@given(st.integers(4097, 2**40), st.integers(0, 1500), st.integers(0, 2**63))
@example(2**13, 1024, 1)  # nobody is outside
@example(2**13 + 1, 1025, 2)  # every other one is
@settings(max_examples=50)
def test_kernels_permute_as_numpy_does(n, length, seed):
    positions = np.random.default_rng(seed).integers(0, n, length)
    keys, bits = _keys((seed,)), int(n - 1).bit_length()
    image = positions.copy()
    expected = _permuted(positions, n, bits, keys)
    feistel.permute(image, n, bits, keys)
    assert np.array_equal(image, expected)
    assert len(image) == 0 or image.max() < n


@given(st.integers(0, 10_000), st.integers(0, 2**63))
@settings(max_examples=50)
def test_kernels_shuffle_as_numpy_does(n, seed):
    keys, bits = _keys((seed,)), max(12, int(n - 1).bit_length())
    image = np.empty(n + 1, np.int64)
    feistel.shuffle(image, n, bits, keys)
    assert np.array_equal(image[:n], _shuffled(n, bits, keys))
    assert np.array_equal(np.sort(image[:n]), np.arange(n))


def test_what_is_permuted_stays_as_it_is():
    positions = np.arange(5000)
    positions.flags.writeable = False
    with compiled_always():
        image = permuted(positions, 5000, 1)
    assert np.array_equal(np.sort(image), positions)
