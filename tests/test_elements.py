"""Symbols are those of ASE, and formulas are in the order of Hill."""

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from zstruct import elements


def test_symbols_are_those_of_ase():
    assert chemical_symbols == elements.SYMBOLS
    assert elements.atomic_number("CL") == 17
    assert elements.atomic_number("Xx") is None


def test_formula_is_in_hill_order():
    numbers = [elements.atomic_number(s) for s in ("O", "H", "C", "H", "Br")]
    assert elements.formula(np.array(numbers)) == "CH2BrO"
    assert elements.formula(np.array([22, 8, 8])) == "O2Ti"


def test_many_formulas_are_those_of_ase(rng):
    numbers = rng.permutation(119)[:40]
    counts = rng.integers(0, 13, (300, 40)) * (rng.random((300, 40)) < 0.1)

    found = elements.hills(numbers.tolist(), counts)

    expected = [Atoms(np.repeat(numbers, row)).get_chemical_formula("hill") for row in counts]
    assert found == expected


def test_values_by_number_are_those_of_the_atoms(rng):
    numbers = rng.integers(0, 119, 500).astype(np.uint8)
    values = {symbol: rng.normal() for symbol in rng.permutation(chemical_symbols)[:80].tolist()}

    found = elements.by_number(values)[numbers]

    expected = [values.get(chemical_symbols[z], np.nan) for z in numbers]
    np.testing.assert_array_equal(found, expected)
