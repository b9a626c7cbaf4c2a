"""Compositions against counting atom by atom, formulas against ASE's."""

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from zstruct import compositions as module
from zstruct.compositions import add_formulas, compositions, distinct_compositions, element_counts
from zstruct.elements import SYMBOLS
from zstruct.ragged import Packed, counts_to_offsets

STRUCTURES = st.lists(st.lists(st.sampled_from([1, 6, 8, 22, 118]), max_size=6), max_size=8)


def packed(structures):
    numbers = np.array([z for structure in structures for z in structure], dtype=np.uint8)
    return numbers, counts_to_offsets([len(structure) for structure in structures])


@given(STRUCTURES)
def test_counts_are_those_of_each_structure(structures):
    elements, counts = compositions(*packed(structures))

    assert elements.tolist() == sorted({z for structure in structures for z in structure})
    assert counts.shape == (len(structures), len(elements))
    for structure, row in zip(structures, counts.tolist(), strict=True):
        assert Counter(structure) == Counter(dict(zip(elements.tolist(), row, strict=True)))


@given(STRUCTURES, st.integers(1, 20))
def test_counting_some_atoms_at_a_time_changes_nothing(structures, piece):
    numbers, offsets = packed(structures)
    expected = compositions(numbers, offsets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE", piece)
        for found, at_once in zip(compositions(numbers, offsets + 3), expected, strict=True):
            np.testing.assert_array_equal(found, at_once)


@given(STRUCTURES, st.permutations([1, 8, 22, 3]))
def test_counts_of_some_elements_are_in_the_order_asked_for(structures, elements):
    counts = element_counts(*packed(structures), elements)

    assert counts.tolist() == [[structure.count(z) for z in elements] for structure in structures]


@given(STRUCTURES.filter(all))
def test_formulas_are_those_of_ase_as_they_first_occur(structures):
    texts, codes = distinct_compositions(*compositions(*packed(structures)))

    expected = [Atoms(structure).get_chemical_formula("hill") for structure in structures]
    assert [texts[code] for code in codes] == expected
    assert texts == list(dict.fromkeys(expected))


def test_compositions_with_one_key_are_told_apart(monkeypatch):
    monkeypatch.setattr(module, "_keys", lambda counts: np.zeros(len(counts), dtype=np.uint64))
    structures = [[1, 1, 8], [6], [8, 1, 1], [22]]

    assert distinct_compositions(*compositions(*packed(structures)))[0] == ["H2O", "C", "Ti"]


def test_offsets_of_a_stretch_count_by_their_differences():
    numbers, offsets = packed([[1, 8], [6]])
    assert compositions(numbers, offsets + 100)[1].tolist() == compositions(numbers, offsets)[1].tolist()


def test_a_block_gets_its_formulas():
    numbers, offsets = packed([[1, 8, 1], [2], [8, 1, 1]])
    block = Packed(np.diff(offsets), {"numbers": numbers})

    add_formulas(block)

    assert block.categories["formula"] == ["H2O", SYMBOLS[2]]
    assert block.columns["formula"].tolist() == [0, 1, 0]
