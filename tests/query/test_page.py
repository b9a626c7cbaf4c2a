"""The page on selecting says what the code does: its tables, its limits, its examples."""

import re
from pathlib import Path

import pytest

from zstruct.query import FUNCTIONS, QUANTITIES, parse
from zstruct.query.evaluation import _BLOCK
from zstruct.query.parser import DEEPEST
from zstruct.query.tokens import KEYWORDS

PAGE = (Path(__file__).parents[2] / "docs" / "selecting.md").read_text()


def rows(head):
    """Return the rows of the table with a head, as lists of cells."""
    lines = PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def examples():
    """Return what the page writes in the list of what an expression may have, and in blocks."""
    section = PAGE[PAGE.index("## What an expression may have") : PAGE.index("| function |")]
    found = [text for text in re.findall(r"`([^`]+)`", section) if re.search(r"\w", text)]
    found = [text for text in dict.fromkeys(found) if text not in ("and", "or", "not")]
    blocks = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)
    return [*found, blocks[0], blocks[1]]


def test_the_table_of_quantities_is_that_of_the_code():
    expected = [
        [f"`{q.name}`", q.unit, q.description, ", ".join(f"`{need}`" for need in q.needs)]
        for q in QUANTITIES.values()
    ]

    assert rows("| name | unit | what it is | needs |") == expected


def test_the_table_of_functions_is_that_of_the_code():
    expected = [[f"`{name}`", text] for name, text in FUNCTIONS.items()]

    assert rows("| function | what it is |") == expected


@pytest.mark.parametrize("expression", examples())
def test_examples_are_of_the_language(expression):
    parse(expression)


def test_there_are_examples():
    assert {"only(Ti, O)", "0 < Ti <= 4", "config_type in ('bulk', 'slab')", "pbc[a]"} <= set(examples())
    assert "not has(energy) or energy < 0" in examples()


def test_the_grammar_has_every_keyword_and_no_other():
    grammar = re.search(r"```text\n(expression = .*?)```", PAGE, re.DOTALL).group(1)
    words = set(re.findall(r'"([a-z]{2,})"', grammar))

    assert words == {*KEYWORDS, "field"}


def test_limits_are_those_of_the_code():
    assert f"nested {DEEPEST} deep" in PAGE
    assert f"{_BLOCK:,} structures" in PAGE
