"""Merged statistics are those of all rows at once."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zstruct.features.statistics import FirstMoments, by_species


@settings(max_examples=60)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 2**32 - 1), st.floats(0, 1e6))
def test_tasks_merge_to_the_statistics_of_all_rows(sizes, seed, offset):
    rng = np.random.default_rng(seed)
    values = offset + rng.normal(size=(sum(sizes), 3))
    numbers = rng.choice([1, 8, 22], sum(sizes)).astype(np.uint8)
    edges = np.cumsum(sizes)[:-1]
    tasks = [by_species(v, z) for v, z in zip(np.split(values, edges), np.split(numbers, edges), strict=True)]
    found = FirstMoments().then(tasks).described()
    for symbol, number in (("all", None), ("H", 1), ("O", 8), ("Ti", 22)):
        rows = values if number is None else values[numbers == number]
        assert (symbol in found) == (len(rows) > 0)
        if len(rows):
            assert found[symbol]["count"] == len(rows)
            np.testing.assert_allclose(found[symbol]["mean"], rows.mean(axis=0), rtol=1e-12, atol=1e-14)
            np.testing.assert_array_equal(found[symbol]["min"], rows.min(axis=0))
            np.testing.assert_array_equal(found[symbol]["max"], rows.max(axis=0))
            # What is left of the spread when the mean is a million times larger.
            np.testing.assert_allclose(
                found[symbol]["std"], rows.std(axis=0), rtol=1e-12, atol=1e-15 * max(1.0, offset)
            )


def test_a_large_mean_costs_no_digits_of_the_spread():
    rng = np.random.default_rng(1)
    values = 1e8 + rng.normal(size=(5000, 2))
    numbers = np.ones(5000, np.uint8)
    tasks = [by_species(values[a : a + 700], numbers[a : a + 700]) for a in range(0, 5000, 700)]
    found = FirstMoments().then(tasks).described()["H"]
    np.testing.assert_allclose(found["std"], (values - 1e8).std(axis=0), rtol=1e-8)


def test_single_precision_is_summed_in_double():
    values = np.full((100_000, 1), 0.1, np.float32)
    found = FirstMoments().then([by_species(values, np.full(100_000, 6))]).described()["C"]
    np.testing.assert_allclose(found["mean"], np.float64(np.float32(0.1)), rtol=1e-12)
