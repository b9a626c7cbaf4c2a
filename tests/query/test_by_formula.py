"""What depends on formulas alone is asked of formulas; that it selects the same is tested against DuckDB."""

import pytest

from tests.query.tables import MemoryTable
from zstruct.query.binding import bound
from zstruct.query.evaluation import holding

STRUCTURES = [["Ti", "O", "O"], ["H"], ["O", "Ti", "O"], ["Ti"], ["O"] * 4]


@pytest.mark.parametrize(
    ("expression", "found", "read"),
    [
        ("Ti and O and n_atoms < 4", [0, 2], {"formula"}),
        ("x > 0 and not (Ti or O > 3)", [1], {"formula", "x"}),
        ("Ti / n_atoms > 0.5 or n_elements == 1 and x == 5", [3, 4], {"formula", "x"}),
        ("n_atoms < 4 and x > 1", [1, 2, 3], {"n_atoms", "x"}),  # no element is named: codes are not needed
        ("Ti > 9 and x > 0", [], {"formula"}),
        ("true", [0, 1, 2, 3, 4], set()),
    ],
)
def test_formulas_are_asked_once_and_decide_first(expression, found, read):
    table = MemoryTable({"x": [1.0, 2.0, 3.0, 4.0, 5.0]}, STRUCTURES, coded=True)
    table.atoms = None  # nobody counts them

    assert holding(bound(expression, table), table).tolist() == found
    assert set(table.read) == read
